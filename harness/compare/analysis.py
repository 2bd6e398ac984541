"""What the runs of a comparison say so far: the values that every method of analysis gives."""

import math
from dataclasses import dataclass

from harness.core import stats

FIRST_ANALYSIS = 3  # pairs; fewer leave no degree of freedom worth a test
MAX_OUTLIER_SHARE = 0.10  # with a larger share of outliers the comparison is inconclusive
LEVEL = 0.95  # of the interval that is shown; not adjusted for stopping early


@dataclass(frozen=True, slots=True)
class Fit:
    """Least squares over the runs that are not outliers."""

    beta: float  # log(T_B / T_A), the trend taken out
    standard_error: float
    degrees: float  # a whole number, but where each script has a spread of its own
    spread: float  # standard deviation of one run around the fit, in log seconds
    p_faster: float  # one-sided: how likely a β this low is if B is not faster
    p_slower: float

    @property
    def gain(self) -> float:
        """Return the share of A's time that B saves; below 0 where B is slower."""
        return -math.expm1(self.beta)

    def gain_interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Return the two-sided interval of the gain."""
        half = stats.student_range(self.degrees, level) * self.standard_error
        return -math.expm1(self.beta + half), -math.expm1(self.beta - half)


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the complete pairs so far say."""

    arms: str  # of each run
    residuals: tuple[float, ...]  # of each run, in the order of the runs, against the robust fit, in log seconds
    outliers: tuple[bool, ...]  # in the order of the runs
    fit: Fit | None  # None where too few runs are there, or where they have no spread at all

    @property
    def pairs(self) -> int:
        """Count the complete pairs, or rounds: each holds one run of B."""
        return self.arms.count("B")

    @property
    def too_many_outliers(self) -> bool:
        """Tell whether there are too many outliers for a decision."""
        return sum(self.outliers) > MAX_OUTLIER_SHARE * len(self.outliers)

    def outliers_of(self, arm: str) -> int:
        """Count the outliers of one script."""
        return sum(outlier for run, outlier in zip(self.arms, self.outliers, strict=True) if run == arm)


def no_analysis(arms: str) -> Analysis:
    """Return what fewer than three pairs say: nothing."""
    return Analysis(arms, (0.0,) * len(arms), (False,) * len(arms), None)
