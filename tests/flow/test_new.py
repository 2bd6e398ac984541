"""new and what `run` does first: folders that are never overwritten, hashes that nobody types."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.manifest import load_manifest
from harness.new import set_values, slug_of, write_hashes
from harness.store.layout import Project
from harness.store.ledger import chain_of
from harness.subject import find_subject
from tests.flow.repositories import ROOT, Repository


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path / "project")
    made.git("config", "user.name", 'Zoë "Z" O\'Neil: #1')
    return made


def today() -> str:
    return str(datetime.datetime.now(datetime.UTC).date())


def newest(project: Repository) -> Path:
    [folder] = (project.root / "submissions").glob("2*")
    return folder


def test_a_new_submission_is_filled_and_frozen(project: Repository) -> None:
    before = today()
    said = project.speedrun("new", "Fewer Steps!", "--from", "smoke")
    folder = newest(project)
    assert folder.name in {f"{day}_fewer-steps" for day in (before, today())}  # midnight may pass meanwhile
    assert f"speedrun run submissions/{folder.name}" in said
    manifest = load_manifest(folder)
    assert (manifest.track, manifest.ruleset, manifest.parent) == ("smoke", "smoke@1", "smoke/2")
    assert manifest.contributors == ('Zoë "Z" O\'Neil: #1',)
    assert manifest.title == "Fewer steps"
    assert (folder / "README.md").read_text().startswith("# Fewer steps\n\n## What changed?\n")
    assert (folder / "train_gpt.py").read_bytes() == (
        project.root / "records/smoke/2026-11-21_muon/script/train_gpt.py"
    ).read_bytes()


def test_without_a_record_it_starts_from_the_template(project: Repository) -> None:
    project.speedrun("new", "idea")
    assert load_manifest(newest(project)).track == "optimization"
    assert load_manifest(newest(project)).parent is None  # this project has no record of that track


def test_nothing_is_ever_overwritten(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    (newest(project) / "train_gpt.py").write_text("mine\n")
    assert "exists already" in project.speedrun("new", "idea", status=2)
    assert (newest(project) / "train_gpt.py").read_text() == "mine\n"
    assert "exists already" in project.speedrun("new", "2026-11-21_muon", "--from", "smoke", status=2)
    assert [path.name for path in (project.root / "submissions").iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("name", ["", "!!!", "a" * 80, "idéa", "\x1b[\n"])
def test_a_name_that_names_nothing_is_refused(name: str) -> None:
    with pytest.raises(HarnessError, match="names no idea") as caught:
        slug_of(name)
    assert "\x1b" not in str(caught.value)


def test_a_name_is_never_a_path() -> None:
    before = today()
    assert slug_of("../../etc/passwd") in {f"{day}_etc-passwd" for day in (before, today())}


def test_somebody_without_a_name_is_told_how_to_have_one(project: Repository) -> None:
    project.git("config", "--unset", "user.name")
    assert "git config user.name" in project.speedrun("new", "idea", status=2)
    assert [path.name for path in (project.root / "submissions").iterdir()] == ["_template"]


def test_a_changed_script_is_frozen_until_it_has_runs(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    folder, name = newest(project), f"submissions/{newest(project).name}"
    before = (folder / "manifest.yaml").read_text()
    (folder / "train_gpt.py").write_text("changed\n")
    (folder / "kernels.py").write_text("more\n")
    assert "speedrun new --refresh" in project.speedrun("check", name, status=2)
    project.speedrun("run", name, "--plan")
    assert (folder / "manifest.yaml").read_text() == before  # a plan does nothing
    assert "froze kernels.py" in project.speedrun("new", "--refresh", name)
    manifest = load_manifest(folder)
    assert dict(manifest.files)["kernels.py"] == hashlib.sha256(b"more\n").hexdigest()
    assert (folder / "manifest.yaml").read_text().startswith(before.partition("files:")[0])  # comments stay
    assert "already" in project.speedrun("new", "--refresh", name)
    script = chain_of(dict(manifest.files))
    ledger = project.root / ".runs" / "ledger.jsonl"
    ledger.parent.mkdir()
    entry = {
        "kind": "start",
        "at": "2026-11-20T00:00:00Z",
        "script": script,
        "run": "r",
        "sitting": "s",
        "seed": 1,
        "before": "0" * 64,
    }
    ledger.write_text(json.dumps(entry) + "\n")
    (folder / "train_gpt.py").write_text("changed again\n")
    said = project.speedrun("run", name, status=2)
    assert "changed since its 1 run" in said
    assert "speedrun new --refresh" in said
    assert "the 1 run of the script before" in project.speedrun("new", "--refresh", name)


def test_a_packed_submission_is_never_frozen_anew_by_a_run(project: Repository) -> None:
    folder = project.submit("adamw", "2026-11-20_packed")
    (folder / "train_gpt.py").write_text("another\n")
    assert "changed since its evidence was packed" in project.speedrun("run", f"submissions/{folder.name}", status=2)


def test_the_template_is_a_submission_itself() -> None:
    found = find_subject(Project(ROOT), str(ROOT / "submissions" / "_template"))
    assert found.ruleset.id == "optimization@1"


HASH = "0" * 64
FORMS = {
    "one line": (f"files: {{a.py: {HASH}}}\n", ""),
    "a block": (f"files:\n    a.py: {HASH}\n\n    # a remark\nnotes: null\n", "notes: null\n"),
    "a list": ("files:\n- a.py\nnotes: null\n", "notes: null\n"),
}


@pytest.mark.parametrize("form", FORMS)
def test_hashes_are_written_into_any_form_of_the_key(tmp_path: Path, form: str) -> None:
    text, rest = FORMS[form]
    (tmp_path / "manifest.yaml").write_text(f"# first\nschema: 1\n{text}")
    write_hashes(tmp_path, {"b.py": "1" * 64})
    assert (tmp_path / "manifest.yaml").read_text() == f"# first\nschema: 1\nfiles:\n  b.py: '{'1' * 64}'\n{rest}"


def test_a_form_that_cannot_be_rewritten_is_left_alone_and_said(tmp_path: Path) -> None:
    text = f"schema: 1\n? files\n: a.py: {HASH}\n"
    (tmp_path / "manifest.yaml").write_text(text)
    with pytest.raises(HarnessError, match="write it as"):
        write_hashes(tmp_path, {"b.py": "1" * 64})
    assert (tmp_path / "manifest.yaml").read_text() == text


def test_values_of_a_template_cannot_break_out() -> None:
    text = set_values("title: x\nclaim: ml\n", {"title": "a\nclaim: systems # \\1"})
    assert text.endswith("claim: ml\n")
    assert "\nclaim: systems" not in text
