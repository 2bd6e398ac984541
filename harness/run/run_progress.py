"""What a run has done so far and what is left of it, from the stamped lines of its log. Pure: no file, no clock.

`Progress` takes lines and samples as they come, `state` says where the run stands at a moment. The live view, the lines
for a file and `show RUN --follow` all print a `State` and nothing else.

Hard because the script prints what it likes: steps of twelve digits, losses that are no numbers, times that run
backwards, a million lines. No number leads to an error here, memory is bounded, and nothing but numbers is taken from
the log. All of it is the script's own word, shown and never judged.
"""

import math
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.launch.stamps import whole_number
from harness.launch.telemetry import SLOW
from harness.runlog import grammar
from harness.runlog.grammar import MetricLine

Phase = Literal["starting", "compiling", "warm-up", "training", "validating", "ending"]
MOST_POINTS = 4096  # of a curve; a record of the field has up to 250
MOST_STEPS = 1024  # step lines that are kept for the pace
LEAST_WINDOW, MOST_WINDOW = 16, 200  # steps that the pace is measured over, an eighth of the run between
BUSY = 20  # per cent of use from which a GPU does more than wait for the compiler
_FIGURE = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_SLOW = frozenset(SLOW.values())


@dataclass(frozen=True, slots=True)
class Point:
    """One validation."""

    step: int
    loss: float | None  # None: NaN or infinite
    train_time_s: float | None


@dataclass(frozen=True, slots=True)
class Gpus:
    """What the GPUs did at the last sample; None where the driver does not say."""

    count: int
    power_w: tuple[float, float] | None  # mean and most
    sm_mhz: tuple[float, float] | None  # mean and least
    temperature_c: float | None  # the most
    used: float | None  # mean share in per cent
    slowed: tuple[str, ...]  # why the machine slowed a GPU down at any time of the run
    now: tuple[str, ...]  # what holds a clock down at this moment, the ordinary power cap included


@dataclass(frozen=True, slots=True)
class State:
    """Where a run stands."""

    phase: Phase
    elapsed_s: float | None  # since its start
    phase_s: float | None  # since this phase began
    step: int | None
    total_steps: int | None
    curve: tuple[Point, ...]
    train_time_s: float | None  # as printed last
    pace_ms: float | None  # per step, of the last steps
    pace_before_ms: float | None  # of as many steps before these
    window: int | None  # how many steps that is
    tokens_per_s: float | None
    left_s: float | None  # until its last validation; None where nothing tells
    gpus: Gpus | None = None

    @property
    def last(self) -> Point | None:
        """Return the last validation."""
        return self.curve[-1] if self.curve else None


@dataclass(frozen=True, slots=True)
class _Step:
    step: int
    train_time_s: float | None
    at_s: float | None


class Progress:
    """One run, line by line."""

    def __init__(self, *, on_gpus: bool) -> None:
        self.on_gpus = on_gpus
        self.lines = 0
        self.running, self.stopped, self.began = False, False, False  # as the clock marks say; whether training began
        self.since_s: float | None = 0.0  # when the phase began
        self.at_s: float | None = None  # arrival of the last line
        self.total: int | None = None
        self.tokens_per_step: int | None = None
        self.curve: deque[Point] = deque(maxlen=MOST_POINTS)
        self.steps: deque[_Step] = deque(maxlen=MOST_STEPS)
        self.last: MetricLine | None = None
        self.gaps = (0, 0.0)  # validations that were waited for, and seconds in all
        self.samples: dict[str, tuple[str, ...]] = {}  # the last row of each GPU
        self.slowed: set[str] = set()

    def take(self, raw: bytes, at_s: float | None) -> None:
        """Take a line of the log without its end; at_s: when it came, in seconds since the start, where it was stamped."""
        self.lines += 1
        self.at_s = at_s if at_s is not None else self.at_s
        if self.lines == 1:
            self.since_s = at_s
        if len(raw) > grammar.MAX_LINE_BYTES:
            return
        plain = grammar.undress(raw.rstrip(b"\r"))
        mark = grammar.clock_mark(plain)
        if mark is not None:
            self.running, self.stopped, self.since_s = mark == "clock_start", mark == "clock_stop", at_s
            self.began = True
            return
        told = grammar.TOKENS_PER_STEP.match(plain)
        if told is not None:
            self.tokens_per_step = int(told[1])
        metric = grammar.parse_line(plain)
        if isinstance(metric, MetricLine) and metric.kind != "note":
            self._metric(metric, at_s)

    def sample(self, row: bytes) -> None:
        """Take a row of telemetry.csv; one that cannot be read is passed over."""
        cells = row.decode("utf-8", "replace").split(",")
        if len(cells) == 8 and whole_number(cells[0]) is not None and re.fullmatch(r"[0-9]{1,3}", cells[1]):
            self.samples[cells[1]] = tuple(cells[2:])
            self.slowed |= _SLOW & {*cells[7].split("+")}

    def state(self, now_s: float | None) -> State:
        """Say where the run stands; now_s: seconds since its start, for a run that has ended those that it took."""
        step = None if self.last is None else self.last.step
        recent, before, window = self._paces()
        phase = self._phase()
        tokens = None
        if recent is not None and self.tokens_per_step is not None and recent > 0:
            tokens = self.tokens_per_step / recent * 1000
        return State(
            phase=phase,
            elapsed_s=now_s,
            phase_s=None if now_s is None or self.since_s is None else max(0.0, now_s - self.since_s),
            step=step,
            total_steps=self.total,
            curve=tuple(self.curve),
            train_time_s=None if self.last is None else self.last.train_time_s,
            pace_ms=recent,
            pace_before_ms=before,
            window=window,
            tokens_per_s=tokens,
            left_s=0.0 if phase == "ending" else self._left_s(recent, now_s),
            gpus=self._gpus(),
        )

    # ------------------------------------------------------------------------------------------------ lines

    def _metric(self, metric: MetricLine, at_s: float | None) -> None:
        started_over = self.last is not None and metric.step < self.last.step and metric.step == 0
        if started_over:  # another run in one log
            self.curve.clear()
            self.steps.clear()
            self.gaps = (0, 0.0)
        if not self.began:
            self.began, self.since_s = True, at_s
        self.total = metric.total_steps
        before = self.last
        self.last = metric
        if metric.kind == "val":
            self._validation(metric, before, at_s)
        self.steps.append(_Step(metric.step, metric.train_time_s, at_s))

    def _validation(self, metric: MetricLine, before: MetricLine | None, at_s: float | None) -> None:
        loss = metric.val_loss if metric.val_loss is not None else metric.val_ema_loss
        point = Point(metric.step, loss, metric.train_time_s)
        while self.curve and self.curve[-1].step >= point.step:
            self.curve.pop()
        self.curve.append(point)
        since = self.steps[-1].at_s if self.steps else None
        if before is not None and before.kind == "train" and at_s is not None and since is not None:
            self.gaps = (self.gaps[0] + 1, self.gaps[1] + max(0.0, at_s - since))
        self.stopped, self.since_s = False, at_s

    def _phase(self) -> Phase:
        if not self.lines:
            return "starting"
        if not self.began:
            used = [int(row[4]) for row in self.samples.values() if re.fullmatch(r"[0-9]{1,3}", row[4])]
            busy = bool(used) and sum(used) / len(used) >= BUSY
            return "compiling" if self.on_gpus and not busy else "warm-up"
        if self.running:
            return "training"
        if self.stopped:
            return "validating"
        done = self.last is not None and self.last.kind == "val" and self.last.step == self.total
        return "ending" if done else "training"

    # ------------------------------------------------------------------------------------------------ pace

    def _paces(self) -> tuple[float | None, float | None, int | None]:
        """Measure the milliseconds of a step by the printed train time: now, and over as many steps before."""
        timed = [one for one in self.steps if one.train_time_s is not None]
        if len(timed) < 2:
            return None, None, None
        window = min(MOST_WINDOW, max(LEAST_WINDOW, (self.total or 0) // 8))
        last = timed[-1]
        middle = _latest_until(timed[:-1], last.step - window) or timed[0]
        first = _latest_until(timed, middle.step - (last.step - middle.step))
        before = None if first is None else _pace(first, middle)
        return _pace(middle, last), before, max(0, last.step - middle.step)

    def _left_s(self, pace_ms: float | None, now_s: float | None) -> float | None:
        """Estimate the rest by the pace of the last steps and the mean length of a validation."""
        if pace_ms is None or self.total is None or self.last is None:
            return None
        left = max(0, self.total - self.last.step) * pace_ms / 1000
        waited, seconds = self.gaps
        steps = [point.step for point in self.curve]
        if waited and len(steps) >= 2:
            every = max(1, steps[-1] - steps[-2])
            left += max(0, math.ceil((self.total - steps[-1]) / every)) * seconds / waited
        silent = 0.0 if now_s is None or self.at_s is None else max(0.0, now_s - self.at_s)
        return max(0.0, left - silent)

    # ------------------------------------------------------------------------------------------------ GPUs

    def _gpus(self) -> Gpus | None:
        if not self.samples:
            return None
        rows = list(self.samples.values())
        power, clock, heat, used = (_figures(row[column] for row in rows) for column in (0, 1, 3, 4))
        reasons = sorted({reason for row in rows for reason in row[5].split("+") if reason})
        return Gpus(
            count=len(rows),
            power_w=(sum(power) / len(power), max(power)) if power else None,
            sm_mhz=(sum(clock) / len(clock), min(clock)) if clock else None,
            temperature_c=max(heat) if heat else None,
            used=sum(used) / len(used) if used else None,
            slowed=tuple(sorted(self.slowed)),
            now=tuple(reason for reason in reasons if reason in _SLOW or reason == "power cap"),
        )


def _latest_until(steps: Sequence[_Step], step: int) -> _Step | None:
    """Find the last line that stands at this step or before."""
    return next((one for one in reversed(steps) if one.step <= step), None)


def _pace(first: _Step, last: _Step) -> float | None:
    """Milliseconds of a step between two lines; None where the steps or the times run backwards."""
    if first.train_time_s is None or last.train_time_s is None or last.step <= first.step:
        return None
    spent = last.train_time_s - first.train_time_s
    return spent * 1000 / (last.step - first.step) if spent >= 0 else None


def _figures(cells: Iterable[str]) -> list[float]:
    return [float(cell) for cell in cells if _FIGURE.fullmatch(cell)]
