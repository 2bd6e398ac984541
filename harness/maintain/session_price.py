"""What a session of fresh runs has taken so far, and whether its next run is still paid for.

Everything is counted that the machine was held for: runs that count and runs that broke, scores, and the probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.machine import computer
from harness.run import ending
from harness.store import joint, run_files
from harness.store.comparisons import read_comparisons
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.sessions import Session


@dataclass(frozen=True, slots=True)
class Price:
    """What the machine costs, and what may be spent in all."""

    usd_per_hour: float | None = None
    budget_usd: float | None = None

    def cost_usd(self, seconds: float | None) -> float | None:
        """Convert seconds of this machine to US dollars; None where either is not known."""
        return None if self.usd_per_hour is None or seconds is None else seconds / 3600 * self.usd_per_hour


def spent_s(project: Project, *sessions: Session) -> float:
    """Add up the seconds that sessions took here; what several share is counted once, and whole."""
    whole = Ledger(project.ledger).read()
    compared = {session.comparison for session in sessions if session.comparison is not None}
    total = sum(c.elapsed_s for c in read_comparisons(project) if c.id in compared)
    together = [series for series in compared if joint.is_joint(series) and joint.joint_file(project, series).is_file()]
    total += sum(joint.read_joint(project, series).elapsed_s for series in together)
    ids = {session.id for session in sessions}
    for run_id, start in whole.starts.items():
        # Runs of its probe, and those that primed its scripts, are called <id>.…
        if start.series in compared or start.series.partition(".")[0] in ids:
            folder = run_files.run_folder(project, run_id)
            try:
                file, score = run_files.read_run_file(folder), run_files.read_score(folder)
            except StoreError:  # its folder was thrown away
                continue
            if start.series not in compared and file.outcome is not None:
                total += file.outcome.wall_time_s
            total += score.wall_time_s if score is not None else 0.0
    return total


def usual_run_s(project: Project, subject: Subject, *, warm: bool = False) -> float | None:
    """Estimate a run of a script by its runs on this machine that started alike; None where there are none."""
    return ending.usual_wall_time_s(project, subject.chain, computer.capture(), warm=warm)


def unpaid(
    project: Project, subject: Subject, sessions: Sequence[Session], price: Price, *, warm: bool = False
) -> str | None:
    """Say that the next run would exceed the budget; None where it stays within it, or none was given.

    A script whose time is unknown gets its first run while anything of the budget is left, as in a comparison.
    """
    if price.budget_usd is None:
        return None
    spent = price.cost_usd(spent_s(project, *sessions)) or 0.0
    following = price.cost_usd(usual_run_s(project, subject, warm=warm))
    left = price.budget_usd - spent
    if left > 0 if following is None else following <= left:
        return None
    return f"{spent:.2f} USD are spent, and the next run would exceed the budget of {price.budget_usd:g} USD"
