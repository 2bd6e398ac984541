"""Folders that lack something or hold something damaged: each problem is named with its place, and nothing crashes."""

import json
import os
import shutil
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import LOCK, MANIFEST, load_manifest
from harness.catalog.tracks import load_track
from harness.core.errors import HarnessError, ManifestError, StoreError, TrackError
from harness.store.layout import Project
from harness.store.ledger import read_chain
from harness.submission import draft

ROOT = Path(__file__).parents[2]
MUON = "2026-11-21_muon"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for name in ("tracks", "records/smoke"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return Project(tmp_path)


@pytest.fixture
def idea(project: Project) -> Path:
    """A submission's folder with a manifest and a script, not frozen yet."""
    folder = project.root / "submissions" / "2026-11-26_idea"
    folder.mkdir(parents=True)
    for name in (MANIFEST, "train_gpt.py"):
        shutil.copy(ROOT / "submissions" / "_template" / name, folder / name)
    return folder


def problems_of(error: pytest.ExceptionInfo[HarnessError]) -> str:
    return "\n".join(map(str, error.value.problems))


def test_a_folder_without_its_script_is_neither_planned_nor_frozen(project: Project, idea: Path) -> None:
    (idea / "train_gpt.py").unlink()
    catalog = Catalog(project)
    with pytest.raises(ManifestError, match=r"train_gpt\.py is not in the folder; put it there"):
        catalog.submission(idea, frozen=False)
    for freeze in (draft.refresh, draft.freeze_for_run):
        with pytest.raises(ManifestError, match=r"manifest\.yaml:15: .*train_gpt\.py'? is not in the folder"):
            freeze(catalog, str(idea))
    assert not (idea / LOCK).exists()


def test_more_files_than_a_script_may_have_are_not_frozen(project: Project, idea: Path) -> None:
    for number in range(40):
        (idea / f"part{number}.py").touch()
    with pytest.raises(ManifestError, match="1 to 32"):
        draft.refresh(Catalog(project), str(idea))
    assert not (idea / LOCK).exists()


@pytest.mark.parametrize("damage", ["", "- a\n", "schema: 1\nfiles: {\n", "schema: 7\nfiles: {}\n"])
def test_a_damaged_lock_hides_nothing_of_the_manifest_and_is_written_anew(
    project: Project, idea: Path, damage: str
) -> None:
    manifest = (idea / MANIFEST).read_text()
    (idea / LOCK).write_text(damage)
    (idea / MANIFEST).write_text(manifest.replace("claim: ml", "claim: fast"))
    with pytest.raises(ManifestError) as raised:
        load_manifest(idea)
    said = problems_of(raised)
    assert "`claim` is 'fast'; it must be one of ml, systems" in said
    assert "manifest.lock" in said
    (idea / MANIFEST).write_text(manifest)
    assert "froze train_gpt.py" in draft.refresh(Catalog(project), str(idea))
    assert set(load_manifest(idea).files) == {"train_gpt.py"}


SCRIPTS = {
    "itself": ("same_as: smoke/2\n", "another one's folder"),
    "files and another's": (None, "keep `same_as`, or `entry` and `files`"),
}


@pytest.mark.parametrize(("text", "said"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_script_that_is_another_records_holds_no_files_and_is_no_circle(
    project: Project, text: str | None, said: str
) -> None:
    file = project.records / "smoke" / MUON / "script" / "script.yaml"
    whole = file.read_text()
    head = "schema: 1\norigin: original\nof: smoke/2\n"
    file.write_text(f"{whole}same_as: smoke/1\n" if text is None else head + text)
    catalog = Catalog(project)
    with pytest.raises(ManifestError, match=said):
        catalog.script_here(catalog.record("smoke/2"))


def test_an_entry_that_is_not_among_a_scripts_files_is_named(project: Project) -> None:
    file = project.records / "smoke" / MUON / "script" / "script.yaml"
    file.write_text(file.read_text().replace("entry: train_gpt.py", "entry: other.py"))
    catalog = Catalog(project)
    with pytest.raises(ManifestError, match=r"'other\.py' is not among `files`"):
        catalog.script_here(catalog.record("smoke/2"))


def test_a_bad_item_of_a_list_is_one_problem(project: Project) -> None:
    file = project.tracks / "smoke.yaml"
    file.write_text(file.read_text().replace("- any hardware", "- anything", 1))
    with pytest.raises(TrackError) as raised:
        load_track(project.tracks, "smoke")
    assert len(raised.value.problems) == 1
    assert "anything" in problems_of(raised)


def pins(*shards: dict[str, object]) -> str:
    return json.dumps({"schema": 1, "written_by": "speedrun fetch --pin", "revision": None, "shards": list(shards)})


def test_pins_that_contradict_or_cannot_be_read_are_named(project: Project) -> None:
    shard = load_track(project.tracks, "smoke").data.shards[0]
    file = project.tracks / "smoke.pins.json"
    one = {"name": shard.name, "tokens": shard.tokens, "sha256": shard.sha256}
    file.write_text(pins(one))
    assert load_track(project.tracks, "smoke").data.shards[0] == shard
    for text, said in (
        (pins(one, one), "appears twice"),
        (pins(one | {"tokens": 7}), "pinned to other bytes"),
        (pins(one | {"name": ".."}), "plain file name"),
    ):
        file.write_text(text)
        with pytest.raises((TrackError, StoreError), match=said):
            load_track(project.tracks, "smoke")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(HarnessError, match="special file"):
        load_track(project.tracks, "smoke")


@pytest.mark.parametrize("n_max", [-1, 0, 10_000, 1 << 62])
def test_a_declaration_of_no_possible_number_of_runs_is_no_entry(n_max: int) -> None:
    entry = {"kind": "declare", "at": "2026-11-20T00:00:00Z", "script": "a" * 64, "track": "tiny", "ruleset": "tiny@1"}
    line = json.dumps(entry | {"n_max": n_max, "before": "0" * 64}).encode() + b"\n"
    with pytest.raises(StoreError, match=r"ledger\.jsonl:1"):
        read_chain(line, "ledger.jsonl")
