"""Define what a launcher is told, and what it promises."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from harness.core.measurement import RunOutcome


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

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command line of the script."""
        return (*(() if self.seed is None else (f"seed={self.seed}",)), *self.overrides)


class Launcher(Protocol):
    """Executes a plan; everything that the run printed is in its folder before `run` returns."""

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Execute the plan, and pass every complete line of the log to `watch` soon after it came."""
        ...
