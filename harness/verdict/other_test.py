"""What the test that a ruleset does not name says about the same runs: shown beside its own, and never deciding."""

import math

from harness.core import stats
from harness.evidence.contents import Evidence

SEQUENTIAL_ALPHA = 0.01  # what the bounds of the sequential rule were worked out for


def other_test(evidence: Evidence, losses: list[float]) -> str:
    """Return a clause with the p of the t-test, or where that decides, of the sequential rule; "" where there is none.

    losses: of the finished runs, as they were started. Only the ledger knows their order, which the sequential rule
    depends on.
    """
    test, track = evidence.ruleset.significance, evidence.track
    if len(losses) < 2 or stats.sd(losses) == 0.0:
        return ""
    if test.test != "t":
        p = f"p = {stats.t_below(losses, track.target_loss):.2g}"
        return f"; a t-test over the {len(losses)} runs, had they been declared before the first, gives {p}"
    named = next((r for r in reversed(track.rulesets) if r.significance.test == "sequential"), None)
    if named is None or evidence.ledger is None:
        return ""
    rule = named.significance
    factor = stats.sequential_factor(losses, track.target_loss, rule.sigma_floor or 0.0, rule.bounds)
    return f"; the sequential rule of {named.id} gives {sequential_p(factor)}"


def sequential_p(factor: float) -> str:
    """Put the p of the sequential rule into words, which holds after any number of runs: see `sequential_factor`."""
    if factor < 1.0:
        return f"p > {SEQUENTIAL_ALPHA:g}"
    z = stats.normal_score(SEQUENTIAL_ALPHA) * factor
    return f"p ≤ {0.5 * math.erfc(z / math.sqrt(2)):.2g}"
