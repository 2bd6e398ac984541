"""A real run, watched on real terminals of 60, 80 and 160 columns: what stands on the screens, read from tmux."""

from __future__ import annotations

import re
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.projects import Small, make_project, wait_for

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed, and no screen can be read")

# Each run stops at its eighth step until a file of the project is there: `first`, or for the second run `second`.
BODY = """
log("tokens_per_step:4096")
wanted = "ROOT/second" if os.path.exists("ROOT/first") else "ROOT/first"
for n in range(13):
    step(n, 12, 5.0 - n / 6 - SEED % 9973 / 1e6 if n % 2 == 0 else None)
    while n == 8 and not os.path.exists(wanted):
        time.sleep(0.05)
"""
RECORD = """\
schema: 1
track: tiny
ruleset: tiny@1
number: 1
kind: record
retimes: null
date: 2026-11-20
title: A record
contributors: ['@somebody']
pull_request: null
claimed: {train_time_s: null, steps: 12, val_loss: null, runs: 3}
notes: null
withdrawn: null
"""


class Terminals:
    """Terminals of tmux, on a server of their own."""

    def __init__(self, project: Small) -> None:
        self.project = project
        self.socket = f"speedrun-{secrets.token_hex(4)}"

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-L", self.socket, "-f", "/dev/null", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=self.project.env()).stdout

    def start(self, name: str, width: int, height: int, *arguments: str) -> None:
        """Start a verb on a terminal of this size; when it has ended, the terminal says so."""
        root = self.project.root
        command = f"{shlex.join(self.project.command(*arguments))}; echo ended with $?; cat"
        self.tmux("new-session", "-d", "-s", name, "-x", str(width), "-y", str(height), "-c", str(root), command)

    def screen(self, name: str) -> str:
        return "\n".join(line.rstrip() for line in self.tmux("capture-pane", "-p", "-t", name).splitlines())

    def wait(self, name: str, pattern: str) -> str:
        """Wait until a screen shows this, or its command has ended; return it as it was then."""
        shown: list[str] = []

        def found() -> bool:
            shown[:] = [self.screen(name)]
            return re.search(rf"{pattern}|^ended with", shown[0], re.MULTILINE) is not None

        assert wait_for(found)
        assert re.search(pattern, shown[0], re.MULTILINE), shown[0]
        return shown[0]

    def has_cursor(self, name: str) -> bool:
        return self.tmux("display-message", "-p", "-t", name, "#{cursor_flag}").strip() == "1"


@pytest.fixture
def terminals(tmp_path: Path) -> Iterator[Terminals]:
    project = make_project(tmp_path / "project", confined=False)
    record = project.root / "records" / "tiny" / "2026-11-20_a-record"
    record.mkdir(parents=True)
    (record / "record.yaml").write_text(RECORD)
    curve = "".join(f"{step},{5.1 - step / 6:.4f},{step / 10}\n" for step in range(0, 13, 2))
    (record / "curve.csv").write_text(f"step,val_loss,train_time_s\n{curve}")
    project.submit(BODY.replace("ROOT", str(project.root)))
    opened = Terminals(project)
    yield opened
    subprocess.run(["tmux", "-L", opened.socket, "kill-server"], capture_output=True, check=False)


def assert_whole(screen: str, width: int) -> None:
    """Nothing is cut, stands twice or lies over something else."""
    assert screen.count("run 1 of 2 · ") == 1, screen
    assert "…" not in screen, screen
    assert re.search(r"^[━─ ]+ +\d+ %  step \d+/12$|[━─]+ +\d+ %  step \d+/12 ", screen, re.MULTILINE), screen
    for said in ("of this run", "of the command", r"val_loss \d\.\d{4} at step \d+", "above the target 3"):
        assert re.search(said, screen), (said, screen)
    assert re.search(r"0\.\d{4} below tiny/1 at step \d+", screen), screen
    assert re.search(r"\d+\.\d ms/step", screen), screen
    assert "USD since it began" in screen, screen
    assert "⠤⠤⠤ this run  ··· tiny/1" in screen, screen
    box = [line for line in screen.splitlines() if "┌" in line or "└" in line]
    assert len(box) == 2 and len({line.index(sign) for line, sign in zip(box, "┌└", strict=True)}) == 1, screen
    assert max(map(len, screen.splitlines())) <= width, screen


def test_a_run_is_watched_on_three_terminals_until_ctrl_c(terminals: Terminals) -> None:
    terminals.start(
        "w80", 80, 30, "run", "submissions/2026-11-21_test", "--runs", "2", "--usd-per-hour", "24"
    )  # fmt: skip
    terminals.wait("w80", r"run 1 of 2 · ")
    terminals.start("w60", 60, 30, "show", "--follow")
    terminals.start("w160", 160, 30, "show", "--follow")
    for name, width in (("w60", 60), ("w80", 80), ("w160", 160)):
        assert_whole(terminals.wait(name, r"val_loss \d\.\d+ at step 8"), width)
    (terminals.project.root / "first").touch()
    for name in ("w60", "w160"):
        screen = terminals.wait(name, r"^ended with 0$")
        assert screen.count("run 1 of 2 · ") == 1 and re.search(r"finished after \d+ s", screen), screen
        assert terminals.has_cursor(name)
    terminals.wait("w80", r"^run 2 of 2 · [\s\S]*val_loss \d\.\d+ at step 8")
    terminals.tmux("send-keys", "-t", "w80", "C-c")
    screen = terminals.wait("w80", r"^ended with 130$")
    assert "stopped after" in screen
    assert "step" in screen and "⠤⠤⠤ this run" in screen, "the last state stays"
    assert "speedrun: stopped by Ctrl-C" in screen.splitlines()
    assert terminals.has_cursor("w80")
    assert terminals.project.ends() == ["finished", "stopped"]
