"""Print for `run` what scoring a trained model takes, and what was found."""

from __future__ import annotations

from collections.abc import Callable

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.task import Track
from harness.ui import console


def say_plan(subject: Subject, scoring_s: float | None) -> None:
    """Print what scoring each run takes, or what a script lacks that its ruleset wants scored."""
    tokens = subject.track.validation_tokens
    if subject.saves:
        from harness.model_score.scoring import MOST_TWINS  # numpy comes with it

        took = "not measured here yet" if scoring_s is None else f"{scoring_s:.0f} s a run here so far"
        what = f"{tokens:,} validation tokens, as many of other text, and up to {MOST_TWINS:,} changed rows"
        console.say(f"  scoring  by the harness after each run: {what}; {took}")
    elif "scored" in subject.ruleset.evidence:
        lacks = f"the script has no `save` and `load(path)`, and {subject.ruleset.id} asks for models that are scored"
        console.say(f"  note     {lacks}", style="yellow")


def scorer(catalog: Catalog, subject: Subject, python: str) -> Callable[[str, Track], None]:
    """Return what scores a run of a script, if it saved its weights, and says what was found."""

    def score(run_id: str, track: Track) -> None:
        from harness.model_score import scoring

        if subject.saves:
            console.say(f"scoring  {run_id}: its model predicts the validation text, and other text, for the harness")
        found = scoring.score_run(catalog, subject, track, run_id, python)
        if found is not None:
            result = found.problem or f"val_loss {found.val_loss:.4f} by the harness"
            console.say(f"scored   {run_id}: {result} ({found.wall_time_s:.0f} s)")

    return score
