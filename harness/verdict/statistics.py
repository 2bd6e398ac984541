"""S: the mean validation loss is below the target by the ruleset's own test, and no loss is impossibly low."""

from __future__ import annotations

from harness import stats
from harness.verdict.base import Check, Evidence, Ruling

# A model cannot score below the source's own loss but by luck on the validation tokens; over 131,072 of them the
# standard deviation of that luck is below 0.004 nats.
ORACLE_TOLERANCE = 0.01


def below_target(evidence: Evidence) -> Ruling:
    """The mean loss is below the target by the test that the ruleset names."""
    target = evidence.track.target_loss
    losses = [run.val_loss for run in evidence.runs if run.val_loss is not None]
    if not losses or len(losses) < len(evidence.runs):
        return Ruling(
            "inconclusive", f"{len(evidence.runs) - len(losses)} of {len(evidence.runs)} runs have no final loss"
        )
    mean = stats.mean(losses)
    said = f"mean val_loss {mean:.4f} over {_runs(len(losses))}"
    if mean >= target:
        more = "" if len(losses) == 1 else "; the mean is not below the target, so more runs cannot help"
        return Ruling("fail", f"{said} is not below {target:g}{more}", mean, target, "nats/token")
    minimum = evidence.ruleset.significance.min_runs
    if len(losses) < minimum:
        return Ruling(
            "inconclusive",
            f"{said} is below {target:g}; {evidence.ruleset.id} asks for {minimum} runs",
            len(losses),
            minimum,
            "runs",
        )
    return {"t": _t_test, "closed-form": _closed_form, "sequential": _sequential}[evidence.ruleset.significance.test](
        evidence, losses, said
    )


def _t_test(evidence: Evidence, losses: list[float], said: str) -> Ruling:
    target, alpha = evidence.track.target_loss, evidence.ruleset.significance.alpha or 0.01
    if len(losses) < 2:
        return Ruling(
            "inconclusive", f"{said} is below {target:g}, but one run has no spread to test with", 1, 2, "runs"
        )
    p = stats.t_below(losses, target)
    if p < alpha:
        return Ruling("pass", f"{said} is below {target:g} (p = {p:.2g}, needs < {alpha:g})", p, alpha, "p")
    return Ruling(
        "fail", f"{said} is not significantly below {target:g} (p = {p:.2g}, needs < {alpha:g})", p, alpha, "p"
    )


def _closed_form(evidence: Evidence, losses: list[float], said: str) -> Ruling:
    target, margin = evidence.track.target_loss, evidence.ruleset.significance.margin or 0.0
    value = stats.closed_form(losses, target)
    relation = "reaches" if value >= margin else "does not reach"
    return Ruling(
        "pass" if value >= margin else "fail",
        f"{said}: ({target:g} − mean)·√n = {value:.4f} {relation} {margin:g}",
        value,
        margin,
        "nats/token",
    )


def _sequential(evidence: Evidence, losses: list[float], said: str) -> Ruling:
    rule, target = evidence.ruleset.significance, evidence.track.target_loss
    assert rule.sigma_floor is not None
    last = rule.bounds[-1][1]
    for n in range(2, min(len(losses), last) + 1):
        bound = next((b for first, end, b in rule.bounds if first <= n <= end), None)
        if bound is None:
            continue
        spread = max(rule.sigma_floor, stats.sd(losses[:n]))
        total = sum(target - loss for loss in losses[:n])
        if total >= bound * spread:
            return Ruling(
                "pass",
                f"{said}: decided after run {n}, Σ(target − loss) = {total:.4f} ≥ {bound * spread:.4f}",
                total,
                bound * spread,
            )
    if len(losses) >= last:
        return Ruling(
            "fail",
            f"{said} is not below {target:g} by the sequential rule within {last} runs",
            len(losses),
            last,
            "runs",
        )
    return Ruling(
        "inconclusive", f"{said} is not decided yet; make more runs (at most {last})", len(losses), last, "runs"
    )


def possible(evidence: Evidence) -> Ruling:
    """No loss is below what the source of the tokens scores itself."""
    oracle = evidence.track.data.oracle_loss
    if oracle is None:
        return Ruling("not applicable", "the entropy of the track's data is not known")
    floor = oracle - ORACLE_TOLERANCE
    for run in evidence.runs:
        if run.val_loss is not None and run.val_loss < floor:
            return Ruling(
                "fail",
                f"{run.run_id} scores {run.val_loss:.4f}, below {floor:.4f}: no honest model predicts this source so well",
                run.val_loss,
                floor,
                "nats/token",
            )
    return Ruling("pass", f"no loss is below {floor:.4f}, what the source itself scores less {ORACLE_TOLERANCE:g}")


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


CHECKS = (
    Check("S1", "mean below target", "logs", "The mean loss is below the target by the ruleset's test.", below_target),
    Check("S2", "possible loss", "data", "No loss is below what the source of the tokens scores itself.", possible),
)
