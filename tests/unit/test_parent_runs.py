"""A session makes the runs of the parent that are missing: those of another machine, or thrown away, tell nothing here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from harness.core.measurement import DataReceipt, Machine
from harness.machine import computer
from harness.maintain import stages
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.run_files import RunFile, run_folder, write_run_file
from tests.ledgers import SCRIPT, declared, ended, started


def test_runs_of_the_parent_count_where_they_are_of_this_machine_and_still_there(tmp_path: Path) -> None:
    project, here = Project(tmp_path), computer.capture()
    work = SimpleNamespace(project=project)
    ledger = Ledger(project.ledger)
    ledger.append(declared())

    def add(run_id: str, machine: Machine | None) -> int:
        ledger.append(started(run_id))
        ledger.append(ended(run_id))
        if machine is not None:
            run_folder(project, run_id).mkdir(parents=True)
            write_run_file(run_folder(project, run_id), replace(FILE, id=run_id, machine=machine))
        return stages.missing_of_parent(work)  # type: ignore[arg-type]

    with mock.patch.object(stages, "parent_script", return_value=SimpleNamespace(chain=SCRIPT)):
        assert add("thrown-away", None) == stages.PARENT_RUNS == 2
        assert add("of-another-kernel", replace(here, fingerprint="0" * 64)) == 2
        assert add("first", here) == 1
        assert add("second", here) == 0
    with mock.patch.object(stages, "parent_script", return_value=None):
        assert stages.missing_of_parent(work) == 0  # type: ignore[arg-type]


FILE = RunFile(
    schema=2,
    id="a",
    series="s",
    subject="records/tiny/first",
    track="tiny",
    ruleset="tiny@1",
    script_sha256="a" * 64,
    files={"train_gpt.py": "a" * 64},
    processes=1,
    arguments=("seed=7",),
    dry=False,
    started_at="2026-11-21T00:00:00Z",
    machine=computer.capture(),
    data=DataReceipt("synthetic", None, ()),
    outcome=None,
    log_sha256=None,
)
