"""Method 2 of a comparison: a trend and all that a run leaves to the next one are taken out.

    log T = μ + β·[B] + γ·k + δ·[A after B] + ε·[B after B]        k: the run's place in the order

Hard because a script may leave something that slows down the next run of the other one, or speeds up its own: heat, a
cache, a process. A test for that would miss what is small, and 0.1 % is worth a record. So it is fitted always. What is
compared then, β, are runs of B after A and runs of A after A; of the others only spread and trend are used. The first
run, which follows none, counts as one after A. What lasts longer than one run is not for statistics.

First by a robust fit, which one slow run cannot bend: a run far above it is an outlier and is left out, in either arm.
Then by least squares over the runs that are kept.

Pure: nothing is read, run or written here.
"""

import math
from collections.abc import Sequence

from harness.compare.analysis import FIRST_ANALYSIS, Analysis, Fit, no_analysis
from harness.core import regression, stats

UNKNOWNS = 5
_NO_SPREAD = 1e-9  # of log seconds: below what any clock resolves
_B = 1  # the column whose coefficient is β


def columns(arms: str) -> list[list[float]]:
    """Return a row for each run: 1, [B], k, [A after B], [B after B]; k from −1 to 1."""
    after_b = [False, *(arm == "B" for arm in arms[:-1])]
    last = max(1, len(arms) - 1)
    return [
        [1.0, float(arm == "B"), 2 * k / last - 1, float(arm == "A" and after), float(arm == "B" and after)]
        for k, (arm, after) in enumerate(zip(arms, after_b, strict=True))
    ]


def analyse(times_s: Sequence[float], arms: str, outlier_limit: float) -> Analysis:
    """Fit the runs, flag the outliers, and fit the others by least squares."""
    logs, arms = [math.log(time) for time in times_s], arms[: len(times_s)]
    if len(logs) < 2 * FIRST_ANALYSIS:
        return no_analysis(arms)
    design = columns(arms)
    residuals = tuple(float(r) for r in regression.robust_residuals(design, logs, outlier_limit / 10))
    outliers = tuple(residual > outlier_limit for residual in residuals)
    found = regression.least_squares(design, logs, [not outlier for outlier in outliers], _B)
    return Analysis(arms, residuals, outliers, fit_of(found))


def fit_of(found: regression.LeastSquares) -> Fit | None:
    """Return what a fit says of β; None where the runs are too few for it, or have no spread."""
    if not found.possible or found.spread < _NO_SPREAD:
        return None
    beta, error, degrees = float(found.estimate), float(found.error), float(found.degrees)
    t = beta / error
    return Fit(beta, error, degrees, float(found.spread), stats.student(degrees, t), stats.student(degrees, -t))
