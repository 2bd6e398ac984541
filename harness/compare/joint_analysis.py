"""Method 3 of a comparison: one of several candidates that share the runs of A, in rounds (see `rounds`).

    log T = μ + β·[B] + γ·k + δ·[A after B]        k: the run's place in the order of all runs

Here B is the one candidate. Every run of it follows one of A, and no run of A that follows another candidate is among
these, so β compares runs after A alone, as method 2 does, and nothing is assumed of a third script.

Two of three runs are of A, so the spread of each script is taken from its own runs: one in common would be that of A,
and a candidate three times as noisy would be called faster in 3.3 % of the cases, and slower in 3.7 %.

Pure: nothing is read, run or written here.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.analysis import FIRST_ANALYSIS, Analysis, Fit, no_analysis
from harness.compare.carryover import fit_of
from harness.core import regression

UNKNOWNS = 4
B = 1  # the column whose coefficient is β


@dataclass(frozen=True, slots=True)
class Among:
    """Where the runs of one candidate's comparison stand among those of all."""

    places: tuple[int, ...]  # in the order of all runs
    after: str  # the script before each, A or B
    rounds: tuple[int, ...]

    @property
    def pairs(self) -> int:
        """Count the rounds; each holds one run of the candidate, whatever a file says."""
        return min(max(self.rounds, default=-1) + 1, len(self.rounds))

    def upto(self, rounds: int) -> int:
        """Count the runs of the first rounds."""
        return sum(number < rounds for number in self.rounds)


def columns(arms: str, among: Among) -> list[list[float]]:
    """Return a row for each run: 1, [B], k, [A after B]; k from −1 to 1."""
    places, after = among.places[: len(arms)], among.after[: len(arms)]
    last = max(1, places[-1])
    return [
        [1.0, float(arm == "B"), 2 * place / last - 1, float(arm == "A" and before == "B")]
        for arm, place, before in zip(arms, places, after, strict=True)
    ]


def analyse(times_s: Sequence[float], arms: str, among: Among, outlier_limit: float) -> Analysis:
    """Fit the runs, flag the outliers, and fit the others by least squares."""
    logs, arms = [math.log(time) for time in times_s], arms[: len(times_s)]
    if arms.count("B") < FIRST_ANALYSIS:
        return no_analysis(arms)
    design = columns(arms, among)
    residuals = tuple(float(r) for r in regression.robust_residuals(design, logs, outlier_limit / 10))
    outliers = tuple(residual > outlier_limit for residual in residuals)
    return Analysis(arms, residuals, outliers, _fit(design, logs, [not outlier for outlier in outliers]))


def _fit(design: list[list[float]], logs: list[float], kept: list[bool]) -> Fit | None:
    """Fit the runs that are kept; None where they are too few, or have no spread."""
    found = regression.least_squares_of_two(design, logs, kept, [row[B] == 1.0 for row in design], B)
    return fit_of(found)
