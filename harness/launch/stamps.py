"""Read what the recorder and the observer wrote of a run: clock.csv, reads.csv and telemetry.csv."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import StoreError
from harness.core.measurement import Observed
from harness.launch.observer import READS, READS_HEADER, SLOW, TELEMETRY, TELEMETRY_HEADER
from harness.store.files import has_kept, read_kept

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


def read_observed(folder: Path, start_ns: int | None) -> Observed | None:
    """Read what the observer wrote into a run folder; None where it wrote nothing.

    start_ns: the start of the run on the same clock. Raises StoreError naming the first line that cannot be read.
    """
    if start_ns is None or not has_kept(folder / READS):
        return None
    opens, counts = [], []
    for number, cells in _rows(folder / READS, READS_HEADER):
        seconds = _seconds(folder / READS, number, cells, start_ns)
        if cells[1] == "open":
            opens.append((seconds, cells[2]))
        elif cells[1] == "bytes" and (count := whole_number(cells[3])) is not None:
            counts.append((seconds, count))
    reasons: set[str] = set()
    use: dict[float, list[float]] = {}
    has_telemetry = has_kept(folder / TELEMETRY)
    for number, cells in _rows(folder / TELEMETRY, TELEMETRY_HEADER) if has_telemetry else ():
        seconds = _seconds(folder / TELEMETRY, number, cells, start_ns)
        reasons.update(cells[7].split("+"))
        if (percent := whole_number(cells[6])) is not None:
            use.setdefault(seconds, []).append(percent / 100)
    return Observed(
        opens=tuple(opens),
        read_bytes=tuple(counts) or None,
        throttling=tuple(sorted(reasons & set(SLOW.values()))) if has_telemetry else None,
        busy=tuple((at, sum(shares) / len(shares)) for at, shares in use.items()) if has_telemetry else None,
    )


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
