"""What a newcomer sees of records that are there: damaged evidence, a race for machines that are not here, a dry run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.named import as_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("tracks", "records"):
        shutil.copytree(ROOT / name, root / name)
    as_of(root, "smoke/2")
    return root


def speedrun(project: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(project / "cache"),
        "HOME": str(project),
    }
    done = warm.speedrun(*arguments, cwd=project, env=environment, python=sys.executable)
    assert done.returncode == status, done.stderr
    return done


def test_verify_of_a_record_speaks_of_its_evidence_and_of_no_run_here(project: Path) -> None:
    said = speedrun(project, "verify", "smoke/2", "--all").stdout
    assert "the row that its evidence earns:" in said
    assert "judged by its own evidence; seconds are those of the machine that ran it" in said
    assert "run again" not in said and "would earn" not in said and "this machine's" not in said
    assert "this is the record smoke/1, judged by its own evidence; smoke/2 is the current one" in (
        speedrun(project, "verify", "smoke/1", "--all").stdout
    )


def test_what_is_not_known_is_a_dash_and_a_cut_name_says_so(project: Path) -> None:
    table = speedrun(project, "verify", "short/12", "--all", status=1).stdout.splitlines()[2:4]
    assert table[1].split()[1:] == ["-", "1875", "3.2783", "301.82", "s", "-"]
    shown = speedrun(project, "show", "short/88").stdout
    rows = [line.split()[0] for line in shown.splitlines() if "  own  " in line]
    assert len(rows) == 10
    assert all(row.startswith("…/prefix-1375-8x/") for row in rows)
    assert "there is no script in its folder" in speedrun(project, "run", "short/88", status=2).stderr


def test_an_edited_log_in_a_pack_is_named(project: Path) -> None:
    folder = project / "records" / "smoke" / "2026-11-21_muon"
    [log, *_] = sorted((folder / "evidence" / "runs").glob("*/log.txt"))
    text = log.read_text()
    cut = text.rindex("val_loss:")
    log.write_text(text[: cut + 9] + "2.8000" + text[cut + 15 :])
    said = speedrun(project, "verify", "smoke/2", status=1).stdout
    assert "G2  fail" in said
    assert "is not the one that the ledger hashed" in said


def test_a_run_taken_out_of_a_pack_is_named(project: Path) -> None:
    folder = project / "records" / "smoke" / "2026-11-21_adamw-baseline"
    [run, *_] = sorted((folder / "evidence" / "runs").iterdir())
    shutil.rmtree(run)
    said = speedrun(project, "verify", "smoke/1", status=1).stdout
    assert f"{run.name} was started and is not among the runs" in said


def test_a_race_for_eight_gpus_says_at_once_what_is_missing(project: Path) -> None:
    said = speedrun(project, "replay", "short/12", status=2).stderr
    assert "8× NVIDIA H100 80GB HBM3" in said
    assert "--dry" in said


def test_a_dry_run_of_that_race_goes_through_the_whole_pipeline(project: Path) -> None:
    track = project / "tracks" / "short.yaml"
    text = track.read_text()
    assert "num_iterations=20, val_tokens=8192, " in text
    # As many steps as the track's own dry run says more about the computer than about the pipeline.
    track.write_text(text.replace("num_iterations=20, val_tokens=8192, ", "num_iterations=4, val_tokens=1024, "))
    said = speedrun(project, "replay", "short/12", "--dry").stdout
    assert "succeeded: launch, log and clock work here" in said
    assert "verdict" not in said
