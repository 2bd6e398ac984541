"""Several submissions accepted in one go: one comparison of all, a session of each, and which of them becomes the record."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.cli import main
from harness.compare import arms, decision, readiness
from harness.core.errors import HarnessError, RunError, StoreError
from harness.maintain import official, stages, together
from harness.maintain.session_work import Work, own_comparison
from harness.run import series
from harness.store import joint
from harness.store import sessions as stored
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.records import read_record
from harness.submission import packing
from harness.ui import accept_report
from harness.verbs import accepting
from tests.cheats.gallery import Direct
from tests.flow import sessions, test_timed_session
from tests.flow.sessions import SLUG, Counted
from tests.flow.test_timed_session import add_record, slow, without_clocks
from tests.named import find_subject
from tests.scoring import tiny
from tests.shared_runs import made_once
from tests.unit.test_compare import FREE

__all__ = ["without_clocks"]  # a fixture

LESS = "2026-11-22_less"  # than the other one gains
TRACK = test_timed_session.TRACK.replace("[[8, 16, 9.6]]", "[[4, 8, 9.6]]")


def make_two(folder: Path) -> None:
    """A record of 100 s, and two packed submissions that say 50 s and 60 s."""
    with mock.patch("tests.flow.sessions.TRACK", TRACK):
        project = sessions.make_project(folder / "project", says(50.0), runs=4)
    add_submission(project, LESS, says(60.0))
    add_record(project)


def says(time_s: float) -> str:
    """A script with this time of a step and what its seed adds, up to 0.1 s: three rounds are enough to decide."""
    return slow(tiny.HONEST, time_s).replace("% 5003 / 1e3", "% 101 / 1e3")


def add_submission(project: Project, slug: str, script: str) -> None:
    own = project.submissions / slug
    shutil.copytree(project.submissions / SLUG, own, ignore=shutil.ignore_patterns("evidence", "manifest.lock"))
    (own / "train_gpt.py").write_text(script)
    manifest = (own / "manifest.yaml").read_text()
    digest = find_subject(project, str(project.submissions / SLUG)).script_sha256
    (own / "manifest.yaml").write_text(manifest.replace(digest, hashlib.sha256(script.encode()).hexdigest()))
    with tiny.cache(project):
        subject = find_subject(project, str(own))
        ready = series.prepare(series.plan(project, subject, 4))
        assert ready is not None
        for run_id in series.make_runs(project, ready, 4, Direct(), sessions.watch):
            sessions.score(subject, project)(run_id, subject.track)
        packing.pack(Catalog(project), subject)


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = made_once(tmp_path_factory, "several-sessions", make_two)
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def named(project: Project, *slugs: str) -> list[Subject]:
    return [find_subject(project, str(project.submissions / slug)) for slug in slugs]


def planned(project: Project, *slugs: str) -> list[stored.Session]:
    return together.plan(Catalog(project), named(project, *slugs), timer=None, runs=None)


@dataclasses.dataclass
class Command:
    """`speedrun accept`, with runs that are started without torchrun on a machine that is never waited for."""

    project: Project
    launcher: Counted

    def accept(self, *arguments: str, status: int = 0) -> None:
        names = [str(self.project.submissions / slug) for slug in (LESS, SLUG)]
        assert main(["--root", str(self.project.root), "accept", *names, *arguments]) == status


@pytest.fixture
def command(project: Project, monkeypatch: pytest.MonkeyPatch) -> Command:
    launcher = Counted()
    works = accepting._works

    def played(*given: Any) -> list[Work]:
        def scorer(script: Subject, python: str) -> Callable[..., None]:
            return sessions.score(script, project)

        return [
            dataclasses.replace(work, launcher=launcher, shown=dataclasses.replace(work.shown, scorer=scorer))
            for work in works(*given)
        ]

    monkeypatch.setattr(accepting, "_works", played)
    monkeypatch.setattr(arms, "TorchrunLauncher", lambda *_: launcher)
    monkeypatch.setattr(readiness, "Waiting", lambda say: FREE)
    monkeypatch.setattr(decision, "find_wrong", lambda *_: None)  # the times that the scripts say are made up
    monkeypatch.setattr("harness.ui.accept_report.file_progress", lambda what: sessions.no_progress())
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.root / "cache"))
    monkeypatch.setattr("harness.dataset.probe_data.fresh_random", lambda: sessions.np.random.default_rng(2))
    monkeypatch.setattr("secrets.randbits", lambda bits: 7)
    return Command(project, launcher)


def test_two_are_compared_in_one_go_and_the_one_that_gained_more_becomes_the_record(
    command: Command, project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    command.accept("--plan", "--usd-per-hour", "24")
    said = capsys.readouterr().out
    assert "comparison 40 runs in rounds of 2 candidates with the current record" in said
    assert said.count("comparison 40 runs") == 1 and said.count("shared   the current record's runs") == 2
    assert "in all, 2 candidates: usually about " in said
    assert command.launcher.started == 0 and not (project.runs / "sessions").exists()

    command.accept(status=1)  # not all became records
    said = capsys.readouterr().err
    assert f"accepted as tiny/2: submissions/{SLUG} moved" in said, said
    assert (
        f"submissions/{LESS} makes no record: it is faster than the record before, and tiny/2, which gained more"
        in said
    )
    assert (project.submissions / LESS / "evidence").is_dir()
    record = read_record(project.records / "tiny" / SLUG)
    assert record.faster_than == f"tiny/{test_timed_session.FIRST}" and record.notes is not None
    assert ", 3 rounds): " in record.notes
    both = stored.read_sessions(project)
    [one] = {session.comparison for session in both}
    assert one is not None and joint.is_joint(one)
    runs = [run for run in joint.read_joint(project, one).runs if run.arm == "A"]
    assert len(runs) == 9, "the record ran before each of both candidates, and once more in each of three rounds"
    for session in both:
        chain = Ledger(project.ledger).chain(session.script_sha256)
        assert [chain.starts[run].series for run in session.runs_of(chain)] == [one] * 3 + [session.id]

    started = command.launcher.started
    command.accept(status=1)
    said = capsys.readouterr().err
    assert command.launcher.started == started, "nothing is run again"
    assert f"{SLUG} was accepted already" in said
    assert "was compared with records/tiny/2026-11-20_first, and the current record is tiny/2" in said
    shutil.rmtree(project.runs)
    assert main(["--root", str(project.root), "verify", "tiny/2"]) == 0


def test_only_those_that_are_begun_now_share_a_comparison_and_it_is_settled_before_the_first_run(
    project: Project,
) -> None:
    alone = planned(project, SLUG)
    assert alone[0].comparison is not None and not joint.is_joint(alone[0].comparison)
    both = planned(project, LESS, SLUG)
    assert len({one.comparison for one in both}) == 1 and joint.is_joint(both[0].comparison)
    assert all(stored.with_id(one) == one for one in both)
    stored.write_session(project, both[0])  # as a kill between the two leaves it
    again = planned(project, LESS, SLUG)
    assert again[0] == both[0] and again[1].comparison == both[0].comparison
    stored.write_session(project, dataclasses.replace(alone[0]))
    assert planned(project, LESS, SLUG) == [both[0], alone[0]], "each goes on as it was begun"


def works_of(project: Project, *slugs: str) -> list[Work]:
    with tiny.cache(project):
        shown = accept_report.shown(Catalog(project))
        pairs = zip(named(project, *slugs), planned(project, *slugs), strict=True)
        return [Work(Catalog(project), subject, session, shown) for subject, session in pairs]


def test_those_that_are_not_decided_go_on_together(project: Project) -> None:
    works = works_of(project, LESS, SLUG)
    for work in works:
        stored.write_session(project, work.session)
    with pytest.raises(StoreError, match=f"name all: speedrun accept submissions/{SLUG} submissions/{LESS}"):
        together.compare(works[1:])
    stop = stages.compare(works[0])
    assert stop is not None and not stop.final, "alone it makes no run of a comparison of several"


def test_one_that_breaks_or_is_refused_stops_no_other(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    works = works_of(project, LESS, SLUG)
    error = RunError.at("a run", "broke", "read its log")

    def perform(work: Work) -> None:
        if work is works[0]:
            raise error

    monkeypatch.setattr(together, "compare", lambda works: None)
    monkeypatch.setattr(official, "perform", perform)
    ended = together.perform(works)
    assert [(one.error, one.is_done, one.is_open) for one in ended] == [(error, False, True), (None, True, False)]
    assert together.undecided(ended) == f"submissions/{LESS}", "the other one waits: this may have gained more"
    assert own_comparison(project, works[0].session) is None


def test_what_cannot_be_accepted_in_one_go_is_refused_before_anything_is_run(project: Project) -> None:
    one, other = named(project, LESS, SLUG)
    catalog = Catalog(project)

    def refusal(*subjects: Subject) -> str:
        with pytest.raises(HarnessError) as raised:
            together.require_alike(catalog, subjects)
        return str(raised.value)

    assert "is the same script as" in refusal(one, other, one)
    by_pack = dataclasses.replace(other, ruleset=dataclasses.replace(other.ruleset, acceptance="evidence"))
    assert "accept it alone" in refusal(one, by_pack)
    elsewhere = dataclasses.replace(other, track=dataclasses.replace(other.track, name="smoke"))
    assert "compare two scripts of one track" in refusal(one, elsewhere)
    shutil.rmtree(project.records)
    catalog = Catalog(project)
    assert "has no record yet" in refusal(one, other)
