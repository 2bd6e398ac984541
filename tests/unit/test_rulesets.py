"""Which ruleset new submissions are made under, and until when older ones are open."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.tracks import current_ruleset, load_tracks, why_closed
from harness.cli import main
from harness.store.layout import Project
from harness.submission import admissible

ROOT = Path(__file__).parents[2]
MUON = ROOT / "records" / "smoke" / "2026-11-21_muon"
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
    assert why_closed(track, older[-1], DAY) is None, "it is the newest that counts, whenever the first run was"


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
    made = datetime.date(2026, 11, 26)
    assert why_closed(short, newest, day) is None
    assert (why_closed(short, third, day, made) is None) == open_still
    closed = why_closed(short, second, day, made)
    assert closed == "is short@2; new submissions are judged by short@4"


def test_what_begins_later_cannot_choose_the_rules_of_before() -> None:
    for track in load_tracks(ROOT / "tracks").values():
        *_, older, newest = track.rulesets
        assert newest.since is not None and why_closed(track, newest, DAY) is None
        for made, runs in ((None, "there is no run yet"), (newest.since, f"the first run is of {newest.since}")):
            said = why_closed(track, older, DAY, made)
            assert said == f"is {older.id}, for what was run before {newest.since}, when {newest.id} came; {runs}"


def submission(root: Path, ruleset: str, evidence: bool) -> Path:
    """A copy of a script of the smoke track, with the runs that were made of it on 2026-11-21, or none."""
    shutil.copytree(ROOT / "tracks", root / "tracks")
    folder = root / "submissions" / "2026-11-20_a-copy"
    shutil.copytree(MUON / "script", folder, ignore=shutil.ignore_patterns("script.yaml"))
    digest = hashlib.sha256((folder / "train_gpt.py").read_bytes()).hexdigest()
    manifest = {"schema": 1, "track": "smoke", "ruleset": ruleset, "title": "A copy", "contributors": ["@t"]}
    manifest |= {"claim": "ml", "entry": "train_gpt.py", "files": {"train_gpt.py": digest}}
    (folder / "manifest.yaml").write_text(json.dumps(manifest))
    if evidence:
        shutil.copytree(MUON / "evidence", folder / "evidence")
    return folder


def test_the_first_run_that_counts_decides_and_not_the_date_in_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = submission(tmp_path / "old", "smoke@1", evidence=True)
    project = Project(tmp_path / "old")
    subject = Catalog(project).submission(old)
    assert admissible.first_run(project, subject) == datetime.date(2026, 11, 21)
    assert admissible.closed(project, subject) == []
    new = submission(tmp_path / "new", "smoke@1", evidence=False)
    for words in (["run", "--plan"], ["run", "--dry", "--plan"], ["check"]):
        status = main(["--root", str(tmp_path / "new"), *words, str(new)])
        said = " ".join("".join(capsys.readouterr()).split())
        assert status != 0
        assert (
            "`ruleset` is smoke@1, for what was run before 2026-11-27, when smoke@2 came; there is no run yet" in said
        )
        assert "write `ruleset: smoke@2` before the first run" in said
    assert not (tmp_path / "new" / ".runs").exists()
