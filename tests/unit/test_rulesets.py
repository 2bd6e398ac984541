"""Which ruleset new submissions are made under, and until when older ones are open."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pytest

from harness.catalog.tracks import current_ruleset, load_tracks, why_closed

ROOT = Path(__file__).parents[2]
DAY = datetime.date(2027, 3, 31)


def test_new_submissions_are_made_under_the_newest_ruleset() -> None:
    tracks = load_tracks(ROOT / "tracks")
    newest = {current_ruleset(track).id for track in tracks.values()}
    assert newest == {"short@4", "medium@4", "optimization@3", "smoke@2"}
    for track in tracks.values():
        assert why_closed(track, current_ruleset(track), DAY) is None
        assert current_ruleset(track).acceptance == "session"


def test_a_draft_is_no_ruleset_of_new_submissions() -> None:
    short = load_tracks(ROOT / "tracks")["short"]
    *older, newest = short.rulesets
    draft = dataclasses.replace(newest, draft=True)
    track = dataclasses.replace(short, rulesets=(*older, draft))
    assert current_ruleset(track) == older[-1]
    said = why_closed(track, draft, DAY)
    assert said is not None and "a draft under which nothing is accepted yet" in said
    assert why_closed(track, older[-1], DAY) is None


def test_tiers_that_the_newest_rulesets_ask_for() -> None:
    tracks = load_tracks(ROOT / "tracks")
    for name in ("short", "medium", "optimization"):
        assert tracks[name].rulesets[-1].tiers == ("bubblewrap", "landlock")
        assert "confinement" in tracks[name].rulesets[-1].evidence
    assert tracks["smoke"].rulesets[-1].tiers == ("bubblewrap", "landlock", "none")


@pytest.mark.parametrize(("day", "open_still"), [(DAY, True), (DAY + datetime.timedelta(days=1), False)])
def test_a_ruleset_is_open_until_the_day_that_the_next_one_names(day: datetime.date, open_still: bool) -> None:
    short = load_tracks(ROOT / "tracks")["short"]
    *_, second, third, newest = short.rulesets
    assert why_closed(short, newest, day) is None
    assert (why_closed(short, third, day) is None) == open_still
    closed = why_closed(short, second, day)
    assert closed == "is short@2; new submissions are judged by short@4"
