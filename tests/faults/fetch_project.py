"""A project with one small hub track, its shards, and ways to fetch them: in this process and in one of its own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from harness.catalog.tracks import load_track
from harness.core.task import Track
from harness.dataset.fetching import Fetched, fetch_for
from harness.dataset.retry import RetryPolicy
from harness.dataset.shard import DOCUMENT_START, to_bytes
from tests import warm

REPOSITORY_ROOT = Path(__file__).resolve().parents[2]
SHARD_TOKENS = 500_000  # 1 MB
VAL = "small_val_000000.bin"
TRAIN = [f"small_train_{number:06d}.bin" for number in range(1, 6)]
QUICK = RetryPolicy(first_wait_s=0.01, longest_wait_s=0.05, timeout_s=600.0)

TRACK = """\
# A small race that no computer minds.
schema: 1
name: small
title: A track for tests
target_loss: 3.0
metric: steps
validation_tokens: 1000
train_tokens: 1300000 # three shards
runs: 3
silence_limit_s: 600
time_limit_s: 3600
hardware: {kind: any, processes: 1}
data:
  source: hub
  repository: someone/tokens
  revision: null # pinned by a maintainer
  folder: data/small10B
  train_pattern: small_train_%06d.bin
  val_pattern: small_val_%06d.bin
  # five, and no more
  train_shards: 5
  shard_tokens: 500000
  shards: [] # hashes
dry: []
rulesets:
  - id: small@1
    since: 2026-01-01
    until: null
    summary: The mean loss is below the target.
    timer: None.
    untimed_steps: 0
    significance: {test: t, alpha: 0.01}
    evidence: [logs]
    forbidden: []
    allowed: []
"""


def shard_bytes(seed: int, tokens: int = SHARD_TOKENS) -> bytes:
    """The bytes of a sound shard."""
    ids = np.random.default_rng(seed).integers(0, 50257, tokens, dtype=np.uint16)
    ids[0] = DOCUMENT_START
    return to_bytes(ids)


def small_dataset() -> dict[str, bytes]:
    """The validation shard and five training shards, the last one shorter."""
    files = {VAL: shard_bytes(0)}
    for number, name in enumerate(TRAIN, start=1):
        files[name] = shard_bytes(number, SHARD_TOKENS if number < 5 else 123_456)
    return files


@dataclasses.dataclass
class Place:
    """A project, a cache and a hub's address; nothing outside `folder` is touched."""

    folder: Path
    url: str

    def __post_init__(self) -> None:
        (self.folder / "project" / "tracks").mkdir(parents=True)
        self.track_file.write_text(TRACK, encoding="utf-8")

    @property
    def project(self) -> Path:
        return self.folder / "project"

    @property
    def track_file(self) -> Path:
        return self.project / "tracks" / "small.yaml"

    @property
    def track(self) -> Track:
        return load_track(self.project / "tracks", "small")

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def snapshot(self) -> Path:
        return self.cache / "speedrun" / "data" / "someone--tokens" / "unpinned"

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a fetch: this hub, this cache, nobody's credentials, no proxy."""
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(self.folder / "hf"),
            "XDG_CACHE_HOME": str(self.cache),
            "PYTHONPATH": str(REPOSITORY_ROOT),
            "NO_PROXY": "127.0.0.1",
            "OMP_NUM_THREADS": "1",
            **more,
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return {**kept, **own}

    def fetch(self, tokens: int | None = None, *, track: Track | None = None, **options: Any) -> Fetched:
        """Fetch in this process; the environment must be this place's (the fixture `place` sees to it)."""
        return fetch_for(track or self.track, tokens, policy=options.pop("policy", QUICK), **options)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """Start `speedrun fetch small …` in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", "fetch", "small", *arguments],
            cwd=self.project,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, **more: str) -> tuple[int, Any, str]:
        """Run `speedrun fetch small …`; returns exit status, the JSON on stdout (or None) and stderr."""
        done = warm.speedrun("fetch", "small", *arguments, cwd=self.project, env=self.environment(**more))
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else None, done.stderr
