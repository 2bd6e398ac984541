"""S: the mean validation loss is below the target by the ruleset's own test, and no loss is impossibly low."""

import math
from dataclasses import replace

from harness.core import stats
from harness.core.measurement import Metrics
from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, rule
from harness.verdict.distance import by_distance, named
from harness.verdict.other_test import other_test

# A model cannot score below the source's own loss but by luck on the validation tokens; over 131,072 of them the
# standard deviation of that luck is below 0.004 nats.
ORACLE_TOLERANCE = 0.01
# A mean so many standard errors above the target ends the sequential rule without hope. It can only take accepts away:
# of scripts that are truly one standard deviation below the target less than one in a thousand (test_error_rates.py).
HOPELESS = 3.0
MOST_WAYS = 10**100  # a forged ledger may name so many aborted runs that their ways are no float
SYSTEMS_ALPHA = 0.05  # with a margin of 0.002 nats and the field's spread 9 runs per arm decide


@rule("S1", "mean below target", "logs")
def below_target(evidence: Evidence) -> Ruling:
    """The mean loss is below the target by the ruleset's test."""
    return named(evidence, _below_target(by_distance(evidence)))


def _below_target(evidence: Evidence) -> Ruling:
    test, count = evidence.ruleset.significance, len(evidence.runs)
    losses = [run.val_loss for run in in_order(evidence) if run.val_loss is not None]
    if not losses or len(losses) < count:
        return Ruling("inconclusive", f"{count - len(losses)} of {count} runs have no final loss")
    if test.fixed_n:
        ruling = _declared(evidence, losses)
    elif test.test == "sequential":
        ruling = _sequential(evidence, with_aborted(evidence, HOPELESS * (test.sigma_floor or 0.0)))
        ruling = _counted(ruling, len(evidence.aborted))
    else:
        ruling = _closed_form(evidence, with_aborted(evidence, test.margin or 0.0))
        ruling = _counted(ruling, len(evidence.aborted))
    if test.test != "t" and evidence.scripts_before:
        ruling = replace(ruling, text=f"{ruling.text}; the bound is stricter for {_other_scripts(evidence)}")
    ruling = replace(ruling, text=ruling.text + other_test(evidence, losses))
    tried = ruling.outcome != "pass" and len(losses) >= test.min_runs
    if tried and evidence.claim == "systems" and stats.mean(losses) < evidence.track.target_loss:
        said = f"{_said(losses)} is below {evidence.track.target_loss:g}; for a systems claim S3 decides"
        return Ruling("not applicable", said)
    return ruling


def with_aborted(evidence: Evidence, above: float, upto: int | None = None) -> list[float]:
    """List the final losses as the runs were started; an aborted one takes the place of a bad run.

    above: by how much such a loss lies above the target. Three standard deviations are more than chance gives a script
    that is no better than the target, so aborting what looks bad gains nothing. upto: the list ends with so many
    finished runs.
    """
    losses = [(run.val_loss, True) for run in in_order(evidence)]  # each with whether the run finished
    if evidence.ledger is not None and evidence.aborted:
        known, bad = {run.run_id: run.val_loss for run in evidence.runs}, evidence.track.target_loss + above
        losses = [(known.get(run_id, bad), run_id in known) for run_id in evidence.ledger.runs_started]
    ends = [place for place, (_, finished) in enumerate(losses, 1) if finished]
    if upto is not None and len(ends) >= upto:
        losses = losses[: ends[upto - 1]]
    return [loss for loss, _ in losses if loss is not None]


def _counted(ruling: Ruling, aborted: int) -> Ruling:
    said = f"; {plural(aborted, 'aborted run')} counted as above the target" if aborted else ""
    return replace(ruling, text=ruling.text + said)


def ways(runs: int, aborted: int) -> int:
    """Count what alpha is divided by for aborted runs.

    In so many ways could somebody have chosen these runs of all that were started; one more factor, because they
    could also stop when they like. Who foresees every loss turns 1 % false accepts into 1.3 % by aborting one run,
    and into less than 2 % by any number.
    """
    return min(math.comb(runs + aborted, runs) * (aborted + 1), MOST_WAYS)


def of_scripts(others: int) -> int:
    """Count what alpha is divided by for other scripts of the same folder that had judged runs.

    The script was chosen among them, as runs may be chosen among aborted ones. Whoever edits a script until one passes
    gets past the test in at most 1 % · Σ 1/k² = 1.65 % of the cases, however often.
    """
    return ways(1, others)


def stricter(evidence: Evidence) -> float:
    """Return by what bounds in standard errors are multiplied, so that they divide the level for other scripts.

    At z standard errors of a level of 1 % the normal tail is divided exactly; at bounds further out, as all of ours
    are, it is divided by more.
    """
    alpha = evidence.ruleset.significance.alpha or 0.01
    divided = alpha / of_scripts(evidence.scripts_before)
    return stats.normal_score(divided) / stats.normal_score(alpha)


def _other_scripts(evidence: Evidence) -> str:
    return f"{plural(evidence.scripts_before, 'other script')} of this folder"


def _said(losses: list[float]) -> str:
    return f"mean val_loss {stats.mean(losses):.4f} over {plural(len(losses), 'run')}"


def _not_yet(evidence: Evidence, losses: list[float]) -> Ruling | None:
    """Rule where no test can be made: the mean is not below the target, or there are too few runs."""
    target, asked, said = evidence.track.target_loss, evidence.ruleset.significance.min_runs, _said(losses)
    if stats.mean(losses) >= target:
        more = "" if len(losses) == 1 else "; the mean is not below the target, so more runs cannot help"
        return Ruling("fail", f"{said} is not below {target:g}{more}", stats.mean(losses), target, "nats/token")
    return _too_few(f"{said} is below {target:g}", losses, asked, evidence) if len(losses) < asked else None


def _too_few(said: str, losses: list[float], asked: int, evidence: Evidence) -> Ruling:
    said = f"{said}; {evidence.ruleset.id} asks for {plural(asked, 'run')}"
    return Ruling("inconclusive", said, len(losses), asked, "runs", more_runs=asked - len(losses))


def in_order(evidence: Evidence) -> list[Metrics]:
    """Sort the runs as the ledger says that they were started, which a sequential rule depends on."""
    started = evidence.ledger.runs_started if evidence.ledger is not None else ()
    place = {run_id: index for index, run_id in enumerate(started)}
    return sorted(evidence.runs, key=lambda run: place.get(run.run_id, len(place)))


def _declared(evidence: Evidence, losses: list[float]) -> Ruling:
    """Test the runs that were declared before the first: all of them, and no other ones; all known ones of the past."""
    test, declared, ignored = evidence.ruleset.significance, None, ""
    if evidence.ledger is not None:
        declared = evidence.ledger.n_max or test.min_runs
    if declared is not None and len(losses) < declared:
        # A verdict on some of them would be an interim analysis, after which one could stop where it suits.
        said = f"{_said(losses)}; {plural(declared, 'run')} were declared before the first, and the test needs all"
        said += "; any edit of the script, even of a comment, needs a new declaration"
        return Ruling("inconclusive", said, len(losses), declared, "runs", more_runs=declared - len(losses))
    if declared is not None and len(losses) > declared:
        ignored = f"; {declared} runs were declared before the first, the other {len(losses) - declared} do not count"
        losses = losses[:declared]
    if test.test == "t":
        ruling = _not_yet(evidence, losses) or _t_of(evidence, losses, _aborted_before(evidence, len(losses)))
    else:
        ruling = _closed_form(evidence, with_aborted(evidence, test.margin or 0.0, upto=len(losses)))
        ruling = _counted(ruling, _aborted_before(evidence, len(losses)))
    return replace(ruling, text=ruling.text + ignored)


def _aborted_before(evidence: Evidence, count: int) -> int:
    """Count the runs that were aborted before so many others had started; later ones could choose nothing."""
    judged = count_aborted = 0
    aborted = set(evidence.aborted)
    for run_id in evidence.ledger.runs_started if evidence.ledger is not None else ():
        if run_id in aborted:
            count_aborted += judged < count
        else:
            judged += 1
    return count_aborted


def _t_of(evidence: Evidence, losses: list[float], aborted: int) -> Ruling:
    target, alpha = evidence.track.target_loss, evidence.ruleset.significance.alpha or 0.01
    said = _said(losses)
    if len(losses) < 2:
        single = f"{said} is below {target:g}, but one run has no spread to test with"
        return Ruling("inconclusive", single, 1, 2, "runs", more_runs=1)
    if stats.sd(losses) == 0.0:
        same = f"{said} is below {target:g}, but all losses are equal, so there is no spread to test with"
        return Ruling("inconclusive", same)
    alpha /= ways(len(losses), aborted) * of_scripts(evidence.scripts_before)
    causes = [plural(aborted, "aborted run")] if aborted else []
    causes += [_other_scripts(evidence)] if evidence.scripts_before else []
    adjusted = f"; alpha adjusted for {' and '.join(causes)}" if causes else ""
    p = stats.t_below(losses, target)
    below = "below" if p < alpha else "not significantly below"
    text = f"{said} is {below} {target:g} (p = {p:.2g}, needs < {alpha:g}){adjusted}"
    return Ruling("pass" if p < alpha else "fail", text, p, alpha, "p")


def _closed_form(evidence: Evidence, losses: list[float]) -> Ruling:
    target = evidence.track.target_loss
    margin = (evidence.ruleset.significance.margin or 0.0) * stricter(evidence)
    early = _not_yet(evidence, losses)
    if early is not None:
        return early
    value = stats.closed_form(losses, target)
    said = f"{_said(losses)}: ({target:g} − mean)·√n = {value:.4f}"
    if value >= margin:
        return Ruling("pass", f"{said} reaches {margin:.4g}", value, margin, "nats/token")
    if evidence.ruleset.significance.fixed_n:
        return Ruling("fail", f"{said} does not reach {margin:.4g}", value, margin, "nats/token")
    needed = math.ceil((margin / (target - stats.mean(losses))) ** 2) - len(losses)
    text = f"{said} does not reach {margin:.4g}; with this mean {plural(needed, 'more run')} would"
    return Ruling("fail", text, value, margin, "nats/token", more_runs=needed)


def _sequential(evidence: Evidence, losses: list[float]) -> Ruling:
    """Test after every run by the guarded two-level rule; it ends by accepting, at its last run, or without hope."""
    test, target, said = evidence.ruleset.significance, evidence.track.target_loss, _said(losses)
    assert test.sigma_floor is not None
    factor = stricter(evidence)
    bounds = tuple((start, end, bound * factor) for start, end, bound in test.bounds)
    first, last = max(2, test.min_runs, bounds[0][0]), bounds[-1][1]
    if len(losses) < first:
        return _too_few(said, losses, first, evidence)
    decided = stats.sequential(losses[:last], target, test.sigma_floor, bounds)
    if decided is not None:
        total = sum(target - loss for loss in losses[:decided])
        need = (stats.bound_at(decided, bounds) or 0.0) * max(test.sigma_floor, stats.sd(losses[:decided]))
        text = f"{said}: decided after run {decided}, Σ(target − loss) = {total:.4f} ≥ {need:.4f}"
        return Ruling("pass", text, total, need)
    if len(losses) >= last:
        text = f"{said} is not below {target:g} by the sequential rule within {last} runs"
        return Ruling("fail", text, len(losses), last, "runs")
    hopeless = HOPELESS * max(test.sigma_floor, stats.sd(losses)) / math.sqrt(len(losses))
    if stats.mean(losses) - target >= hopeless:
        text = f"{said} is above {target:g} by {HOPELESS:g} standard errors or more, so further runs are wasted"
        return Ruling("fail", text, stats.mean(losses), target, "nats/token")
    more = stats.more_runs(losses, target, test.sigma_floor, bounds)
    likely = f"not likely within {last} runs" if more is None else f"{plural(more, 'more run')} likely decide"
    text = f"{said} is not decided yet; with this mean {likely} (at most {last} in all)"
    return Ruling("inconclusive", text, len(losses), last, "runs", more_runs=more)


@rule("S3", "systems claim", "logs")
def not_inferior(evidence: Evidence) -> Ruling:
    """A systems claim whose loss does not stand by S1 loses at most the ruleset's margin against its parent's runs
    on the same machine."""
    if evidence.claim != "systems":
        return Ruling("not applicable", "the claim is no systems claim")
    if below_target(evidence).outcome == "pass":
        return Ruling("pass", "the loss stands by itself (S1)")
    margin = evidence.ruleset.significance.systems_margin
    if margin is None:
        said = f"{evidence.ruleset.id} sets no margin for systems claims"
        return Ruling("inconclusive", f"{said}; submit it as claim: ml")
    if evidence.baseline_doubt is not None:
        return Ruling("inconclusive", f"{evidence.baseline_doubt}; pack the parent's runs as they are")
    own = [run.val_loss for run in evidence.runs if run.val_loss is not None]
    parents = [run.val_loss for run in evidence.baseline if run.val_loss is not None]
    if len(own) < 2 or len(parents) < 2:
        have = f"there are {len(parents)} of them and {plural(len(own), 'run')} of this script"
        return Ruling("inconclusive", f"needs the parent's runs on the same machine; {have}", len(parents), 2, "runs")
    if stats.sd(own) == 0.0 == stats.sd(parents):
        return Ruling("inconclusive", "all losses are equal, so there is no spread to test with")
    chosen = ways(len(own), len(evidence.aborted)) * ways(len(parents), evidence.baseline_aborted)
    chosen *= of_scripts(evidence.scripts_before)
    p = min(1.0, stats.not_worse(own, parents, margin) * chosen)
    said = f"{_said(own)}, the parent's {stats.mean(parents):.4f} over {len(parents)} on this machine"
    if p < SYSTEMS_ALPHA:
        return Ruling("pass", f"{said}: at most {margin:g} above (p = {p:.2g})", p, SYSTEMS_ALPHA, "p")
    return Ruling("inconclusive", f"{said}: it may be more than {margin:g} above (p = {p:.2g})", p, SYSTEMS_ALPHA, "p")


@rule("S2", "possible loss", "data")
def possible(evidence: Evidence) -> Ruling:
    """No loss is below what the source of the tokens scores itself."""
    if evidence.ruleset.above_entropy is not None:
        # By the seeds of their sources each has an entropy of its own.
        own, floor = by_distance(evidence).runs, -ORACLE_TOLERANCE
        unknown = [run.run_id for run in own if run.val_loss is None]
        lowest = min((run.val_loss for run in own if run.val_loss is not None), default=None)
        if lowest is not None and lowest < floor:
            said = f"a run scores {-lowest:.4f} below the entropy of its source: no honest model predicts it so well"
            return Ruling("fail", said, lowest, floor, "nats/token")
        if lowest is None or unknown:
            whose = ", ".join(unknown[:3]) or "the runs"
            return Ruling("inconclusive", f"how far {whose} ended above the entropy of the source is not known")
        return Ruling("pass", f"every loss is {lowest:.4f} or more above the entropy of its source", lowest, floor)
    oracle = evidence.track.data.oracle_loss
    if oracle is None:
        return Ruling("not applicable", "the entropy of the track's data is not known")
    floor = oracle - ORACLE_TOLERANCE
    for run in evidence.runs:
        if run.val_loss is not None and run.val_loss < floor:
            said = f"{run.run_id} scores {run.val_loss:.4f}, below {floor:.4f}"
            return Ruling(
                "fail", f"{said}: no honest model predicts this source so well", run.val_loss, floor, "nats/token"
            )
    return Ruling("pass", f"no loss is below {floor:.4f}, what the source itself scores less {ORACLE_TOLERANCE:g}")


CHECKS = (below_target, possible, not_inferior)
