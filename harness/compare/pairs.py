"""Decide from the times of two scripts, run in pairs on one machine, which one is faster and how sure that is.

Hard because a machine drifts, single runs are slow by chance, and the times are analysed again after every pair. All A
before all B would count a drift as a gain, and so would ABAB (8 % false gains after 20 pairs at a nominal 1 %), so a
coin makes each block of two pairs ABBA or BAAB and a trend is fitted. With an interim analysis after every pair, the
comparison stops when z_P·√P reaches a bound, z_P the normal score of the one-sided p after P pairs. The bounds come
from simulation, so that a false "faster" stays at 1 % over all analyses together, and so does a false "slower".

Outliers are left out, in either arm. Where the script that would win has more of them than the other one, they are its
own, and the comparison is inconclusive: a script that is slow now and then is not faster.

It also ends where nothing that is still to be run could decide any more, because runs cost money: where more than 10 %
of all planned runs are outliers already, as inconclusive; where even further pairs as favourable as the 99 % interval of
the difference allows, with a spread as small as it may be by 99 %, would decide nothing, as a tie. Neither end can make
anybody "faster" or "slower": both only take away analyses that could have, so the two rates of error can only fall.

A comparison keeps the method that it was begun with, and whether it ends early, so that no stored one is decided
otherwise by a newer harness.

Pure: nothing is read, run or written here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from harness.compare import carryover, joint_analysis, trend
from harness.compare.analysis import FIRST_ANALYSIS, MAX_OUTLIER_SHARE, Analysis, Fit, no_analysis
from harness.compare.joint_analysis import Among
from harness.core import stats
from harness.core.judgement import ComparisonOutcome

BOUNDS = {8: 6.92, 12: 8.55, 16: 9.90}  # most pairs -> what z·√P must reach, for 1 % over all analyses
MOST_PAIRS = 100  # that `--pairs` takes; a stored file may say any number
ALPHA = 0.01  # one-sided, of the single analysis of a fixed number of pairs
OUTLIER_LIMIT = 0.005  # above the fit in log seconds: no run of a quiet 8-GPU host is 0.5 % late by chance
# A machine that others share varies by 1 to 6 % from run to run: at 0.5 % every third run would be an outlier.
SHARED_OUTLIER_LIMIT = 0.25
# How favourable the rest may be, and how small the spread: of 5,500 simulated gains of 0.1 s in 75 s, of which 16 pairs
# find 74 %, one is lost by ending early; with the spread as estimated 2.3 % are. Equal scripts take 11.9 pairs, not 16.
HOPE = 0.99


@dataclass(frozen=True, slots=True)
class Method:
    """One way to analyse the times."""

    analyse: Callable[[Sequence[float], str, float], Analysis] | None  # None: it has to know where the runs stand
    runs: int  # of a pair or round that it looks at
    unknowns: int
    variance: float  # of β times the number of pairs, in squares of the spread of one run
    excess_counts: bool  # whether more outliers than the other script has stand against a script


# Of n pairs, 3/8 of n runs of A and 5/8 of n runs of B follow a run of A: 1/0.375 + 1/0.625 = 4.27.
# Of n rounds, n runs of A and n of B follow a run of A.
METHODS = {
    1: Method(trend.analyse, 2, 3, 2.0, False),
    2: Method(carryover.analyse, 2, carryover.UNKNOWNS, 4.27, True),
    3: Method(None, 3, joint_analysis.UNKNOWNS, 2.0, True),
}
METHOD: Final = 2  # of new comparisons of two scripts
JOINT_METHOD: Final = 3  # of new comparisons of several candidates with A


@dataclass(frozen=True, slots=True)
class Rule:
    """How a comparison ends."""

    max_pairs: int
    bound: float | None  # of z·√P, tested after every pair from the third; None: one analysis at the end, p < 0.01
    outlier_limit: float = OUTLIER_LIMIT
    method: int = METHOD
    ends_early: bool = False  # where nothing can decide any more

    @property
    def runs(self) -> int:
        """Return how many runs are looked at once all are made; of one candidate beside others, on average."""
        return METHODS[self.method].runs * self.max_pairs

    @property
    def most_outliers(self) -> int:
        """Return how many of all planned runs may be outliers."""
        return int(MAX_OUTLIER_SHARE * self.runs)

    def analyse(self, times_s: Sequence[float], arms: str, among: Among | None = None) -> Analysis:
        """Analyse the runs of complete pairs, or of complete rounds of several candidates."""
        analyse = METHODS[self.method].analyse
        if analyse is not None:
            return analyse(times_s, arms, self.outlier_limit)
        if among is None:  # a file that does not say where its runs stand
            return no_analysis(arms[: len(times_s)])
        return joint_analysis.analyse(times_s, arms, among, self.outlier_limit)


def decide(
    times_s: Sequence[float], arms: str, rule: Rule, among: Among | None = None
) -> tuple[ComparisonOutcome, Analysis]:
    """Apply the rule to the runs made so far; return the outcome with the first analysis that decides, else the last.

    times_s: positive, in the order of the runs; arms: "ABBABAAB…", at least as long; among: of a candidate beside
    others, where its runs stand, and a round is a pair then. An analysis with too many outliers decides nothing, and
    neither does one whose times have no spread. undecided: pairs are still to come; tie: all pairs are in, or the others
    cannot matter, and neither is shown to be faster; inconclusive: the outliers leave nothing to decide by.
    """
    pairs = len(times_s) // 2 if among is None else among.pairs
    ends = [2 * count if among is None else among.upto(count) for count in range(pairs + 1)]
    if rule.bound is not None or rule.ends_early:
        for count in range(FIRST_ANALYSIS, pairs + 1):
            analysis = rule.analyse(times_s[: ends[count]], arms, among)
            outcome = _outcome(analysis, rule) if rule.bound is not None else None
            outcome = outcome or _early_end(analysis, rule)
            if outcome is not None:
                return outcome, analysis
    analysis = rule.analyse(times_s[: ends[pairs]], arms, among)
    if pairs < rule.max_pairs:
        return "undecided", analysis
    return _outcome(analysis, rule) or ("inconclusive" if analysis.too_many_outliers else "tie"), analysis


def pairs_needed(fit: Fit, pairs: int, rule: Rule, most: int = 1000) -> int | None:
    """Estimate how many pairs in all will decide if gain and spread stay as they are; None: more than `most`."""
    method = METHODS[rule.method]
    for count in range(max(pairs + 1, FIRST_ANALYSIS), most + 1):
        t = abs(fit.beta) / (fit.spread * math.sqrt(method.variance / count))
        if _reaches(stats.student(method.runs * count - method.unknowns, -t), count, rule):
            return count
    return None


def decidable_gain(spread: float, rule: Rule) -> float:
    """Return the gain that the last analysis decides in one of two comparisons if single runs have this spread."""
    method, count = METHODS[rule.method], rule.max_pairs
    p = ALPHA if rule.bound is None else stats.normal_tail(rule.bound / math.sqrt(count))
    t = stats.student_range(max(1, method.runs * count - method.unknowns), 1 - 2 * p)
    return -math.expm1(-t * spread * math.sqrt(method.variance / count))


def can_decide(fit: Fit, pairs: int, rule: Rule) -> bool:
    """Tell whether a later analysis may still decide, if the rest is as favourable to one script as HOPE allows."""
    method = METHODS[rule.method]
    half = stats.student_range(fit.degrees, HOPE) * fit.standard_error
    spread = fit.spread * stats.least_spread(fit.degrees, HOPE)
    for end in (fit.beta - half, fit.beta + half):
        for count in range(pairs + 1, min(rule.max_pairs, MOST_PAIRS) + 1):
            beta = (pairs * fit.beta + (count - pairs) * end) / count
            t = abs(beta) / (spread * math.sqrt(method.variance / count))
            if _reaches(stats.student(method.runs * count - method.unknowns, -t), count, rule):
                return True
    return False


def _early_end(analysis: Analysis, rule: Rule) -> ComparisonOutcome | None:
    """Return how a comparison ends before all pairs are in because nothing can decide any more; None where it goes on.

    A fixed number of pairs is wanted for its interval too, so only outliers end it early.
    """
    if not rule.ends_early or analysis.pairs >= rule.max_pairs:
        return None
    if sum(analysis.outliers) > rule.most_outliers:
        return "inconclusive"
    if rule.bound is None or analysis.fit is None or analysis.too_many_outliers:
        return None
    return None if can_decide(analysis.fit, analysis.pairs, rule) else "tie"


def _outcome(analysis: Analysis, rule: Rule) -> ComparisonOutcome | None:
    """Return what one analysis decides, if anything."""
    if analysis.fit is None or analysis.too_many_outliers:
        return None
    b, a = analysis.outliers_of("B"), analysis.outliers_of("A")
    excess_counts = METHODS[rule.method].excess_counts
    if _reaches(analysis.fit.p_faster, analysis.pairs, rule):
        return "inconclusive" if excess_counts and b > a else "faster"
    if _reaches(analysis.fit.p_slower, analysis.pairs, rule):
        return "inconclusive" if excess_counts and a > b else "slower"
    return None


def _reaches(p: float, pairs: int, rule: Rule) -> bool:
    if rule.bound is None:
        return p < ALPHA
    return p < 0.5 and stats.normal_score(p) * math.sqrt(pairs) >= rule.bound
