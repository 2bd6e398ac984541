"""Read the log part of a file: its runs, and what is odd about it.

Nothing here searches the ordinary train lines twice: what the scanner did not take in stretches is small, and the marks
of tracebacks, control characters and echoes are looked for only there.
"""

import codecs
from dataclasses import dataclass

from harness.runlog import grammar
from harness.runlog.grammar import MetricLine
from harness.runlog.lines import Scanner
from harness.runlog.problems import Problems
from harness.runlog.runs import Gatherer, RunLines
from harness.runlog.source import Layout, Span, metrics_before

Bytes = bytes | bytearray
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Part:
    """What the log part of a file gave."""

    runs: list[RunLines]
    problems: Problems
    form: grammar.Form
    odd: bytes | None  # all of it but ordinary train lines; None where that is too much to copy


def read_part(data: Bytes, layout: Layout, path: str, curve: bool, quick: bool) -> Part:
    """Read the runs of a log part, without the echoes between two seeds."""
    whole = [(layout.log_start, len(data))]
    part = _scan(data, grammar.STEP_FORM, whole, path, curve, quick)
    if part.odd is None or grammar.ECHO_MARK in part.odd:
        parts, echoes = _echoes(data, layout.log_start)
        if echoes:
            part = _scan(data, grammar.STEP_FORM, parts, path, curve, quick)
            for start, end in echoes:
                _check_echo(data, layout.log_start, start, end, part.problems)
    if not part.runs and not part.problems and data.find(grammar.PLAIN_MARK, layout.log_start) >= 0:
        return _scan(data, grammar.PLAIN_FORM, whole, path, curve, quick)
    return part


def _scan(data: Bytes, form: grammar.Form, parts: list[Span], path: str, curve: bool, quick: bool) -> Part:
    gatherer = Gatherer(data, path, curve)
    scanner = Scanner(form, gatherer, quick=quick)
    for start, end in parts:
        scanner.scan(start, end)
    return Part(gatherer.runs, gatherer.problems, form, scanner.odd_text())


def _echoes(data: Bytes, start: int) -> tuple[list[Span], list[Span]]:
    """Part a log into what runs printed and what lies between the end of one seed and the start of the next."""
    parts, echoes = [], []
    while begin := grammar.ECHO_START.search(data, start):
        finish = grammar.ECHO_END.search(data, begin.end())
        stop = finish.start() if finish else len(data)
        parts.append((start, begin.start()))
        echoes.append((begin.end(), stop))
        start = stop
    parts.append((start, len(data)))
    return parts, echoes


_MOST_ECHOED_LINES = 1000  # every one of them is searched for in all that stands before it


def _check_echo(data: Bytes, low: int, start: int, end: int, problems: Problems) -> None:
    """Note the metric lines between two offsets that do not repeat a line between `low` and `start`."""
    position, count = start, 0
    while (position := data.find(grammar.STEP_MARK, position, end)) >= 0:
        stop = data.find(b"\n", position, min(end, position + grammar.MAX_LINE_BYTES))
        line = bytes(data[position : stop if stop >= 0 else min(end, position + 160)])
        count += 1
        if count > _MOST_ECHOED_LINES:
            problems.note("echo-differs", position, f"more than {_MOST_ECHOED_LINES:,} lines between two seeds")
            return
        if isinstance(grammar.parse_line(line), MetricLine) and data.find(line, low, start) < 0:
            problems.note("echo-differs", position, line)
        position = stop if stop >= 0 else end


def note_oddities(data: Bytes, layout: Layout, part: Part) -> None:
    """Note what a log part should not hold, where it first occurs; ordinary train lines cannot hold it."""
    start, problems = layout.log_start, part.problems
    for kind, marks in _ODDITIES.items():
        for mark in marks:
            if part.odd is not None and mark not in part.odd:
                continue
            position = data.find(mark, start)
            if position < 0 or not _is_oddity(kind, data, part, start, position):
                continue
            problems.note(kind, position, bytes(data[position : position + 80]).split(b"\n")[0])
            break
    if part.odd is None or not part.odd.isascii():
        wrong = _not_utf8(data, start)
        if wrong is not None:
            problems.note("not-utf8", wrong, bytes(data[wrong : wrong + 40]))
    before = metrics_before(data, layout)
    if before is not None:
        problems.note("metrics-before-separator", before, bytes(data[before : before + 80]).split(b"\n")[0])


_ODDITIES: dict[str, tuple[bytes, ...]] = {
    "carriage-returns": (b"\r",),
    "escape-sequences": (b"\x1b",),
    "nul-bytes": (b"\0",),
    "traceback": grammar.TRACEBACK_MARKS,
    "mixed-dialects": (grammar.PLAIN_FORM.validation,),
}


def _is_oddity(kind: str, data: Bytes, part: Part, start: int, position: int) -> bool:
    if kind == "traceback":
        return grammar.TRACEBACK.search(data, max(start, position - 20), position + 60) is not None
    return kind != "mixed-dialects" or (
        part.form is grammar.STEP_FORM and grammar.PLAIN_VALIDATION.search(data, start) is not None
    )


def _not_utf8(data: Bytes, start: int) -> int | None:
    """Find the offset near which the log part stops being UTF-8; piece by piece, so that nothing large is copied."""
    decoder = None
    for low in range(start, len(data), _PIECE_BYTES):
        piece = data[low : low + _PIECE_BYTES]
        if decoder is None:
            if piece.isascii():
                continue
            decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(piece, low + _PIECE_BYTES >= len(data))
        except UnicodeDecodeError as error:
            return min(low + error.start, len(data))
    return None
