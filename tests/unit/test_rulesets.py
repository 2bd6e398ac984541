"""Which ruleset new submissions are made under, and until when older ones are open."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from harness.catalog.tracks import current_ruleset, load_tracks, why_closed

ROOT = Path(__file__).parents[2]
DAY = datetime.date(2027, 3, 31)


def test_drafts_are_no_ruleset_of_new_submissions() -> None:
    tracks = load_tracks(ROOT / "tracks")
    drafts = {r.id for track in tracks.values() for r in track.rulesets if r.draft}
    assert drafts == {"short@4", "medium@4", "optimization@3", "smoke@2"}
    assert {current_ruleset(track).id for track in tracks.values()} == {
        "short@3",
        "medium@3",
        "optimization@2",
        "smoke@1",
    }
    for track in tracks.values():
        said = why_closed(track, track.rulesets[-1], DAY)
        assert said is not None and "a draft under which nothing is accepted yet" in said
        assert why_closed(track, current_ruleset(track), DAY) is None


def test_tiers_that_the_drafts_ask_for() -> None:
    tracks = load_tracks(ROOT / "tracks")
    for name in ("short", "medium", "optimization"):
        assert tracks[name].rulesets[-1].tiers == ("bubblewrap", "landlock")
        assert "confinement" in tracks[name].rulesets[-1].evidence
    assert tracks["smoke"].rulesets[-1].tiers == ("bubblewrap", "landlock", "none")


@pytest.mark.parametrize(("day", "open_still"), [(DAY, True), (DAY + datetime.timedelta(days=1), False)])
def test_a_ruleset_is_open_until_the_day_that_the_next_one_names(day: datetime.date, open_still: bool) -> None:
    short = load_tracks(ROOT / "tracks")["short"]
    *older, third, draft = short.rulesets
    in_force = dataclasses.replace(draft, draft=False)
    track = dataclasses.replace(short, rulesets=(*older, third, in_force))
    assert current_ruleset(track) == in_force
    assert why_closed(track, in_force, day) is None
    assert (why_closed(track, third, day) is None) == open_still
    closed = why_closed(track, older[-1], day)
    assert closed == "is short@2; new submissions are judged by short@4"
