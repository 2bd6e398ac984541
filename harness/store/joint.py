"""Comparisons of several candidates with one script, whose runs they share: `.runs/comparisons/joint/<id>.json`.

Written whole after every run, as a comparison of two is, and the orders of all rounds are on disk before the first run.
Each candidate has a comparison of its own (`comparisons`), written from this after every round: it can be judged alone.
The id is the series of all runs in the ledger.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.core.codec import Form
from harness.core.measurement import Machine, MachineState
from harness.store import run_files
from harness.store.comparisons import FOLDER, Caches, Side
from harness.store.files import write_atomic
from harness.store.layout import Project

JOINT = "joint"
PREFIX = f"{JOINT}-"  # of the id
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class JointRun:
    """One run that counts."""

    run: str  # its id
    arm: str  # A, or the letter of a candidate
    train_time_s: float  # as the script reports it
    wall_time_s: float
    elapsed_s: float  # all that the run took here; what is paid for
    val_loss: float | None
    steps: int | None = None


@dataclass(frozen=True, slots=True)
class JointDiscarded:
    """A run that was started and gave no time: interrupted or broken. Its place was run again."""

    run: str
    arm: str
    why: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Joint:
    """Everything that is known about one comparison of several candidates with A."""

    schema: int
    id: str
    track: str
    sides: dict[str, Side]  # A, and each candidate under its letter
    comparisons: dict[str, str]  # letter of a candidate -> id of its own comparison
    machine: Machine
    mode: Literal["until-decided", "fixed"]
    max_pairs: int  # rounds
    bound: float | None  # of z·√rounds
    outlier_limit: float
    orders: tuple[str, ...]  # of the rounds, as drawn
    started_at: str  # UTC
    caches: Caches = "cold"
    usd_per_hour: float | None = None
    budget_usd: float | None = None
    runs: tuple[JointRun, ...] = ()  # in the order that they were made
    discarded: tuple[JointDiscarded, ...] = ()
    dropped: dict[str, int] = field(default_factory=dict)  # candidates that take no part from this round on
    reference: MachineState | None = None  # the state before the first run, that the later ones are held against
    states: dict[str, MachineState] = field(default_factory=dict)  # before each run that was started, by its id
    waited_s: float = 0.0  # for the machine, before runs
    primed_s: float = 0.0
    obstacles: tuple[str, ...] = ()  # what the next run waited for in vain
    follows: str | None = None  # the comparison on another machine after which this one was begun
    ends_early: bool = False  # for a candidate for which nothing can decide any more

    @property
    def candidates(self) -> str:
        """The letters of the candidates."""
        return "".join(self.comparisons)

    @property
    def elapsed_s(self) -> float:
        """What it took so far, priming, runs that gave no time and waiting for the machine included."""
        made = sum(run.elapsed_s for run in self.runs) + sum(run.elapsed_s for run in self.discarded)
        return made + self.waited_s + self.primed_s


JOINT_FORM = Form(Joint, "json", (SCHEMA,))


def new_id(*sha256: str) -> str:
    """Draw the id of a new one, by the hashes of scripts."""
    return f"{PREFIX}{run_files.new_run_id(*sha256)}"


def joint_file(project: Project, joint_id: str) -> Path:
    """Return where a comparison of several candidates is kept."""
    return project.runs / FOLDER / JOINT / f"{joint_id}.json"


def write_joint(project: Project, joint: Joint) -> None:
    """Write it whole; raises StoreError on a full disk."""
    write_atomic(joint_file(project, joint.id), JOINT_FORM.text(joint))


def read_joint(project: Project, joint_id: str) -> Joint:
    """Read one; raises StoreError naming the file."""
    path = joint_file(project, joint_id)
    return JOINT_FORM.read(path, name=project.show(path))


def is_joint(series: str | None) -> bool:
    """Tell whether a series in the ledger is of such a comparison."""
    return series is not None and series.startswith(PREFIX)
