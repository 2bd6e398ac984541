"""Which loss of a run counts where the harness scored its model: a script may print less, within the tolerance of S4. Pure."""

import dataclasses

from harness.core import stats
from harness.core.measurement import Metrics
from harness.core.task import Ruleset
from harness.store.sessions import Session


def counted_losses(ruleset: Ruleset, runs: tuple[Metrics, ...], session: Session | None) -> tuple[Metrics, ...]:
    """Return runs with the losses that count, so that nobody gains the tolerance of S4.

    Of a session under a ruleset that asks for no scores some runs are scored: what their models score above the printed
    losses, in the mean, is put on every run.
    """
    if "scored" in ruleset.evidence:
        return tuple(map(counted_loss, runs))
    known = [(run.score.val_loss, run.val_loss) for run in runs if run.score is not None]
    above = [scored - printed for scored, printed in known if scored is not None and printed is not None]
    if session is None or not above or sum(above) <= 0:
        return runs
    mean = stats.mean(above)
    return tuple(
        run if run.val_loss is None else dataclasses.replace(run, val_loss=run.val_loss + mean) for run in runs
    )


def counted_loss(run: Metrics) -> Metrics:
    """Return a run with the loss that counts where the ruleset asks for scores: the worse of printed and scored."""
    if run.score is None or run.score.val_loss is None or run.val_loss is None:
        return run
    return dataclasses.replace(run, val_loss=max(run.score.val_loss, run.val_loss))
