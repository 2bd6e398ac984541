"""Metrics of one run: what its script printed beside what the harness saw of it."""

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from harness.core.errors import LogError
from harness.core.measurement import LogProblem, Metrics, RunLog, TimedLine
from harness.launch.stamps import Clock, read_clock, read_observed
from harness.runlog import reader
from harness.store import run_files
from harness.store.files import has_kept
from harness.store.packs import restore_log, run_log
from harness.store.run_files import CLOCK, LOG, WORK
from harness.store.scrub import scrubbed_sha256

HEARTBEAT_SCHEMA = 2  # of run.json, since which the observer has a heartbeat
MOST_LOG_BYTES = 1 << 30  # the recorder ends a run that prints more


def from_log(run_id: str, log: RunLog, timed_lines: Sequence[TimedLine] = ()) -> Metrics:
    """Build the metrics of a run of which only the log is known."""
    return Metrics(
        run_id=run_id,
        log=log,
        seed=log.seed,
        step=log.final_step,
        val_loss=log.final_val_loss,
        train_time_s=log.final_train_time_s,
        wall_time_s=None,
        timed_lines=tuple(timed_lines),
    )


def read_run(folder: Path, script: bytes, *, packed: bool) -> Metrics:
    """Read one run folder, of this machine or of a pack: its log, its clock, and what run.json says of it."""
    file = run_files.read_run_file(folder)
    raw = restore_log(folder, script) if packed else run_log(folder)
    clock = read_clock(folder / CLOCK, name=f"{folder.name}/{CLOCK}") if has_kept(folder / CLOCK) else Clock(None, {})
    seen = clock.arrivals_s
    log, timed = _read_log(raw, stamped=file.confinement is not None)
    timed = [dataclasses.replace(line, arrival_s=seen.get(line.line)) for line in timed]
    if file.confinement is not None and file.outcome is not None and file.outcome.state == "finished":
        log = _with_stamps(log, raw, clock)
    header_end_s = seen.get(timed[0].line - 1) if timed else None
    if log.script_sha256 is None and not packed:
        log, timed = with_own_log(log, timed, folder / WORK / "logs")
    return dataclasses.replace(
        from_log(file.id, log, timed),
        wall_time_s=clock.wall_time_s,
        log_sha256=hashlib.sha256(raw).hexdigest() if packed else scrubbed_sha256(raw, script),
        outcome=file.outcome,
        machine=file.machine,
        data=file.data,
        first_line_s=seen.get(1),
        header_end_s=header_end_s,
        given_seed=given_seed(file.arguments),
        given_files=tuple(sorted(file.files.items())),
        started_at=file.started_at,
        observed=read_observed(folder, clock.start_ns, heartbeat=file.schema >= HEARTBEAT_SCHEMA),
        confinement=file.confinement,
        weights=file.weights,
        score=run_files.read_score(folder),
    )


def _read_log(raw: bytes, *, stamped: bool) -> tuple[RunLog, list[TimedLine]]:
    """Read a log and its lines that tell a time; in one pass where every line was `stamped` as it came."""
    try:
        if stamped:
            return reader.read_stamped(raw, LOG)
        return reader.read_bytes(raw, LOG, curve=True)[-1], reader.timed_lines(raw)
    except LogError:
        return RunLog.nothing(LOG), []


def _with_stamps(log: RunLog, raw: bytes, clock: Clock) -> RunLog:
    """Note it where a log has another number of lines than were stamped: then no stamp can be trusted to be its line's."""
    lines = raw.count(b"\n") + (not raw.endswith(b"\n") and bool(raw))
    if lines == len(clock.arrivals_s):
        return log
    said = f"{lines:,} lines, {len(clock.arrivals_s):,} stamps"
    return dataclasses.replace(log, problems=(*log.problems, LogProblem("unstamped-lines", lines, said)))


def with_own_log(log: RunLog, timed: list[TimedLine], logs: Path) -> tuple[RunLog, list[TimedLine]]:
    """Complete what standard output says from the one log that the script wrote into `logs/` by itself.

    Many originals print their metrics and write source and versions to a file. The file counts where every
    validation of standard output stands in it as well; where standard output holds no metric, the file alone does, and
    then no line of it was stamped.
    """
    try:
        [path] = [path for path in logs.glob("*.txt") if path.is_file() and not path.is_symlink()]
        raw = path.read_bytes() if path.stat().st_size < MOST_LOG_BYTES else b""
        own = reader.read_bytes(raw, path.name, curve=True)[-1]
    except (ValueError, OSError, LogError):  # none, several, or no training log
        return log, timed
    if log.final_step is None:
        return own, reader.timed_lines(raw)
    if not set(log.curve) <= set(own.curve):
        return log, timed
    told = ["source_sha256", "source_bytes", "source_origin", "script_sha256", "gpu_name", "gpu_count", "world_size"]
    told += ["driver", "cuda", "torch", "triton", "python", "peak_memory_mib", "started_at"]
    told += ["seed", "val_tokens", "tokens_per_step"]
    filled = {name: getattr(own, name) for name in told if getattr(log, name) is None}
    return dataclasses.replace(log, **filled), timed


def given_seed(arguments: tuple[str, ...]) -> int | None:
    """Find the seed among the arguments that the harness gave a run."""
    seeds = [text.partition("=")[2] for text in arguments if text.startswith("seed=")]
    return int(seeds[-1]) if seeds and re.fullmatch(r"[0-9]{1,10}", seeds[-1]) else None
