"""What a maintainer does: accepting by comparison where time is ranked, timing again, withdrawing; nothing is edited."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.catalog.ranking import current
from harness.catalog.tracks import load_track
from harness.compare import arms, decisive
from harness.core.judgement import ComparisonOutcome
from harness.core.measurement import Gpu, Machine
from harness.store import comparisons
from harness.store.layout import Project
from harness.store.records import read_records
from tests.flow.repositories import RECORDS, Repository
from tests.shared_runs import made_once

H100 = tuple(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0) for _ in range(8))
FIRST, SECOND = "2026-11-18_first", "2026-11-19_second"


def make_project(folder: Path) -> None:
    made = Repository.make(folder / "project", records=())
    track = made.root / "tracks" / "smoke.yaml"
    # Without the family `machine`, because a rule about it knows the machines of races by time: GPUs.
    track.write_text(track.read_text().replace("metric: steps", "metric: train_time").replace("machine, ", ""))
    made.submit("adamw", FIRST, title="The first")
    assert "accepted as smoke/1" in made.speedrun("accept", f"submissions/{FIRST}")  # there was nothing to beat
    made.submit("muon", SECOND, title="The second")


def copied(tmp_path: Path, made: Path) -> Repository:
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    return Repository(tmp_path / "project")


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A project whose smoke track ranks by time, with one record and one packed submission."""
    return copied(tmp_path, made_once(tmp_path_factory, "time-race", make_project))


def make_accepted(folder: Path, made: Path) -> None:
    project = copied(folder, made)
    compare(project, "adamw", "muon", "faster")
    assert "accepted as smoke/2" in project.speedrun("accept", f"submissions/{SECOND}")


@pytest.fixture
def accepted(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The same with the second submission accepted, as it was faster."""
    made = made_once(tmp_path_factory, "time-race", make_project)
    return copied(
        tmp_path, made_once(tmp_path_factory, "time-race-accepted", lambda folder: make_accepted(folder, made))
    )


def script(record: str) -> str:
    return hashlib.sha256((RECORDS[record] / "script" / "train_gpt.py").read_bytes()).hexdigest()


def compare(project: Repository, first: str, second: str, outcome: str, *, name: str = "c1", **changes: Any) -> Path:
    """Store what `speedrun compare` would have stored."""
    gain = {"faster": 0.012, "slower": -0.012}.get(outcome)
    held = comparisons.Comparison(
        schema=comparisons.SCHEMA,
        id=name,
        track="smoke",
        a=comparisons.Side(f"records/smoke/{FIRST}", script(first), "smoke@1"),
        b=comparisons.Side("b", script(second), "smoke@1"),
        machine=Machine(H100, "570.0", "x", 8, 1 << 40, "6.1", "3.12.7", "2.13.0", "f" * 64),
        mode="until-decided",
        max_pairs=16,
        bound=9.9,
        outlier_limit=0.005,
        coins=("ABBA",),
        started_at="2026-11-20T10:00:00Z",
        runs=tuple(a_run(n, arm, 70.0 + n, 2.9) for n, arm in enumerate("ABBA")),
        pairs=2,
        outcome=cast(ComparisonOutcome, outcome),
        gain=gain,
        interval=None if gain is None else (gain - 0.004, gain + 0.004),
    )
    path = comparisons.comparison_file(Project(project.root), name)
    comparisons.write_comparison(Project(project.root), dataclasses.replace(held, **changes))
    return path


def a_run(number: int, arm: str, time_s: float, loss: float | None) -> comparisons.ComparedRun:
    return comparisons.ComparedRun(f"r{number}", cast(comparisons.Arm, arm), number, time_s, time_s, time_s, loss)


def best(project: Repository) -> str:
    place = Project(project.root)
    found = current(load_track(place.tracks, "smoke"), read_records(place))
    return "" if found is None else found.slug


def record(project: Repository, slug: str) -> dict[str, Any]:
    held = yaml.safe_load((project.root / "records" / "smoke" / slug / "record.yaml").read_text())
    assert isinstance(held, dict)
    return held


def kind_of(project: Project, name: str, *, plan_only: bool = False) -> str:
    catalog = Catalog(project)
    return arms.find(catalog, catalog.find(name), plan_only=plan_only).kind


def test_a_race_by_time_asks_for_a_comparison_with_the_current_record(project: Repository) -> None:
    accept = ("accept", f"submissions/{SECOND}")
    said = project.speedrun(*accept, status=2)
    assert "no same-machine comparison with the current record smoke/1" in said
    assert f"speedrun compare smoke/1 submissions/{SECOND}" in said
    compare(project, "adamw", "adamw", "faster", name="of another script")
    assert "no same-machine comparison" in project.speedrun(*accept, status=2)
    compare(project, "muon", "muon", "faster", name="with another script under the record's name")
    assert "it was compared with" in project.speedrun(*accept, status=2)
    for outcome, words in (
        ("undecided", "decided nothing"),
        ("slower", "is not faster"),
        ("tie", "a tie with smoke/1"),
    ):
        compare(project, "adamw", "muon", outcome)
        assert words in project.speedrun(*accept, status=2)
    path = compare(project, "adamw", "muon", "faster", name="c2", started_at="2026-11-21T00:00:00Z")
    assert "a tie with" in project.speedrun(*accept, status=2)  # the first decided one counts
    (path.parent / "c1.json").unlink()
    assert "accepted as smoke/2" in project.speedrun(*accept)
    made = record(project, SECOND)
    assert made["faster_than"] == f"smoke/{FIRST}"
    assert "1.20 % less time than smoke/1 (95 %: 0.80 to 1.60 %)" in made["notes"]
    kept = project.root / "records" / "smoke" / SECOND / "comparison.json"
    assert kept.read_bytes() == path.read_bytes()
    assert "official" in (project.root / "leaderboard.md").read_text()


FIXED: dict[str, Any] = {"mode": "fixed", "bound": None}


def test_nobody_chooses_an_outcome_by_comparing_again(project: Repository) -> None:
    accept = ("accept", f"submissions/{SECOND}")
    compare(project, "adamw", "muon", "inconclusive", obstacles=("GPU 0: 1 process on it (4711)",))
    said = project.speedrun(*accept, status=2)  # the machine was not free: the same command continues it
    assert f"speedrun compare smoke/1 submissions/{SECOND}" in said and "--pairs" not in said
    first = compare(project, "adamw", "muon", "inconclusive")
    assert f"speedrun compare smoke/1 submissions/{SECOND} --pairs 16" in project.speedrun(*accept, status=2)
    compare(project, "adamw", "muon", "undecided", name="f1", max_pairs=5, **FIXED)
    assert f"speedrun compare smoke/1 submissions/{SECOND} --pairs 5" in project.speedrun(*accept, status=2)
    for number, (pairs, outcome) in enumerate({3: "tie", 4: "slower", 5: "faster"}.items(), start=1):
        at = f"2026-11-20T11:0{number}:00Z"
        compare(project, "adamw", "muon", outcome, name=f"f{number}", max_pairs=pairs, started_at=at, **FIXED)
    assert "a tie with smoke/1" in project.speedrun(*accept, status=2), "the first fixed one that decided"
    first.unlink()
    compare(project, "adamw", "muon", "faster", name="u", started_at="2026-11-20T12:00:00Z")
    assert "accepted as smoke/2" in project.speedrun(*accept), "the until-decided one stands above all fixed ones"
    kept = project.root / "records" / "smoke" / SECOND / "comparison.json"
    assert json.loads(kept.read_text())["id"] == "u"


def with_an_original(project: Repository, digest: str) -> None:
    """Make the first record one of the past: its original lies elsewhere, and a reimplementation in its folder."""
    folder = project.root / "records" / "smoke" / FIRST
    text = (folder / "record.yaml").read_text()
    original = {"repository": "somebody/upstream", "commit": "0" * 40, "kind": "file", "path": "train_gpt.py"}
    original |= {"files": {"train_gpt.py": digest}, "torch": None, "reason": None}
    (folder / "record.yaml").write_text(text + yaml.safe_dump({"original": original}))
    told = folder / "script" / "script.yaml"
    told.write_text(told.read_text().replace("origin: original", "origin: reimplementation"))


def test_a_comparison_with_a_reimplementation_never_counts(project: Repository) -> None:
    digest = "d" * 64
    with_an_original(project, digest)
    compare(project, "adamw", "muon", "faster")
    said = project.speedrun("accept", f"submissions/{SECOND}", status=2)
    assert "a script of smoke/1 that did not set the record, such as a reimplementation" in said
    assert f"speedrun compare smoke submissions/{SECOND}" in said, "by its track a record is run as its original"
    place = Project(project.root)
    assert (kind_of(place, "smoke/1"), kind_of(place, "smoke", plan_only=True)) == (
        "reimplementation",
        "original",
    )
    side = comparisons.Side(f"records/smoke/{FIRST}", digest, "smoke@1", "2.9.1")
    compare(project, "adamw", "muon", "faster", name="with the original", a=side)
    assert "accepted as smoke/2" in project.speedrun("accept", f"submissions/{SECOND}")


def test_a_record_without_a_script_is_timed_again_and_keeps_its_original(project: Repository) -> None:
    digest = "d" * 64
    with_an_original(project, digest)
    shutil.rmtree(project.root / "records" / "smoke" / FIRST / "script")
    said = project.speedrun("accept", f"submissions/{SECOND}", status=2)
    assert f"speedrun compare smoke/1 submissions/{SECOND}" in said
    side = comparisons.Side(f"records/smoke/{FIRST}", digest, "smoke@1")
    compare(project, "adamw", "adamw", "tie", a=side, b=side)
    assert "timed again" in project.speedrun("accept", "--retime", "smoke/1")
    compare(project, "adamw", "muon", "faster", name="c2", a=side)
    assert "accepted as smoke/2" in project.speedrun("accept", f"submissions/{SECOND}")
    catalog = Catalog(Project(project.root))
    timed = catalog.record("smoke/1.1")
    assert catalog.run_with(timed).slug == FIRST
    assert decisive.official_sha256(catalog, timed) == digest


def test_what_won_on_one_machine_is_current_whatever_seconds_others_claim(accepted: Repository) -> None:
    project = accepted
    path = project.root / "records" / "smoke" / SECOND / "record.yaml"
    text = path.read_text()
    [time] = [line for line in text.splitlines() if "train_time_s" in line]
    path.write_text(text.replace(time, "  train_time_s: 99999.0"))
    assert best(project) == SECOND


def files_below(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts}


def test_a_plan_says_what_would_be_written_and_writes_nothing(project: Repository) -> None:
    assert "no same-machine comparison" in project.speedrun("accept", f"submissions/{SECOND}", "--plan", status=2)
    compare(project, "adamw", "adamw", "tie", name="again")
    compare(project, "adamw", "muon", "faster")
    before = files_below(project.root)
    said = project.speedrun("accept", f"submissions/{SECOND}", "--plan")
    assert f"would be accepted as smoke/2: submissions/{SECOND} would move to records/smoke/{SECOND}" in said
    said = project.speedrun("accept", "--retime", "smoke/1", "--plan")
    assert "would be timed again" in said and "records/smoke/2026-11-20_first-retimed" in said
    said = project.speedrun("accept", "--withdraw", "smoke/1", "--why", "its data was wrong", "--plan")
    assert f"would write: records/smoke/{FIRST}/withdrawn.yaml" in said
    assert files_below(project.root) == before


def test_a_damaged_comparison_is_named(project: Repository) -> None:
    for content in ("{", "[]", '{"track": 1}', json.dumps({"a": None}), "[" * 100_000):
        path = compare(project, "adamw", "muon", "faster")
        path.write_text(content)
        assert "c1.json: " in project.speedrun("accept", f"submissions/{SECOND}", status=2)
    assert (project.root / "submissions" / SECOND).is_dir()


@pytest.mark.parametrize("outcome", ["faster", "tie", "slower"])
def test_a_record_is_timed_again(accepted: Repository, outcome: str) -> None:
    project = accepted
    against = {"a": comparisons.Side(f"records/smoke/{SECOND}", script("muon"), "smoke@1")}
    assert "no same-machine comparison" in project.speedrun("accept", "--retime", "smoke/1", status=2)
    compare(project, "muon", "adamw", outcome, name="again", **against)
    assert "timed again" in project.speedrun("accept", "--retime", "smoke/1")
    slug = "2026-11-20_first-retimed"
    made = record(project, slug)
    assert (made["kind"], made["number"], made["retimes"]) == ("retiming", 1, 1)
    assert made["claimed"] == {"train_time_s": 71.5, "steps": None, "val_loss": 2.9, "runs": 2}
    row = json.loads(project.speedrun("show", "smoke/1.1", "--json"))["row"]
    assert (row["number"], row["evidence"], row["runs"], row["baseline_runs"]) == ("1.1", "timed", 2, 2)
    assert best(project) == (slug if outcome == "faster" else SECOND)
    refused = project.speedrun("accept", "--retime", "smoke/1", status=2)
    assert "a re-timing already" in refused or "compare" in refused
    project.speedrun("board", "--check")
    project.speedrun(
        "verify", f"smoke/{slug}", status=2
    )  # its script is found by the record that it times; it has no pack


def test_seconds_of_a_faster_machine_make_no_record_current(project: Repository) -> None:
    runs = tuple(a_run(n, arm, 0.1, None) for n, arm in enumerate("ABBA"))
    compare(project, "adamw", "adamw", "tie", runs=runs)
    project.speedrun("accept", "--retime", "smoke/1")
    assert record(project, "2026-11-20_first-retimed")["claimed"]["train_time_s"] == 0.1
    assert best(project) == FIRST


def test_a_withdrawn_record_keeps_its_row_and_is_never_current(accepted: Repository) -> None:
    project = accepted
    before = {path: path.read_bytes() for path in (project.root / "records").rglob("*") if path.is_file()}
    why = "its data was <b>wrong</b> | see #7"
    assert "--withdraw and --why are given together or not at all" in project.speedrun(
        "accept", "--withdraw", "smoke/2", status=2
    )
    project.speedrun("accept", "--withdraw", "smoke/2", "--why", "two\x1blines", status=2)
    project.speedrun("accept", "--withdraw", "smoke/2", "--why", why)
    assert {path: path.read_bytes() for path in before} == before
    [added] = {path for path in (project.root / "records").rglob("*") if path.is_file()} - before.keys()
    assert added.name == "withdrawn.yaml"
    assert yaml.safe_load(added.read_text())["why"] == why
    assert best(project) == FIRST
    page = (project.root / "leaderboard.md").read_text()
    [row] = [line for line in page.splitlines() if "The second" in line]
    assert "withdrawn: its data was &#60;b&#62;" in row
    assert "is withdrawn already" in project.speedrun("accept", "--withdraw", "smoke/2", "--why", "again", status=2)
    project.speedrun("accept", "--withdraw", "smoke/1", "--why", "both")
    assert "No record stands." in (project.root / "leaderboard.md").read_text()
    project.speedrun("board", "--check")


def test_the_workflow_accepts_and_times_again_itself_and_says_what_it_rests_on(project: Repository) -> None:
    project.commit("a record and a submission")
    for name, words, command in (
        ("accepting", "accepted as smoke/2", ("accept", f"submissions/{SECOND}")),
        ("timing", "timed again", ("accept", "--retime", "smoke/1")),
    ):
        compare(project, "adamw", "muon" if name == "accepting" else "adamw", "faster", name=name)
        project.branch(name)
        assert words in project.speedrun(*command)
        project.commit(name)
        said = project.changes("pull-request", "main", name, status=0)
        assert "rests on its comparison.json: nothing here proves that those runs were made" in said
        assert "this pull request adds no submission: for a maintainer's review" in said
        [kept] = {*(project.root / "records").rglob("comparison.json")}
        kept.write_text(kept.read_text().replace('"gain": 0.012', '"gain": 0.022'))
        project.commit("a larger gain in one place")
        assert "record.yaml is not what `speedrun accept` writes" in project.changes(
            "pull-request", "main", name, status=1
        )


def test_a_packed_link_is_not_followed_into_a_record(project: Repository, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("key")
    compare(project, "adamw", "muon", "faster")
    (project.root / "submissions" / SECOND / "evidence" / "runs" / "key").symlink_to(tmp_path / "private")
    assert "is a link" in project.speedrun("accept", f"submissions/{SECOND}", status=2)
    assert [path.name for path in (project.root / "records" / "smoke").iterdir()] == [FIRST]


def test_a_folder_that_is_there_is_not_replaced(project: Repository) -> None:
    compare(project, "adamw", "muon", "faster")
    shutil.copytree(project.root / "records" / "smoke" / FIRST / "script", project.root / "records" / "smoke" / SECOND)
    assert "has this name already" in project.speedrun("accept", f"submissions/{SECOND}", status=2)
    assert (project.root / "submissions" / SECOND / "manifest.yaml").is_file()
    assert not list((project.root / "records" / "smoke").glob(".*"))
