"""Acceptance by a session of fresh runs: who may make it, that it is made once, goes on after any kill, and is verified."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.cli import main
from harness.core.errors import StoreError
from harness.maintain import acceptance, official, stages
from harness.run import execution, judging
from harness.store.layout import Project
from harness.store.ledger import Ledger
from tests.cheats.gallery import changed
from tests.flow import sessions
from tests.flow.repositories import Repository
from tests.flow.sessions import SLUG, Counted, Killed
from tests.flow.test_timed_session import FIRST, add_record
from tests.scoring import tiny
from tests.shared_runs import made_once

RECORD = Path("records/tiny") / SLUG


def make_done(folder: Path) -> None:
    """A session that was killed wherever something is written down, and went on each time."""
    project = sessions.make_project(folder / "project")
    with pytest.raises(Killed), mock.patch.object(stages, "make", side_effect=Killed):
        sessions.go_on(project)  # right behind session.json
    with pytest.raises(Killed):
        sessions.go_on(project, Counted(kill_at=2))  # a run has ended, and nothing has noted it
    for place in (
        (execution.fetching, "recheck"),
        (execution, "record_end"),
    ):  # as SIGKILL leaves a run: without an end
        with pytest.raises(Killed), mock.patch.object(*place, side_effect=Killed):
            sessions.go_on(project)
    with pytest.raises(Killed), mock.patch("tests.flow.sessions.score", killing):
        sessions.go_on(project)  # a run is to be scored
    with pytest.raises(Killed):
        sessions.go_on(project, Counted(kill_at=3))  # of the probe
    with pytest.raises(Killed), mock.patch.object(official, "write_pack", side_effect=Killed):
        sessions.go_on(project)  # the result is being written
    (folder / "ids").write_text("\n".join(made_by(project)))
    _, stop = sessions.go_on(project, Counted())
    assert stop is None


def killing(*_: Any) -> Callable[..., None]:
    raise Killed


def made_by(project: Project) -> list[str]:
    """The ids of the session's runs, as the ledger names them."""
    subject = sessions.the_submission(project)
    found = official.find(Catalog(project), subject)
    assert found is not None
    return list(found.runs_of(Ledger(project.ledger).chain(subject.chain)))


@pytest.fixture
def done(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a submission and its session, of which only the last step is left."""
    made = made_once(tmp_path_factory, "session", make_done)
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


@pytest.fixture
def packed(tmp_path: Path, done: Project) -> Project:
    """The same before the session began."""
    root = tmp_path / "packed"
    shutil.copytree(done.root, root, symlinks=True, ignore=shutil.ignore_patterns(".runs"))
    return Project(root)


def speedrun(project: Project, *arguments: str) -> int:
    return main(["--root", str(project.root), *arguments])


def refused(project: Project, capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    capsys.readouterr()
    assert speedrun(project, "accept", str(project.submissions / SLUG), *arguments) == status
    assert not (project.root / RECORD).exists()
    return "".join(capsys.readouterr())


# ------------------------------------------------------------------------------------------------ one session


def test_a_session_goes_on_after_a_kill_anywhere_and_repeats_no_run(
    done: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    known = (made_once(tmp_path_factory, "session", make_done) / "ids").read_text().split("\n")
    assert made_by(done) == known, "the last start had nothing to run"
    subject = sessions.the_submission(done)
    chain = Ledger(done.ledger).chain(subject.chain)
    assert len(known) == 5  # one was ended by a kill, another one's tokens were gone; their places were run again
    assert [chain.ends[run_id].state for run_id in known].count("finished") == 3
    assert not Ledger(done.ledger).read().open
    assert len(list((done.runs / "sessions").glob("*/session.json"))) == 1
    launcher = Counted()
    _, stop = sessions.go_on(done, launcher)
    assert (stop, launcher.started) == (None, 0)


def test_a_run_that_a_killed_command_left_is_waited_for_and_gets_its_end(packed: Project) -> None:
    with pytest.raises(Killed), mock.patch.object(execution.fetching, "recheck", side_effect=Killed):
        sessions.go_on(packed)
    [left] = Ledger(packed.ledger).read().open
    with tiny.cache(packed):
        work = sessions.work_on(packed)
        said: list[str] = []
        work = replace(work, shown=replace(work.shown, say=said.append))
        answers = iter((True, True))  # its recorder has not ended it yet
        with mock.patch.object(official.run_files, "is_running", side_effect=lambda folder: next(answers, False)):
            official.settle(work)
    assert said[0].startswith(f"waiting until {left} has ended")
    assert said[1:] == [f"{left}, left by a command that was killed: finished: it ended by itself"]
    assert not Ledger(packed.ledger).read().open


def test_the_record_rests_on_the_fresh_runs_and_keeps_what_was_submitted(
    done: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    known, submission = made_by(done), done.submissions / SLUG
    before = {
        path.relative_to(submission / "evidence"): path.read_bytes() for path in files_of(submission / "evidence")
    }
    assert speedrun(done, "accept", str(submission), "--pull-request", "7") == 0
    assert "accepted as tiny/1" in capsys.readouterr().err
    record = done.root / RECORD
    assert not submission.exists()
    kept = record / acceptance.SUBMITTED
    assert {path.relative_to(kept): path.read_bytes() for path in files_of(kept)} == before
    chain = Ledger(done.ledger).read()
    finished = [run_id for run_id in known if chain.ends[run_id].state == "finished"]
    rows = (record / "runs.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == finished
    figures = yaml.safe_load((record / "record.yaml").read_text())
    assert (figures["claimed"]["runs"], figures["pull_request"]) == (3, "7")
    assert json.loads((record / "session.json").read_text())["timer"] == "@Timer"
    read = Catalog(done).read(record)
    assert read.official and read.has_evidence
    # Judged again from the record's folder alone, as anybody can.
    shutil.rmtree(done.runs)
    catalog = Catalog(done)
    gathered, verdict = judging.verify(catalog, catalog.script_here(catalog.record("tiny/1")))
    assert verdict.outcome == "pass", [str(finding) for finding in verdict.findings]
    assert [run.run_id for run in gathered.runs] == finished
    assert "as aborted" in next(finding.text for finding in verdict.findings if finding.rule == "G2")
    assert speedrun(done, "accept", str(submission)) == 0, "a kill behind the record leaves nothing to do"
    assert "was accepted already" in capsys.readouterr().err
    assert speedrun(done, "accept", str(submission), "--pull-request", "8") == 2
    assert "with pull request 7 noted; a record never changes" in capsys.readouterr().err


def files_of(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def test_a_kill_between_record_and_submission_loses_neither(done: Project, capsys: pytest.CaptureFixture[str]) -> None:
    submission = done.submissions / SLUG
    with (
        pytest.raises(Killed),
        mock.patch.object(acceptance.shutil, "rmtree", side_effect=removing_nothing(submission)),
    ):
        speedrun(done, "accept", str(submission))
    assert submission.is_dir() and (done.root / RECORD / "record.yaml").is_file()
    (submission / "README.md").unlink()  # as far as the removal came
    assert speedrun(done, "accept", str(submission)) == 0
    assert "was accepted already" in capsys.readouterr().err
    assert not submission.exists()
    submission.mkdir()
    (submission / "train_gpt.py").write_text("print('somebody else wrote this')\n")
    assert speedrun(done, "accept", str(submission)) == 2
    assert (submission / "train_gpt.py").is_file(), "another folder of that name stays"


def removing_nothing(submission: Path) -> Callable[..., None]:
    remove = shutil.rmtree

    def rmtree(path: Path, **options: Any) -> None:
        if path == submission:
            raise Killed
        remove(path, **options)

    return rmtree


def test_a_second_session_of_a_script_is_never_begun(done: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert "was begun by @Timer" in refused(done, capsys, "--timer", "@somebody")
    assert "was begun with 3 runs, which stands" in refused(done, capsys, "--runs", "5")
    [path] = (done.runs / "sessions").glob("*/session.json")
    text = path.read_text()
    path.write_text(text.replace('"declared": 3', '"declared": 4'))
    assert "is not what the session was begun with" in refused(done, capsys)
    shutil.rmtree(path.parent)
    assert "is gone, and the ledger names its runs" in refused(done, capsys)


# ------------------------------------------------------------------------------------------------ who


@pytest.mark.parametrize(
    ("timers", "flags", "words"),
    [
        ("timers: []\n", (), "nothing says who you are; nobody is listed for tiny today"),
        (
            None,
            ("--timer", "@other"),
            "'@other' is not listed, so a session of theirs is not official; listed for tiny",
        ),
        (None, ("--timer", "@T\u0456mer"), "is not listed"),
        ("timers:\n  - {handle: '@Timer', name: T, since: 2026-01-01, until: 2026-02-01}\n", (), "nobody is listed"),
        ("timers:\n  - {handle: '@Timer', name: T, since: 2026-01-01, tracks: [short]}\n", (), "nobody is listed"),
        ("timers:\n  - {handle: '@T\u0456mer', name: T, since: 2026-01-01}\n", (), "it must be a GitHub handle"),
        (
            "timers:\n  - {handle: '@somebody', name: S, since: 2026-01-01}\n",
            (),
            "@somebody is one of its contributors",
        ),
        (
            "timers:\n  - {handle: '@another', name: Somebody, since: 2026-01-01}\n",
            (),
            "@another is one of its contributors",
        ),
    ],
)
def test_a_session_is_made_by_somebody_who_is_listed(
    packed: Project, capsys: pytest.CaptureFixture[str], timers: str | None, flags: tuple[str, ...], words: str
) -> None:
    if timers is not None:
        (packed.tracks / "timers.yaml").write_text(f"schema: 1\n{timers}")
    assert words in refused(packed, capsys, *flags)
    assert not (packed.runs / "sessions").exists()


def test_a_plan_says_what_it_takes_and_begins_nothing(packed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(packed, capsys, "--plan", "--usd-per-hour", "24", "--runs", "5", status=0)
    assert "by @Timer" in said and "5 runs, declared before the first" in said
    assert re.search(r"probe +3 runs of the quick probe.* USD", said)
    assert "times are those of the submitter's machine" in said
    assert "a time that is not known" not in said, "the pack says what a run took there, and its score"
    assert re.search(r"in all +usually about .* USD", said)
    assert not (packed.runs / "sessions").exists()
    assert "asks for 3 runs or more" in refused(packed, capsys, "--plan", "--runs", "2")
    assert "needs the price of this machine" in refused(packed, capsys, "--budget-usd", "5")


def test_a_plan_says_of_too_many_steps_that_they_make_no_record(
    packed: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    add_record(packed)
    record = packed.root / "records" / "tiny" / FIRST / "record.yaml"
    for steps, words in ((4, True), (5, False)):  # the submission needs 4
        record.write_text(
            re.sub(r"train_time_s: \S+ steps: \w+", f"train_time_s: null, steps: {steps}", record.read_text())
        )
        said = refused(packed, capsys, "--plan", status=0)
        assert ("is valid, but no record: tiny/1 with 4 steps stays it" in said) == words


def test_a_ruleset_without_sessions_takes_no_flag_of_one(packed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    track = packed.tracks / "tiny.yaml"
    track.write_text(track.read_text().replace("    acceptance: session\n", ""))
    assert "accepts the submitter's evidence" in refused(packed, capsys, "--timer", "@Timer", "--plan")


def test_a_plan_of_a_session_that_is_done_says_what_it_comes_to_and_makes_no_record(
    done: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    sessions.go_on(done)
    before = {path: path.read_bytes() for path in done.root.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert speedrun(done, "accept", str(done.submissions / SLUG), "--plan") == 0
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert "is done; nothing is run again" in said
    assert re.search(rf"would be accepted as tiny/\d+: submissions/{SLUG} would move to {RECORD}", said)
    assert {path: path.read_bytes() for path in done.root.rglob("*") if path.is_file()} == before


def test_who_was_listed_stays_official_after_the_last_day_and_nobody_who_never_was(
    done: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    timers = done.tracks / "timers.yaml"
    timers.write_text(timers.read_text().replace("@Timer", "@other"))
    assert "@Timer was not listed for tiny" in refused(done, capsys)


def test_the_runs_of_a_session_are_not_one_of_the_contributors(
    done: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    timers = done.tracks / "timers.yaml"
    timers.write_text(re.sub(r"name: [^,}]+", "name: Somebody", timers.read_text()))
    assert "@Timer is one of its contributors; let somebody else" in refused(done, capsys)


# ------------------------------------------------------------------------------------------------ what it must show


def test_a_script_without_load_is_refused_before_anything_is_paid_for(packed: Project) -> None:
    with mock.patch.object(Subject, "saves", False), pytest.raises(StoreError, match="has no `save` and `load"):
        sessions.work_on(packed)


LEARNS = """\
            if step:
                train_step(model, val * 9)
            loss = validate(model, val)
"""


def test_what_a_session_finds_against_a_script_is_final(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It learns the validation text in its last gap: its scores are those that it prints, and noise shows it."""
    change = {"from": "            loss = validate(model, val)\n", "to": "            train_step(model, val)\n" * 2}
    change["to"] = (
        "            if step:\n                train_step(model, val * 9)\n            loss = validate(model, val)\n"
    )
    project = sessions.make_project(tmp_path / "project", changed("learns", tiny.HONEST, [change]))
    _, stop = sessions.go_on(project)
    assert stop is not None and stop.final
    assert any(reason.startswith("P7 fail: trained on nothing but noise") for reason in stop.reasons), stop.reasons
    launcher = Counted()
    _, again = sessions.go_on(project, launcher)
    assert again is not None and again.reasons == stop.reasons
    assert launcher.started == 0, "it is said again, and nothing is run"
    assert not (project.root / "records").exists()


# ------------------------------------------------------------------------------------------------ the pull request


@pytest.fixture(scope="module")
def accepted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = made_once(tmp_path_factory, "session", make_done)
    root = tmp_path_factory.mktemp("accepting") / "project"
    shutil.copytree(made / "project", root, symlinks=True)
    project = Project(root)
    repository = sessions.as_repository(project)
    repository.branch("accepting")
    repository.speedrun("accept", f"submissions/{SLUG}", "--pull-request", "7")
    repository.commit("accepted")
    return root


@pytest.fixture
def accepted(accepted_once: Path, tmp_path: Path) -> Repository:
    shutil.copytree(accepted_once, tmp_path / "project", symlinks=True)
    return Repository(tmp_path / "project")


def test_the_workflow_makes_the_record_again_from_its_own_folder(accepted: Repository) -> None:
    pull_request = ("pull-request", "main", "accepting")
    said = accepted.changes(*pull_request, status=0, PULL_REQUEST_AUTHOR="timer")
    assert "rests on the fresh runs of @Timer, who opened this pull request" in said
    said = accepted.changes(*pull_request, status=0)
    assert "nothing here knows who opened this pull request" in said
    said = accepted.changes(*pull_request, status=1, PULL_REQUEST_AUTHOR="somebody")
    assert "rests on runs of @Timer, and @somebody opened this pull request" in said


def edit(path: Path, pattern: str, to: str) -> None:
    text = path.read_text()
    assert re.search(pattern, text), path
    path.write_text(re.sub(pattern, to, text, count=1))


FORGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a figure": (lambda r: edit(r / "record.yaml", r"val_loss: \S+", "val_loss: 2.5"), "record.yaml is not what"),
    "a row": (lambda r: edit(r / "runs.csv", r"(own,4,\w+,)", r"\g<1>9"), "runs.csv is not what"),
    "a submitted log": (lambda r: next(r.glob("submitted/runs/*/run.json")).unlink(), "run.json is not what"),
    "a dropped run": (lambda r: shutil.rmtree(next(r.glob("evidence/runs/*/score.json")).parent), "G2 fail"),
    "a score": (lambda r: edit(next(r.glob("evidence/runs/*/score.json")), r'"val_loss": \d', '"val_loss": 1'), "fail"),
    "a probe": (
        lambda r: edit(r / "probe/probe.json", r'"untrained_loss": \d', '"untrained_loss": 9'),
        "no quick probe",
    ),
    "a loss of a probe": (
        lambda r: edit(r / "probe/probe.json", r"(\s4,\s+)\d\.\d+", r"\g<1>2.5"),
        "printed other losses",
    ),
    "a log of a probe": (lambda r: next(r.glob("probe/runs/own-noise/log.txt.xz")).unlink(), "has another log than"),
    "the verdict of a probe": (lambda r: edit(r / "probe/verdict.json", "P4", "P9"), "verdict.json"),
    "who made the runs": (lambda r: edit(r / "session.json", "@Timer", "@other"), "was begun with"),
    "how many were declared": (lambda r: edit(r / "session.json", '"declared": 3', '"declared": 2'), "was begun with"),
    "a session of no form": (lambda r: (r / "session.json").write_text('{"id": "../../x"}'), "restore it"),
    "a file more": (lambda r: (r / "probe/runs/own-noise/more.json").write_text("{}"), "more.json is not what"),
}


@pytest.mark.parametrize("case", FORGED)
def test_what_was_changed_in_a_record_of_a_session_is_refused(accepted: Repository, case: str) -> None:
    forge, words = FORGED[case]
    forge(accepted.root / RECORD)
    accepted.commit("forged")
    assert words in accepted.changes("pull-request", "main", "accepting", status=1)
