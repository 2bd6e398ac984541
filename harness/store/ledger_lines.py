"""The lines of a ledger: what each kind of entry says. Nothing here reads a file.

Entries that were written before runs had a purpose are of the old form: they lack the fields that are None by default
here, always all of them.

Where other machines make runs, the ledger here declares each task before the first of them starts. The ledger of a
machine goes on from the entry that declares its task, as a branch of the chain, and is taken in when the task has ended.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from harness.core.measurement import Purpose

GENESIS = "0" * 64  # stands for the entry before the first


@functools.lru_cache(maxsize=1 << 14)  # the same entries are followed again and again
def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What every line of a ledger says; all but the script is set where the line is written."""

    script: str  # the name of its chain
    line: int = 0  # 1-based in its file
    raw: bytes = b""  # without the newline
    at: str = ""  # UTC
    before: str = ""  # hash of the entry before it in this chain

    @property
    def hash(self) -> str:
        return _sha256(self.raw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared(_Entry):
    """What stands before a script's first judged run: its rule, and the most runs that a test may look at."""

    track: str
    ruleset: str
    n_max: int | None
    subject: str | None = None  # the folder that it was run from: "submissions/2026-11-21_x"
    earlier: int | None = None  # scripts of this folder that were declared before it
    others: int | None = None  # other scripts, of any folder, that were run on this track here before it

    @property
    def is_old(self) -> bool:
        return self.subject is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(_Entry):
    """What stands before the first screening run of a script: on which track somebody tries it."""

    track: str
    subject: str  # the folder that it is run from
    is_old = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Entry):
    """A run that is about to be launched."""

    run: str
    series: str  # the runs that one command makes
    seed: int | None
    purpose: Purpose | None = None

    @property
    def is_old(self) -> bool:
        return self.purpose is None

    @property
    def is_judged(self) -> bool:
        """Whether the run counts; one of the old form always does."""
        return self.purpose in (None, "judged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(_Entry):
    """How a run ended."""

    run: str
    state: str
    exit_code: int | None
    last_step: int | None  # that its log tells of; 0 once its clock has started
    log_sha256: str | None  # of the scrubbed log
    received: dict[str, str] | None = None  # log.txt, clock.csv -> sha256 of the bytes as the recorder received them
    files: dict[str, str] | None = None  # every other file that a pack keeps of the run -> sha256
    launched: bool | None = None  # whether the script may have been started: then it may have known its seed

    @property
    def is_old(self) -> bool:
        return self.files is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(_Entry):
    """What the harness found when it scored the weights of a run that had ended."""

    run: str
    score_sha256: str  # of score.json
    is_old = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasked(_Entry):
    """A task that another machine is going to make, declared before any task of its series starts."""

    task: str
    series: str  # all tasks that one command declares together
    purpose: Purpose
    runs: int  # that it makes; 0: its command decides
    instead: str  # the task that broke, which this one replaces; empty: none
    is_old = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched(_Entry):
    """Where the ledger of another machine leaves the chain: right behind the entry that declares its task."""

    task: str
    is_old = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken(_Entry):
    """What came back of a task, and the hash of the last entry of its branch: nothing can be cut off later."""

    task: str
    state: str  # complete or broken
    tip: str
    is_old = False


Entry = Declared | Tried | Started | Ended | Scored | Tasked | Branched | Taken
