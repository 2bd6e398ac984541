"""Define what a launcher is told, and what it promises."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.core.measurement import Confinement, RunOutcome
from harness.store.run_files import SAVE_ARGUMENT


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """One execution: what to start, where, and when to give up."""

    run_id: str
    folder: Path  # the run's folder; `work/` in it holds the script and the links to the data
    entry: str  # the script, relative to `work/`
    processes: int
    seed: int | None  # None: the script takes no argument at all
    overrides: tuple[str, ...]  # name=value; anything here makes the run unrankable
    silence_limit_s: float
    time_limit_s: float
    environment: dict[str, str] = field(default_factory=dict)  # on top of the clean one
    tokens: str | None = None  # the folder of the tokens, relative to `work/`
    hidden: tuple[Path, ...] = ()  # folders of which a confined run sees nothing but what is its own
    network: bool = False  # whether it may reach more than its own loopback
    confinement: Confinement | None = None  # None: the best that the launcher can do
    saves: bool = False  # the script keeps the contract: it is told where to save its weights
    cache_at: Path | None = None  # where the run sees its compile cache; None: where that lies, in the run's folder

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line of the script."""
        seed = () if self.seed is None else (f"seed={self.seed}",)
        return (*seed, *((SAVE_ARGUMENT,) if self.saves else ()), *self.overrides)


class Interrupted(BaseException):
    """The harness was told to stop, by what this was raised from; the run was ended first, with this outcome."""

    def __init__(self, outcome: RunOutcome) -> None:
        super().__init__()
        self.outcome = outcome


class Enough(Exception):
    """Raised by whoever watches a run that has printed what it was started for: it is ended, for the reason given."""


class Launcher(Protocol):
    """Executes a plan; everything that the run printed is in its folder before `run` returns."""

    def confined_by(self, plan: LaunchPlan) -> Confinement:
        """Say how the plan's run will be confined; raises MachineError where that cannot be done as it was asked for."""
        ...

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Execute the plan, and pass every complete line of the log to `watch` soon after it came.

        Where `watch` raises Enough, the run is ended as stopped, with what that says as its reason.
        """
        ...
