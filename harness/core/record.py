"""A row of a leaderboard: identity, claim, original, and the figures of its runs."""

import datetime
import re
from dataclasses import dataclass
from typing import Annotated, Literal

from harness.core.constraints import Commit, Count, FileHashes, Line, Prose, RulesetId, Sha256, Text

Spread = Literal["yes", "no", "unknown"]  # whether a mean loss lies within the spread of a record's own runs
Script = Literal["original", "merged", "reimplementation"]
Label = Literal["exact", "substituted"]  # an environment beside the record's
MAIN = "train_gpt.py"  # what nearly all originals are called

# runs.csv has no column for these two facts and nothing in records/ is rewritten, so its notes hold them. They are
# written from here and read here alone.
INCOMPLETE = "incomplete: no validation at the last step"
_CPU = re.compile(r"\d+ cores of .+")


def cpu_note(cores: int, name: str) -> str:
    """Say in a note which processor a run without GPUs was on."""
    return f"{cores} cores of {name}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a record claims."""

    train_time_s: float | None
    steps: Count | None
    val_loss: float | None
    runs: Count | None


@dataclass(frozen=True, slots=True)
class Original:
    """Where the frozen original of an imported record lies."""

    repository: Prose | None
    commit: Commit | None
    kind: Literal["file", "log", "git", "none"]
    path: Prose | None
    files: FileHashes
    torch: Prose | None
    reason: Prose | None  # why there is none

    @property
    def entry(self) -> str:
        """The name of the file that is started."""
        return MAIN if MAIN in self.files else next(iter(self.files), MAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What merged.yaml says: the program on master just before the next record's merge, where that is not the original."""

    repository: Line
    commit: Commit | None  # that wrote it last; None: it cannot be told, and `reason` says why
    files: FileHashes  # by their path, at the root of the repository; the entry first
    script_sha256: Sha256 | None  # of what a log of it embeds
    torch: Line | None  # of a known run of it
    reason: Prose | None

    @property
    def program(self) -> Original | None:
        """Where its files lie; None where no commit can be told."""
        if self.commit is None or not self.files:
            return None
        path = f"{self.commit}:{next(iter(self.files))}"
        return Original(self.repository, self.commit, "git", path, self.files, self.torch, None)

    def ran_as(self, script_sha256: str | None) -> bool:
        """Whether a run whose log proves this script ran this program."""
        return script_sha256 is not None and script_sha256 in (self.script_sha256, *list(self.files.values())[:1])


@dataclass(frozen=True, slots=True)
class RecordRun:
    """One row of runs.csv: the figures of one run that stands for a record."""

    id: str
    role: Literal[
        "own", "baseline", "other"
    ]  # baseline: its author named it so; other: it lies beside the record's runs
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
class Replayed:
    """What a board says of one later run of a record; a reimplementation's figures are never shown as the original's."""

    date: str
    by: str
    gpus: str  # "8× NVIDIA H100 80GB HBM3"
    script: Script
    environment: Label
    runs: int
    time_off: float | None  # replayed / claimed − 1; None where the time does not count
    loss_off: float | None  # replayed − claimed mean loss, nats per token
    within_spread: Spread


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """What somebody else measured of one record, beside others on one kind of hardware."""

    source: str
    origin: str  # repository@commit:path
    date: str  # of that commit
    against: int  # the number of the record that it was timed against
    faster_s: float | None  # mean seconds that it takes less than that one; None where the source has no figure


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFile:
    """What record.yaml says, in the order of its keys."""

    track: Line
    ruleset: RulesetId
    number: Count
    kind: Literal["record", "retiming"]
    retimes: Count | None
    date: datetime.date | None
    title: Line
    contributors: tuple[Line, ...]
    pull_request: Prose | None
    claimed: Claimed
    original: Original | None = None
    notes: Prose | None
    withdrawn: Prose | None
    # The record that it beat in a same-machine comparison.
    faster_than: Annotated[str, Text("a record like short/<slug>", r"[a-z][a-z0-9-]*/\S+")] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(RecordFile):
    """One row of a leaderboard: identity, claim, and the figures of its runs; what its folder holds and says."""

    slug: str
    runs: tuple[RecordRun, ...] = ()
    has_evidence: bool = False  # this harness ran it and the folder holds the pack
    replays: tuple[Replayed, ...] = ()
    scored: bool = False  # the harness scored the weights of a run, and the pack says so
    official: bool = False  # a maintainer timed it: its folder holds the comparison
    merged: Merged | None = None  # None: its original is the program that was merged, or nobody looked


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What withdrawn.yaml says; a file of its own, because record.yaml never changes."""

    date: datetime.date | None
    why: Line
