"""Method 1 of a comparison: a trend is taken out, and what a run leaves to the next one is not.

    log T = μ + β·[B] + γ·k        k: the run's place in the order

First by least absolute deviations, which one slow run cannot bend: a run far above that fit is an outlier and is left
out, in either arm. Then by least squares over the runs that are kept, with kept − 3 degrees of freedom.

Comparisons that were begun by it are finished by it. New ones take method 2: here a script that slows down the next
run of the other one by 0.3 % was "faster" in 95 % of the comparisons.

Pure: nothing is read, run or written here.
"""

import bisect
import math
import statistics
from collections.abc import Sequence

from harness.compare.analysis import FIRST_ANALYSIS, Analysis, Fit, no_analysis
from harness.core import stats

_NO_SPREAD = 1e-9  # of log seconds: below what any clock resolves


def analyse(times_s: Sequence[float], arms: str, outlier_limit: float) -> Analysis:
    """Fit the runs, flag the outliers, and fit the others by least squares."""
    logs, arms = [math.log(time) for time in times_s], arms[: len(times_s)]
    if len(logs) < 2 * FIRST_ANALYSIS:
        return no_analysis(arms)
    residuals = least_deviations(logs, arms)
    outliers = tuple(residual > outlier_limit for residual in residuals)
    kept = [k for k, outlier in enumerate(outliers) if not outlier]
    return Analysis(arms, residuals, outliers, least_squares([logs[k] for k in kept], arms, kept))


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
