"""Part a log into lines, and find the metric lines of a log part in one pass and without copying the file.

Nearly all lines of a log are train lines that follow each other without surprise. A stretch of them between two
validation lines is taken in one go: one compiled expression must match every line of it, their steps must be
consecutive and their totals equal. Whatever is not that ordinary is read line by line through the grammar. Both ways
give the same runs; a test holds that.

The scanner reads logs that anybody made, where a carriage return ends a line as well. What this harness stamped is
parted by `split_lines` alone.
"""

from collections.abc import Iterator

from harness.runlog import grammar
from harness.runlog.grammar import Flaw, Form, MetricLine, parse_line
from harness.runlog.runs import Gatherer

_STRETCH_BYTES = 1 << 20  # bounds the memory for the steps of one stretch to a few MB
_names: list[bytes] = [b"%d" % step for step in range(4096)]
_MOST_NAMES = 1 << 18
_MOST_ODD_BYTES = 8 << 20


def split_lines(data: bytes | bytearray, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Part data into lines as the recorder counts and stamps them: a line ends at a newline and at nothing else.

    `start` begins a line. Yields its 1-based number, where it begins, and where its newline stands or the data end.
    """
    number = data.count(b"\n", 0, start)
    while start < len(data):
        stop = data.find(b"\n", start)
        stop = stop if stop >= 0 else len(data)
        number += 1
        yield number, start, stop
        start = stop + 1


class Scanner:
    """Walks over one log part; remembers where the next newline is, so that no byte is searched twice for one."""

    def __init__(self, form: Form, gatherer: Gatherer, *, quick: bool = True) -> None:
        self.data = gatherer.data
        self.form = form
        self.gatherer = gatherer
        self.problems = gatherer.problems
        self.quick = quick
        self.odd: list[tuple[int, int]] = []  # all but the stretches of ordinary train lines
        self._newline = -1
        self._other_rank = False

    def scan(self, start: int, end: int) -> None:
        """Read all metric lines between two offsets; `start` begins a line."""
        position = start
        while position < end:
            mark = self.data.find(self.form.validation, position, end)
            if mark < 0:
                self._between(position, end)
                return
            line_start = self._line_start(position, mark)
            self._between(position, line_start)
            position = self._take(line_start, mark, end)
            self.odd.append((line_start, position))

    def odd_text(self) -> bytes | None:
        """Join all that was read and is no ordinary train line; None where that is too much to copy."""
        if sum(stop - start for start, stop in self.odd) > _MOST_ODD_BYTES:
            return None
        return b"".join([self.data[start:stop] for start, stop in self.odd])

    def _line_start(self, low: int, mark: int) -> int:
        newline = self.data.rfind(b"\n", low, mark)
        carriage = self.data.rfind(b"\r", max(low, newline), mark)
        return max(newline, carriage, low - 1) + 1

    def _line_end(self, start: int, end: int) -> tuple[int, bool]:
        """Find the end of the line that holds `start`, and whether a line ending stands there."""
        if self._newline < start:
            newline = self.data.find(b"\n", start)
            self._newline = newline if newline >= 0 else len(self.data)
        stop = min(self._newline, end)
        carriage = self.data.find(b"\r", start, stop)
        if carriage >= 0:
            return carriage, True
        return stop, stop < len(self.data)

    def _between(self, start: int, end: int) -> None:
        """Read a stretch without validation lines, in pieces of bounded size."""
        while start < end:
            stop = end
            if end - start > _STRETCH_BYTES:
                cut = self.data.rfind(b"\n", start, start + _STRETCH_BYTES)
                if cut < 0:
                    cut = self.data.find(b"\n", start, end)
                stop = cut + 1 if cut >= 0 else end
            if not (self.quick and self._ordinary(start, stop)):
                self._line_by_line(start, stop)
                self.odd.append((start, stop))
            start = stop

    def _ordinary(self, start: int, stop: int) -> bool:
        """Take a stretch of consecutive train lines at once; False, and nothing taken, where it is anything else."""
        data = self.data
        mark = self.form.line
        if start == 0 or data[stop - 1] != 0x0A or data[start - 1] != 0x0A or not data.startswith(mark, start):
            return False
        count = data.count(b"\n", start, stop)
        for pattern in self.form.train_lines:
            steps = pattern.findall(data, start - 1, stop)
            if len(steps) == count:
                break
        else:
            return False
        first = int(steps[0]) if len(steps[0]) < 10 else _MOST_NAMES
        if first + count > _MOST_NAMES:
            return False
        while len(_names) < first + count:
            _names.append(b"%d" % len(_names))
        if steps != _names[first : first + count]:
            return False
        total = None
        if self.form is grammar.STEP_FORM:
            slash = data.index(b"/", start)
            text = data[slash : data.index(b" ", slash) + 1]  # "/1770 " stands once on every line, or the totals differ
            if len(text) > 12 or data.count(text, start, stop) != count:
                return False
            total = int(text[1:])
        return self.gatherer.stretch(first, count, total, start, stop)

    def _line_by_line(self, start: int, stop: int) -> None:
        position = start
        while position < stop:
            mark = self.data.find(self.form.line, position, stop)
            if mark < 0:
                return
            position = self._take(self._line_start(position, mark), mark, stop)

    def _take(self, start: int, mark: int, end: int) -> int:
        """Read the line around `mark` that begins at `start`; return where the next one begins."""
        stop, ended = self._line_end(mark, end)
        if stop - start > grammar.MAX_LINE_BYTES:
            self.problems.note("long-line", start, bytes(self.data[start : start + 160]))
            return stop + 1
        raw = printed = bytes(self.data[start:stop])
        if not printed.startswith(self.form.line) or b"\x1b" in printed:
            raw = grammar.undress(printed)
            if not raw and printed and not self._other_rank:
                self._other_rank = True
                self.problems.note("other-rank", start, printed)
        line = parse_line(raw)
        torn = not ended and not (isinstance(line, MetricLine) and grammar.WHOLE_END.search(raw))
        if torn and raw.startswith(self.form.line):
            self.problems.note("torn-line", start, printed)
        elif isinstance(line, Flaw):
            self.problems.note("unreadable-line", start, f"{line.why}: {printed[:120].decode('utf-8', 'replace')}")
        elif line is not None:
            self.gatherer.line(line, raw, start, stop + 1)
        return stop + 1
