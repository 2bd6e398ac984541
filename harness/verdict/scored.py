"""S4 to S6: what the harness found when it loaded the trained model and computed the loss itself.

A script is scored where its ruleset asks for it, and in a session of acceptance; elsewhere a score is a mark that decides
nothing. A score that came with
a submission is as good as the machine that made it: somebody who computes every hash anew can forge it.
"""

import dataclasses
from collections.abc import Sequence

from harness.core.measurement import Metrics
from harness.core.scores import MOST_WEIGHTS_BYTES, Score
from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, all_of, missing, names, rule

# The largest difference measured on our scripts is 0.00005, the rounding of a printed loss; a model that trains in bf16
# and is loaded without torch.compile may differ by more.
LOSS_TOLERANCE = 0.002
GAP_ERRORS, LEAST_GAP = 4.0, 0.002  # 3 in 100,000 honest runs lie beyond four standard errors
MOST_CHANGE, MOST_SHIFT = 0.1, 0.001  # nats: of one token; of the mean, which bounds what look-ahead can gain
# Of a session on a track that asks for no scores, so many of its runs are scored: with rows of 65,536 tokens, the longest
# that are allowed, one run of the field's validation text tries 320, and S6 asks for 1,000.
LEAST_SCORED = 4
LEAST_ROWS = 1000  # over all runs: look-ahead at 3 positions in 1,000 is seen with 95 %


@rule("S4", "scored loss", "scored", tolerance=f"{LOSS_TOLERANCE:g}")
def scored_loss(evidence: Evidence) -> Ruling:
    """The loss that the harness computes with the saved weights is the printed one, within {tolerance} nats."""
    evidence = demanded(evidence)
    large = [run for run in evidence.runs if run.weights is not None and run.weights.sha256 is None]
    if large and large[0].weights is not None:
        size = large[0].weights.bytes
        said = f"{large[0].run_id} saved {size:,} bytes of weights, at most {MOST_WEIGHTS_BYTES:,} are scored"
        return _decided(evidence, Ruling("fail", said, size, MOST_WEIGHTS_BYTES, "bytes"))
    for run, score in _scores(evidence):
        if score.problem is not None:
            said = f"the model of {run.run_id} cannot be scored: {score.problem}"
            return _decided(evidence, Ruling("fail", said))
    unscored = _unscored(evidence)
    if unscored is not None:
        return unscored
    worst = 0.0
    for run, score in _scores(evidence):
        printed = run.log.final_val_loss
        if printed is None or score.val_loss is None:
            return Ruling("inconclusive", f"{run.run_id} printed no final loss that its score could be compared with")
        worst = max(worst, abs(score.val_loss - printed), key=abs)
        if abs(score.val_loss - printed) > LOSS_TOLERANCE:
            said = f"{run.run_id} printed {printed:.4f}, its saved model scores {score.val_loss:.4f}"
            return _decided(evidence, Ruling("fail", said, score.val_loss, printed, "nats/token"))
    said = f"the saved models of {all_of(len(evidence.runs))} score what was printed, within {worst:.2g} nats"
    if evidence.packed and evidence.session is None:
        said += "; scored by whoever made the pack, which is a claim until a maintainer scores runs of their own"
    return _decided(evidence, Ruling("pass", said, worst, LOSS_TOLERANCE, "nats/token"))


@rule("S5", "known text", "scored", errors=f"{GAP_ERRORS:g}", least=f"{LEAST_GAP:g}")
def known_text(evidence: Evidence) -> Ruling:
    """The official text is no better known than other held-out text beyond what an honest model shows, within {errors}
    standard errors or {least} nats."""
    evidence = demanded(evidence)
    scores = _valid(evidence)
    if isinstance(scores, Ruling):
        return scores
    lowest, beside = 0.0, ""
    for run, score in scores:
        gap = score.gap
        if gap is None:
            return missing(evidence, "scored", f"nothing stands beside the model of {run.run_id}: {score.no_gap}")
        limit = -max(LEAST_GAP, GAP_ERRORS * gap.error)
        lowest, beside = min(lowest, gap.difference), gap.reference
        if gap.difference < limit:
            said = f"{run.run_id} knows the official text better than other text by {-gap.difference:.4f} nats more"
            said += f" than {gap.reference} does (standard error {gap.error:.4f}); validation text may not be learned"
            return _decided(evidence, Ruling("fail", said, gap.difference, limit, "nats/token"))
    said = f"the official text is no better known than other text, held against {beside}"
    return _decided(evidence, Ruling("pass", said, lowest, None, "nats/token"))


@rule("S6", "no look-ahead", "scored", change=f"{MOST_CHANGE:g}", shift=f"{MOST_SHIFT:g}", rows=f"{LEAST_ROWS:,}")
def no_look_ahead(evidence: Evidence) -> Ruling:
    """Other text behind a position changes no loss up to it by more than {change} nats, their mean by at most {shift};
    in {rows} rows or more."""
    evidence = demanded(evidence)
    scores = _valid(evidence)
    if isinstance(scores, Ruling):
        return scores
    rows, largest, shift = 0, 0.0, 0.0
    for run, score in scores:
        found = score.twins
        if found is None:
            continue
        rows, largest = rows + found.rows, max(largest, found.largest)
        shift = max(shift, found.shift, key=abs)
        if found.largest > MOST_CHANGE or abs(found.shift) > MOST_SHIFT:
            said = f"the model of {run.run_id} looks ahead: with other text behind a token its loss changes by up to"
            said += f" {found.largest:.3g} nats, by {found.shift:.3g} in the mean of {plural(found.rows, 'row')}"
            return _decided(evidence, Ruling("fail", said, found.largest, MOST_CHANGE, "nats"))
    if all(score.sequence_tokens == 1 for _, score in scores):
        return _decided(
            evidence, Ruling("pass", "the models see one token at a time, so there is none to look ahead to")
        )
    if rows < LEAST_ROWS:
        said = f"rows are so long that {rows:,} could be tried, {LEAST_ROWS:,} are needed; shorten `sequence_tokens`"
        return missing(evidence, "scored", said)
    said = (
        f"in {rows:,} rows with other text behind a token no loss up to there changes by more than {largest:.2g} nats"
    )
    return _decided(evidence, Ruling("pass", said, largest, MOST_CHANGE, "nats"))


def demanded(evidence: Evidence) -> Evidence:
    """Return the runs of a session whose scores are asked for, by a ruleset that asks for them; else the same.

    All that were scored count, and on a track that asks for no scores a few are enough.
    """
    if evidence.session is None or evidence.requires("scored"):
        return evidence
    ruleset = dataclasses.replace(evidence.ruleset, evidence=(*evidence.ruleset.evidence, "scored"))
    scored = tuple(run for run in evidence.runs if run.score is not None)
    runs = scored if len(scored) >= min(LEAST_SCORED, len(evidence.runs)) else evidence.runs
    return dataclasses.replace(evidence, ruleset=ruleset, runs=runs)


def _scores(evidence: Evidence) -> list[tuple[Metrics, Score]]:
    return [(run, run.score) for run in evidence.runs if run.score is not None]


def _valid(evidence: Evidence) -> Sequence[tuple[Metrics, Score]] | Ruling:
    """Return the scores of all runs, or the ruling where one is missing or says nothing."""
    unscored = _unscored(evidence)
    if unscored is not None:
        return unscored
    scores = _scores(evidence)
    silent = [run.run_id for run, score in scores if score.problem is not None]
    return missing(evidence, "scored", f"the models of {names(silent)} cannot be scored (S4)") if silent else scores


def _unscored(evidence: Evidence) -> Ruling | None:
    unscored = [run for run in evidence.runs if run.score is None]
    if not unscored and evidence.runs:
        return None
    if not any(run.weights is not None for run in unscored):
        said = (
            "save weights that could be scored; give the script `save=PATH` and `load(path)`, as the template has them"
        )
        return missing(evidence, "scored", f"the runs did not {said}")
    said = f"{names(run.run_id for run in unscored)} saved weights that nobody scored"
    return missing(evidence, "scored", f"{said}; speedrun run scores them")


def _decided(evidence: Evidence, ruling: Ruling) -> Ruling:
    """Return a ruling where the ruleset asks for scores; elsewhere it is a mark."""
    if evidence.requires("scored"):
        return ruling
    how = "scored" if ruling.outcome == "pass" else "scored, and against it"
    return Ruling("not applicable", f"{how}: {ruling.text}", ruling.measured, ruling.required, ruling.unit)


CHECKS = (scored_loss, known_text, no_look_ahead)
