"""What the ledger of this machine tells of earlier runs."""

from harness.core.errors import StoreError
from harness.core.measurement import Machine
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger

USUAL_OF = 10  # so many runs say how long a script usually takes


def runs_in_progress(project: Project) -> tuple[str, ...]:
    """Find the runs that have no end after `settle`: somebody is executing them right now."""
    return Ledger(project.ledger).read().open


def usual_wall_time_s(project: Project, chain_name: str, here: Machine) -> float | None:
    """Average the wall time of the last finished runs of a script on this machine; None where it never ran here."""
    times: list[float] = []
    for run_id in reversed(Ledger(project.ledger).chain(chain_name).finished):
        try:
            file = run_files.read_run_file(run_files.run_folder(project, run_id))
        except StoreError:
            continue  # its folder was thrown away
        if file.machine.fingerprint == here.fingerprint and file.outcome is not None:
            times.append(file.outcome.wall_time_s)
        if len(times) == USUAL_OF:
            break
    return sum(times) / len(times) if times else None
