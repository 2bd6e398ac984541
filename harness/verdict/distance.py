"""Measure losses by their distance to the entropy of a secret source, where the ruleset draws one for each series.

Every such series has a target of its own, so the tests look at the distances: the loss of a run less what the source
itself scores on the same validation tokens, against the ruleset's distance.
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
    return dataclasses.replace(evidence, track=track, runs=tuple(map(_distant, evidence.runs)))


def named(evidence: Evidence, ruling: Ruling) -> Ruling:
    """Say in a ruling on distances that they are distances."""
    if evidence.ruleset.above_entropy is None:
        return ruling
    return dataclasses.replace(ruling, text=ruling.text.replace("mean val_loss", "mean distance to the entropy"))


def _distant(run: Metrics) -> Metrics:
    known = run.val_loss is not None and run.drawn is not None
    return dataclasses.replace(run, val_loss=run.val_loss - run.drawn.oracle_loss if known else None)  # type: ignore
