"""Estimate a comparison's time and cost.

Hard because the price of a run is its time, which nobody knows before a script has run here: the estimate rests on this
comparison's own runs, else on earlier ones, else on the time that a record claims and on how long a start took others,
and says "unknown" without any.
"""

from collections.abc import Iterable
from typing import cast

from harness.catalog.subjects import Subject
from harness.store.comparisons import Arm, Caches, Comparison

# Seconds from the start of a run on 8×H100 to its clock, the middle of what the field's logs show: 550 to 700 from empty
# compile caches, 150 from filled ones. None of these runs was made by this harness.
FIELD_START_S: dict[Caches, float] = {"cold": 625.0, "warm": 150.0}

# Until a comparison is decided, on average, for a gain in seconds of 75 s: pairs of two scripts, at most 16; and rounds of
# candidates that share the runs of A, at most 8. By simulation with a spread of 0.08 % of a run (test_error_rates.py).
PAIRS = {0.2: 8.8, 0.1: 13.0}
ROUNDS = {0.2: 5.0, 0.1: 6.8}
LAST_OF_THREE = {0.2: 5.6, 0.1: 7.6}  # rounds until the last one of three is decided
OF_S = 75.0  # seconds of a run that these gains are taken of


def run_s(train_s: float, caches: Caches) -> float:
    """Estimate one run on 8×H100 by its training time."""
    return FIELD_START_S[caches] + train_s


def pair_runs(gain_s: float) -> tuple[float, float]:
    """Return how many runs of A and of B a comparison of two scripts takes on average for a gain of 75 s."""
    return PAIRS[gain_s], PAIRS[gain_s]


def joint_runs(gain_s: float, candidates: int) -> tuple[float, float]:
    """Return how many runs of A, and of all of up to three candidates with this gain, a comparison takes on average.

    Each run of a candidate follows one of A, and there is one more of A in each round.
    """
    own = candidates * ROUNDS[gain_s]
    return own + (LAST_OF_THREE[gain_s] if candidates > 1 else ROUNDS[gain_s]), own


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
    return likely_s(own, usual_s[arm], [run.elapsed_s for run in comparison.runs], usual_s.values())


def likely_s(
    own: Iterable[float], usual_s: float | None, others: Iterable[float], usual: Iterable[float | None]
) -> float | None:
    """Estimate a run by the longest one of its script here, its usual time, the longest one of all, or any usual time."""
    known = [time_s for time_s in usual if time_s is not None]
    return max(own, default=None) or usual_s or max(others, default=None) or max(known, default=None)


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
