"""Find timed sections and phases in the stamped lines of a log: the script's time beside the harness's. Pure.

A script prints how long it has been training; the harness stamps when the line arrived. The two clocks have different
zeros, and a line may arrive late (a busy reader) but never early, so single differences say little and their lower
envelope says much: o = arrival − printed is constant within an honest timed section but for latency that only adds.

With `clock:start` and `clock:stop` in the log a section is what lies between them. A late stamp of `clock:start`
makes a section look shorter and one of `clock:stop` makes it look longer, so the first bounds what is hidden at the
start without any false alarm, the second needs room for one line's latency (32 ms at most with 16 busy processes on 4 cores).
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.measurement import TimedLine

MIN_LINES = 20  # step lines that a section needs before its drift is a number
ENVELOPE = 3  # smallest offsets whose mean is the envelope at one end of a section


@dataclass(frozen=True, slots=True)
class Section:
    """One timed section, and the validation gap behind it."""

    first_line: int  # of the log
    drift_s: float | None  # envelope at the end minus envelope at the start; None with too few step lines
    late_start_s: float | None  # by how much the script's clock began after `clock:start`; latency lowers it
    early_stop_s: float | None  # by how much it stopped before `clock:stop`; latency raises it
    gap_s: float | None  # from the end of the section to the next one, or to the last validation line
    begin_s: float | None = None  # arrival of its first line
    end_s: float | None = None  # arrival of its last one; the gap begins here
    next_s: float | None = None  # arrival of the line that ends the gap


@dataclass(frozen=True, slots=True)
class Timeline:
    """All sections of one run."""

    sections: tuple[Section, ...]
    marked: bool  # the log holds clock marks
    flaw: str | None  # the first thing that stands where it may not, as a sentence

    @property
    def drift_s(self) -> float:
        """The sum of all drifts."""
        return sum(section.drift_s or 0.0 for section in self.sections)


@dataclass(frozen=True, slots=True)
class Phases:
    """Where the wall time of a run went, in seconds; None where no stamp tells."""

    start_s: float | None  # launcher and interpreter, until the first line
    import_s: float | None  # until the header is printed
    warm_up_s: float | None  # compile and warm-up, until the clock first starts
    timed_s: float | None  # as reported
    validation_s: float | None  # gaps between timed sections
    tail_s: float | None  # after the last validation line
    untimed_s: float | None  # seen from the clock's first start to the last validation line, less what was reported


def read_timeline(lines: Sequence[TimedLine], untimed_steps: int = 0) -> Timeline:
    """Find the sections of a run in its timed lines, in the order of the log.

    untimed_steps: lines up to this step carry times that were zeroed afterwards and are left out.
    """
    if untimed_steps:
        lines = [line for line in lines if line.step is None or line.step > untimed_steps or line.kind == "val"]
    marked = any(line.kind in ("clock_start", "clock_stop") for line in lines)
    if marked:
        return Timeline(tuple(_marked_sections(lines, untimed_steps)), True, _flaw(lines))
    return Timeline(tuple(_plain_sections(lines)), False, None)


def phases(
    lines: Sequence[TimedLine], wall_time_s: float | None, first_line_s: float | None, header_end_s: float | None
) -> Phases:
    """Divide one run's wall time into phases."""
    marks = [line.arrival_s for line in lines if line.kind == "clock_start"]
    begin = marks[0] if marks else next((line.arrival_s for line in lines), None)
    validations = [line for line in lines if line.kind == "val"]
    end = validations[-1].arrival_s if validations else None
    timed = validations[-1].train_time_s if validations else None
    seen = None if begin is None or end is None else end - begin
    gaps = [section.gap_s for section in read_timeline(lines).sections]
    return Phases(
        start_s=first_line_s,
        import_s=_less(header_end_s, first_line_s),
        warm_up_s=_less(begin, header_end_s),
        timed_s=timed,
        validation_s=sum(gap for gap in gaps if gap is not None) if marks and None not in gaps else None,
        tail_s=_less(wall_time_s, end),
        untimed_s=_less(seen, timed),
    )


def phase_at(lines: Sequence[TimedLine], at: float) -> str:
    """Say where a moment lies: "before" the clock first starts, "timed", or "untimed" between and after sections."""
    phase = "before"
    for line in lines:
        if line.arrival_s is None or line.arrival_s > at:
            break
        if line.kind == "clock_start":
            phase = "timed"
        elif line.kind == "clock_stop":
            phase = "untimed"
    return phase


def timed_spans(lines: Sequence[TimedLine]) -> list[tuple[float, float]]:
    """List when the clock ran, in order, as `phase_at` sees it; one that never stops runs for ever."""
    spans: list[tuple[float, float]] = []
    begin: float | None = None
    for line in lines:
        if line.arrival_s is None:
            break
        if line.kind == "clock_start" and begin is None:
            begin = line.arrival_s
        elif line.kind == "clock_stop" and begin is not None:
            spans.append((begin, line.arrival_s))
            begin = None
    return spans if begin is None else [*spans, (begin, math.inf)]


def busy_untimed_s(lines: Sequence[TimedLine], busy: Sequence[tuple[float, float]]) -> float:
    """Sum the seconds of full use of the GPUs outside the timed sections, from samples of (seconds, share)."""
    total = 0.0
    for (at, share), (following, _) in itertools.pairwise(busy):
        if phase_at(lines, at) != "timed":
            total += share * (following - at)
    return total


# ---------------------------------------------------------------------------------------- with marks


def _marked_sections(lines: Sequence[TimedLine], untimed_steps: int) -> list[Section]:
    sections = []
    before: float | None = 0.0  # reported at the last validation; None while untimed steps may zero the clock
    starts = [index for index, line in enumerate(lines) if line.kind == "clock_start"]
    for begin, following in itertools.pairwise([*starts, len(lines)]):
        inside = lines[begin:following]
        end = next((index for index, line in enumerate(inside) if line.kind == "clock_stop"), None)
        if end is None:
            continue
        start, stop = inside[0], inside[end]
        validation = next((line for line in inside[end:] if line.kind == "val"), None)
        total = validation.train_time_s if validation else None
        after = lines[following] if following < len(lines) else validation
        offsets = _offsets([line for line in inside[1:end] if line.kind == "train"])
        first, last = _ends(offsets)
        at_start, at_stop = _less(start.arrival_s, before), _less(stop.arrival_s, total)
        sections.append(
            Section(
                first_line=start.line,
                drift_s=_drift(offsets),
                # Without step lines the whole difference is put to the stop, whose limit has room for latency.
                late_start_s=_less(min(first), at_start) if first else None,
                early_stop_s=_less(at_stop, min(last) if last else at_start),
                gap_s=_less(after.arrival_s, stop.arrival_s) if after is not None else None,
                begin_s=start.arrival_s,
                end_s=stop.arrival_s,
                next_s=after.arrival_s if after is not None else None,
            )
        )
        before = total if total is not None else before
        if untimed_steps and (validation is None or (validation.step or 0) <= untimed_steps):
            before = None
    return sections


def _flaw(lines: Sequence[TimedLine]) -> str | None:
    """Find the first line that stands where no honest script prints it."""
    running, waiting, last_step = False, False, None
    for line in lines:
        where = f"line {line.line}"
        if line.kind == "clock_start":
            if running:
                return f"{where}: clock:start while the clock runs"
            if waiting:
                return f"{where}: clock:start before the validation after clock:stop was printed"
            running = True
        elif line.kind == "clock_stop":
            if not running:
                return f"{where}: clock:stop while the clock stands"
            running, waiting = False, True
        elif line.kind == "train" and not running:
            return f"{where}: step {line.step} is printed while the clock stands"
        elif line.kind == "val":
            if running:
                return f"{where}: a validation is printed while the clock runs"
            if not waiting:
                return f"{where}: a validation is printed without a clock:stop before it"
            waiting, last_step = False, line.step
    if running or waiting:
        return f"the log ends after step {last_step} within a section"
    return None


# ---------------------------------------------------------------------------------------- without marks


def _plain_sections(lines: Sequence[TimedLine]) -> list[Section]:
    """Take the stretches between validation lines; where the clock ran in them is not known."""
    sections = []
    validations = [index for index, line in enumerate(lines) if line.kind == "val"]
    for first, last in itertools.pairwise(validations):
        steps = [line for line in lines[first + 1 : last] if line.kind == "train"]
        gap = _less(lines[last].arrival_s, steps[-1].arrival_s) if steps else None
        drift = _drift(_offsets(steps))
        begin, end, after = (lines[k].arrival_s for k in (first, last - 1, last))
        sections.append(Section(lines[first].line, drift, None, None, gap, begin, end, after))
    return sections


# ---------------------------------------------------------------------------------------- envelopes


def _offsets(steps: Sequence[TimedLine]) -> list[float]:
    return [
        line.arrival_s - line.train_time_s
        for line in steps
        if line.arrival_s is not None and line.train_time_s is not None
    ]


def _ends(offsets: Sequence[float]) -> tuple[list[float], list[float]]:
    """Split off the offsets of the first and of the last fifth; with few lines, all of them for both."""
    if len(offsets) < MIN_LINES:
        return list(offsets), list(offsets)
    fifth = len(offsets) // 5
    return list(offsets[:fifth]), list(offsets[-fifth:])


def _drift(offsets: Sequence[float]) -> float | None:
    if len(offsets) < MIN_LINES:
        return None
    first, last = _ends(offsets)
    return sum(sorted(last)[:ENVELOPE]) / ENVELOPE - sum(sorted(first)[:ENVELOPE]) / ENVELOPE


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
