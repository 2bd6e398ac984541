"""Estimate a comparison's time and cost.

Hard because the price of a run is its time, which nobody knows before a script has run here: the estimate rests on this
comparison's own runs, else on earlier ones, else on the time that a record claims and on how long a start took others,
and says "unknown" without any.
"""

from typing import cast

from harness.catalog.subjects import Subject
from harness.store.comparisons import Arm, Caches, Comparison

# Seconds from the start of a run on 8×H100 to its clock, the middle of what the field's logs show: 550 to 700 from empty
# compile caches, 150 from filled ones. None of these runs was made by this harness.
FIELD_START_S: dict[Caches, float] = {"cold": 625.0, "warm": 150.0}


def run_s(train_s: float, caches: Caches) -> float:
    """Estimate one run on 8×H100 by its training time."""
    return FIELD_START_S[caches] + train_s


def priming_s(scripts: int) -> float:
    """Estimate the priming runs of so many scripts, each from empty caches to its clock."""
    return scripts * FIELD_START_S["cold"]


def usd(seconds: float, usd_per_hour: float) -> float:
    """Convert seconds to US dollars."""
    return seconds / 3600 * usd_per_hour


def claimed_run_s(subject: Subject, caches: Caches) -> float | None:
    """Estimate a run that nobody made here by the train time that its record claims; None: no claim, or another machine."""
    claim = subject.record.claimed.train_time_s if subject.record is not None else None
    hardware = subject.track.hardware
    return run_s(claim, caches) if claim is not None and hardware.kind == "gpu" and hardware.processes == 8 else None


def expected_run_s(comparison: Comparison, usual_s: dict[Arm, float | None], arm: Arm) -> float | None:
    """Estimate the next run of an arm: the longest run of it so far, else its usual time, else the other arm's; None: unknown."""
    own = [run.elapsed_s for run in comparison.runs if run.arm == arm]
    both = [run.elapsed_s for run in comparison.runs]
    usual = [time_s for time_s in usual_s.values() if time_s is not None]
    return max(own, default=None) or usual_s[arm] or max(both, default=None) or max(usual, default=None)


def expected_rest_s(comparison: Comparison, usual_s: dict[Arm, float | None], unprimed: int = 0) -> float | None:
    """Estimate the seconds of all runs that may still be made, those that prime so many scripts too; None: unknown."""
    rest = [expected_run_s(comparison, usual_s, cast(Arm, arm)) for arm in comparison.arms[len(comparison.runs) :]]
    return None if None in rest else priming_s(unprimed) + sum(time_s for time_s in rest if time_s is not None)


def cost_usd(comparison: Comparison, seconds: float) -> float | None:
    """Convert seconds on this machine to US dollars; None where no price was given."""
    return None if comparison.usd_per_hour is None else usd(seconds, comparison.usd_per_hour)


def next_is_paid_for(comparison: Comparison, usual_s: dict[Arm, float | None], unprimed: int = 0) -> bool:
    """Tell whether the next run stays within the budget, all runs counted, and before it those that prime so many scripts.

    A script whose time is unknown gets its first run while anything of the budget is left.
    """
    if comparison.budget_usd is None:
        return True
    arm = cast(Arm, comparison.arms[len(comparison.runs)])
    expected = priming_s(unprimed) + (expected_run_s(comparison, usual_s, arm) or 0.0)
    cost = cost_usd(comparison, comparison.elapsed_s + expected)
    return cost is not None and cost <= comparison.budget_usd
