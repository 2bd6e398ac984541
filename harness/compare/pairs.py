"""Decide from the times of two scripts, run in pairs on one machine, which one is faster and how sure that is.

Hard because a machine drifts, single runs are slow by chance, and the times are analysed again after every pair. All A
before all B would count a drift as a gain, and so would ABAB (8 % false gains after 20 pairs at a nominal 1 %), so a
coin makes each block of two pairs ABBA or BAAB and a trend is fitted:

    log T = μ + β·[B] + γ·k        k: the run's place in the order

First by least absolute deviations, which one slow run cannot bend: a run far above that fit is an outlier and is left
out, in either arm. Then by least squares over the runs that are kept, with kept − 3 degrees of freedom. With an interim
analysis after every pair, the comparison stops when z_P·√P reaches a bound, z_P the normal score of the one-sided p
after P pairs. The bounds come from simulation, so that a false "faster" stays at 1 % over all analyses together, and so
does a false "slower".

Pure: nothing is read, run or written here.
"""

import bisect
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core import stats
from harness.core.judgement import ComparisonOutcome

FIRST_ANALYSIS = 3  # pairs; fewer leave no degree of freedom worth a test
BOUNDS = {8: 6.92, 12: 8.55, 16: 9.90}  # most pairs -> what z·√P must reach, for 1 % over all analyses
ALPHA = 0.01  # one-sided, of the single analysis of a fixed number of pairs
OUTLIER_LIMIT = 0.005  # above the fit in log seconds: no run of a quiet 8-GPU host is 0.5 % late by chance
# A machine that others share varies by 1 to 6 % from run to run: at 0.5 % every third run would be an outlier.
SHARED_OUTLIER_LIMIT = 0.25
MAX_OUTLIER_SHARE = 0.10  # with a larger share of outliers the comparison is inconclusive
LEVEL = 0.95  # of the interval that is shown; not adjusted for stopping early
_NO_SPREAD = 1e-9  # of log seconds: below what any clock resolves


@dataclass(frozen=True, slots=True)
class Rule:
    """How a comparison ends."""

    max_pairs: int
    bound: float | None  # of z·√P, tested after every pair from the third; None: one analysis at the end, p < 0.01
    outlier_limit: float = OUTLIER_LIMIT


@dataclass(frozen=True, slots=True)
class Fit:
    """Least squares over the runs that are not outliers."""

    beta: float  # log(T_B / T_A), the trend taken out
    standard_error: float
    degrees: int
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

    pairs: int
    residuals: tuple[float, ...]  # of each run, in the order of the runs, against the robust fit, in log seconds
    outliers: tuple[bool, ...]  # in the order of the runs
    fit: Fit | None  # None where too few runs are there, or where they have no spread at all

    @property
    def too_many_outliers(self) -> bool:
        """Tell whether there are too many outliers for a decision."""
        return sum(self.outliers) > MAX_OUTLIER_SHARE * len(self.outliers)


def decide(times_s: Sequence[float], arms: str, rule: Rule) -> tuple[ComparisonOutcome, Analysis]:
    """Apply the rule to the runs made so far; return the outcome with the first analysis that decides, else the last.

    times_s: positive, in the order of the runs; arms: "ABBABAAB…", at least as long. An analysis with too many outliers
    decides nothing, and neither does one whose times have no spread. undecided: pairs are still to come; tie: all
    pairs are in and neither is shown to be faster.
    """
    pairs = len(times_s) // 2
    if rule.bound is not None:
        for count in range(FIRST_ANALYSIS, pairs + 1):
            analysis = analyse(times_s[: 2 * count], arms, rule.outlier_limit)
            direction = _direction(analysis, rule)
            if direction is not None:
                return direction, analysis
    analysis = analyse(times_s[: 2 * pairs], arms, rule.outlier_limit)
    if pairs < rule.max_pairs:
        return "undecided", analysis
    return _direction(analysis, rule) or ("inconclusive" if analysis.too_many_outliers else "tie"), analysis


def analyse(times_s: Sequence[float], arms: str, outlier_limit: float = OUTLIER_LIMIT) -> Analysis:
    """Fit the runs, flag the outliers, and fit the others by least squares."""
    logs = [math.log(time) for time in times_s]
    if len(logs) < 2 * FIRST_ANALYSIS:
        return Analysis(len(logs) // 2, (0.0,) * len(logs), (False,) * len(logs), None)
    residuals = least_deviations(logs, arms)
    outliers = tuple(residual > outlier_limit for residual in residuals)
    kept = [k for k, outlier in enumerate(outliers) if not outlier]
    return Analysis(len(logs) // 2, residuals, outliers, least_squares([logs[k] for k in kept], arms, kept))


def least_deviations(logs: Sequence[float], arms: str) -> tuple[float, ...]:
    """Return the residuals of the fit μ + β·[B] + γ·k with the least absolute sum; of the middle one where many have it.

    For a given γ the best levels of the arms are medians, and the sum is convex in γ with corners at the slopes
    between two runs of one arm. Its derivative between two corners is a sum of whole numbers k, so the corner where
    it changes sign is found exactly.
    """
    sides = [[(k, logs[k]) for k in range(len(logs)) if arms[k] == arm] for arm in "AB"]
    slopes = sorted({(y2 - y1) / (k2 - k1) for side in sides for k1, y1 in side for k2, y2 in side if k1 < k2})

    def derivative(gap: int) -> int:
        gamma = (slopes[gap] + slopes[gap + 1]) / 2
        total = 0
        for side in sides:
            places = [k for _, k in sorted((y - gamma * k, k) for k, y in side)]
            half = len(places) // 2
            total += sum(places[:half]) - sum(places[len(places) - half :])
        return total

    gaps = range(len(slopes) - 1)
    first, last = bisect.bisect_left(gaps, 0, key=derivative), bisect.bisect_right(gaps, 0, key=derivative)
    gamma = (slopes[first] + slopes[last]) / 2
    level = {
        arm: statistics.median([y - gamma * k for k, y in side]) for arm, side in zip("AB", sides, strict=True) if side
    }
    return tuple(y - gamma * k - level[arms[k]] for k, y in enumerate(logs))


def least_squares(logs: Sequence[float], arms: str, places: Sequence[int]) -> Fit | None:
    """Fit the runs at `places` of the order by least squares; None where they are too few or have no spread."""
    degrees = len(logs) - 3
    sides = [[(k, y) for k, y in zip(places, logs, strict=True) if arms[k] == arm] for arm in "AB"]
    if degrees < 1 or not all(sides):
        return None
    middle = [(math.fsum(k for k, _ in side) / len(side), math.fsum(y for _, y in side) / len(side)) for side in sides]
    # Within the arms the levels drop out, and the trend is a regression through the origin.
    inner = [(k - km, y - ym) for side, (km, ym) in zip(sides, middle, strict=True) for k, y in side]
    moment = math.fsum(k * k for k, _ in inner)
    gamma = math.fsum(k * y for k, y in inner) / moment
    spread = math.sqrt(math.fsum((y - gamma * k) ** 2 for k, y in inner) / degrees)
    if spread < _NO_SPREAD:
        return None
    apart = middle[1][0] - middle[0][0]
    beta = middle[1][1] - middle[0][1] - gamma * apart
    error = spread * math.sqrt(1 / len(sides[0]) + 1 / len(sides[1]) + apart * apart / moment)
    t = beta / error
    return Fit(beta, error, degrees, spread, stats.student(degrees, t), stats.student(degrees, -t))


def pairs_needed(fit: Fit, pairs: int, rule: Rule, most: int = 1000) -> int | None:
    """Estimate how many pairs in all will decide if gain and spread stay as they are; None: more than `most`."""
    for count in range(max(pairs + 1, FIRST_ANALYSIS), most + 1):
        t = abs(fit.beta) / (fit.spread * math.sqrt(2 / count))
        if _reaches(stats.student(2 * count - 3, -t), count, rule):
            return count
    return None


def _direction(analysis: Analysis, rule: Rule) -> Literal["faster", "slower"] | None:
    if analysis.fit is None or analysis.too_many_outliers:
        return None
    if _reaches(analysis.fit.p_faster, analysis.pairs, rule):
        return "faster"
    return "slower" if _reaches(analysis.fit.p_slower, analysis.pairs, rule) else None


def _reaches(p: float, pairs: int, rule: Rule) -> bool:
    if rule.bound is None:
        return p < ALPHA
    return p < 0.5 and stats.normal_score(p) * math.sqrt(pairs) >= rule.bound
