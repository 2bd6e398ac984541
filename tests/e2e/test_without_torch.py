"""Judging and reading need no torch: every verb that a laptop without it offers runs with torch refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REFUSED = (
    "import sys\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] == 'torch': raise ImportError('torch is refused')\n"
    "sys.meta_path.insert(0, Refuse())\n"
    "from harness.cli import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "smoke/2"),
        ("board", "--check"),
        ("show", "short/88"),
        ("log", "tests/golden/logs"),
        ("fetch", "--list", "smoke"),
        ("run", "smoke", "--plan"),
        ("doctor",),
    ],
    ids=lambda arguments: arguments[0],
)
def test_this_verb_works_without_torch(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_run_without_torch_says_what_to_install(tmp_path: Path) -> None:
    # importlib.metadata finds no torch in a folder that holds only the harness and what it needs to say so.
    program = (
        "import importlib.metadata as m\n"
        "real = m.version\n"
        "def version(name):\n"
        "    if name == 'torch': raise m.PackageNotFoundError(name)\n"
        "    return real(name)\n"
        "m.version = version\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program + REFUSED, "run", "smoke"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install '.[train]'" in done.stderr
