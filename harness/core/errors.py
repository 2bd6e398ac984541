"""The exceptions of the harness, all children of `HarnessError`.

    HarnessError            what a user gave cannot be used: exit status 2
    ├── YamlError           a YAML file is malformed or has keys it should not have
    ├── TrackError          a track or ruleset is unknown or contradicts itself
    ├── ManifestError       a submission's manifest or files cannot be trusted
    ├── DatasetError        a shard is missing, torn, altered or unreachable
    ├── MachineError        this machine cannot do what was asked
    ├── LogError            a file is no training log
    ├── StatisticsError     asked for a number that the sample cannot give
    ├── StoreError          records, ledger or disk are not as they must be
    └── RunError            the run itself broke: exit status 3

A rule that is not met is no exception but a `Finding`; a bug of ours is a traceback.
Every problem of a file is collected before one exception is raised.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self, TypeVar

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what, and what to do about it."""

    where: str  # path, or path:line
    what: str
    todo: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.todo}"


class HarnessError(Exception):
    """Unusable input, with every problem found in it."""

    exit_status = 2

    def __init__(self, *problems: Problem, lines: tuple[str, ...] = ()) -> None:
        if not problems:
            raise ValueError("a HarnessError needs at least one problem")
        self.problems = problems
        self.lines = lines  # what a script last printed, shown before the problems
        super().__init__("\n".join(str(problem) for problem in problems))

    @classmethod
    def at(cls, where: object, what: str, todo: str, *, lines: tuple[str, ...] = ()) -> Self:
        """Build the error of a single problem."""
        return cls(Problem(str(where), what, todo), lines=lines)


class YamlError(HarnessError):
    """A YAML file is malformed, too large, or has keys it should not have."""


class TrackError(HarnessError):
    """A track or a ruleset is unknown or contradicts itself."""


class ManifestError(HarnessError):
    """A submission's manifest or files cannot be trusted."""


class DatasetError(HarnessError):
    """A token shard is missing, torn, altered or cannot be fetched."""


class MachineError(HarnessError):
    """This machine cannot do what was asked of it."""


class LogError(HarnessError):
    """A file is no training log."""


class StatisticsError(HarnessError):
    """A number was asked for that the sample cannot give."""


class StoreError(HarnessError):
    """Records, the ledger or the disk are not as they must be."""


class RunError(HarnessError):
    """A training run broke; what it logged is kept."""

    exit_status = 3


def raise_if(problems: Iterable[Problem], kind: type[HarnessError] = HarnessError) -> None:
    """Raise `kind` with all the problems, if there are any."""
    found = tuple(problems)
    if found:
        raise kind(*found)


def read_all(read: Callable[[A], B], sources: Iterable[A], kind: type[HarnessError]) -> list[B]:
    """Read every source; raises `kind` with the problems of all that cannot be read."""
    values: list[B] = []
    problems: list[Problem] = []
    for source in sources:
        try:
            values.append(read(source))
        except HarnessError as error:
            problems += error.problems
    raise_if(problems, kind)
    return values
