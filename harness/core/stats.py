"""Small samples in, the numbers that decisions rest on out. Pure; never NaN, never infinity.

Hard because the samples are tiny (one to forty runs) and a wrong default is a wrong record: a test that a sample
cannot support raises `StatisticsError` instead of answering. Sums are exactly rounded (`math.fsum`), so that the
order of the runs cannot change a digit. scipy is imported where it is used: nothing here slows a start.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.errors import StatisticsError


@dataclass(frozen=True, slots=True)
class Welch:
    """The comparison of two means whose spreads may differ."""

    difference: float  # mean(first) − mean(second), in the unit of the samples
    standard_error: float
    degrees: float  # Welch and Satterthwaite's degrees of freedom
    t: float
    p: float  # one-sided: how likely at least this t is if the first mean is not below the second


def mean(values: Sequence[float]) -> float:
    """Return the mean; raises StatisticsError on an empty sample or a value that is no finite number."""
    _need(values, 1, "a mean")
    return math.fsum(values) / len(values)


def sd(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n − 1); raises StatisticsError for fewer than two values."""
    _need(values, 2, "a standard deviation")
    centre = mean(values)
    return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def median(values: Sequence[float]) -> float:
    """Return the median; raises StatisticsError on an empty sample or a value that is no finite number."""
    _need(values, 1, "a median")
    return statistics.median(values)


def t_below(values: Sequence[float], target: float) -> float:
    """One-sided one-sample t-test: the p of a sample at least this low if the true mean were the target.

    A value below the ruleset's level says that the mean is below the target. Raises StatisticsError for fewer than
    two values and for equal values, whose spread a t-test cannot know.
    """
    _need(values, 2, "a t-test")
    _need((target,), 1, "a target")
    spread = sd(values)
    if spread == 0.0:
        raise _refusal(f"all {len(values)} values are equal, so a t-test has no spread to judge by", "add runs")
    t = (mean(values) - target) * math.sqrt(len(values)) / spread
    return student(len(values) - 1, t)


def welch_below(first: Sequence[float], second: Sequence[float]) -> Welch:
    """Welch's one-sided test that the mean of `first` is below the mean of `second`.

    Raises StatisticsError for fewer than two values on a side, and where neither side has any spread.
    """
    _need(first, 2, "a Welch test")
    _need(second, 2, "a Welch test")
    variance_1, variance_2 = sd(first) ** 2 / len(first), sd(second) ** 2 / len(second)
    if variance_1 + variance_2 == 0.0:
        raise _refusal("neither sample has any spread, so a Welch test cannot judge", "add runs")
    difference = mean(first) - mean(second)
    error = math.sqrt(variance_1 + variance_2)
    # As shares of the whole, so that spreads of 1e-160 do not underflow to 0/0.
    share_1, share_2 = variance_1 / (variance_1 + variance_2), variance_2 / (variance_1 + variance_2)
    degrees = 1.0 / (share_1**2 / (len(first) - 1) + share_2**2 / (len(second) - 1))
    return Welch(difference, error, degrees, difference / error, student(degrees, difference / error))


def closed_form(values: Sequence[float], target: float) -> float:
    """(target − mean)·√n: the rule value of the optimization track, which takes the standard deviation as known."""
    _need((target,), 1, "a target")
    return (target - mean(values)) * math.sqrt(len(values))


Bounds = Sequence[tuple[int, int, float]]  # (first n, last n, bound)


def sequential(values: Sequence[float], target: float, sigma_floor: float, bounds: Bounds) -> int | None:
    """The first n at which the guarded two-level rule accepts that the mean is below the target; None if it does not.

    Accepts at n where Σ(target − value) over the first n reaches the bound of n times the standard deviation of the
    first n, but at least `sigma_floor`. The bounds were set by simulation so that a look after every run keeps the
    rate of false accepts below 1 % (tests/unit/test_error_rates.py); it assumes independent runs of one script.
    """
    _need(values, 1, "a sequential test")
    for n in range(2, len(values) + 1):
        bound = bound_at(n, bounds)
        if bound is not None:
            spread = max(sigma_floor, sd(values[:n]))
            if math.fsum(target - value for value in values[:n]) >= bound * spread:
                return n
    return None


def sequential_factor(values: Sequence[float], target: float, sigma_floor: float, bounds: Bounds) -> float:
    """Return the largest factor of all bounds with which the sequential rule still accepts; 0 where none does.

    A factor of 1 stands for a level of 1 %. One above 1 stands for at most the normal tail at 2.33 times it: the bounds
    lie further out than 2.33 standard errors, where the tail falls faster.
    """
    largest = 0.0
    for n in range(2, len(values) + 1):
        bound = bound_at(n, bounds)
        if bound is not None:
            total = math.fsum(target - value for value in values[:n])
            largest = max(largest, total / (bound * max(sigma_floor, sd(values[:n]))))
    return largest


def bound_at(n: int, bounds: Bounds) -> float | None:
    """Return the bound that applies after n values; None where no decision may be taken."""
    return next((bound for first, last, bound in bounds if first <= n <= last), None)


def more_runs(values: Sequence[float], target: float, sigma_floor: float, bounds: Bounds) -> int | None:
    """How many more values the sequential rule likely needs if the mean and spread stay; None if not within its end."""
    gap = target - mean(values)
    if gap <= 0.0:
        return None
    spread = max(sigma_floor, sd(values)) if len(values) > 1 else sigma_floor
    for n in range(len(values) + 1, bounds[-1][1] + 1):
        bound = bound_at(n, bounds)
        if bound is not None and n * gap >= bound * spread:
            return n - len(values)
    return None


def not_worse(first: Sequence[float], second: Sequence[float], margin: float) -> float:
    """One-sided Welch test of non-inferiority: the p of such samples if mean(first) were mean(second) + margin."""
    return welch_below(first, [value + margin for value in second]).p


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided confidence interval of the mean by Student's t; needs two values and 0 < level < 1."""
    _need(values, 2, "a confidence interval")
    half = student_range(len(values) - 1, level) * sd(values) / math.sqrt(len(values))
    return mean(values) - half, mean(values) + half


def difference_interval(first: Sequence[float], second: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the two-sided confidence interval of mean(first) − mean(second), by Welch's degrees of freedom."""
    welch = welch_below(first, second)
    half = student_range(welch.degrees, level) * welch.standard_error
    return welch.difference - half, welch.difference + half


def prediction_range(values: Sequence[float], count: int, level: float = 0.95) -> float:
    """Say how far from the mean of `values` the mean of `count` further ones is expected, with probability `level`.

    t(n − 1) · sd · √(1/n + 1/count). Few values say little of their spread, so it is wide for few: ± 5 sd for 3 values
    and 1 further one, ± 2.4 sd for 10 and 1.
    """
    n = len(values)
    return student_range(n - 1, level) * sd(values) * math.sqrt(1 / n + 1 / count)


def share_bound(hits: int, count: int, level: float = 0.95) -> float:
    """Return the share that `hits` of `count` leave possible: the upper end of Clopper and Pearson's interval."""
    from scipy.special import betaincinv

    return 1.0 if hits >= count else _finite(float(betaincinv(hits + 1, count - hits, level)))


def share_interval(hits: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval for the share of `hits` in `count` independent tries; raises StatisticsError for none."""
    if not 0 <= hits <= count or count < 1:
        raise _refusal(f"{hits} of {count} is no share", "give hits from 0 to the count, and a count from 1 up")
    z = normal_score((1.0 - level) / 2.0)
    centre = (hits + z * z / 2) / (count + z * z)
    reach = z * math.sqrt(hits * (count - hits) / count + z * z / 4) / (count + z * z)
    return max(0.0, centre - reach), min(1.0, centre + reach)


def student(degrees: float, t: float) -> float:
    """Student's cumulative distribution at t."""
    from scipy.special import stdtr

    return _finite(float(stdtr(degrees, t)))


def student_range(degrees: float, level: float) -> float:
    """Return the t that a share `level` of Student's distribution lies within ±t of."""
    from scipy.special import stdtrit

    if not 0.0 < level < 1.0:
        raise _refusal(f"a confidence level of {level} is outside 0 to 1", "use one like 0.95")
    return _finite(float(stdtrit(degrees, (1.0 + level) / 2.0)))


def least_spread(degrees: float, level: float) -> float:
    """Return the share of a standard deviation that was estimated which the true one exceeds with probability `level`."""
    from scipy.special import chdtri

    return math.sqrt(degrees / _finite(float(chdtri(degrees, 1.0 - level))))


def normal_score(p: float) -> float:
    """Return the z that a standard normal variable exceeds with probability p; at most 37, where p is below 1e-300."""
    from scipy.special import ndtri

    return _finite(-float(ndtri(min(1.0 - 1e-16, max(1e-300, p)))))


def normal_tail(z: float) -> float:
    """Return the probability that a standard normal variable exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def _need(values: Sequence[float], count: int, what: str) -> None:
    if len(values) < count:
        raise _refusal(f"{what} needs at least {count} values and there are {len(values)}", "add runs")
    if not all(math.isfinite(value) for value in values):
        raise _refusal(f"{what} was asked of a value that is no finite number", "leave out runs without a figure")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise _refusal("the distribution gave no finite number for this sample", "report it with the sample")
    return value


def _refusal(what: str, todo: str) -> StatisticsError:
    return StatisticsError.at("statistics", what, todo)
