"""What a name means: one answer for every command, from records that are read once."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from harness.catalog import ranking
from harness.catalog.checkout import source_of
from harness.catalog.lookup import Catalog
from harness.cli import main
from harness.core.errors import HarnessError, ManifestError, StoreError
from harness.run.judging import find_compared, find_parent, work_scripts
from harness.store import records
from harness.store.layout import Project
from harness.submission import codediff
from tests.named import as_of

ROOT = Path(__file__).parents[2]
FLEX = "2024-11-19_flex-attention"
SHORTER = "2026-11-27_shorter-memory"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog(Project(ROOT))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[Path]:
    """How often each record's folder is read."""
    counted: Counter[Path] = Counter()
    read = records.read_record

    def count(folder: Path, *, name: str | None = None) -> records.Record:
        counted[folder] += 1
        return read(folder, name=name)

    monkeypatch.setattr(records, "read_record", count)
    return counted


@pytest.mark.parametrize(
    "name", ["short/12", f"records/short/{FLEX}", f"short/{FLEX}", FLEX, "2024-11-19", f"./records/short/{FLEX}/"]
)
def test_all_names_of_a_record_mean_it(catalog: Catalog, name: str) -> None:
    named = catalog.find(name)
    assert (named.name, named.folder, named.by_track) == ("short/12", ROOT / "records" / "short" / FLEX, False)
    assert named.record is not None and named.record.number == 12


def test_a_retiming_has_the_number_of_what_it_times_and_its_own(catalog: Catalog) -> None:
    record = catalog.record("short/21.2")
    assert (record.kind, record.retimes, catalog.name(record)) == ("retiming", 21, "short/21.2")


@pytest.mark.parametrize("name", ["smoke", "short", "medium", "optimization"])
def test_a_track_means_its_current_record_wherever_its_script_lies(catalog: Catalog, name: str) -> None:
    named = catalog.find(name)
    assert named.by_track and named.record == catalog.current(catalog.track(name))


@pytest.mark.parametrize("name", ["short/999", "nowhere", "short/", "short/12.1", "12"])
def test_what_means_nothing_is_said(catalog: Catalog, name: str) -> None:
    with pytest.raises(StoreError, match="there is no such record"):
        catalog.find(name)


def test_what_means_several_records_names_some(catalog: Catalog) -> None:
    with pytest.raises(StoreError, match=r"means \d+ records \(short/2024-11-0"):
        catalog.find("short/2024-11-0")


def test_a_folder_that_is_missing_is_said_to_be_missing(catalog: Catalog) -> None:
    with pytest.raises(ManifestError, match=r"there is no such folder; make a submission with `speedrun new NAME`"):
        catalog.find("submissions/2026-01-01_missing")


@pytest.mark.parametrize("verb", ["run", "probe"])
def test_a_command_that_needs_a_script_says_where_the_current_record_has_its_own(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("tracks", "records/medium"):
        shutil.copytree(ROOT / name, tmp_path / name)
    as_of(tmp_path, "medium/18")
    assert main(["--root", str(tmp_path), verb, "medium", "--plan"]) == 2
    said = capsys.readouterr().err
    assert "medium/18: there is no script in its folder" in said
    assert "`speedrun replay medium/18` runs its published script" in said
    assert "`speedrun new NAME --from medium/18` starts a submission from it" in said


def test_the_records_that_have_a_script_are_named(catalog: Catalog) -> None:
    with pytest.raises(ManifestError, match=r"records with a script in their folder: short/1, /2, /4, .*, /12, /13"):
        catalog.script_here(catalog.record("short/88"))


def test_a_comparison_reads_each_record_once(reads: Counter[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(ROOT), "compare", "short/13", "short/12", "--plan"]) == 0
    assert "a reimplementation of the record short/13" in capsys.readouterr().out
    assert set(reads.values()) == {1}
    assert len(reads) <= len(records.record_folders(Project(ROOT)))


def test_only_the_records_of_the_track_are_read(reads: Counter[Path]) -> None:
    Catalog(Project(ROOT)).find("smoke/1")
    assert {folder.parent.name for folder in reads} == {"smoke"}


def test_problems_of_all_records_come_at_once(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / "records" / "tiny" / f"2026-01-0{number}_x"
        folder.mkdir(parents=True)
        (folder / "record.yaml").write_text("schema: 1\n")
    with pytest.raises(HarnessError) as raised:
        Catalog(Project(tmp_path)).records()
    assert {problem.where.split("/")[2] for problem in raised.value.problems} == {"2026-01-01_x", "2026-01-02_x"}


@pytest.mark.parametrize("name", ["", " "])
def test_an_empty_name_is_said_to_be_one(catalog: Catalog, name: str) -> None:
    with pytest.raises(StoreError, match="the name: is empty; name a record like short/12"):
        catalog.find(name)


def test_a_number_alone_asks_for_its_track(catalog: Catalog) -> None:
    with pytest.raises(StoreError, match="name its track too, like short/12"):
        catalog.find("12")


@pytest.mark.parametrize(
    ("name", "against"),
    [
        ("smoke/4", "2026-11-27_shorter-memory"),  # the parent that its manifest named
        ("smoke/2", "2026-11-21_adamw-baseline"),  # the record before it
        ("short/13", "2024-11-19_flex-attention"),
        ("short/7", "2024-10-18_distributed-muon"),
    ],
)
def test_a_record_is_compared_with_its_parent_else_with_the_record_before_it(
    catalog: Catalog, name: str, against: str
) -> None:
    old, new = codediff.sides(catalog, name, None, source_of(None, allow_network=False))
    assert (new.record, old.record and old.record.slug) == (catalog.record(name), against)


def test_the_first_record_has_nothing_before_it_and_a_retiming_what_is_before_what_it_times(catalog: Catalog) -> None:
    with pytest.raises(
        StoreError, match="is the first record of its track; name what to compare with: --against RECORD"
    ):
        codediff.sides(catalog, "smoke/1", None, source_of(None, allow_network=False))
    before = ranking.before(catalog.record("short/21.1"), catalog.records("short"))
    assert before is not None and catalog.number(before) == "20"


def test_work_is_compared_with_the_parents_script_or_where_that_cannot_be_run_with_another_honest_one(
    catalog: Catalog,
) -> None:
    best = catalog.script_here(catalog.record("smoke/4"))
    assert [script.name for script in work_scripts(catalog, best)] == [f"records/smoke/{SHORTER}"], "its parent's alone"
    for nameless in (replace(best, parent=None), replace(best, parent="smoke/999")):
        assert work_scripts(catalog, nameless)[0].name == f"records/smoke/{SHORTER}", "naming no parent evades nothing"
    later = replace(best, parent=None, record=None, files={"train_gpt.py": "0" * 64})
    assert work_scripts(catalog, later)[0].name == best.name, "a submission is compared with the current record"

    tuned = next(catalog.script_here(r) for r in catalog.records("optimization") if catalog.has_script(r))
    asked = {"files": {"train_gpt.py": "0" * 64}, "record": None, "ruleset": tuned.track.rulesets[-1]}
    unpublished = next(r for r in catalog.records("optimization") if not catalog.has_script(r))
    candidate = replace(tuned, parent=catalog.name(unpublished), **asked)  # type: ignore[arg-type]
    assert [script.name for script in find_compared(catalog, candidate)] == [tuned.name]
    assert find_parent(catalog, candidate).name != tuned.name, "its text is still held against the parent's"  # type: ignore[union-attr]
    first = replace(best, record=catalog.record("smoke/1"), parent=None)
    assert work_scripts(catalog, first) == [], "nobody stands beside the first record of a track"
