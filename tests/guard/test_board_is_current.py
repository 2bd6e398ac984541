"""The leaderboard in the checkout is what its records say."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from harness.board import leaderboard
from harness.store.layout import Project
from tests import warm

ROOT = Path(__file__).parents[2]


def board(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.speedrun("--root", str(root), "board", *arguments, cwd=ROOT, env=os.environ)


def test_the_board_is_current() -> None:
    done = board(ROOT, "--check")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("tracks", "leaderboard", "records"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for name in ("leaderboard.md", "retimings.yaml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def test_every_generated_file_is_covered() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "leaderboard", "leaderboard.md"], cwd=ROOT, capture_output=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    committed = {name for name in listed.stdout.decode().split("\0") if name}
    assert committed == set(leaderboard.read_and_render(Project(ROOT)))


def test_every_kind_of_drift_is_named(copy: Path) -> None:
    folder = copy / "leaderboard"
    page = (copy / "leaderboard.md").read_text()
    (copy / "leaderboard.md").write_text(page.replace("Current record", "Best record", 1))
    (folder / "records.json").unlink()
    (folder / "records.csv").write_bytes(b"\xff\xfe")
    record = copy / "records" / "short" / "2024-11-19_flex-attention" / "curve.csv"
    record.write_text(record.read_text().replace("3.8399", "3.7399"))
    (folder / "progress-short.svg").write_text("<svg/>")
    (folder / "progress-nobody.svg").write_text("left over")
    (folder / "short" / "2024-11-18_nobody.svg").write_text("left over")
    (folder / "short" / "nobody.md").write_text("left over")
    (folder / "short" / "2024-11-24_window-warmup.md").unlink()
    (folder / "gone").mkdir()
    (folder / "gone" / "notes.txt").write_text("of somebody")
    (folder / "gains-short.svg").unlink()
    (folder / "gains-short.svg").symlink_to("gains-medium.svg")
    done = board(copy, "--check")
    assert done.returncode == 1
    told = {
        "leaderboard.md is not what the records say",
        "leaderboard/records.json is missing",
        "leaderboard/records.csv is not what the records say",
        "leaderboard/progress-short.svg is not what the records say",
        "leaderboard/progress-nobody.svg is nothing that a record makes",
        "leaderboard/short/2024-11-18_nobody.svg is nothing that a record makes",
        "leaderboard/short/nobody.md is nothing that a record makes",
        "leaderboard/short/2024-11-24_window-warmup.md is missing",
        "leaderboard/gone/notes.txt is nothing that a record makes, and no file of the board: remove it yourself",
        "leaderboard/gains-short.svg is no plain file",
        "leaderboard/curves-short.svg is not what the records say",  # the curve that was changed, on three pages
        "leaderboard/short/2024-11-19_flex-attention.md is not what the records say",
        "leaderboard/short/2024-11-19_flex-attention.svg is not what the records say",
        "leaderboard/short/2024-11-24_window-warmup.svg is not what the records say",
    }
    assert set(done.stdout.splitlines()) == told | {"run `speedrun board` and commit what it writes"}
    written = board(copy)
    assert written.returncode == 0
    assert "leaderboard/short/nobody.md was removed" in written.stderr
    assert "leaderboard/gone/notes.txt is nothing that a record makes, and no file of the board" in written.stderr
    assert (folder / "gone" / "notes.txt").read_text() == "of somebody"
    (folder / "gone" / "notes.txt").unlink()
    assert board(copy, "--check").returncode == 0
    assert (folder / "gains-medium.svg").read_text() != (folder / "gains-short.svg").read_text()
