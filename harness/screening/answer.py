"""The answer to one try of a script: what became of it, what an agent can act on, and what it measured.

A try is a screening run: it is in the ledger before it starts, it is counted among the scripts tried, and no verdict ever
looks at it. So an answer never says that something is a record.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.catalog.subjects import Subject
from harness.core import stats
from harness.core.codec import Form

Stage = Literal["check", "dry", "full"]
Status = Literal["passed", "failed", "crashed", "timed_out", "over_budget", "refused"]
EXIT_STATUS: dict[Status, int] = {
    "passed": 0,
    "failed": 1,
    "refused": 2,
    "crashed": 3,
    "timed_out": 3,
    "over_budget": 3,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the runs of a try."""

    name: str
    unit: str
    direction: Literal["minimize"]
    n: int
    mean: float
    interval: tuple[float, float] | None  # 95 %, of the mean; None for a single run, or where all values are equal
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TriedRun:
    """One run of a try; what it did not tell is None."""

    id: str
    state: str  # finished, failed, hung, stopped, lost
    seed: int | None
    step: int | None
    val_loss: float | None  # as printed
    train_time_s: float | None
    wall_time_s: float | None
    log: str  # its path from the root of the project


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one try."""

    subject: str
    script_sha256: str | None  # None where the folder could not be read
    track: str | None
    ruleset: str | None
    stage: Stage
    status: Status
    label: str | None  # what to act on: docs/agents.md lists them; None where it passed
    message: str  # one sentence
    metric: Figure | None  # what the track ranks by; None unless the target was reached
    loss: Figure | None  # None unless every run printed a finite loss at its last step
    target: float | None  # the loss has to be below it
    runs: tuple[TriedRun, ...]
    wall_time_s: float  # of all runs
    gpu_hours: float  # wall time × processes; on a track without GPUs, hours of its processes
    budget_gpu_hours: float | None
    scripts_tried: int | None  # on this track, in this project, this one among them
    findings: tuple[str, ...]  # what a verdict would say against the script's text
    lines: tuple[str, ...]  # the last that the failed rank printed


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be tried, and how much it may take."""

    stage: Stage = "full"
    runs: int = 1  # of the stage `full`
    budget_gpu_hours: float | None = None
    allow_network: bool = True
    python: str = sys.executable  # the interpreter that its runs are started with
    torch: str | None = None  # the version in an environment of its own


ANSWER_FORM = Form(Answer, "json", (1,))


def figure(name: str, unit: str, values: Sequence[float]) -> Figure:
    """Sum up the values of some runs; at least one."""
    spread = len(values) > 1 and min(values) < max(values)
    interval = stats.interval(values) if spread else None
    return Figure(name, unit, "minimize", len(values), stats.mean(values), interval, tuple(values))


def plain(
    target: str, subject: Subject | None, order: Order, status: Status, label: str | None, message: str
) -> Answer:
    """Build an answer that holds no run yet."""
    target_loss = None
    if subject is not None:
        above = subject.ruleset.above_entropy
        target_loss = subject.track.target_loss if above is None else above
    return Answer(
        subject=target if subject is None else subject.name,
        script_sha256=None if subject is None else subject.script_sha256,
        track=None if subject is None else subject.track.name,
        ruleset=None if subject is None else subject.ruleset.id,
        stage=order.stage,
        status=status,
        label=label,
        message=message,
        metric=None,
        loss=None,
        target=target_loss,
        runs=(),
        wall_time_s=0.0,
        gpu_hours=0.0,
        budget_gpu_hours=order.budget_gpu_hours,
        scripts_tried=None,
        findings=(),
        lines=(),
    )
