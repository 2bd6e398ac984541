"""On text that nobody's source scores, a trained model of the parent stands beside the one that is scored."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import SCRIPT_FORM, ScriptFile
from harness.catalog.subjects import Subject
from harness.catalog.tracks import load_track
from harness.core import markov_source
from harness.core.judgement import Finding
from harness.dataset import fetching, held_out
from harness.machine import computer
from harness.model_score import scoring
from harness.run import execution, judging
from harness.store import run_files
from harness.store.files import sha256_file
from harness.store.layout import Project
from tests.cheats.gallery import Direct, changed, the_case
from tests.faults.small_hub import REPOSITORY, Hub
from tests.named import find_subject
from tests.scoring import tiny

OF_A_HUB = tiny.TRACK.replace(
    "source: synthetic\n  seed: 7", f"source: hub\n  repository: {REPOSITORY}\n  revision: null"
)
RECORD = """\
schema: 1
track: tiny
ruleset: tiny@1
number: 1
kind: record
retimes: null
date: 2026-11-20
title: the parent
contributors: ['@somebody']
pull_request: null
claimed: {train_time_s: null, steps: 4, val_loss: 3.0, runs: 1}
notes: null
withdrawn: null
"""


MEMORY = yaml.safe_load((tiny.HERE / "memorised-validation-text" / "case.yaml").read_text())["change"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project with an honest record and its text on a hub, and with an honest submission."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # The 50,257 columns of GPT-2 would cost this test a minute.
    monkeypatch.setattr(held_out, "columns", lambda track: (markov_source.SYMBOLS + 1, markov_source.SYMBOLS))
    project = tiny.make_project(tmp_path / "project", tiny.HONEST + "# its child\n")
    track = load_track(project.tracks, "tiny")
    unpinned = dataclasses.replace(track.data, shards=())
    made = fetching.make_synthetic(dataclasses.replace(track, data=unpinned, validation_tokens=24576))
    script = project.records / "tiny" / "2026-11-20_parent" / "script"
    script.mkdir(parents=True)
    (script.parent / "record.yaml").write_text(RECORD)
    (script / "train_gpt.py").write_text(tiny.HONEST)
    files = {"train_gpt.py": sha256_file(script / "train_gpt.py")}
    told = ScriptFile(origin="original", of="tiny/1", entry="train_gpt.py", files=files, train_tokens=65792)
    (script / "script.yaml").write_text(SCRIPT_FORM.text(told))
    (project.tracks / "tiny.yaml").write_text(OF_A_HUB)
    with Hub({path.name: path.read_bytes() for path in made.paths}) as hub:
        for name, value in {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}.items():
            monkeypatch.setenv(name, value)
        yield project


def run_and_score(project: Project, subject: Subject) -> str:
    track = subject.track
    fetched = fetching.fetch_for(track, track.train_tokens)
    ready = execution.Prepared(subject, computer.capture(), track, fetched, False, 1, scored=True)
    run_id = run_files.new_run_id(subject.script_sha256)
    execution.execute(project, ready, run_id, "s", Direct(), lambda line: None)
    assert scoring.score_run(Catalog(project), subject, track, run_id, sys.executable) is not None
    return run_id


def gap(project: Project, subject: Subject, run_id: str) -> Finding:
    [found] = [f for f in judging.verify(Catalog(project), subject, [run_id])[1].findings if f.rule == "S5"]
    return found


def test_a_script_is_held_against_the_trained_model_of_a_record(place: Project) -> None:
    child = the_case(place)
    alone = gap(place, child, run_and_score(place, child))
    assert alone.outcome == "inconclusive"
    assert "speedrun run records/tiny/2026-11-20_parent --runs 1" in alone.text

    run_and_score(place, find_subject(place, "tiny/1"))
    beside = gap(place, child, run_and_score(place, child))
    assert beside.outcome == "pass", str(beside)
    assert "tiny/2026-11-20_parent" in beside.text

    folder = child.folder.with_name("2026-11-22_remembers")
    shutil.copytree(child.folder, folder)
    (folder / "train_gpt.py").write_text(changed("remembers", child.script.decode(), MEMORY))
    manifest = (folder / "manifest.yaml").read_text()
    manifest = manifest.replace(child.script_sha256, sha256_file(folder / "train_gpt.py"))
    (folder / "manifest.yaml").write_text(manifest)
    other = find_subject(place, str(folder))
    remembers = gap(place, other, run_and_score(place, other))
    assert remembers.outcome == "fail", str(remembers)
