"""What a comparison has cost and will cost: its runs so far and what a run usually takes in, seconds and dollars out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from harness.catalog.subjects import Subject
from harness.store.comparisons import Arm, Comparison


def expected_run_s(comparison: Comparison, usual_s: dict[Arm, float | None], arm: Arm) -> float | None:
    """How long the next run of an arm takes: the longest here so far, else what it usually takes; None: unknown."""
    mine = [run.elapsed_s for run in comparison.runs if run.arm == arm]
    other = [run.elapsed_s for run in comparison.runs]
    known = [time_s for time_s in usual_s.values() if time_s is not None]
    return max(mine, default=None) or usual_s[arm] or max(other, default=None) or max(known, default=None)


def expected_rest_s(comparison: Comparison, usual_s: dict[Arm, float | None]) -> float | None:
    """How long all runs that may still be made take."""
    rest = [expected_run_s(comparison, usual_s, cast(Arm, arm)) for arm in comparison.arms[len(comparison.runs) :]]
    return None if None in rest else sum(time_s for time_s in rest if time_s is not None)


def least_rest_s(comparison: Comparison, subjects: Iterable[Subject]) -> float | None:
    """What the runs take at least, by the train time that a record claims; start and compilation come on top."""
    claims = [found.record.claimed.train_time_s for found in subjects if found.record is not None]
    known = [claim for claim in claims if claim is not None]
    return max(known) * (len(comparison.arms) - len(comparison.runs)) if known else None


def cost_usd(comparison: Comparison, seconds: float) -> float | None:
    """What so many seconds of this machine cost; None where nobody said."""
    return None if comparison.usd_per_hour is None else seconds / 3600 * comparison.usd_per_hour


def next_is_paid_for(comparison: Comparison, usual_s: dict[Arm, float | None]) -> bool:
    """Whether the next run stays within the budget, with what the comparison has cost since it began.

    Of a script whose time nobody knows yet, the first run is made while anything is left.
    """
    if comparison.budget_usd is None:
        return True
    arm = cast(Arm, comparison.arms[len(comparison.runs)])
    expected = expected_run_s(comparison, usual_s, arm) or 0.0
    cost = cost_usd(comparison, comparison.elapsed_s + expected)
    return cost is not None and cost <= comparison.budget_usd
