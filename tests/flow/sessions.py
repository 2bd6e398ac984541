"""A small project whose submissions are accepted by a session of fresh runs, and a session in it, made stage by stage.

Runs are real, started without torchrun; the probe is real as well. What a scorer would find is written down as an honest
one finds it, because that costs three imports of torch a run: `tests/scoring` makes real scores.
"""

from __future__ import annotations

import hashlib
import runpy
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.measurement import RunOutcome
from harness.core.scores import Gap, Score, Twins
from harness.core.task import Track
from harness.dataset import probe_data
from harness.dataset.progress import Progress
from harness.launch.launcher import LaunchPlan
from harness.maintain import acceptance, official
from harness.maintain.session_judgement import Judgement
from harness.maintain.session_work import Shown, Stop, Work
from harness.run import series
from harness.store import run_files, weights
from harness.store.entries import Scored
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.submission import packing
from tests.cheats.gallery import Direct
from tests.cheats.gallery import make_project as make_gallery_project
from tests.flow.repositories import ANSWERS, ROOT, Repository
from tests.ledgers import seal
from tests.named import find_subject
from tests.scoring import tiny

SLUG = "2026-11-21_case"
TRACK = tiny.TRACK.replace("runs: 1", "runs: 3").replace(
    "    forbidden: []", "    acceptance: session\n    above_entropy: 1.5\n    forbidden: []"
)
TIMERS = "schema: 1\ntimers:\n  - {handle: '@Timer', name: A Timer, since: 2026-01-01}\n"


def make_project(root: Path, script: str = tiny.HONEST, *, runs: int = 3, forge: Path | None = None) -> Project:
    """A project with one packed submission and one timer; forge: what changes the runs before they are hashed anew."""
    with mock.patch("tests.cheats.gallery.TRACK", TRACK):
        project = make_gallery_project(root, script)
    (root / "tracks" / "timers.yaml").write_text(TIMERS)
    (project.submissions / SLUG / "README.md").write_text(ANSWERS)
    with tiny.cache(project):
        catalog, subject = Catalog(project), the_submission(project)
        plan = series.plan(project, subject, runs)
        ready = series.prepare(plan)
        assert ready is not None
        made = list(series.make_runs(project, ready, runs, Direct(), watch))
        if forge is not None:
            runpy.run_path(str(forge))["edit"](project.runs)
            seal(project.ledger, project.runs)
        for run_id in made:
            score(subject, project)(run_id, subject.track)
        packing.pack(catalog, subject)
    return project


def the_submission(project: Project) -> Subject:
    return find_subject(project, str(project.submissions / SLUG))


def watch(run_id: str, number: int, count: int, what: str | None = None) -> Callable[[bytes], None]:
    return lambda line: None


def score(subject: Subject, project: Project) -> Callable[[str, Track], None]:
    """What scores a run as an honest model is scored."""

    def write(run_id: str, track: Track) -> None:
        folder = run_files.run_folder(project, run_id)
        file = run_files.read_run_file(folder)
        assert file.weights is not None and file.weights.sha256 is not None and file.confinement is not None
        printed = float((folder / "log.txt").read_text().rpartition("val_loss:")[2].split()[0])
        found = Score(run_id, file.weights.sha256, file.confinement.tier, track.validation_tokens, 1.0)
        gap = Gap(0.0001, 0.002, 16, "the source of the text")
        text = run_files.SCORE_FORM.text(
            replace(
                found, val_loss=printed, other_loss=printed, sequence_tokens=16, twins=Twins(1024, 8, 0.0, 0.0), gap=gap
            )
        )
        write_atomic(folder / run_files.SCORE, text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        Ledger(project.ledger).append(Scored(script=subject.chain, run=run_id, score_sha256=digest))
        weights.remove(folder)

    return write


class Killed(BaseException):
    """What ends a command at once, as a kill does: nothing that comes after it happens."""


class Counted(Direct):
    """Counts the runs that it starts, and is killed at one of them, when it has ended and nobody has noted it yet."""

    def __init__(self, kill_at: int = 0) -> None:
        super().__init__()
        self.started, self.kill_at = 0, kill_at

    def run(self, plan: LaunchPlan, watch: object) -> RunOutcome:
        self.started += 1
        outcome = super().run(plan, watch)
        if self.started == self.kill_at:
            raise Killed
        return outcome


@contextmanager
def no_progress() -> Iterator[Progress]:
    yield Progress()


def work_on(
    project: Project, launcher: Direct | None = None, *, timer: str | None = None, runs: int | None = None
) -> Work:
    catalog, subject = Catalog(project), the_submission(project)
    shown = Shown(
        say=lambda text: None,
        watch=lambda script: watch,
        comparing=lambda plan: lambda run_id, arm, number, count: lambda line: None,
        analysis=lambda comparison: None,
        several=lambda plan: lambda run_id, arm, number, count: lambda line: None,
        analysis_of=lambda comparison, letter: None,
        priming=lambda script, run_id: lambda line: None,
        fetching=no_progress,
        scorer=lambda script, python: score(script, project),
    )
    session = official.plan(catalog, subject, timer=timer, runs=runs)
    return Work(catalog, subject, session, shown, launcher=launcher or Direct())


def go_on(project: Project, launcher: Direct | None = None) -> tuple[Work, Stop | None]:
    """Make what is missing of the session, as `accept` does."""
    # The other text of a probe is short here; that of this number is as hard as the official one.
    known = mock.patch.object(probe_data, "fresh_random", side_effect=lambda: np.random.default_rng(2))
    with tiny.cache(project), known, mock.patch.object(secrets, "randbits", return_value=7):
        work = work_on(project, launcher)
        return work, official.perform(work)


def finish(project: Project) -> Judgement:
    work, stop = go_on(project)
    assert stop is None, stop
    return acceptance.accept_session(work.catalog, work.subject, work.session)[0]


def as_repository(project: Project) -> Repository:
    """Commit the project as the base branch of pull requests."""
    made = Repository(project.root)
    shutil.copytree(ROOT / ".github", project.root / ".github", ignore=shutil.ignore_patterns("__pycache__"))
    made.git("init", "-q", "-b", "main")
    (project.root / "harness").symlink_to(ROOT / "harness")
    (project.root / ".git" / "info" / "exclude").write_text("/harness\n/.runs/\n/.cache/\n/cache/\n__pycache__/\n")
    (project.root / "records").mkdir(exist_ok=True)
    made.speedrun("board")
    made.commit("a submission")
    return made
