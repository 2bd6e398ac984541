"""Two submissions at once: their branches merge in either order, and accepting them in either order gives one board."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.flow.repositories import Repository

SLUGS = {"muon": "2026-11-18_muon", "adamw": "2026-11-19_adamw"}


def board(project: Repository) -> tuple[list[dict[str, Any]], str]:
    """The board without the numbers: its rows, and the sentence about the current record."""
    rows = json.loads((project.root / "leaderboard" / "records.json").read_text())["records"]
    for row in rows:
        row.pop("number")
    page = (project.root / "leaderboard.md").read_text()
    [current] = [line for line in page.splitlines() if line.startswith("Current record")]
    return sorted(rows, key=lambda row: str(row["slug"])), current.replace("#1,", "#,").replace("#2,", "#,")


def test_two_submissions_merge_and_are_accepted_in_either_order(tmp_path: Path) -> None:
    project = Repository.make(tmp_path / "project", records=())
    for name, slug in SLUGS.items():
        project.branch(name)
        project.submit(name, slug, title=f"With {name}")
        project.commit(name)
    trees, boards, numbers = set(), [], []
    for order in (("muon", "adamw"), ("adamw", "muon")):
        project.branch("-then-".join(order))
        for name in order:
            project.git("merge", "-q", "--no-edit", name)
        trees.add(project.git("rev-parse", "HEAD^{tree}"))
        shutil.copytree(project.root, tmp_path / order[0], symlinks=True)
        accepted = Repository(tmp_path / order[0])
        numbers.append([accepted.speedrun("accept", f"submissions/{SLUGS[name]}").count("smoke/1") for name in order])
        accepted.speedrun("board", "--check")
        boards.append(board(accepted))
    assert len(trees) == 1
    assert boards[0] == boards[1]
    assert len(boards[0][0]) == 2
    assert "100 steps" in boards[0][1]
    assert numbers == [[1, 0], [1, 0]]  # who is accepted first is number 1
