"""Measure losses by their distance to the entropy of a secret source, where the ruleset draws one for each series.

Every such series has a target of its own, so the tests look at the distances: the loss of a run less what the source
itself scores on the same validation tokens, against the ruleset's distance. Losses of two sources cannot be compared,
distances can: so all losses that a record or a replay stores under such a ruleset are distances.
"""

import dataclasses

from harness.core.measurement import Metrics
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling


def by_distance(evidence: Evidence) -> Evidence:
    """Return evidence in which distances stand for losses; the same where the source is the track's own."""
    above = evidence.ruleset.above_entropy
    if above is None:
        return evidence
    track = dataclasses.replace(evidence.track, target_loss=above)
    return dataclasses.replace(evidence, track=track, runs=tuple(map(distant, evidence.runs)))


def named(evidence: Evidence, ruling: Ruling) -> Ruling:
    """Say in a ruling on distances that they are distances."""
    if evidence.ruleset.above_entropy is None:
        return ruling
    return dataclasses.replace(ruling, text=ruling.text.replace("mean val_loss", "mean distance to the entropy"))


def distant(run: Metrics) -> Metrics:
    """Return a run with distances in the place of its final loss and its curve; with none where its source is unknown."""
    if run.drawn is None:
        return dataclasses.replace(run, val_loss=None, log=dataclasses.replace(run.log, curve=()))
    entropy = run.drawn.oracle_loss
    curve = tuple((step, round(loss - entropy, 6), time_s) for step, loss, time_s in run.log.curve)
    loss = None if run.val_loss is None else round(run.val_loss - entropy, 6)
    return dataclasses.replace(run, val_loss=loss, log=dataclasses.replace(run.log, curve=curve))
