"""What was tried before is counted: runs that ended before their clock, and earlier scripts of the same folder."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.projects import HONEST, SCRIPT, Small, make_project, processes_of, wait_for
from tests.flow.repositories import ANSWERS
from tests.ledgers import seal, sum_up

NAME = "submissions/2026-11-21_test"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Small]:
    small = make_project(tmp_path / "project")
    yield small
    assert wait_for(lambda: not processes_of(small)), "a process of a run was left behind"


def unfrozen(project: Small, body: str) -> Path:
    """A submission whose files the tool freezes before the first run that counts."""
    folder = project.submit(body)
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().partition("files:")[0].replace("schema: 1", "schema: 2"))
    (folder / "README.md").write_text(ANSWERS)
    return folder


def test_a_run_that_was_ended_before_its_clock_started_counts_as_aborted(project: Small) -> None:
    project.submit("time.sleep(6)\n" + HONEST)
    harness = project.start("run", NAME)
    assert wait_for(lambda: any(b"seed:" in p.read_bytes() for p in project.root.glob(".runs/*/log.txt")))
    harness.send_signal(signal.SIGTERM)
    harness.communicate(timeout=600)
    assert project.ledger()[-1]["launched"] is True
    done = project.run("run", NAME)
    assert project.ends() == ["stopped", "finished", "finished", "finished"]
    assert "all 4 runs of the ledger count, 1 of them as aborted" in done.stdout
    assert "alpha adjusted for 1 aborted run" in done.stdout
    assert "needs < 0.00125" in done.stdout, "4 ways to choose 3 of 4, times 2 for when to stop"


def test_screening_runs_try_a_script_that_may_still_change(project: Small) -> None:
    folder = unfrozen(project, "if True: print('not yet')\n" + HONEST)
    done = project.run("run", NAME, "--screening", "--json")
    assert done.returncode == 0, done.stderr
    assert "1 screening run, in the ledger, never judged and never counted" in done.stderr
    assert "verdict" not in done.stderr and "only tried it" in done.stderr
    [run] = json.loads(done.stdout)["runs"]
    assert run["val_loss"] == pytest.approx(2.5, abs=0.01)
    assert [entry.get("purpose") for entry in project.ledger()] == [None, "screening", None]
    assert project.run("new", "--refresh", NAME).returncode == 0
    assert "it has no runs yet" in project.run("check", NAME).stdout
    assert "no judged run" in project.run("pack", NAME).stderr
    (folder / "train_gpt.py").write_text(SCRIPT + HONEST)
    done = project.run("run", NAME)
    assert done.returncode == 0, done.stderr
    assert "alpha adjusted" not in done.stdout, "a script that was only tried takes no share of the level"
    assert "it is one of 2 scripts that had been tried on this track by then" in done.stdout
    assert project.run("run", NAME, "--screening").returncode == 0
    assert "all 3 runs of the ledger count" in project.run("verify", NAME, "--all").stdout
    assert project.run("pack", NAME).returncode == 0
    checked = project.run("check", NAME)
    assert checked.returncode == 0, checked.stderr
    assert len(list((folder / "evidence" / "runs").iterdir())) == 3, "screening runs are not packed"


def test_earlier_scripts_of_a_folder_stand_in_its_pack_and_make_the_level_stricter(project: Small) -> None:
    folder = unfrozen(project, HONEST)
    assert project.run("run", NAME, "--runs", "1").returncode == 1  # one run decides nothing
    (folder / "train_gpt.py").write_text(SCRIPT + "A = 2\n" + HONEST)
    assert project.run("new", "--refresh", NAME).returncode == 0
    done = project.run("run", NAME)
    assert done.returncode == 0, done.stderr
    assert "needs < 0.0025); alpha adjusted for 1 other script of this folder" in done.stdout
    assert "it is one of 2 scripts that had been tried on this track by then" in done.stdout
    assert project.run("pack", NAME).returncode == 0
    checked = project.run("check", NAME, "--all")
    assert checked.returncode == 0, checked.stderr
    assert "alpha adjusted for 1 other script" in checked.stdout

    pack = folder / "evidence"
    lines = (pack / "ledger.jsonl").read_text().splitlines(keepends=True)
    assert len({json.loads(line)["script"] for line in lines}) == 2
    (pack / "ledger.jsonl").write_text("".join(lines[3:]))  # without the earlier script
    assert "does not hold the hashes of the ledgers" in project.run("check", NAME).stdout
    sum_up(pack)
    said = project.run("check", NAME).stdout
    assert "ledger.jsonl:1 declares the script as number 2 of its folder, here it is number 1" in said
    (pack / "ledger.jsonl").write_text(
        "".join(line.replace('"submissions/2026-11-21_test"', '"x"', 1) for line in lines)
    )
    sum_up(pack)
    assert "is not a ledger entry" in project.run("check", NAME).stdout


def test_every_file_of_a_pack_is_the_one_that_was_hashed(project: Small) -> None:
    folder = project.submit(HONEST)
    (folder / "README.md").write_text(ANSWERS)
    assert project.run("run", NAME).returncode == 0
    run = next(path for path in project.run_folders())
    for name in ("clock.csv", "reads.csv"):
        whole = (run / name).read_bytes()
        (run / name).write_bytes(whole + b"torn" if name == "reads.csv" else whole.replace(b"exit,", b"exit,9", 1))
        assert f"{name} of {run.name} is not the one that the ledger hashed" in project.run("verify", NAME).stdout
        (run / name).write_bytes(whole)
    assert project.run("pack", NAME).returncode == 0
    packed = folder / "evidence" / "runs" / run.name
    kept = (packed / "clock.csv.xz").read_bytes()
    (packed / "clock.csv").write_bytes((run / "clock.csv").read_bytes())
    assert f"clock.csv of {run.name} is there twice" in project.run("check", NAME).stdout
    (packed / "clock.csv.xz").unlink()
    assert project.run("check", NAME).returncode == 0, "the same bytes, not compressed"
    (packed / "clock.csv").unlink()
    assert f"clock.csv of {run.name} is not the one" in project.run("check", NAME).stdout
    (packed / "clock.csv.xz").write_bytes(kept)
    (packed / "telemetry.csv").write_bytes(b"")
    assert f"telemetry.csv of {run.name} is not the one" in project.run("check", NAME).stdout
    (packed / "telemetry.csv").unlink()
    (folder / "evidence" / "ledger.sha256").unlink()
    assert "ledger.sha256: is missing" in project.run("check", NAME).stdout


def test_a_ledger_whose_hashes_were_made_anew_is_no_damage(project: Small) -> None:
    """The limit that the pages state: who computes every hash anew is not seen."""
    (project.submit(HONEST) / "README.md").write_text(ANSWERS)
    assert project.run("run", NAME).returncode == 0
    run = project.run_folders()[0]
    data = (run / "run.json").read_text()
    (run / "run.json").write_text(data.replace('"kernel": "', '"kernel": "9'))
    assert "run.json of" in project.run("verify", NAME).stdout
    seal(project.root / ".runs" / "ledger.jsonl", project.root / ".runs")
    assert project.run("verify", NAME).returncode == 0
