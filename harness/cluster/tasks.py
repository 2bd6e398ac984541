"""What one command sends to a cluster: a series of tasks, settled and on disk before the first of them starts.

A task is one whole command of ours. A script's runs are shared among tasks where there are more nodes than scripts;
both arms of a comparison, and all runs of a probe, are always one task on one node.
"""

import dataclasses
import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from harness.core.codec import Form
from harness.core.constraints import Count, Line, Sha256, Size, Text
from harness.core.measurement import Purpose
from harness.store.layout import Project

FOLDER, SERIES, TASK, SOURCE = "cluster", "series.json", "task.json", "source"
Verb = Literal["run", "compare", "probe", "replay"]
SeriesId = Annotated[str, Text("the id of a series", r"[0-9A-Za-z-]{1,64}")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One command on one node, as often as it takes."""

    number: Count
    verb: Verb
    subjects: tuple[Line, ...]  # as its command names them
    arguments: tuple[Line, ...]  # its further arguments, but for the number of runs
    scripts: tuple[Sha256, ...]  # the chains in the ledger that it adds to
    purpose: Purpose
    runs: Size = 0  # that it makes of its one script; 0: its command decides

    @property
    def judged(self) -> bool:
        """Whether its runs count."""
        return self.purpose == "judged"

    @property
    def answers(self) -> bool:
        """Whether its command answers whatever became of the script: a crash is an answer."""
        return "--stage" in self.arguments

    @property
    def title(self) -> str:
        """Name it for people."""
        return f"{self.verb} {' '.join(self.subjects)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """All tasks of one command."""

    id: SeriesId
    key: Sha256  # of what the command asks for: the same command goes on with it
    command: Line
    tasks: tuple[Task, ...]


SERIES_FORM = Form(Series, "json", (1,))


def split(runs: int, parts: int) -> list[int]:
    """Share runs among at most so many tasks, as evenly as can be: 10 among 3 are 4, 3 and 3."""
    parts = max(1, min(runs, parts))
    return [runs // parts + (place < runs % parts) for place in range(parts)]


def parts_of(scripts: int, nodes: int) -> int:
    """Return among how many tasks the runs of each script are shared: none where there are as many scripts as nodes."""
    return max(1, nodes // max(1, scripts))


def numbered(tasks: Sequence[Task]) -> tuple[Task, ...]:
    """Number tasks in their order."""
    return tuple(dataclasses.replace(task, number=number) for number, task in enumerate(tasks, 1))


def key_of(verb: Verb, names: Sequence[str], arguments: Sequence[str], scripts: Collection[str]) -> str:
    """Name what a command asks for: the same scripts, byte for byte, with the same flags."""
    asked = json.dumps([verb, list(names), list(arguments), sorted(scripts)])
    return hashlib.sha256(asked.encode()).hexdigest()


@dataclass(frozen=True)
class Attempt:
    """One start of a task, in a folder of its own: `.runs/cluster/<series>/<task>.<attempt>/`."""

    folder: Path
    task: Task
    number: int

    @cached_property
    def id(self) -> str:
        """What the ledger calls it."""
        return f"{self.folder.parent.name}.{self.folder.name}"

    @cached_property
    def checkout(self) -> Project:
        """The project that its command works on."""
        return Project(self.folder / "project")


def series_folder(project: Project, series: Series) -> Path:
    """Return where a series lies."""
    return project.runs / FOLDER / series.id


def attempt_of(project: Project, series: Series, task: Task, number: int) -> Attempt:
    """Return one attempt of a task, which need not have been made."""
    return Attempt(series_folder(project, series) / f"{task.number}.{number}", task, number)


def attempts_of(project: Project, series: Series, task: Task) -> list[Attempt]:
    """Find the attempts of a task that were made, in order."""
    numbers = [path.name.partition(".")[2] for path in series_folder(project, series).glob(f"{task.number}.*")]
    return [attempt_of(project, series, task, number) for number in sorted(int(n) for n in numbers if n.isdecimal())]


def find_series(project: Project, key: str) -> Series | None:
    """Find the newest series of the same command; raises StoreError naming a damaged file."""
    for path in sorted((project.runs / FOLDER).glob(f"*/{SERIES}"), reverse=True):
        series = SERIES_FORM.read(path, name=project.show(path))
        if series.key == key:
            return series
    return None
