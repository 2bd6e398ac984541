"""Estimate a comparison's time and cost.

Hard because the price of a run is its time, which nobody knows before a script has run here: the estimate rests on this
comparison's own runs, else on earlier ones, else on the time that a record claims, and says "unknown" without any.
"""

from collections.abc import Iterable
from typing import cast

from harness.catalog.subjects import Subject
from harness.store.comparisons import Arm, Comparison


def expected_run_s(comparison: Comparison, usual_s: dict[Arm, float | None], arm: Arm) -> float | None:
    """Estimate the next run of an arm: the longest run of it so far, else its usual time, else the other arm's; None: unknown."""
    own = [run.elapsed_s for run in comparison.runs if run.arm == arm]
    both = [run.elapsed_s for run in comparison.runs]
    usual = [time_s for time_s in usual_s.values() if time_s is not None]
    return max(own, default=None) or usual_s[arm] or max(both, default=None) or max(usual, default=None)


def expected_rest_s(comparison: Comparison, usual_s: dict[Arm, float | None]) -> float | None:
    """Estimate the seconds of all runs that may still be made; None: unknown."""
    rest = [expected_run_s(comparison, usual_s, cast(Arm, arm)) for arm in comparison.arms[len(comparison.runs) :]]
    return None if None in rest else sum(time_s for time_s in rest if time_s is not None)


def least_rest_s(comparison: Comparison, subjects: Iterable[Subject]) -> float | None:
    """Return the least seconds of the remaining runs, by the train time that a record claims; None: no claim.

    Start and compilation come on top.
    """
    claims = [subject.record.claimed.train_time_s for subject in subjects if subject.record is not None]
    known = [claim for claim in claims if claim is not None]
    return max(known) * (len(comparison.arms) - len(comparison.runs)) if known else None


def cost_usd(comparison: Comparison, seconds: float) -> float | None:
    """Convert seconds on this machine to US dollars; None where no price was given."""
    return None if comparison.usd_per_hour is None else seconds / 3600 * comparison.usd_per_hour


def next_is_paid_for(comparison: Comparison, usual_s: dict[Arm, float | None]) -> bool:
    """Tell whether the next run stays within the budget, all runs of the comparison counted.

    A script whose time is unknown gets its first run while anything of the budget is left.
    """
    if comparison.budget_usd is None:
        return True
    arm = cast(Arm, comparison.arms[len(comparison.runs)])
    expected = expected_run_s(comparison, usual_s, arm) or 0.0
    cost = cost_usd(comparison, comparison.elapsed_s + expected)
    return cost is not None and cost <= comparison.budget_usd
