"""A small project in a temporary folder, and the real command line on it, for tests that start real runs.

The track asks for one process; the scripts print what a training script prints without importing torch, so that a run
costs what torchrun costs (about two seconds), or nothing with the small torchrun of `warm.python_with_small_torch`.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import warm

ROOT = Path(__file__).parents[2]

TRACK = """\
schema: 1
name: tiny
title: a track of the tests
target_loss: 3.0
metric: steps
validation_tokens: 4096
train_tokens: 16384
runs: 3
silence_limit_s: 600
time_limit_s: 3600
hardware: {kind: any, processes: PROCESSES}
data:
  source: synthetic
  seed: 7
  folder: data/tiny
  train_pattern: tiny_train_%06d.bin
  val_pattern: tiny_val_%06d.bin
  train_shards: 1
  shard_tokens: 16384
  shards: []
dry: [num_iterations=2]
rulesets:
  - id: tiny@1
    since: 2026-01-01
    until: null
    summary: Rules of the tests.
    timer: The script's own.
    untimed_steps: 0
    significance: {test: t, alpha: 0.01, min_runs: 3}
    evidence: [logs, script, seeds, clock, machine, ledger]
    forbidden: []
    allowed: []
"""

# What an honest script prints; BODY runs after the header, on every rank.
SCRIPT = """\
import os, sys, time
RANK = int(os.environ["RANK"])
SEED = int(sys.argv[1].split("=")[1])
def log(line):
    if RANK == 0:
        print(line, flush=True)
if RANK == 0:
    sys.stdout.buffer.write(open(__file__, "rb").read()); sys.stdout.buffer.flush()
log("=" * 100)
log("Running Python 3.11.7 (main) [GCC]")
log(f"seed:{SEED}")
log(f"world_size:{os.environ['WORLD_SIZE']}")
log("val_tokens:4096")
for argument in sys.argv[2:]:
    log("override:" + argument)
log("=" * 100)
TIMED, T0 = 0.0, None
def start():
    global T0
    log("clock:start")
    T0 = time.perf_counter()
def stop():
    global TIMED, T0
    TIMED, T0 = TIMED + time.perf_counter() - T0, None
    log("clock:stop")
def step(n, of, loss=None, time_ms=None):
    if T0 is None and n < of:
        start()
    if loss is not None and T0 is not None:
        stop()
    elif T0 is not None:
        time.sleep(0.01)
    t = 1000 * (TIMED if T0 is None else TIMED + time.perf_counter() - T0) if time_ms is None else time_ms
    val = "" if loss is None else f" val_loss:{loss:.7f}"
    log(f"step:{n}/{of}{val} train_time:{t:.0f}ms step_avg:{t / max(n, 1):.2f}ms")
    if T0 is None and n < of:
        start()
"""
HONEST = "for n in range(0, 6): step(n, 5, 5.0 - n / 2 - SEED % 9973 / 1e6 if n in (0, 5) else None)\ntime.sleep(0.1)\n"


@dataclass
class Small:
    """One small project."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = field(default_factory=warm.python_with_small_torch)  # its torch starts the runs

    def submit(self, body: str, name: str = "2026-11-21_test") -> Path:
        """Make a submission whose script runs `body` after an honest header."""
        folder = self.root / "submissions" / name
        folder.mkdir(parents=True)
        script = SCRIPT + body
        (folder / "train_gpt.py").write_text(script)
        digest = hashlib.sha256(script.encode()).hexdigest()
        (folder / "manifest.yaml").write_text(
            "schema: 1\ntrack: tiny\nruleset: tiny@1\ntitle: a test\ncontributors: ['@somebody']\nclaim: ml\n"
            f"entry: train_gpt.py\nfiles:\n  train_gpt.py: {digest}\n"
        )
        return folder

    def command(self, *arguments: str) -> list[str]:
        return [self.python, "-m", "harness", "--root", str(self.root), *arguments]

    def env(self) -> dict[str, str]:
        clean = {"PATH": os.environ["PATH"], "HOME": str(self.root / "home"), "PYTHONPATH": str(ROOT)}
        return clean | {"XDG_CACHE_HOME": str(self.root / "cache")} | self.environment

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one verb to its end."""
        given = ("--root", str(self.root), *arguments)
        return warm.speedrun(*given, cwd=self.root, env=self.env(), python=self.python)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one verb and leave it running."""
        return subprocess.Popen(
            self.command(*arguments),
            env=self.env(),
            cwd=self.root,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run_folders(self) -> list[Path]:
        return sorted(path.parent for path in (self.root / ".runs").glob("*/run.json"))

    def ledger(self) -> list[dict[str, Any]]:
        path = self.root / ".runs" / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def ends(self) -> list[str]:
        return [entry["state"] for entry in self.ledger() if entry["kind"] == "end"]


def make_project(root: Path, *, processes: int = 1, torchrun: bool = False, confined: bool = True) -> Small:
    """A project with the track `tiny`; its runs start under the real torchrun, or under a small one for one rank.

    confined: False for scripts that a test tells by a file of the project what to do, which no confined run can see.
    """
    (root / "tracks").mkdir(parents=True)
    (root / "home").mkdir()
    (root / "tracks" / "tiny.yaml").write_text(TRACK.replace("PROCESSES", str(processes)))
    small = Small(root, python=sys.executable) if torchrun else Small(root)
    if not confined:
        small.environment["SPEEDRUN_CONFINEMENT"] = "none"
    return small


def processes_of(project: Small) -> list[int]:
    """Living processes of any run of the project, by the mark in their environment or by their work folder."""
    marks = {f"SPEEDRUN_RUN_ID={folder.name}".encode() for folder in project.run_folders()}
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            marked = marks & set(Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"))
            inside = os.readlink(f"/proc/{entry}/cwd").startswith(str(project.root / ".runs"))
        except OSError:
            continue
        if marked or inside:
            found.append(int(entry))
    return found


def wait_for(condition: Any, seconds: float = 600.0) -> bool:
    """Wait until `condition()` is true, or so long that nothing but a hang explains it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False
