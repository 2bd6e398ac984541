"""The table that a reviewer makes of a pull request's logs, as data: runs by script, steps and GPUs.

It holds the figures of single runs and nothing that can be computed from them, so no mean in it can contradict its
runs. The table crosses from a workflow that anybody can edit to one that may comment: so it is read strictly, and every
text in it is a name or a version.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Len, Lt

from harness.core.codec import Form
from harness.core.constraints import Loss, Sha256, Size, Text

MOST_GROUPS, MOST_RUNS = 80, 100  # so that the largest table stays below the limit of its file, 4 MiB
NAME = Text("a path", max_length=80)
VERSION = Text("a version", r"[A-Za-z0-9.+_-]{1,40}")
GPU = Text("the name of a GPU", r"[A-Za-z0-9 .()+/_-]{1,60}")
START = Text("a time like 2026-07-17T12:46:29", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

TrackName = Literal["short", "medium", "optimization"]
Name = Annotated[str, NAME]
Version = Annotated[str, VERSION]
Step = Annotated[int, Ge(0), Lt(10**12)]
Seconds = Annotated[float, Gt(0), Lt(1e7)]


@dataclass(frozen=True, slots=True)
class TableRun:
    """One run as its log tells of it; None is "the log does not say"."""

    name: Name
    last_step: Step | None
    loss: Loss | None  # at its last step
    ema_loss: Loss | None  # of averaged weights there, where the log prints it too
    time_s: Seconds | None  # as its script printed it
    started_at: Annotated[str, START] | None
    torch: Version | None
    driver: Version | None
    seed: Annotated[int, Ge(-(2**63)), Lt(2**64)] | None
    problems: Size  # odd lines in its log

    def is_complete(self, steps: int | None) -> bool:
        """Whether it validated at the last step that the runs of its group reach."""
        return self.loss is not None and self.last_step == steps


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A step that all complete runs of a group validated at, with their losses there."""

    step: Step
    losses: Annotated[tuple[Loss, ...], Len(1, MOST_RUNS)]


@dataclass(frozen=True, slots=True)
class Change:
    """Lines: of code, without comments and blank lines, from one script to another; or of a pull request."""

    added: Size
    removed: Size


@dataclass(frozen=True, slots=True)
class Sibling:
    """An earlier group of the same folder, steps and GPUs, and what differs between the scripts."""

    script: Sha256
    change: Change


@dataclass(frozen=True, slots=True)
class TableGroup:
    """The runs of one script on one kind of machine."""

    name: Name
    script: Sha256 | None
    steps: Step | None  # that its runs reach
    gpu_count: Annotated[int, Ge(1), Lt(100_000)] | None
    gpu_name: Annotated[str, GPU] | None
    runs: Annotated[tuple[TableRun, ...], Len(1, MOST_RUNS)]
    more_runs: Size  # beyond those that are listed
    repeated: Size  # logs left out because they hold a run that is here already
    alike: Size  # runs whose validation curve is that of another
    earliest: Checkpoint | None  # on the track ranked by steps: the first step where the rule is met
    code: Change | None  # from the baseline's script
    near: Sibling | None

    @property
    def complete(self) -> tuple[TableRun, ...]:
        """The runs that the figures are computed from."""
        return tuple(run for run in self.runs if run.is_complete(self.steps))


@dataclass(frozen=True, slots=True)
class Beside:
    """What a pull request brings beside the logs of the table."""

    unread: Size  # files that it adds to the folder of logs and that were not read: another track's, or too many
    outside: Change  # lines outside of that folder, of any kind


@dataclass(frozen=True, slots=True)
class LogTable:
    """All groups, the baseline first if one was named."""

    track: TrackName | None
    target: Annotated[float, Gt(0), Lt(100)]
    has_baseline: bool
    groups: Annotated[tuple[TableGroup, ...], Len(1, MOST_GROUPS)]
    more_groups: Size  # beyond those that are listed
    beside: Beside | None = None  # None: the logs are not those of a pull request


FORM = Form(LogTable, "json", (1,))
