"""Say in words where a run stands: the same words in the live view, in the lines for a file and in `show RUN --follow`.

The log's own text never appears, only its numbers; names come from files that were read strictly. A number may be of any
size, so each is given the form that fits it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.core.text import plural, printable
from harness.run.command_progress import Command, Rest, rest_of
from harness.run.record_curve import Reference, against
from harness.run.run_progress import Gpus, Point, State
from harness.run.run_reading import RunReader

STEADY = 0.02  # change of the pace that is no trend
MOST_NAME = 200


@dataclass(frozen=True, slots=True)
class Status:
    """A run, its command, and the record that its curve stands beside."""

    title: str  # run 2 of 3
    subject: str
    command: Command
    state: State
    rest: Rest
    reference: Reference | None
    ended: str | None  # how and when; None while it runs
    good: bool  # it runs, or it finished

    @property
    def phase(self) -> str:
        """training for 12 s"""
        if self.ended is not None:
            return self.ended
        spent = self.state.phase_s
        return self.state.phase if spent is None else f"{self.state.phase} for {span(spent)}"


def status_of(reader: RunReader, command: Command, reference: Reference | None, subject: str) -> Status:
    """Put together what is known of a run now."""
    state, outcome = reader.state(), reader.outcome
    ended = None
    if reader.over:
        how = "lost: nobody saw it end" if outcome is None else outcome.state
        took = "" if state.elapsed_s is None else f" after {span(state.elapsed_s)}"
        why = "" if outcome is None or not outcome.reason else f": {outcome.reason}"
        ended = printable(f"{how}{took}{why}").replace("\n", " ")[:MOST_NAME]
    good = not reader.over or (outcome is not None and outcome.state == "finished")
    rest = rest_of(command, state, over=reader.over)
    shown = printable(subject).replace("\n", " ")[:MOST_NAME]
    return Status(title_of(command), shown, command, state, rest, reference, ended, good)


def title_of(command: Command) -> str:
    """run 2 of 3, B"""
    if not command.number:
        return printable(command.what or "first run")
    most = "at most " if command.at_most else ""
    title = f"run {command.number} of {most}{command.count}" if command.count else f"run {command.number}"
    return title if command.what is None else printable(f"{title}, {command.what}")


def step_text(state: State) -> str | None:
    """step 60/68"""
    if state.step is None:
        return None
    return f"step {state.step}" if state.total_steps is None else f"step {state.step}/{state.total_steps}"


def share_done(state: State) -> float | None:
    """Return the part of the steps that is done; None where the number of steps is not known."""
    if state.step is None or not state.total_steps:
        return None
    return min(1.0, state.step / state.total_steps)


def loss_parts(status: Status, point: Point | None) -> list[str]:
    """Say a validation, its distance to the target, and where the record was."""
    if point is None:
        return []
    command = status.command
    if point.loss is None:
        return [f"val_loss at step {point.step} is no number"]
    parts = [f"val_loss {number(point.loss)} at step {point.step}"]
    loss = point.loss
    if command.entropy is not None:
        loss -= command.entropy
        target = "" if command.target is None else f" (target {command.target:g})"
        parts.append(f"{number(loss)} above the entropy{target}")
    elif command.target is not None:
        off = loss - command.target
        parts.append(f"{number(abs(off))} {'below' if off < 0 else 'above'} the target {command.target:g}")
    if status.reference is not None:
        found = against(Point(point.step, loss, point.train_time_s), status.reference, status.state.total_steps)
        if found is not None:
            parts.append(found.said)
    return parts


def pace_parts(state: State) -> list[str]:
    """Say the train time, the pace and its trend."""
    parts = []
    if state.train_time_s is not None:
        parts.append(f"train_time {number(state.train_time_s, 1)} s")
    if state.pace_ms is None:
        return parts
    parts.append(f"{number(state.pace_ms, 1)} ms/step")
    if state.pace_before_ms is not None and state.window and state.pace_before_ms > 0:
        change = state.pace_ms / state.pace_before_ms - 1
        if not math.isfinite(change) or abs(change) > 10:
            parts.append(f"{number(state.pace_before_ms, 1)} before")
        elif abs(change) < STEADY:
            parts.append("steady")
        else:
            than = f"than the {plural(state.window, 'step')} before"
            parts.append(f"{100 * abs(change):.0f} % {'slower' if change > 0 else 'faster'} {than}")
    if state.tokens_per_s is not None:
        parts.append(f"{number(state.tokens_per_s, 0)} tokens/s")
    return parts


def left_parts(status: Status) -> list[str]:
    """Say what is left of this run and of the command, to stand behind the word "left"."""
    rest, command = status.rest, status.command
    parts: list[str] = []
    if not status.good:
        return parts  # the command ends with this run
    if status.ended is None:
        parts.append("not known yet" if rest.run_s is None else f"{span(rest.run_s)} of this run")
    if command.count > 1 and rest.command_s is not None and (status.ended is None or command.number < command.count):
        most = "at most" if command.at_most else "about"
        parts.append(f"{most} {span(rest.command_s)} of the command")
    return parts


def cost_parts(status: Status) -> list[str]:
    """Say what the command has cost, and what it comes to."""
    rest, command = status.rest, status.command
    if rest.spent_usd is None:
        return []
    total = (
        ""
        if rest.total_usd is None or not status.good
        else f", {'at most' if command.at_most else 'about'} {rest.total_usd:,.2f} in all"
    )
    return [f"{rest.spent_usd:,.2f} USD since it began{total}"]


def gpu_parts(gpus: Gpus | None) -> list[str]:
    """Say what the GPUs draw and how fast they run."""
    if gpus is None:
        return []
    parts = [plural(gpus.count, "GPU")]
    if gpus.power_w is not None:
        parts.append(f"{gpus.power_w[0]:,.0f} W, at most {gpus.power_w[1]:,.0f}")
    if gpus.sm_mhz is not None:
        parts.append(f"{gpus.sm_mhz[0]:,.0f} MHz, at least {gpus.sm_mhz[1]:,.0f}")
    if gpus.temperature_c is not None:
        parts.append(f"{gpus.temperature_c:.0f} °C")
    return parts + throttling_parts(gpus)


def throttling_parts(gpus: Gpus) -> list[str]:
    """Say what holds a clock down now, and what did at any time of the run and is the machine's fault."""
    parts = [f"slowed down by: {' and '.join(gpus.slowed)}"] if gpus.slowed else ["not throttled"]
    return ["power cap", *parts] if "power cap" in gpus.now else parts


def number(value: float, places: int = 4) -> str:
    """Write a number with its decimals, and one of monstrous size in short."""
    if not math.isfinite(value):
        return "no number"
    return f"{value:,.{places}f}" if abs(value) < 1e9 else f"{value:.3g}"


def span(seconds: float) -> str:
    """Write a time: 42 s, 3 min 12 s, 1 h 05 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    whole = round(min(seconds, 1e9))
    if whole < 6000:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole // 60 % 60:02d} min" if whole < 360_000 else "more than 100 h"
