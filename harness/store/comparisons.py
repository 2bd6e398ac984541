"""Comparisons on this machine: `.runs/comparisons/<id>.json`, written whole after every run.

The coins are drawn and on disk before the first run, so nobody can choose who goes first after seeing a time. The id
is the `sitting` of the comparison's runs in the ledger: every run that was started for it can be told from there,
also one that a `kill -9` kept out of this file. The runs count as any other run of their scripts.

The state of the machine before each run is on disk before that run begins. Files of an older harness hold none.
"""

import contextlib
import fcntl
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from harness.core.codec import Form
from harness.core.errors import StoreError
from harness.core.judgement import Block, ComparisonOutcome
from harness.core.measurement import Machine, MachineState
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project

Arm = Literal["A", "B"]
Alike = Literal["alike", "different", "unclear"]
Caches = Literal["cold", "warm"]  # whether runs start from empty compile caches, or from filled ones
FOLDER, LOCK = "comparisons", "lock"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two scripts."""

    subject: str  # records/… or submissions/…
    script_sha256: str  # of several files: of all their names and hashes, as the ledger calls them
    ruleset: str
    torch: str | None = None  # the build that it ran with; None before its first run, and in files of an older harness
    cache: str | None = None  # digest of the stored compile cache that its runs start from, the last one; None: cold


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run that counts."""

    run: str  # its id
    arm: Arm
    order: int  # k, from 0
    train_time_s: float  # as the script reports it
    wall_time_s: float
    elapsed_s: float  # all that the run took here, data checks included; what is paid for
    val_loss: float | None
    outlier: bool = False
    residual: float | None = None  # above the robust fit, as a share; None until there are three pairs
    # Of one candidate beside others: its place in the order of all runs, the script before it there, and its round.
    place: int | None = None
    after: Arm | None = None
    round: int | None = None
    steps: int | None = None  # that it took; files of an older harness name none


@dataclass(frozen=True, slots=True)
class DiscardedRun:
    """A run that was started and gave no time: interrupted or broken. Its place was run again."""

    run: str
    arm: Arm
    why: str
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is known about one comparison; figures are of B against A."""

    schema: int
    id: str
    track: str
    a: Side
    b: Side
    machine: Machine
    mode: Literal["until-decided", "fixed"]
    max_pairs: int
    bound: float | None  # of z·√P
    outlier_limit: float
    coins: tuple[Block, ...]  # one per two pairs
    started_at: str  # UTC
    usd_per_hour: float | None = None
    budget_usd: float | None = None
    runs: tuple[ComparedRun, ...] = ()
    discarded: tuple[DiscardedRun, ...] = ()
    pairs: int = 0  # complete ones, of the look that the figures are from
    outcome: ComparisonOutcome = "undecided"
    reason: str | None = None  # why it is inconclusive
    gain: float | None = None  # the share of A's train time that B saves
    interval: tuple[float, float] | None = None  # two-sided, 95 %, of the gain; not adjusted for stopping early
    p: float | None = None  # one-sided, in the direction of the gain, of this look alone
    pairs_needed: int | None = None  # in all, likely; while it is undecided or a tie
    losses_alike: Alike | None = None
    loss_difference: float | None = None  # mean(B) − mean(A), nats per token
    loss_interval: tuple[float, float] | None = None  # two-sided, 95 %, by Welch
    reference: MachineState | None = None  # the state before the first run, that the later ones are held against
    states: dict[str, MachineState] = field(default_factory=dict)  # before each run that was started, by its id
    waited_s: float = 0.0  # for the machine, before runs
    obstacles: tuple[str, ...] = ()  # what the next run waited for in vain; it is inconclusive for that reason alone
    method: Literal[1, 2, 3] = (
        1  # of the analysis, by which it is continued; files that name none were begun by the first
    )
    caches: Caches = "cold"  # of all its runs; files of an older harness name none, and were cold
    primed_s: float = 0.0  # that priming took for it; a script that was primed before costs nothing again
    follows: str | None = None  # the comparison of these scripts on another machine, after which this one was begun
    joint: str | None = None  # the comparison of several candidates that this is taken from, of method 3
    ends_early: bool = False  # where nothing can decide any more; files of an older harness name it not, and go on
    spread: float | None = None  # standard deviation of one run around the fit, as a share of its time

    @property
    def arms(self) -> str:
        """Whose turn it is, run by run; of one candidate beside others only as far as runs are made."""
        if self.joint is not None:
            return "".join(run.arm for run in self.runs)
        return "".join(self.coins)[: 2 * self.max_pairs]

    @property
    def series(self) -> str:
        """Return what the ledger calls the series of its runs: its own id, or that of all candidates together."""
        return self.joint or self.id

    @property
    def unit(self) -> str:
        """What is counted: pairs of two scripts, or rounds of several candidates, each with one run of B."""
        return "pair" if self.joint is None else "round"

    @property
    def elapsed_s(self) -> float:
        """What it took so far, priming, runs that gave no time and waiting for the machine included."""
        made = sum(run.elapsed_s for run in self.runs) + sum(run.elapsed_s for run in self.discarded)
        return made + self.waited_s + self.primed_s

    @property
    def unfinished(self) -> bool:
        """Whether the same command continues it: it was interrupted, its budget was spent, or the machine was not free."""
        return self.outcome == "undecided" or bool(self.obstacles)


COMPARISON_FORM = Form(Comparison, "json", (SCHEMA,))


def other_torch(a: str | None, b: str | None) -> bool:
    """Whether two builds of torch are known to differ: 2.10.0, as an index lists it, may be 2.10.0+cu128."""
    if a is None or b is None:
        return False
    plain = "+" not in a or "+" not in b
    return a.partition("+")[0] != b.partition("+")[0] if plain else a != b


def draw_coins(pairs: int) -> tuple[Block, ...]:
    """Return a fair coin for every block of two pairs."""
    return tuple(secrets.choice(("ABBA", "BAAB")) for _ in range(-(-pairs // 2)))


def comparison_file(project: Project, comparison_id: str) -> Path:
    """Return where a comparison is kept."""
    return project.runs / FOLDER / f"{comparison_id}.json"


def write_comparison(project: Project, comparison: Comparison) -> None:
    """Write a comparison whole; raises StoreError on a full disk."""
    write_atomic(comparison_file(project, comparison.id), COMPARISON_FORM.text(comparison))


def read_comparisons(project: Project) -> list[Comparison]:
    """Return all comparisons of this project's runs, the newest first; raises StoreError naming a damaged file."""
    paths = sorted((project.runs / FOLDER).glob("*.json"), reverse=True)
    return [COMPARISON_FORM.read(path, name=project.show(path)) for path in paths]


@contextlib.contextmanager
def only_one(project: Project) -> Iterator[None]:
    """Hold the lock of all comparisons here: two at once would time each other. Raises StoreError where it is held."""
    folder = project.runs / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise disk_error(folder, error) from error
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError.at(
                project.show(folder), "another comparison is going on here", "wait until it has ended"
            ) from None
        yield
