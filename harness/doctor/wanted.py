"""Find out what a track, a record or a submission needs of a machine."""

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
class ReportLine:
    """One thing that was examined."""

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
    record: Record | None
    build: Build | None
    needs: Needs | None
    replayed: bool = False  # a record, run by `replay` in an environment of its own; else by `run` in this one

    @property
    def gpus(self) -> int:
        """Return how many GPUs it needs."""
        return self.track.hardware.processes if self.track.hardware.kind == "gpu" else 0

    @property
    def fewer(self) -> bool:
        """Return whether it may run on fewer GPUs, or on others, for its loss only."""
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
    described = environments.read_environments(catalog.project).of(named.name) if record.original is not None else None
    build, needs = described or (None, None)
    # `run` takes a track whose current record has its script here; all else about records is for `replay`.
    return Wanted(named.name, track, tokens, subject, record, build, needs, not (named.by_track and has_script))
