"""What a submission is judged by: its ledger while runs are made, its pack afterwards, and all of its files."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.projects import HONEST, Small, make_project, processes_of, wait_for
from tests.flow.repositories import ANSWERS
from tests.ledgers import sum_up

NAME = "submissions/2026-11-21_test"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Small]:
    small = make_project(tmp_path / "project", confined=False)
    yield small
    assert wait_for(lambda: not processes_of(small)), "a process of a run was left behind"


def test_run_judges_the_runs_that_are_there_and_an_older_pack_is_said_to_be_older(project: Small) -> None:
    folder = project.submit(HONEST)
    (folder / "README.md").write_text(ANSWERS)
    assert project.run("run", NAME).returncode == 0
    assert project.run("pack", NAME).returncode == 0
    again = project.run("run", NAME, "--runs", "4")
    assert "G2  pass            all 4 runs of the ledger count" in again.stdout
    assert "its pack lacks the 1 run made here since: speedrun pack" in again.stdout
    packed = project.run("verify", NAME, "--all")
    assert "all 3 runs of the ledger count" in packed.stdout
    assert "judged by its pack, which lacks the 1 run made here since" in packed.stdout
    assert project.run("pack", NAME).returncode == 0
    assert "made here since" not in project.run("verify", NAME).stdout

    ledger = folder / "evidence" / "ledger.jsonl"
    lines = ledger.read_text().splitlines()
    last = json.loads(lines[-1])
    for change in ({"state": "stopped", "last_step": None}, {"log_sha256": None}, {"exit_code": 1}):
        ledger.write_text("\n".join([*lines[:-1], json.dumps(last | change, sort_keys=True)]) + "\n")
        assert "does not hold the hashes of the ledgers" in project.run("check", NAME).stdout
        sum_up(folder / "evidence")
        said = project.run("check", NAME)
        assert said.returncode == 1, f"{change}: {said.stderr}"
        assert "fail " in said.stdout


def test_all_files_of_a_script_are_its_identity(project: Small) -> None:
    folder = project.submit("import helper\n" + HONEST)
    freeze(folder, "A = 1\n")
    assert project.run("run", NAME, "--runs", "1").returncode == 1  # one run decides nothing
    (folder / "helper.py").write_text("A = 2\n")
    refused = project.run("run", NAME)
    assert refused.returncode == 2
    assert "changed since its 1 run" in refused.stderr
    assert project.run("new", "--refresh", NAME).returncode == 0
    done = project.run("run", NAME)
    assert done.returncode == 0, done.stderr
    assert "earlier start" not in done.stderr
    assert project.ends() == ["finished"] * 4
    assert len({entry["script"] for entry in project.ledger()}) == 2


def freeze(folder: Path, helper: str) -> None:
    """Add a file; the next run freezes all that are there."""
    (folder / "helper.py").write_text(helper)
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().partition("files:")[0].replace("schema: 1", "schema: 2"))


def test_a_run_that_goes_on_is_no_fraud(project: Small) -> None:
    project.submit("step(1, 5)\ntime.sleep(600)\n")
    harness = project.start("run", NAME)
    assert wait_for(lambda: any(b"step:1/5" in p.read_bytes() for p in project.root.glob(".runs/*/log.txt")))
    said = project.run("verify", NAME)
    assert "is still running, or its harness was killed" in said.stdout
    assert "fail " not in said.stdout
    harness.send_signal(signal.SIGINT)
    harness.communicate(timeout=600)


def test_a_script_that_fails_once_among_runs_that_finish_is_no_dead_end(project: Small) -> None:
    body = "import pathlib\nif len(list(pathlib.Path(os.getcwd()).parents[2].glob('.runs/*/run.json'))) == 2:\n"
    project.submit(body + "    step(1, 5); os._exit(1)\n" + HONEST)
    assert project.run("run", NAME).returncode == 3
    done = project.run("run", NAME)
    assert done.returncode == 0, done.stderr
    assert project.ends() == ["finished", "failed", "finished", "finished"]
    assert "alpha adjusted for 1 aborted run" in done.stdout
