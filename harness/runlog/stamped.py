"""Read the log part of a run whose lines the harness stamped: one pass gives its figures and the lines that tell a time.

A script prints its own log, so two readers that part it into lines differently are a way to show one of them what the
other never sees. Here both take the line that the recorder stamped: it ends at a newline and at nothing else, not at a
carriage return, a form feed or a separator of Unicode. Nor is any line left out as an echo of earlier ones.
"""

from harness.core.measurement import TimedLine
from harness.runlog import grammar
from harness.runlog.grammar import ClockMark, Flaw, MetricLine
from harness.runlog.lines import split_lines
from harness.runlog.part import Part
from harness.runlog.runs import Gatherer
from harness.runlog.source import Layout

Bytes = bytes | bytearray


def read_stamped_part(data: Bytes, layout: Layout, path: str) -> tuple[Part, list[TimedLine]]:
    """Read the runs of a log part, and all of its lines that tell a time, from the same lines."""
    gatherer = Gatherer(data, path, True)
    timed: list[TimedLine] = []
    form = grammar.PLAIN_FORM
    for number, start, stop in split_lines(data, layout.log_start):
        raw = grammar.undress(bytes(data[start : min(stop, start + grammar.MAX_LINE_BYTES + 1)]))
        read = _read_line(gatherer, raw, start, stop)
        if isinstance(read, str):
            timed.append(TimedLine(number, read, None, None))
        elif read is not None:
            if raw.startswith(grammar.STEP_MARK):
                form = grammar.STEP_FORM
            gatherer.line(read, raw, start, stop + 1)
            if read.kind != "note":
                timed.append(timed_line(number, read))
    return Part(gatherer.runs, gatherer.problems, form, bytes(data[layout.log_start :])), timed


def _read_line(gatherer: Gatherer, raw: bytes, start: int, stop: int) -> MetricLine | ClockMark | None:
    """Read one line, given without colours and rank; note what looks like a metric line and cannot be used."""
    if stop - start > grammar.MAX_LINE_BYTES:
        if grammar.STEP_MARK in raw:
            gatherer.problems.note("long-line", start, raw[:160])
        return None
    mark = grammar.clock_mark(raw)
    if mark is not None:
        return mark
    line = grammar.parse_line(raw)
    whole = stop < len(gatherer.data) or (isinstance(line, MetricLine) and grammar.WHOLE_END.search(raw))
    if not whole and raw.startswith(grammar.STEP_MARK):
        gatherer.problems.note("torn-line", start, raw)
    elif isinstance(line, Flaw):
        gatherer.problems.note("unreadable-line", start, f"{line.why}: {raw[:120].decode('utf-8', 'replace')}")
    return line if isinstance(line, MetricLine) and whole else None


def timed_line(number: int, line: MetricLine) -> TimedLine:
    """Take of a metric line what it tells of time."""
    assert line.kind != "note"
    return TimedLine(number, line.kind, line.step, line.train_time_s, step_avg_ms=line.step_avg_ms)
