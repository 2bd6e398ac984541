"""A row of a leaderboard: identity, claim, original, and the figures of its runs."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Literal

from harness.core.replayed import Replayed

Status = Literal["measured", "logged", "published"]
# runs.csv has no column for these two facts and nothing in records/ is rewritten, so its notes hold them. They are
# written from here and read here alone.
INCOMPLETE = "incomplete: no validation at the last step"
_CPU = re.compile(r"\d+ cores of .+")


def cpu_note(cores: int, name: str) -> str:
    """Say in a note which processor a run without GPUs was on."""
    return f"{cores} cores of {name}"


MAIN = "train_gpt.py"  # what nearly all originals are called


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a record claims."""

    train_time_s: float | None
    steps: int | None
    val_loss: float | None
    runs: int | None


@dataclass(frozen=True, slots=True)
class Original:
    """Where the frozen original of an imported record lies."""

    repository: str | None
    commit: str | None
    kind: Literal["file", "log", "git", "none"]
    path: str | None
    files: tuple[tuple[str, str], ...]  # name, sha256
    torch: str | None
    reason: str | None  # why there is none

    @property
    def entry(self) -> str:
        """The name of the file that is started."""
        names = [name for name, _ in self.files]
        return MAIN if MAIN in names else next(iter(names), MAIN)


@dataclass(frozen=True, slots=True)
class RecordRun:
    """One row of runs.csv: the figures of one run that stands for a record."""

    id: str
    role: Literal["own", "baseline"]
    step: int | None
    metric: str
    value: float | None
    train_time_s: float | None
    gpu_name: str | None
    gpu_count: int | None
    driver: str | None
    torch: str | None
    started_at: str | None
    script_sha256: str | None
    note: str | None

    @property
    def complete(self) -> bool:
        """Whether it validated at its last step."""
        return self.value is not None and self.note != INCOMPLETE

    @property
    def cpu(self) -> str | None:
        """The processor of a run without GPUs, like "4 cores of …"; None where it had GPUs or nothing says it."""
        found = None if self.gpu_name else _CPU.search(self.note or "")
        return found[0] if found else None


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a leaderboard: identity, claim, and the figures of its runs."""

    track: str
    slug: str
    ruleset: str
    number: int
    kind: Literal["record", "retiming"]
    retimes: int | None
    date: datetime.date | None
    title: str
    contributors: tuple[str, ...]
    pull_request: str | None
    claimed: Claimed
    original: Original | None
    notes: str | None
    withdrawn: str | None
    runs: tuple[RecordRun, ...] = ()
    has_evidence: bool = False  # this harness ran it and the folder holds the pack
    replays: tuple[Replayed, ...] = ()
    faster_than: str | None = None  # the record that it beat in a same-machine comparison, like short/<slug>
    official: bool = False  # a maintainer timed it: its folder holds the comparison
