"""Sort metric lines into runs: where a run begins, which line is its last, and how many points it has.

A run begins at the first metric line and whenever the step number falls; one more cause is a new total without a fall,
as in two logs glued together. A line that comes twice is counted once.
"""

from dataclasses import dataclass, field
from typing import Any

from harness.core.errors import LogError
from harness.runlog import grammar
from harness.runlog.grammar import MetricLine, parse_line
from harness.runlog.problems import Problems

MOST_RUNS = 10_000  # the largest real file holds 30


@dataclass(slots=True)
class RunLines:
    """The metric lines of one run, gathered while a log is read."""

    first: MetricLine
    position: int  # of the first line
    stop: int  # behind the last line
    step: int
    last: MetricLine
    first_train: MetricLine | None = None
    last_val: MetricLine | None = None  # the last validation line with a finite val_loss or val_ema_loss
    n_val: int = 0
    n_train: int = 0
    curve: list[tuple[int, float, float | None]] = field(default_factory=list)
    seen: dict[str, bytes] = field(default_factory=dict)  # the lines of the current step, by kind
    notes: dict[str, str] = field(default_factory=dict)  # pairs of lines that carry nothing else, for the current step

    @property
    def total(self) -> int | None:
        """Return the number of steps after the slash; all lines of a run have the same."""
        return self.first.total_steps

    def add(self, line: MetricLine, stop: int, keep_curve: bool) -> None:
        """Add one more line of this run."""
        self.stop = stop
        self.last = line
        if line.kind == "train":
            self.n_train += 1
            if self.first_train is None:
                self.first_train = line
            return
        if line.val_loss is None and line.val_ema_loss is None:
            return
        self.n_val += 1
        self.last_val = line
        if keep_curve and line.val_loss is not None:
            self.curve.append((line.step, line.val_loss, line.train_time_s))

    def figures(self) -> dict[str, Any]:
        """Collect the final figures by their names in `RunLog`."""
        last, val = self.last, self.last_val
        at_end = val if val is not None and val.step == self.step else None
        return {
            "final_step": self.step,
            "total_steps": self.total,
            "final_val_loss": at_end.val_loss if at_end else None,
            "final_val_text": at_end.text or None if at_end else None,
            "final_val_ema_loss": at_end.val_ema_loss if at_end else None,
            "last_val_step": val.step if val else None,
            "last_val_loss": val.val_loss if val else None,
            "final_train_time_s": last.train_time_s,
            "step_avg_ms": last.step_avg_ms,
            "reached_last_step": None if self.total is None else self.step == self.total,
            "has_final_val": at_end is not None,
            "extra": {**last.extra, **self.notes},
        }


class Gatherer:
    """Sorts metric lines, one by one or many at once, into runs."""

    def __init__(self, data: bytes | bytearray, name: str, keep_curve: bool) -> None:
        self.data = data
        self.problems = Problems(data)
        self.name = name
        self.keep_curve = keep_curve
        self.runs: list[RunLines] = []

    def line(self, line: MetricLine, raw: bytes, start: int, stop: int) -> None:
        """Take one metric line, given its bytes and offsets."""
        run = self.runs[-1] if self.runs else None
        if line.kind == "note":
            if run is not None and line.step == run.step:
                run.notes |= line.extra
            return
        if run is None or line.step < run.step or line.total_steps != run.total:
            run = self._begin(line, raw, start)
        elif line.step == run.step:
            if line.kind in run.seen:
                same = run.seen[line.kind] == raw
                self.problems.note("duplicate-line" if same else "conflicting-line", start, raw)
                return
        else:
            run.step = line.step
            run.seen.clear()
            run.notes = {}
        run.seen[line.kind] = raw
        run.add(line, stop, self.keep_curve)
        for what in line.not_finite:
            self.problems.note("non-finite-time" if what == "train_time" else "non-finite-loss", start, raw)

    def stretch(self, first: int, count: int, total: int | None, start: int, stop: int) -> bool:
        """Take `count` train lines of consecutive steps at once; False where they cannot simply follow the run."""
        run = self.runs[-1] if self.runs else None
        if run is not None and (first < run.step or total != run.total or (first == run.step and "train" in run.seen)):
            return False
        line_start = self.data.rfind(b"\n", start, stop - 1) + 1 or start
        raw = bytes(self.data[line_start : stop - 1])
        last = parse_line(raw)
        if not isinstance(last, MetricLine) or last.kind != "train" or last.not_finite:
            return False
        if run is None or run.first_train is None:
            head = parse_line(bytes(self.data[start : self.data.index(b"\n", start)]))
            if not isinstance(head, MetricLine):
                return False
            if run is None:
                run = self._begin(head, b"", start)
            run.first_train = head
        if last.step != run.step:
            run.seen, run.notes = {}, {}
        run.seen["train"] = raw
        run.n_train += count
        run.step, run.last, run.stop = last.step, last, stop
        return True

    def _begin(self, line: MetricLine, raw: bytes, start: int) -> RunLines:
        if len(self.runs) >= MOST_RUNS:
            raise LogError.at(
                self.name,
                f"the steps fall back more than {MOST_RUNS:,} times",
                "this is no log of whole runs; split it",
            )
        if self.runs:
            before = self.runs[-1]
            if line.step >= before.step:
                self.problems.note("total-changed", start, raw)
            elif line.step != self.runs[0].first.step:
                self.problems.note("uneven-start", start, raw)
        self.runs.append(RunLines(line, start, start, line.step, line))
        return self.runs[-1]


def memory_behind(data: bytes | bytearray, runs: list[RunLines], index: int) -> int | None:
    """Find the peak memory, MiB, that is printed between the last line of a run and the next run."""
    start = runs[index].stop
    end = runs[index + 1].position if index + 1 < len(runs) else len(data)
    mark = data.find(grammar.PEAK_MEMORY_MARK, start, end)
    if mark < 0:
        return None
    match = grammar.PEAK_MEMORY.search(data, mark, end)
    return int(match[1]) if match else None
