"""List what may be wrong with a log: every kind of problem that the reader reports, and what it means.

A problem never carries a number that was used; it says which line was left out, or which number nobody can trust.
"""

from harness.core.measurement import LogProblem

MEANING = {
    "non-finite-loss": "a loss on this line is NaN or infinite; the line counts as a step, its loss as missing",
    "non-finite-time": "train_time on this line is NaN or infinite; the line counts, its time as missing",
    "unreadable-line": "the line looks like a metric line and does not fit the grammar; nothing of it was used",
    "torn-line": "the file ends within a metric line; nothing of that line was used",
    "long-line": "the line holds a step and is longer than 65,536 bytes; nothing of it was used",
    "duplicate-line": "the same metric line again; it was counted once",
    "conflicting-line": "a second, different line for the same step; the first one was used",
    "other-rank": "the line carries the prefix of another rank than 0; it was left out",
    "total-changed": "the number of steps after the slash changes without a fall of the step; a new run begins",
    "uneven-start": "a run begins at another step than the first run of the file; the log may be shuffled",
    "metrics-before-separator": "metric lines stand before the last separator and were not read",
    "mixed-dialects": "`s:N tel:F` lines stand in a log of `step:N/N` lines and were not read",
    "echo-differs": "a line that should repeat an earlier one (between two seeds) repeats none; it was not read",
    "traceback": "a Python traceback, a failed rank or a signal stands in the log",
    "escape-sequences": "the log part holds terminal escape sequences; colours were taken off",
    "carriage-returns": "the log part holds carriage returns; each ends a line",
    "nul-bytes": "the log part holds NUL bytes",
    "not-utf8": "the log part is not valid UTF-8",
    "unstamped-lines": "the clock beside the log has stamped another number of lines than it holds",
    "more-problems": "there are more problems than are listed",
}
MOST_PROBLEMS = 200  # per file, and one of each kind; a million broken lines must not become a million findings
_TEXT_LENGTH = 160


class Problems:
    """Collects the problems of one file with their positions; lines are counted only for those that are kept."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data
        self._found: list[tuple[int, str, str]] = []
        self._kinds: set[str] = set()
        self._extra: tuple[int, str, str] | None = None

    def note(self, kind: str, position: int, text: bytes | str) -> None:
        """Note a problem at a byte position; its text is shortened and can always be written as JSON."""
        if isinstance(text, bytes):
            text = text[: 4 * _TEXT_LENGTH].decode("utf-8", "replace")
        assert kind in MEANING
        # The first of each kind is always kept: two hundred harmless ones must not hide another that decides.
        if len(self._found) < MOST_PROBLEMS or kind not in self._kinds:
            self._kinds.add(kind)
            self._found.append((position, kind, text[:_TEXT_LENGTH]))
        elif self._extra is None:
            self._extra = (position, "more-problems", MEANING["more-problems"])

    def __bool__(self) -> bool:
        return bool(self._found)

    def placed(self) -> list[tuple[int, LogProblem]]:
        """List every problem with its byte position, in the order of the file."""
        found = sorted(self._found + ([self._extra] if self._extra else []))
        placed = []
        line, counted = 1, 0
        for position, kind, text in found:
            line += self._data.count(b"\n", counted, position)
            counted = position
            placed.append((position, LogProblem(kind, line, text)))
        return placed
