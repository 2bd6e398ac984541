"""List the runs that were made on this machine, from their folders: what they were for, how they ended, what they gave."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.measurement import RunLog
from harness.runlog.log_files import read_file
from harness.store import run_files
from harness.store.layout import Project


@dataclass(frozen=True, slots=True)
class ListedRun:
    """One line of the list of runs; what was claimed in its log is its script's word."""

    id: str
    track: str | None  # None: its run.json cannot be read, and `state` says so
    subject: str | None
    purpose: str | None
    state: str  # running, finished, failed, hung, stopped, lost
    started_at: str | None
    step: int | None
    val_loss: float | None
    train_time_s: float | None
    wall_time_s: float | None


def folders(project: Project) -> list[Path]:
    """Return the folders of all runs of this machine, the newest first; those of probes have been moved to theirs."""
    found = [*project.runs.glob("2*/"), *(project.runs / run_files.PROBES).glob("*/*/")]
    return sorted((path for path in found if (path / run_files.RUN_FILE).is_file()), key=id_of, reverse=True)


def id_of(folder: Path) -> str:
    """Return the id of a run by its folder; a probe's has a number and the script's role before it."""
    at = folder.name.find("-2") + 1 if not folder.name.startswith("2") else 0
    return folder.name[at:]


def runs_of(project: Project, takes: Callable[[ListedRun], bool], most: int | None) -> tuple[list[ListedRun], int]:
    """Read the newest `most` runs that are wanted (None: all of them), and count those that are left out."""
    listed: list[ListedRun] = []
    left = 0
    for folder in folders(project):
        run = _listed(folder)
        if not takes(run):
            continue
        if most is not None and len(listed) >= most:
            left += 1
        else:
            listed.append(run)
    return listed, left


def _listed(folder: Path) -> ListedRun:
    run_id = id_of(folder)
    try:
        run = run_files.read_run_file(folder)
        running = run.outcome is None and run_files.is_running(folder)
    except HarnessError:
        return ListedRun(run_id, None, None, None, "unreadable", None, None, None, None, None)
    outcome = run.outcome
    state = "running" if running else "no end recorded" if outcome is None else outcome.state
    log = _last(folder)
    return ListedRun(
        id=run_id,
        track=run.track,
        subject=run.subject,
        purpose=run.purpose or ("dry" if run.dry else "judged"),
        state=state,
        started_at=run.started_at,
        step=log.final_step if log else None,
        val_loss=log.final_val_loss if log else None,
        train_time_s=log.final_train_time_s if log else None,
        wall_time_s=outcome.wall_time_s if outcome else None,
    )


def _last(folder: Path) -> RunLog | None:
    """Read the end of a run's log; None where it has said nothing yet."""
    try:
        return read_file(folder / run_files.LOG, final_only=True)[-1]
    except HarnessError:
        return None
