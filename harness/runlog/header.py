"""The text before the first metric line in; versions, GPUs, world size, seed and start time out.

Scripts print whatever their authors liked: three layouts of a GPU table, a declared device, or nothing. A value that is
not printed stays None.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from harness.runlog import grammar

MOST_BYTES = 1 << 20  # a header is a few kB; text beyond this is not searched for versions


@dataclass(frozen=True, slots=True)
class Header:
    """What a log says about the machine and the run before its first metric line."""

    gpu_name: str | None
    gpu_count: int | None  # rows of the GPU table
    world_size: int | None  # printed, else the table's rows, else from the launch command
    driver: str | None
    cuda: str | None
    torch: str | None
    triton: str | None
    python: str | None
    started_at: str | None
    val_tokens: int | None
    overrides: tuple[str, ...]


def read_header(text: bytes) -> Header:
    """Read the header of a log."""
    rows = [row.decode("utf-8", "replace") for row in grammar.TABLE_ROW.findall(text)]
    if not rows and (table := grammar.LIBRARY_TABLE.search(text)):
        rows = [row.decode("utf-8", "replace") for row in grammar.LIBRARY_ROW.findall(table[1])]
    tokens = grammar.VAL_TOKENS.search(text)
    return Header(
        gpu_name=_device(text, rows),
        gpu_count=len(rows) or None,
        world_size=_world_size(text, rows),
        driver=_version(text, "driver"),
        cuda=_version(text, "cuda"),
        torch=_version(text, "torch"),
        triton=_version(text, "triton"),
        python=_version(text, "python"),
        started_at=_started_at(text),
        val_tokens=int(tokens[1]) if tokens else None,
        overrides=tuple(o.decode("utf-8", "replace") for o in grammar.OVERRIDE.findall(text)),
    )


def _version(text: bytes, name: str) -> str | None:
    match = grammar.HEADER[name].search(text)
    return match[1].decode("utf-8", "replace") if match else None


def _device(text: bytes, rows: list[str]) -> str | None:
    """The GPUs' name; several different ones are joined, so that they never pass for one kind."""
    if rows:
        return " + ".join(dict.fromkeys(rows))
    declared = grammar.DECLARED_DEVICE.search(text)
    if declared:
        return (declared[1] or declared[2]).decode("utf-8", "replace").strip()
    listed = [name.decode("utf-8", "replace") for name in grammar.LISTED_DEVICE.findall(text)]
    return " + ".join(dict.fromkeys(listed)) or None


def _world_size(text: bytes, rows: list[str]) -> int | None:
    declared = grammar.DECLARED_WORLD.search(text)
    if declared:
        return int(declared[1])
    if rows:
        return len(rows)
    launched = grammar.LAUNCHED_WORLD.search(text)
    return int(launched[1]) if launched else None


def _started_at(text: bytes) -> str | None:
    """The first date line, as ISO 8601 without a zone; None where it names no real moment."""
    match = grammar.DATE.search(text)
    if not match:
        return None
    month = grammar.MONTHS.index(match[1]) + 1
    day, hour, minute, second, year = (int(match[i]) for i in (2, 3, 4, 5, 7))
    if match[6]:  # a clock of twelve hours
        hour = hour % 12 + (12 if match[6] == b"PM" else 0)
    try:
        return datetime.datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None
