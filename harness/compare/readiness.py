"""Wait until the machine is fit for the next run of a comparison, and keep the state that it starts in.

Hard because what is in the way may go by itself (a process of the last run that has not quite ended) or never (a power
cap that somebody lowered), and nobody is there to ask while a rented machine costs money. So it is asked again every
5 s, 5 minutes at most. Then the comparison ends as inconclusive: its runs stay, and the same command continues it.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

from harness.core.errors import StoreError
from harness.core.measurement import Machine, MachineState
from harness.machine import state
from harness.store.comparisons import Comparison

MOST_WAIT_S = 300.0
ASK_AGAIN_S = 5.0
SAY_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Waiting:
    """How the state is asked for, and what time it is."""

    say: Callable[[str], None]
    ask: Callable[[], MachineState] = state.take
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Start:
    """The state that a run can start in, or the one that was found last."""

    state: MachineState
    waited_s: float = 0.0
    obstacles: tuple[str, ...] = ()  # what is still in the way; empty: the run can start


def wait(reference: MachineState | None, machine: Machine, waiting: Waiting) -> Start:
    """Wait until nothing is in the way of a run, or the time is up; reference None: this is the first run."""
    began = waiting.clock()
    said_at: float | None = None
    while True:
        found = waiting.ask()
        obstacles = tuple(state.obstacles(reference or found, found, machine))
        waited_s = waiting.clock() - began
        if not obstacles and said_at is None:
            return Start(found)
        if not obstacles:
            waiting.say(f"the machine is free again after {waited_s:.0f} s")
            return Start(found, waited_s)
        if waited_s >= MOST_WAIT_S:
            return Start(found, waited_s, obstacles)
        if said_at is None or waited_s - said_at >= SAY_AGAIN_S:
            said_at = waited_s
            waiting.say(f"waiting for the machine, {waited_s:.0f} of {MOST_WAIT_S:.0f} s: {'; '.join(obstacles)}")
        waiting.sleep(min(ASK_AGAIN_S, MOST_WAIT_S - waited_s))


def count(comparison: Comparison, start: Start) -> Comparison:
    """Add the time that was waited; where something is still in the way, the comparison ends as inconclusive for now."""
    comparison = dataclasses.replace(comparison, waited_s=comparison.waited_s + start.waited_s)
    if not start.obstacles:
        return comparison
    number, waited = len(comparison.runs) + 1, f"within {start.waited_s:.0f} s"
    reason = f"the machine was not free for run {number} {waited}: {'; '.join(start.obstacles)}"
    return dataclasses.replace(comparison, outcome="inconclusive", reason=reason, obstacles=start.obstacles)


def take_up(comparison: Comparison) -> Comparison:
    """Make a comparison that ended for the machine one that goes on: its coins and runs stay, so nothing is chosen.

    Raises StoreError where its runs are made beside those of other candidates: it is continued with them.
    """
    if comparison.joint is not None and comparison.unfinished:
        what = f"is compared beside other candidates with {comparison.a.subject}"
        raise StoreError.at(comparison.b.subject, what, "continue that: name all of them behind it")
    if not comparison.obstacles:
        return comparison
    return dataclasses.replace(comparison, outcome="undecided", reason=None, obstacles=())


def note(comparison: Comparison, run_id: str, start: Start) -> Comparison:
    """Keep the state that a run starts in; the first one is what the others are held against."""
    reference = comparison.reference or start.state
    return dataclasses.replace(comparison, reference=reference, states=comparison.states | {run_id: start.state})
