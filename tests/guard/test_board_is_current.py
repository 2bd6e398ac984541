"""The leaderboard in the checkout is what its records say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).parents[2]
PAGES = ("2024-11-19_flex-attention.md is missing", "nobody.md belongs to no record")


def board(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.speedrun("--root", str(root), "board", *arguments, cwd=ROOT, env=os.environ)


def test_the_board_is_current() -> None:
    done = board(ROOT, "--check")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("tracks", "leaderboard"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copytree(ROOT / "records", tmp_path / "records", ignore=shutil.ignore_patterns("script", "runs"))
    shutil.copyfile(ROOT / "leaderboard.md", tmp_path / "leaderboard.md")
    return tmp_path


def test_every_kind_of_drift_is_named(copy: Path) -> None:
    (copy / "leaderboard.md").write_text((copy / "leaderboard.md").read_text().replace("1.23 min", "1.13 min"))
    (copy / "leaderboard" / "records.json").unlink()
    record = copy / "records" / "short" / "2024-11-19_flex-attention" / "curve.csv"
    record.write_text(record.read_text().replace("10.8258", "10.7258"))
    for figure in ("leaderboard/progress-short.svg",):
        (copy / figure).write_text("<svg/>")
    (copy / "leaderboard" / "short" / "2024-11-19_flex-attention.md").unlink()
    (copy / "leaderboard" / "short" / "nobody.md").write_text("left over")
    done = board(copy, "--check")
    assert done.returncode == 1
    for name in (
        "leaderboard.md is not what",
        "records.json is missing",
        "progress-short.svg shows other data",
        *PAGES,
    ):
        assert name in done.stdout
    assert board(copy).returncode == 0
    assert board(copy, "--check").returncode == 0
