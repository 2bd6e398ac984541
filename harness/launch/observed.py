"""Read what the observer saw of a run: reads.csv and telemetry.csv."""

from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import StoreError
from harness.core.measurement import Observed
from harness.launch.clock import whole_number
from harness.launch.observer import READS, READS_HEADER, SLOW, TELEMETRY, TELEMETRY_HEADER
from harness.store.files import has_kept, read_kept


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
        raise StoreError.at(f"{path.name}:1", "is not its header", "restore the file as the run wrote it")
    for number, line in enumerate(lines[1:], start=2):
        cells = line.decode("utf-8", "replace").split(",")
        if len(cells) != width:
            raise StoreError.at(f"{path.name}:{number}", "cannot be read", "restore the file as the run wrote it")
        yield number, cells


def _seconds(path: Path, number: int, cells: list[str], start_ns: int) -> float:
    stamp = whole_number(cells[0])
    if stamp is None:
        raise StoreError.at(f"{path.name}:{number}", "has no time", "restore the file as the run wrote it")
    return (stamp - start_ns) / 1e9
