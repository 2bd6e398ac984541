"""new and what `run` does first: folders that are never overwritten, hashes that nobody types."""

from __future__ import annotations

import datetime
import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from harness.catalog.manifests import load_manifest
from harness.catalog.tracks import current_ruleset, load_track
from harness.core import yamlfile
from harness.core.errors import HarnessError
from harness.store.layout import Project
from harness.store.ledger import chain_of
from harness.submission.draft import set_values, slug_of
from tests.flow.repositories import ROOT, Repository
from tests.named import find_subject


@pytest.fixture
def project(tmp_path: Path) -> Repository:
    made = Repository.make(tmp_path / "project")
    made.git("config", "user.name", 'Zoe "Z" O\'Neil: #1')
    return made


def speedrun_command(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "harness", *words)


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
    rules = current_ruleset(load_track(project.root / "tracks", "smoke")).id
    assert (manifest.track, manifest.ruleset, manifest.parent) == ("smoke", rules, "smoke/2")
    assert manifest.contributors == ('Zoe "Z" O\'Neil: #1',)
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


def test_where_the_template_is_missing_it_is_said_and_nothing_is_made(project: Repository) -> None:
    shutil.rmtree(project.root / "submissions")
    said = project.speedrun("new", "idea", "--from", "smoke", status=2)
    for name in ("manifest.yaml", "README.md"):
        assert f"submissions/_template/{name}: is missing; it is part of the repository; get it back: git " in said
    assert not (project.root / "submissions").exists()


@pytest.mark.parametrize("name", ["", "!!!", "a" * 80, "idéa", "\x1b[\n"])
def test_a_name_that_names_nothing_is_refused(name: str) -> None:
    with pytest.raises(HarnessError, match="is not a valid name") as caught:
        slug_of(name)
    assert "\x1b" not in str(caught.value)


def test_a_name_is_never_a_path() -> None:
    before = today()
    assert slug_of("../../etc/passwd") in {f"{day}_etc-passwd" for day in (before, today())}


def test_somebody_without_a_name_is_told_how_to_have_one(project: Repository) -> None:
    project.git("config", "--unset", "user.name")
    assert "git config user.name" in project.speedrun("new", "idea", status=2)
    assert [path.name for path in (project.root / "submissions").iterdir()] == ["_template"]


@pytest.mark.parametrize(
    ("name", "written"),
    [("Zo\u00eb \u00c5ngstr\u00f6m", "Zoe Angstrom"), ("A\u0308sa", "Asa"), ("Plain O'Name", "Plain O'Name")],
)
def test_a_name_with_accents_is_written_without_them_and_its_owner_told(
    project: Repository, name: str, written: str
) -> None:
    project.git("config", "user.name", name)
    said = project.speedrun("new", "idea", "--from", "smoke")
    assert load_manifest(newest(project)).contributors == (written,)
    assert (f"is written {written}: a manifest names people in ASCII" in said) == (name != written)
    assert "letters may look" not in project.speedrun("run", f"submissions/{newest(project).name}", "--plan")


@pytest.mark.parametrize("name", ["\u0418\u0432\u0430\u043d", "S\u00f8ren", "\u5f20\u4f1f", "\u0301"])
def test_who_cannot_be_written_in_ascii_is_asked_before_a_folder_is_made(project: Repository, name: str) -> None:
    project.git("config", "user.name", name)
    assert "speedrun new NAME --by @handle" in project.speedrun("new", "idea", "--from", "smoke", status=2)
    for given in (name, " ", "@a\n", "x" * 101):
        assert "--by: " in project.speedrun("new", "idea", "--from", "smoke", "--by", given, status=2)
    assert [path.name for path in (project.root / "submissions").iterdir()] == ["_template"]
    project.speedrun("new", "idea", "--from", "smoke", "--by", "@handle")
    assert load_manifest(newest(project)).contributors == ("@handle",)


def test_a_name_that_is_no_utf_8_is_no_traceback(project: Repository) -> None:
    (project.root / ".git" / "config").open("ab").write(b"[user]\n\tname = Zo\xeb\n")
    assert "--by @handle" in project.speedrun("new", "idea", status=2)


def test_a_submission_starts_on_any_track_one_without_records_too(project: Repository) -> None:
    tracks = project.root / "tracks"
    (tracks / "tiny.yaml").write_text((tracks / "smoke.yaml").read_text().replace("smoke", "tiny"))
    said = project.speedrun("new", "on-smoke", "--track", "smoke")
    assert load_manifest(newest(project)).parent == "smoke/2" and "has no parent" not in said
    for start, script in (((), "submissions/_template"), (("--from", "smoke"), newest(project))):
        said = project.speedrun("new", "on-tiny", "--track", "tiny", *start)
        [folder] = (project.root / "submissions").glob("2*_on-tiny")
        manifest = load_manifest(folder)
        assert (manifest.track, manifest.ruleset, manifest.parent) == ("tiny", "tiny@2", None)
        assert (folder / "train_gpt.py").read_bytes() == (project.root / script / "train_gpt.py").read_bytes()
        assert "tiny has no parent for it" in said and "tracks/tiny.yaml" in said
        shutil.rmtree(folder)
    assert "known tracks: medium" in project.speedrun("new", "idea", "--track", "tinny", status=2)


BROKEN = "x = 1\nif x\n    pass\n"


def test_a_plan_of_a_script_that_is_no_python_is_refused_as_its_run_is(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    folder, name = newest(project), f"submissions/{newest(project).name}"
    for file, text, where in (("train_gpt.py", BROKEN, ":2: "), ("more.py", "return 1\n", ":1: ")):
        before = (folder / "train_gpt.py").read_text()
        (folder / file).write_text(text)
        for flags in ((), ("--plan",), ("--dry",), ("--screening",)):
            said = project.speedrun("run", name, *flags, status=2)
            assert f"{name}/{file}{where}" in said and "no run of it would start" in said
        (folder / "train_gpt.py").write_text(before)
    assert not (project.root / ".runs").exists()


def test_a_plan_on_a_machine_that_cannot_is_refused_as_its_run_is(project: Repository) -> None:
    track = project.root / "tracks" / "smoke.yaml"
    track.write_text(track.read_text().replace("  kind: any\n", "  kind: gpu\n  gpu_name: NVIDIA H100 80GB HBM3\n"))
    for flags in (("--plan",), (), ("--screening", "--plan")):
        said = project.speedrun("run", "smoke", *flags, status=2)
        assert "GPUs: none found" in said or "found; the track smoke needs" in said
    assert "on 2" in said or "2×" in said, "the plan is shown all the same"
    project.speedrun("run", "smoke", "--dry", "--plan")


def test_a_plan_says_that_a_run_could_not_be_confined_as_asked(project: Repository) -> None:
    done = project.do(*speedrun_command("run", "smoke", "--plan"), status=2, SPEEDRUN_CONFINEMENT="nowhere")
    assert "SPEEDRUN_CONFINEMENT=nowhere: is no tier" in done.stdout + done.stderr


def test_a_changed_script_is_frozen_until_it_has_runs(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    folder, name = newest(project), f"submissions/{newest(project).name}"
    manifest_text = (folder / "manifest.yaml").read_text()
    before = (folder / "manifest.lock").read_text()
    assert before.startswith("# Written by `speedrun run` and `speedrun new --refresh`, not by hand")
    (folder / "train_gpt.py").write_text("changed\n")
    (folder / "kernels.py").write_text("more\n")
    assert "speedrun new --refresh" in project.speedrun("check", name, status=2)
    assert "would freeze kernels.py" in project.speedrun("run", name, "--plan")
    assert (folder / "manifest.lock").read_text() == before  # a plan does nothing
    assert "froze kernels.py" in project.speedrun("new", "--refresh", name)
    manifest = load_manifest(folder)
    assert dict(manifest.files)["kernels.py"] == hashlib.sha256(b"more\n").hexdigest()
    assert (folder / "manifest.yaml").read_text() == manifest_text  # what people write, no tool edits
    digests = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("kernels.py", "train_gpt.py")
    }
    lines = "".join(f"  {name}: {digest}\n" for name, digest in digests.items())
    assert (folder / "manifest.lock").read_text() == f"{before.splitlines()[0]}\nschema: 1\nfiles:\n{lines}"
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
    lock = (folder / "manifest.lock").read_text()
    for words in (("run", name, "--plan"), ("run", name)):
        said = project.speedrun(*words, status=2)
        assert "changed since its 1 run" in said and (folder / "manifest.lock").read_text() == lock
    assert "speedrun new --refresh" in said
    assert "what the earlier script ran (1 run) stays in the ledger" in project.speedrun("new", "--refresh", name)


def test_a_packed_submission_is_never_frozen_anew_by_a_run(project: Repository) -> None:
    folder = project.submit("adamw", "2026-11-20_packed")
    (folder / "train_gpt.py").write_text("another\n")
    assert "changed since its evidence was packed" in project.speedrun("run", f"submissions/{folder.name}", status=2)


def test_the_template_is_a_submission_itself() -> None:
    found = find_subject(Project(ROOT), str(ROOT / "submissions" / "_template"))
    assert found.ruleset.id == "optimization@1"


def old_form(folder: Path) -> Path:
    """Turn a submission into one of schema 1, whose manifest lists the hashes."""
    manifest = folder / "manifest.yaml"
    files = (folder / "manifest.lock").read_text().partition("files:")[2]
    manifest.write_text(manifest.read_text().replace("schema: 2", "schema: 1") + "files:" + files)
    (folder / "manifest.lock").unlink()
    return manifest


def test_a_manifest_of_schema_1_is_read_and_its_files_are_moved_by_its_author(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    folder, name = newest(project), f"submissions/{newest(project).name}"
    frozen = load_manifest(folder).files
    manifest = old_form(folder)
    assert load_manifest(folder).files == frozen
    assert "already" in project.speedrun("new", "--refresh", name)
    assert not (folder / "manifest.lock").exists()
    (folder / "train_gpt.py").write_text("changed\n")
    text = manifest.read_text()
    for verb in (("run", name), ("run", name, "--plan"), ("new", "--refresh", name)):
        assert "take the key `files` out of it" in project.speedrun(*verb, status=2)
        assert manifest.read_text() == text
    manifest.write_text(text.partition("files:")[0].replace("schema: 1", "schema: 2"))
    assert "froze train_gpt.py" in project.speedrun("new", "--refresh", name)
    assert load_manifest(folder).files == {"train_gpt.py": hashlib.sha256(b"changed\n").hexdigest()}


def test_a_lock_beside_the_same_files_is_in_order_and_one_beside_others_is_not(project: Repository) -> None:
    project.speedrun("new", "idea", "--from", "smoke")
    folder = newest(project)
    lock = (folder / "manifest.lock").read_text()
    manifest = old_form(folder)
    (folder / "manifest.lock").write_text(lock)
    assert load_manifest(folder)
    (folder / "train_gpt.py").write_text("changed\n")
    digest = hashlib.sha256(b"changed\n").hexdigest()
    (folder / "manifest.lock").write_text(f"schema: 1\nfiles: {{train_gpt.py: {digest}}}\n")
    with pytest.raises(HarnessError, match=r"`files` contradicts manifest\.lock"):
        load_manifest(folder)
    manifest.write_text(manifest.read_text().partition("files:")[0])
    assert load_manifest(folder).files == {"train_gpt.py": digest}


def test_values_of_a_template_cannot_break_out() -> None:
    value = "a\nclaim: systems # \\1"
    text = set_values("# title: of it\ntitle: x\nclaim: ml\n", {"title": value})
    assert text.startswith("# title: of it\n")
    assert text.endswith("claim: ml\n")
    assert "\nclaim: systems" not in text
    assert yamlfile.parse(text.encode(), "f").data == {"title": value, "claim": "ml"}
