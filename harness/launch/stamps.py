"""Read what the recorder and the observer wrote of a run: clock.csv, reads.csv and telemetry.csv."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from harness.core.errors import StoreError
from harness.core.measurement import Observed, WrittenFile
from harness.launch.observer import READS, READS_HEADER
from harness.launch.telemetry import SLOW, TELEMETRY, TELEMETRY_HEADER
from harness.store.files import has_kept, read_kept

_FILE_KINDS: Final[dict[str, Literal["copy", "file", "shared"]]] = {"copy": "copy", "file": "file", "shared": "shared"}
_RESTORE = "restore the file as the run wrote it"


@dataclass(frozen=True, slots=True)
class Clock:
    """What the harness's monotonic clock saw of one run, in seconds since its start."""

    wall_time_s: float | None  # None if the exit was never stamped
    arrivals_s: dict[int, float]  # line of the log, 1-based -> seconds after the start
    start_ns: int | None = None  # on that clock


def whole_number(text: str) -> int | None:
    """Read a number as the recorder and the observer write it; None for anything else, which may be untrusted input.

    `str.isdigit` also takes `²`, and `int` refuses more than 4,300 digits: 19 hold 292 years of nanoseconds.
    """
    return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else None


def read_clock(path: Path, *, name: str | None = None) -> Clock:
    """Read the stamps of a run; raises StoreError naming the first line that cannot be a stamp."""
    name = name or str(path)
    try:
        rows = read_kept(path, name=name).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise StoreError.at(name, "cannot be read", _RESTORE) from None
    marks: dict[str, int] = {}
    stamps: dict[int, int] = {}
    before = 0
    for number, row in enumerate(rows[1:], start=2):
        label, _, digits = row.partition(",")
        stamp, line = whole_number(digits), whole_number(label)
        if stamp is None or (line is None and label not in ("start", "exit")):
            raise StoreError.at(f"{name}:{number}", "is no stamp", _RESTORE)
        if line is None:
            marks[label] = stamp
            continue
        if stamp < before or line != len(stamps) + 1:
            raise StoreError.at(f"{name}:{number}", "stamps out of order", _RESTORE)
        stamps[line] = before = stamp
    start, end = marks.get("start"), marks.get("exit")
    if start is None:
        raise StoreError.at(name, "the start was never stamped", _RESTORE)
    arrivals = {line: (stamp - start) / 1e9 for line, stamp in stamps.items()}
    return Clock(None if end is None else (end - start) / 1e9, arrivals, start)


def read_observed(folder: Path, start_ns: int | None, *, heartbeat: bool = False) -> Observed | None:
    """Read what the observer wrote into a run folder; None where it wrote nothing.

    start_ns: the start of the run on the same clock. heartbeat: the run had an observer with one, so that a missing file
    is a gap as long as the run. Raises StoreError naming the first line that cannot be read.
    """
    if start_ns is None or not has_kept(folder / READS):
        return Observed(None, None, None, None, beats=()) if heartbeat else None
    rows = _Rows(folder / READS, start_ns)
    reasons: set[str] = set()
    use: dict[float, list[float]] = {}
    has_telemetry = has_kept(folder / TELEMETRY)
    for number, cells in _rows(folder / TELEMETRY, TELEMETRY_HEADER) if has_telemetry else ():
        seconds = _seconds(folder / TELEMETRY, number, cells, start_ns)
        reasons.update(cells[7].split("+"))
        if (percent := whole_number(cells[6])) is not None:
            use.setdefault(seconds, []).append(percent / 100)
    return Observed(
        opens=tuple(rows.opens),
        read_bytes=tuple(rows.counts["bytes"]) or None,
        throttling=tuple(sorted(reasons & set(SLOW.values()))) if has_telemetry else None,
        busy=tuple((at, sum(shares) / len(shares)) for at, shares in use.items()) if has_telemetry else None,
        beats=tuple(rows.beats) if rows.beats or heartbeat else None,
        ended=rows.ended,
        written_bytes=tuple(rows.counts["written"]) or None,
        files=tuple(rows.files),
        lost=tuple(rows.lost),
        waits=tuple((at, nanoseconds / 1e9) for at, nanoseconds in rows.counts["wait"]),
        user_s=tuple((at, nanoseconds / 1e9) for at, nanoseconds in rows.counts["user"]) or None,
    )


class _Rows:
    """The rows of reads.csv by kind; a kind of later versions is passed over."""

    def __init__(self, path: Path, start_ns: int) -> None:
        self.opens: list[tuple[float, str]] = []
        self.counts: dict[str, list[tuple[float, int]]] = {"bytes": [], "written": [], "wait": [], "user": []}
        self.beats: list[tuple[float, float]] = []
        self.files: list[WrittenFile] = []
        self.lost: list[tuple[float, str]] = []
        self.ended = False
        for number, cells in _rows(path, READS_HEADER):
            at, kind, name, value = _seconds(path, number, cells, start_ns), cells[1], cells[2], whole_number(cells[3])
            if kind == "open":
                self.opens.append((at, name))
            elif kind in self.counts and value is not None:
                self.counts[kind].append((at, value))
            elif kind == "lost":
                self.lost.append((at, name))
            elif kind in _FILE_KINDS:
                self.files.append(WrittenFile(at, _FILE_KINDS[kind], name, _needed(path, number, value)))
            elif kind in ("beat", "end"):
                if self.ended or (self.beats and at < self.beats[-1][0]):
                    raise StoreError.at(f"{path.name}:{number}", "beats out of order", _RESTORE)
                self.beats.append((at, _needed(path, number, value) / 1e9))
                self.ended = kind == "end"


def _needed(path: Path, number: int, value: int | None) -> int:
    if value is None:
        raise StoreError.at(f"{path.name}:{number}", "has no number", _RESTORE)
    return value


def _rows(path: Path, header: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a file with their line numbers; a torn last line (the observer was killed) is left out."""
    *lines, _ = read_kept(path, name=path.name).split(b"\n")
    width = header.count(b",") + 1
    if lines and lines[0] + b"\n" != header:
        raise StoreError.at(f"{path.name}:1", "is not its header", _RESTORE)
    for number, line in enumerate(lines[1:], start=2):
        cells = line.decode("utf-8", "replace").split(",")
        if len(cells) != width:
            raise StoreError.at(f"{path.name}:{number}", "cannot be read", _RESTORE)
        yield number, cells


def _seconds(path: Path, number: int, cells: list[str], start_ns: int) -> float:
    stamp = whole_number(cells[0])
    if stamp is None:
        raise StoreError.at(f"{path.name}:{number}", "has no time", _RESTORE)
    return (stamp - start_ns) / 1e9
