"""Read clock.csv: when each line of a log arrived."""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import StoreError
from harness.store.files import read_kept


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
        raise StoreError.at(name, "cannot be read", "restore the file as the run wrote it") from None
    start: int | None = None
    end: int | None = None
    stamps: dict[int, int] = {}
    before = 0
    for number, row in enumerate(rows[1:], start=2):
        label, _, digits = row.partition(",")
        stamp, line = whole_number(digits), whole_number(label)
        if stamp is None or (line is None and label not in ("start", "exit")):
            raise StoreError.at(f"{name}:{number}", "is no stamp", "restore the file as the run wrote it")
        if label == "start":
            start = stamp
        elif label == "exit":
            end = stamp
        else:
            if stamp < before or line != len(stamps) + 1:
                raise StoreError.at(f"{name}:{number}", "stamps out of order", "restore the file as the run wrote it")
            stamps[len(stamps) + 1] = before = stamp
    if start is None:
        raise StoreError.at(name, "the start was never stamped", "restore the file as the run wrote it")
    arrivals = {line: (stamp - start) / 1e9 for line, stamp in stamps.items()}
    return Clock(None if end is None else (end - start) / 1e9, arrivals, start)
