"""A newcomer's first hour: run the smoke record for real, then submit it, pack it, check it and have it accepted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORD = ROOT / "records" / "smoke" / "2026-11-21_muon"
NAME = "2026-11-21_fewer-steps"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for name in ("tracks", "records"):
        shutil.copytree(ROOT / name, root / name)
    folder = root / "submissions" / NAME
    folder.mkdir(parents=True)
    script = (
        (RECORD / "script" / "train_gpt.py")
        .read_text()
        .replace("num_iterations: int = 100", "num_iterations: int = 95")
    )
    (folder / "train_gpt.py").write_text(script)
    (folder / "manifest.yaml").write_text(
        "schema: 1\ntrack: smoke\nruleset: smoke@1\ntitle: Five steps fewer\ncontributors: ['@newcomer']\nparent: smoke/2\n"
        f"claim: ml\nentry: train_gpt.py\nfiles:\n  train_gpt.py: {hashlib.sha256(script.encode()).hexdigest()}\n"
    )
    return root


def speedrun(project: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(project / "cache"),
        "HOME": str(project),
    }
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


def test_from_a_script_to_a_row_on_the_leaderboard(project: Path) -> None:
    submission = f"submissions/{NAME}"
    assert "it has no runs yet" in speedrun(project, "check", submission).stderr
    said = speedrun(project, "run", submission).stderr
    assert "verdict: pass" in said
    assert "smoke/2 holds the record with 100 steps; this is 5 fewer: a new record" in said
    assert "tokens/s" in said
    assert "packed 3 runs" in speedrun(project, "pack", submission).stderr
    verdict = json.loads(speedrun(project, "verify", submission, "--json").stdout)
    assert verdict["outcome"] == "pass"
    shutil.rmtree(project / ".runs")  # the maintainer has only the pack
    assert "verdict: pass" in speedrun(project, "check", submission).stderr
    assert "accepted as smoke/3" in speedrun(project, "accept", submission).stderr
    assert not (project / submission).exists()
    assert "| **3** | **95** |" in (project / "leaderboard.md").read_text()
    speedrun(project, "board", "--check")
    assert "verdict: pass" in speedrun(project, "verify", "smoke/3").stderr


def test_an_edited_log_in_a_pack_is_named(project: Path) -> None:
    folder = project / "records" / "smoke" / "2026-11-21_muon"
    [log, *_] = sorted((folder / "evidence" / "runs").glob("*/log.txt"))
    text = log.read_text()
    cut = text.rindex("val_loss:")
    log.write_text(text[: cut + 9] + "2.8000" + text[cut + 15 :])
    said = speedrun(project, "verify", "smoke/2", status=1).stderr
    assert "G2  fail" in said
    assert "is not the one that the ledger hashed" in said


def test_a_run_taken_out_of_a_pack_is_named(project: Path) -> None:
    folder = project / "records" / "smoke" / "2026-11-21_adamw-baseline"
    [run, *_] = sorted((folder / "evidence" / "runs").iterdir())
    shutil.rmtree(run)
    said = speedrun(project, "verify", "smoke/1", status=1).stderr
    assert f"{run.name} was started and is not among the runs" in said


def test_a_race_for_eight_gpus_says_at_once_what_is_missing(project: Path) -> None:
    said = speedrun(project, "replay", "short/12", status=2).stderr
    assert "8× NVIDIA H100 80GB HBM3" in said
    assert "--dry" in said


def test_a_dry_run_of_that_race_goes_through_the_whole_pipeline(project: Path) -> None:
    said = speedrun(project, "replay", "short/12", "--dry").stderr
    assert "went through" in said
    assert "verdict" not in said
