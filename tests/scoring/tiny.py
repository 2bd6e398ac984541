"""A track, a project and scored runs of a script in it, as `speedrun run` makes them, without torchrun and its imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import mock

from harness.catalog.lookup import Catalog
from harness.core.judgement import Verdict
from harness.dataset import fetching
from harness.machine import computer
from harness.run import execution, judging
from harness.score import scoring
from harness.store import run_files
from harness.store.layout import Project
from tests.cheats.gallery import Direct, the_case
from tests.cheats.gallery import make_project as make_gallery_project

HERE = Path(__file__).parent
HONEST = (HERE / "honest" / "train_gpt.py").read_text()

TRACK = """\
schema: 1
name: tiny
title: a track whose models are scored
target_loss: 4.0
metric: steps
validation_tokens: 8192
train_tokens: 65792
runs: 1
silence_limit_s: 600
time_limit_s: 3600
hardware: {kind: any, processes: 1}
data:
  source: synthetic
  seed: 7
  folder: data/tiny
  train_pattern: tiny_train_%06d.bin
  val_pattern: tiny_val_%06d.bin
  train_shards: 1
  shard_tokens: 65792
  shards: []
dry: []
rulesets:
  - id: tiny@1
    since: 2026-01-01
    until: null
    summary: Models are scored.
    timer: The script's own, between its marks.
    untimed_steps: 0
    significance: {test: t, alpha: 0.01, min_runs: 3}
    evidence: [logs, script, seeds, clock, data, machine, ledger, confinement, scored]
    tiers: [bubblewrap, landlock, none]
    forbidden: []
    allowed: [any hardware]
"""


def make_project(root: Path, script: str) -> Project:
    with mock.patch("tests.cheats.gallery.TRACK", TRACK):
        return make_gallery_project(root, script)


def cache(project: Project) -> mock._patch_dict:
    return mock.patch.dict(os.environ, XDG_CACHE_HOME=str(project.root / "cache"))


def make_run(project: Project) -> str:
    """Make one judged run of the project's submission; its id."""
    with cache(project):
        subject = the_case(project)
        prepared = execution.Prepared(
            subject,
            computer.capture(),
            subject.track,
            fetching.make_synthetic(subject.track),
            dry=False,
            processes=1,
            scored=True,
        )
        run_id = run_files.new_run_id(subject.script_sha256)
        outcome = execution.execute(project, prepared, run_id, "s", Direct(), lambda line: None)
    assert outcome.state == "finished", (run_files.run_folder(project, run_id) / "stderr.txt").read_text()
    return run_id


def score(project: Project, run_id: str) -> object:
    with cache(project):
        subject = the_case(project)
        return scoring.score_run(Catalog(project), subject, subject.track, run_id, sys.executable)


def judge(project: Project) -> Verdict:
    return judging.verify(Catalog(project), the_case(project))[1]
