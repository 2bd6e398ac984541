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
from harness.model_score import scoring
from harness.run import execution, judging
from harness.store import run_files
from harness.store.layout import Project
from tests.cheats.gallery import Direct, the_case
from tests.cheats.gallery import make_project as make_gallery_project
from tests.faults import projects

HERE = Path(__file__).parent
HONEST = (HERE / "honest" / "train_gpt.py").read_text()

# The track of the small projects, whose models are scored.
TRACK = projects.TRACK
for old, new in (
    ("target_loss: 3.0", "target_loss: 4.0"),
    ("4096", "8192"),
    ("16384", "65792"),
    ("runs: 3", "runs: 1"),
    ("PROCESSES", "1"),
    (
        "clock, machine, ledger]",
        "clock, data, machine, ledger, confinement, scored]\n    tiers: [bubblewrap, landlock, none]",
    ),
    ("allowed: []", "allowed: [any hardware]"),
):
    assert old in TRACK
    TRACK = TRACK.replace(old, new)


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
