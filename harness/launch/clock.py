"""clock.csv in, arrival times out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.store.files import read_kept


@dataclass(frozen=True, slots=True)
class Clock:
    """What the harness's monotonic clock saw of one run, in seconds since its start."""

    wall_time_s: float | None  # None if the exit was never stamped
    arrivals_s: dict[int, float]  # line of the log, 1-based -> seconds after the start
    start_ns: int | None = None  # on that clock


def read_clock(path: Path, *, name: str | None = None) -> Clock:
    """Read the stamps of a run; raises StoreError naming the first line that cannot be a stamp."""
    name = name or str(path)
    try:
        rows = read_kept(path, name=name).decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise StoreError.at(name, "cannot be read", "restore the file as the run wrote it") from None
    start: int | None = None
    exit: int | None = None
    stamps: dict[int, int] = {}
    before = 0
    for number, row in enumerate(rows[1:], start=2):
        label, _, digits = row.partition(",")
        if not digits.isdigit() or not (label in ("start", "exit") or label.isdigit()):
            raise StoreError.at(f"{name}:{number}", "is no stamp", "restore the file as the run wrote it")
        stamp = int(digits)
        if label == "start":
            start = stamp
        elif label == "exit":
            exit = stamp
        else:
            if stamp < before or int(label) != len(stamps) + 1:
                raise StoreError.at(f"{name}:{number}", "stamps out of order", "restore the file as the run wrote it")
            stamps[int(label)] = before = stamp
    if start is None:
        raise StoreError.at(name, "the start was never stamped", "restore the file as the run wrote it")
    arrivals = {line: (stamp - start) / 1e9 for line, stamp in stamps.items()}
    return Clock(None if exit is None else (exit - start) / 1e9, arrivals, start)
