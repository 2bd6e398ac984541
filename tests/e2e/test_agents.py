"""The loop of docs/agents.md on the smoke track, with real training: one try that passes, one that does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_loop_tries_fewer_steps_of_the_smoke_record_and_keeps_what_passes(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the smoke record trains with torch (pip install .[train])")
    for name in ("tracks", "records/smoke", "submissions/_template"):
        shutil.copytree(ROOT / name, tmp_path / name)
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("-m", "harness", "new", "fewer", "--from", "smoke/4", "--by", "@somebody")
    [folder] = tmp_path.glob("submissions/*_fewer")
    script = folder / "train_gpt.py"
    before = script.read_text()
    page = (ROOT / "docs" / "agents.md").read_text()
    [pattern] = re.findall(r"loop\.py submissions/<slug> '(.*)' 4`", page)
    said = run(str(ROOT / "examples/agents/loop.py"), str(folder.relative_to(tmp_path)), pattern, "60")
    assert "best: 68 after" in said
    rows = [line.split("\t") for line in (folder.parent / "results.tsv").read_text().splitlines()]
    assert [(row[0], row[1], row[2], row[5]) for row in rows] == [
        ("68", "passed", "", "True"),
        ("8", "failed", "target", "False"),
    ]
    assert script.read_text() == before, "what did not pass was put back"
