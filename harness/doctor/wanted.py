"""A track, a record or a submission in, what it needs of a machine out; and the line that says whether it is there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.catalog.manifests import MANIFEST
from harness.catalog.subjects import Subject, find_subject
from harness.catalog.tracks import track_names
from harness.core.record import Record
from harness.core.task import Track
from harness.dataset import fetching
from harness.replay import environments
from harness.replay.environments import Build, Needs
from harness.store import records
from harness.store.layout import Project

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


def find_wanted(project: Project, target: str) -> Wanted:
    """What a track, a record or a submission's folder needs."""
    track, tokens = fetching.track_of(project, target)
    is_record = target not in track_names(project.tracks) and not (Path(target) / MANIFEST).is_file()
    folder = records.find_record(project, target) if is_record else None
    found = None if folder and not (folder / records.SCRIPT).is_dir() else find_subject(project, target)
    held = records.read_record(folder) if folder else found.record if found else None
    if held is None:
        return Wanted(found.name if found else target, track, tokens, found, None, None, None)
    all_of_track = [r for r in records.read_records(project) if r.track == held.track]
    name = f"{held.track}/{records.display_number(held, all_of_track)}"
    told = environments.read_environments(project).of(name) if held.original is not None else None
    build, needs = told or (None, None)
    return Wanted(name, track, tokens, found, held, build, needs, is_record)
