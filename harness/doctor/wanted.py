"""A track, a record or a submission in, what it needs of a machine out; and the line that says whether it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.record import Record
from harness.core.task import Track
from harness.replay import environments
from harness.replay.environments import Build, Needs

State = Literal["green", "yellow", "red"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at."""

    name: str
    state: State
    value: str
    fix: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be run."""

    name: str
    track: Track
    tokens: int
    subject: Subject | None  # None: a record that has no script in its folder
    held: Record | None
    build: Build | None
    needs: Needs | None
    replayed: bool = False  # a record, run by `replay` in an environment of its own; else by `run` in this one

    @property
    def gpus(self) -> int:
        """How many GPUs it needs."""
        return self.track.hardware.processes if self.track.hardware.kind == "gpu" else 0

    @property
    def fewer(self) -> bool:
        """Whether it may run on fewer GPUs, or on others, for its loss only."""
        divides = self.subject is not None or self.needs is None or self.needs.world_size == "divides 8"
        return self.replayed and divides


def find_wanted(catalog: Catalog, target: str) -> Wanted:
    """Return what a track's current record, a record or a submission needs. Raises HarnessError for anything else."""
    named = catalog.find(target)
    record = named.record
    track, tokens = catalog.tokens(named.name)
    has_script = record is None or catalog.has_script(record)
    subject = catalog.subject(named) if has_script else None
    if record is None:
        return Wanted(named.name, track, tokens, subject, None, None, None)
    told = environments.read_environments(catalog.project).of(named.name) if record.original is not None else None
    build, needs = told or (None, None)
    # `run` takes a track whose current record has its script here; all else about records is for `replay`.
    return Wanted(named.name, track, tokens, subject, record, build, needs, not (named.by_track and has_script))
