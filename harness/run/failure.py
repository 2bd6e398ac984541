"""Explain why a run did not finish: which rank failed, and what it printed last."""

import signal
from pathlib import Path

from harness.core.errors import RunError
from harness.core.measurement import RunOutcome
from harness.launch.torchrun import first_failure
from harness.store.layout import Project
from harness.store.run_files import LOG, STDERR

LAST_LINES = 30
_TAIL_BYTES = 1 << 18
GOES_ON = "start the same command again to make the runs that are missing"
STARTS_OVER = "start the same command again: a record is run afresh each time"


def run_error(project: Project, folder: Path, outcome: RunOutcome, what: str, *, again: str = GOES_ON) -> RunError:
    """Build the error of a run that did not finish.

    what: which run, like "run 2 of 3"; again: what to do about one that somebody stopped.
    """
    why, last_lines = explain(folder, outcome)
    todo = again if outcome.state == "stopped" else f"read {LOG} and {STDERR} there"
    return RunError.at(project.show(folder), f"{what} {why}", todo, lines=last_lines)


def explain(folder: Path, outcome: RunOutcome) -> tuple[str, tuple[str, ...]]:
    """Say why a run did not finish, "failed: rank 1 ended with exit code 1", and find the rank's last lines."""
    failed = first_failure(_tail(folder / STDERR)) if outcome.state == "failed" else None
    if failed is None:
        return f"{outcome.state}: {outcome.reason}", _last_lines(folder / STDERR, folder / LOG)
    rank, code = failed
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    # Ranks above 0 write to files of their own below ranks/.
    own = sorted((folder / "ranks").glob(f"**/{rank}/stderr.log")) if rank else []
    return f"failed: rank {rank} {how}", _last_lines(own[-1] if own else folder / STDERR, folder / LOG)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a script can print torchrun's summary by itself
        return f"signal {number}"


def _last_lines(*paths: Path) -> tuple[str, ...]:
    """Return the last 30 lines of the first of these files that holds any, without torchrun's own report."""
    for path in paths:
        text = _tail(path).decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if line.strip()]
        report = ("torch/distributed/elastic", "elastic/multiproc")
        own = next((i for i, line in enumerate(lines) if any(name in line for name in report)), None)
        lines = lines[:own] if own else lines
        if lines:
            return tuple(line[:500] for line in lines[-LAST_LINES:])
    return ()


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            return file.read()
    except OSError:
        return b""
