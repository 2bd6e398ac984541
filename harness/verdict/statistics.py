"""S: the mean validation loss is below the target by the ruleset's own test, and no loss is impossibly low."""

from __future__ import annotations

import math
from dataclasses import replace

from harness.core import stats
from harness.core.measurement import Metrics
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, rule

# A model cannot score below the source's own loss but by luck on the validation tokens; over 131,072 of them the
# standard deviation of that luck is below 0.004 nats.
ORACLE_TOLERANCE = 0.01
# A mean so many standard errors above the target ends the sequential rule without hope. It can only take accepts away:
# of scripts that are truly one standard deviation below the target less than one in a thousand (test_error_rates.py).
HOPELESS = 3.0
SYSTEMS_ALPHA = 0.05  # with a margin of 0.002 nats and the field's spread 9 runs per arm decide


@rule("S1", "mean below target", "logs", "The mean loss is below the target by the ruleset's test.")
def below_target(evidence: Evidence) -> Ruling:
    rule = evidence.ruleset.significance
    losses = [run.val_loss for run in in_order(evidence) if run.val_loss is not None]
    if not losses or len(losses) < len(evidence.runs):
        return Ruling(
            "inconclusive", f"{len(evidence.runs) - len(losses)} of {len(evidence.runs)} runs have no final loss"
        )
    if rule.test == "sequential":
        ruling = _sequential(evidence, with_broken(evidence, HOPELESS * (rule.sigma_floor or 0.0)))
    elif rule.test == "t":
        ruling = _t_test(evidence, losses)
    else:
        ruling = _closed_form(evidence, with_broken(evidence, rule.margin or 0.0))
    if rule.test != "t" and broken_off(evidence):
        ruling = replace(ruling, text=f"{ruling.text}; {_off(broken_off(evidence))} counted as bad")
    tried = ruling.outcome != "pass" and len(losses) >= rule.min_runs
    if tried and _systems(evidence) and stats.mean(losses) < evidence.track.target_loss:
        said = f"{_said(losses)} is below {evidence.track.target_loss:g}; for a systems claim S3 decides"
        return Ruling("not applicable", said)
    return ruling


def broken_off(evidence: Evidence) -> int:
    """How many runs count that did not finish, so that nobody knows whether their loss would have been a bad one."""
    return len(evidence.ledger.aborted) if evidence.ledger is not None else 0


def with_broken(evidence: Evidence, above: float) -> list[float]:
    """The final losses as the runs were started; one that was broken off takes the place of a bad run.

    above: by how much such a loss lies above the target. Three standard deviations are more than chance gives a script
    that is no better than the target, so breaking off what looks bad gains nothing.
    """
    losses = [run.val_loss for run in in_order(evidence) if run.val_loss is not None]
    if evidence.ledger is None or not evidence.ledger.aborted:
        return losses
    found = {run.run_id: run.val_loss for run in evidence.runs}
    bad = evidence.track.target_loss + above
    values = (found.get(run_id, bad) for run_id in evidence.ledger.runs_started)
    return [value for value in values if value is not None]


def ways(runs: int, broken: int) -> int:
    """What a level is divided by for runs that were broken off.

    In so many ways could somebody have chosen these runs of all that were started; one more factor, because he could
    also stop as soon as they please him. Who foresees every loss turns 1 % false accepts into 1.3 % by breaking off
    one run, and into less than 2 % by any number.
    """
    return math.comb(runs + broken, runs) * (broken + 1)


def _off(broken: int) -> str:
    return f"{_runs(broken)} broken off {'is' if broken == 1 else 'are'}"


def _said(losses: list[float]) -> str:
    return f"mean val_loss {stats.mean(losses):.4f} over {_runs(len(losses))}"


def _not_yet(evidence: Evidence, losses: list[float]) -> Ruling | None:
    """Why no test can be made: the mean is not below the target, or there are too few runs."""
    target, rule, said = evidence.track.target_loss, evidence.ruleset.significance, _said(losses)
    if stats.mean(losses) >= target:
        more = "" if len(losses) == 1 else "; the mean is not below the target, so more runs cannot help"
        return Ruling("fail", f"{said} is not below {target:g}{more}", stats.mean(losses), target, "nats/token")
    if len(losses) < rule.min_runs:
        return _too_few(f"{said} is below {target:g}", losses, rule.min_runs, evidence)
    return None


def _too_few(said: str, losses: list[float], asked: int, evidence: Evidence) -> Ruling:
    said = f"{said}; {evidence.ruleset.id} asks for {_runs(asked)}"
    return Ruling("inconclusive", said, len(losses), asked, "runs", more_runs=asked - len(losses))


def in_order(evidence: Evidence) -> list[Metrics]:
    """The runs in the order in which the ledger says that they were started, which a sequential rule depends on."""
    started = evidence.ledger.runs_started if evidence.ledger is not None else ()
    place = {run_id: index for index, run_id in enumerate(started)}
    return sorted(evidence.runs, key=lambda run: place.get(run.run_id, len(place)))


def _systems(evidence: Evidence) -> bool:
    return evidence.claim == "systems"


def _t_test(evidence: Evidence, losses: list[float]) -> Ruling:
    """Student's t over the runs that were declared before the first: all of them, and no other ones."""
    declared = None
    if evidence.ledger is not None:
        declared = evidence.ledger.n_max or evidence.ruleset.significance.min_runs
    if declared is not None and len(losses) < declared:
        # A verdict on some of them would be a look, after which one could stop where it suits.
        waiting = f"{_said(losses)}; {_runs(declared)} were declared before the first, and the test looks at them all"
        waiting += "; a script that differs, if by a remark, declares anew"
        return Ruling("inconclusive", waiting, len(losses), declared, "runs", more_runs=declared - len(losses))
    ignored = ""
    if declared is not None and len(losses) > declared:
        ignored = f"; {declared} runs were declared before the first, the other {len(losses) - declared} do not count"
        losses = losses[:declared]
    ruling = _not_yet(evidence, losses) or _t_of(evidence, losses, _broken_before(evidence, len(losses)))
    return replace(ruling, text=ruling.text + ignored)


def _broken_before(evidence: Evidence, count: int) -> int:
    """How many runs were broken off before so many others had been started; later ones could choose nothing."""
    ledger, judged, broken = evidence.ledger, 0, 0
    for run_id in ledger.runs_started if ledger is not None else ():
        if ledger is not None and run_id in ledger.aborted:
            broken += judged < count
        else:
            judged += 1
    return broken


def _t_of(evidence: Evidence, losses: list[float], broken: int) -> Ruling:
    target, alpha = evidence.track.target_loss, evidence.ruleset.significance.alpha or 0.01
    said = _said(losses)
    if len(losses) < 2:
        single = f"{said} is below {target:g}, but one run has no spread to test with"
        return Ruling("inconclusive", single, 1, 2, "runs", more_runs=1)
    if stats.sd(losses) == 0.0:
        same = f"{said} is below {target:g}, but all losses are equal, so there is no spread to test with"
        return Ruling("inconclusive", same)
    alpha /= ways(len(losses), broken)
    made_up = f"; {_off(broken)} made up for by the level" if broken else ""
    p = stats.t_below(losses, target)
    if p < alpha:
        return Ruling("pass", f"{said} is below {target:g} (p = {p:.2g}, needs < {alpha:g}){made_up}", p, alpha, "p")
    text = f"{said} is not significantly below {target:g} (p = {p:.2g}, needs < {alpha:g}){made_up}"
    return Ruling("fail", text, p, alpha, "p")


def _closed_form(evidence: Evidence, losses: list[float]) -> Ruling:
    target, margin = evidence.track.target_loss, evidence.ruleset.significance.margin or 0.0
    early = _not_yet(evidence, losses)
    if early is not None:
        return early
    value = stats.closed_form(losses, target)
    rule = f"{_said(losses)}: ({target:g} − mean)·√n = {value:.4f}"
    if value >= margin:
        return Ruling("pass", f"{rule} reaches {margin:g}", value, margin, "nats/token")
    needed = math.ceil((margin / (target - stats.mean(losses))) ** 2) - len(losses)
    text = f"{rule} does not reach {margin:g}; with this mean {_more(needed)} would"
    return Ruling("fail", text, value, margin, "nats/token", more_runs=needed)


def _sequential(evidence: Evidence, losses: list[float]) -> Ruling:
    """The guarded two-level rule: a look after every run; it ends by accepting, at its last run, or without hope."""
    rule, target, said = evidence.ruleset.significance, evidence.track.target_loss, _said(losses)
    assert rule.sigma_floor is not None
    first, last = max(2, rule.min_runs, rule.bounds[0][0]), rule.bounds[-1][1]
    if len(losses) < first:
        return _too_few(said, losses, first, evidence)
    decided = stats.sequential(losses[:last], target, rule.sigma_floor, rule.bounds)
    if decided is not None:
        total = sum(target - loss for loss in losses[:decided])
        need = (stats.bound_at(decided, rule.bounds) or 0.0) * max(rule.sigma_floor, stats.sd(losses[:decided]))
        text = f"{said}: decided after run {decided}, Σ(target − loss) = {total:.4f} ≥ {need:.4f}"
        return Ruling("pass", text, total, need)
    if len(losses) >= last:
        text = f"{said} is not below {target:g} by the sequential rule within {last} runs"
        return Ruling("fail", text, len(losses), last, "runs")
    hopeless = HOPELESS * max(rule.sigma_floor, stats.sd(losses)) / math.sqrt(len(losses))
    if stats.mean(losses) - target >= hopeless:
        text = f"{said} is above {target:g} by {HOPELESS:g} standard errors or more, so further runs are wasted"
        return Ruling("fail", text, stats.mean(losses), target, "nats/token")
    more = stats.more_runs(losses, target, rule.sigma_floor, rule.bounds)
    likely = f"not likely within {last} runs" if more is None else f"{_more(more)} likely decide"
    text = f"{said} is not decided yet; with this mean {likely} (at most {last} in all)"
    return Ruling("inconclusive", text, len(losses), last, "runs", more_runs=more)


@rule(
    "S3",
    "systems claim",
    "logs",
    "A systems claim whose loss does not stand by S1 loses at most the ruleset's margin against its parent's runs"
    " on the same machine.",
)
def not_inferior(evidence: Evidence) -> Ruling:
    if not _systems(evidence):
        return Ruling("not applicable", "the claim is no systems claim")
    if below_target(evidence).outcome == "pass":
        return Ruling("pass", "the loss stands by itself (S1)")
    margin = evidence.ruleset.significance.systems_margin
    if margin is None:
        return Ruling(
            "inconclusive", f"{evidence.ruleset.id} sets no margin for systems claims; submit it as claim: ml"
        )
    if evidence.baseline_doubt is not None:
        return Ruling("inconclusive", f"{evidence.baseline_doubt}; pack the parent's runs as they are")
    mine = [run.val_loss for run in evidence.runs if run.val_loss is not None]
    parents = [run.val_loss for run in evidence.baseline if run.val_loss is not None]
    if len(mine) < 2 or len(parents) < 2:
        have = f"there are {len(parents)} of them and {_runs(len(mine))} of this script"
        return Ruling("inconclusive", f"needs the parent's runs on the same machine; {have}", len(parents), 2, "runs")
    if stats.sd(mine) == 0.0 == stats.sd(parents):
        return Ruling("inconclusive", "all losses are equal, so there is no spread to test with")
    broken = ways(len(mine), broken_off(evidence)) * ways(len(parents), evidence.baseline_aborted)
    p = min(1.0, stats.not_worse(mine, parents, margin) * broken)
    said = f"mean val_loss {stats.mean(mine):.4f} over {_runs(len(mine))}, the parent's {stats.mean(parents):.4f} over"
    said += f" {len(parents)} on this machine"
    if p < SYSTEMS_ALPHA:
        return Ruling("pass", f"{said}: at most {margin:g} above (p = {p:.2g})", p, SYSTEMS_ALPHA, "p")
    return Ruling("inconclusive", f"{said}: it may be more than {margin:g} above (p = {p:.2g})", p, SYSTEMS_ALPHA, "p")


@rule("S2", "possible loss", "data", "No loss is below what the source of the tokens scores itself.")
def possible(evidence: Evidence) -> Ruling:
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


def _more(count: int) -> str:
    return "1 more run" if count == 1 else f"{count} more runs"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


CHECKS = (below_target, possible, not_inferior)
