"""How the end of a run is written down: what the recorder received is what counts, and the ledger hashes all that is kept."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from harness.core import codec
from harness.core.measurement import Confinement, RunOutcome
from harness.launch.launcher import LaunchPlan
from harness.run import ending, execution
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.packs import write_pack
from tests.cheats.gallery import HONEST, eight_h100, make_project, the_case
from tests.ledgers import declared

LOG, STAMPS = b"clock:start\nstep:1/5 train_time:5ms step_avg:5ms\n", b"line,monotonic_ns\nstart,1\n1,2\n2,3\nexit,4\n"


class Pretended:
    """Writes what a recorder writes of a finished run, lets somebody meddle with it, and launches nothing."""

    def __init__(self, meddle: Callable[[Path], Any] = lambda folder: None, **changes: Any) -> None:
        self.meddle, self.changes = meddle, changes

    def confined_by(self, plan: LaunchPlan) -> Confinement:
        return Confinement("none", None)

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        files = {"log.txt": LOG, "clock.csv": STAMPS}
        for name, content in files.items():
            (plan.folder / name).write_bytes(content)
        received = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        told = {"state": "finished", "exit_code": 0, "wall_time_s": 1.0, "received": received} | self.changes
        outcome = RunOutcome(**told)
        (plan.folder / "outcome.json").write_text(codec.to_text(outcome))
        self.meddle(plan.folder)
        return outcome


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path, HONEST)


def execute(project: Project, launcher: Any) -> tuple[RunOutcome, dict[str, Any], Path]:
    """Make one run; return its outcome, its end entry and its folder."""
    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(project.root / "cache")):
        ready = execution.prepare(the_case(project), eight_h100())
        run_id = run_files.new_run_id("a" * 64)
        outcome = execution.execute(project, ready, run_id, "s", launcher, lambda line: None)
    end = json.loads(project.ledger.read_text().splitlines()[-1])
    assert (end["kind"], end["run"]) == ("end", run_id)
    return outcome, end, run_files.run_folder(project, run_id)


def test_the_end_entry_hashes_everything_that_a_pack_keeps(project: Project, tmp_path: Path) -> None:
    outcome, end, folder = execute(project, Pretended(lambda folder: (folder / "reads.csv").write_text("a\n")))
    assert outcome.state == "finished" and end["launched"] is True
    assert end["received"] == outcome.received
    assert end["files"].keys() == {"run.json", "clock.csv", "reads.csv"}
    for name, digest in end["files"].items():
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest(), "final when it was hashed"
    write_pack(tmp_path / "packed", Ledger(project.ledger).read(), [folder], the_case(project).script)
    kept = {path.name.removesuffix(".xz") for path in (tmp_path / "packed/evidence/runs" / folder.name).iterdir()}
    assert kept == {*end["files"], "log.txt"}


@pytest.mark.parametrize("name", ["log.txt", "clock.csv"])
@pytest.mark.parametrize(
    "change", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes() + b"x\n")]
)
def test_a_log_or_stamps_other_than_the_recorder_received_are_no_finished_run(
    project: Project, name: str, change: Callable[[Path], Any]
) -> None:
    outcome, end, folder = execute(project, Pretended(lambda folder: change(folder / name)))
    assert (outcome.state, end["state"]) == ("failed", "failed")
    assert outcome.reason == f"{name} is not what the recorder received"
    assert run_files.read_run_file(folder).outcome == outcome
    assert end["received"] == outcome.received, "what arrived, not what lies there"


def test_what_ended_a_run_stays_the_first_reason(project: Project) -> None:
    stopped = Pretended(lambda folder: (folder / "log.txt").unlink(), state="stopped", reason="stopped by the user")
    outcome, _, _ = execute(project, stopped)
    assert outcome.state == "stopped"
    assert outcome.reason == "stopped by the user; log.txt is not what the recorder received"


def test_a_recorder_of_before_that_names_no_digests_is_believed(project: Project) -> None:
    outcome, end, _ = execute(project, Pretended(received={}))
    assert (outcome.state, end["received"]) == ("finished", {})


def test_a_run_during_which_the_ledger_was_changed_is_refused_and_the_change_is_named(project: Project) -> None:
    execute(project, Pretended())
    lines = project.ledger.read_bytes().splitlines(keepends=True)

    def forget_the_first_run(folder: Path) -> None:
        now = project.ledger.read_bytes().splitlines(keepends=True)
        project.ledger.write_bytes(b"".join([now[0], *now[3:]]))

    outcome, end, _ = execute(project, Pretended(forget_the_first_run))
    assert outcome.state == end["state"] == "failed"
    assert outcome.reason is not None
    assert outcome.reason.startswith(
        "ledger.jsonl:2 was changed, or an entry before it was removed while the run went on"
    )
    assert len(lines) == 3


def test_other_entries_may_be_added_to_the_ledger_while_a_run_goes_on(project: Project) -> None:
    add = Pretended(lambda folder: Ledger(project.ledger).append(declared("b" * 64)))
    assert execute(project, add)[0].state == "finished"


class Unlaunched:
    """Dies before anything is launched."""

    def confined_by(self, plan: LaunchPlan) -> Confinement:
        return Confinement("none", None)

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        raise KeyboardInterrupt


def test_a_run_that_was_never_launched_does_not_count(project: Project) -> None:
    with pytest.raises(KeyboardInterrupt):
        execute(project, Unlaunched())
    failed = {"state": "failed", "exit_code": None, "reason": "torchrun cannot be started"}
    _, end, _ = execute(project, Pretended(lambda folder: (folder / "log.txt").write_bytes(b""), received={}, **failed))
    assert end["launched"] is False
    chain = Ledger(project.ledger).read()
    assert (len(chain.starts), chain.counted) == (2, ())
    _, printed, _ = execute(project, Pretended(**failed))
    assert printed["launched"] is True, "what printed something was launched, whatever its outcome says"


def test_a_run_whose_folder_is_gone_counts(project: Project) -> None:
    assert ending.was_launched(project.runs / "gone", RunOutcome("lost", None, 0.0))
