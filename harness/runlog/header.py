"""Read versions, GPUs, world size and start time from the text before a log's first metric line.

Scripts print whatever their authors liked: three layouts of a GPU table, a declared device, or nothing. A value that is
not printed stays None.
"""

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass

MOST_BYTES = 1 << 20  # a header is a few kB; text beyond this is not searched for versions

_VERSIONS = {
    "torch": re.compile(rb"^(?:Running [Pp]y[Tt]orch|torch) (\S{1,80})", re.MULTILINE),
    "cuda": re.compile(rb"^Running [Pp]y[Tt]orch \S+ compiled for CUDA (\d[\d.]{0,20})", re.MULTILINE),
    "triton": re.compile(rb"^Running Triton version (\S{1,80})", re.MULTILINE),
    "python": re.compile(rb"^Running [Pp]ython (\d[\w.+]{0,40})", re.MULTILINE),
}
_DRIVER = re.compile(rb"\|.{0,80}Driver Version: (\d[\d.]{0,40})")
_DECLARED_WORLD = re.compile(rb"(?:^|[ ,(])world_size[ :=](\d{1,6})\b", re.MULTILINE)
_LAUNCHED_WORLD = re.compile(rb"^command=.*--nproc[_-]per[_-]node[= ](\d{1,6})\b", re.MULTILINE)
_DECLARED_DEVICE = re.compile(
    rb"^Running on device_name=(\S.{0,80}?) +with world_size|compiled for CUDA \S+ on (\S.{0,80}?) +with world_size",
    re.MULTILINE,
)
_LISTED_DEVICE = re.compile(rb"^GPU \d+: (\S.{0,80}?) \(UUID", re.MULTILINE)
_TABLE_ROW = re.compile(rb"\| +\d+ +(\S.{0,60}?) +(?:On|Off|N/A) +\| *[0-9A-Fa-f]{8}:[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}\.")
_LIBRARY_TABLE = re.compile(rb"^GPU Name +Temp +Power .*\n((?:\d+ +\S.*\n)+)", re.MULTILINE)
_LIBRARY_ROW = re.compile(rb"^\d+ +(\S.{0,60}?) {2,}\d+ +\d+ +\d+", re.MULTILINE)
_DATE = re.compile(
    rb"^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +(\d{1,2}) "
    rb"(\d\d):(\d\d):(\d\d) (?:(AM|PM) )?(?:[A-Z+-][A-Z0-9+-]{1,5} )?(\d{4})\s*$",
    re.MULTILINE,
)
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_VAL_TOKENS = re.compile(rb"^val_tokens:(\d{1,15})\s*$", re.MULTILINE)
_TOKENS_PER_STEP = re.compile(rb"^tokens_per_step:(\d{1,15})\s*$", re.MULTILINE)
_OVERRIDE = re.compile(rb"^override:([A-Za-z_]\w{0,60}=\S{0,200})\s*$", re.MULTILINE)


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
    tokens_per_step: int | None
    overrides: tuple[str, ...]


def read_header(text: bytes) -> Header:
    """Read the header of a log."""
    # Searching the few lines that are not of a framed table alone is much quicker.
    lines = text.split(b"\n")
    framed = [line for line in lines if line[:1] == b"|"]
    text = b"\n".join([line for line in lines if line[:1] not in (b"|", b"+")])
    rows = [row for line in framed if (row := _first(_TABLE_ROW, line))]
    if not rows and (table := _LIBRARY_TABLE.search(text)):
        rows = _texts(_LIBRARY_ROW.findall(table[1]))
    return Header(
        gpu_name=_device(text, rows),
        gpu_count=len(rows) or None,
        world_size=_world_size(text, rows),
        driver=next((driver for line in framed if (driver := _first(_DRIVER, line))), None),
        **{name: _first(pattern, text) for name, pattern in _VERSIONS.items()},
        started_at=_started_at(text),
        val_tokens=_count(_VAL_TOKENS, text),
        tokens_per_step=_count(_TOKENS_PER_STEP, text),
        overrides=tuple(_texts(_OVERRIDE.findall(text))),
    )


def _first(pattern: re.Pattern[bytes], text: bytes) -> str | None:
    """Find the first match, and of it the first group that is not empty."""
    match = pattern.search(text)
    return next(iter(_texts(filter(None, match.groups()))), None) if match else None


def _count(pattern: re.Pattern[bytes], text: bytes) -> int | None:
    match = pattern.search(text)
    return int(match[1]) if match else None


def _texts(found: Iterable[bytes]) -> list[str]:
    return [text.decode("utf-8", "replace") for text in found]


def _device(text: bytes, rows: list[str]) -> str | None:
    """Name the GPUs; several different ones are joined, so that they never pass for one kind."""
    if not rows and (declared := _first(_DECLARED_DEVICE, text)):
        return declared.strip()
    return " + ".join(dict.fromkeys(rows or _texts(_LISTED_DEVICE.findall(text)))) or None


def _world_size(text: bytes, rows: list[str]) -> int | None:
    declared = _count(_DECLARED_WORLD, text)
    return declared if declared is not None else len(rows) or _count(_LAUNCHED_WORLD, text)


def _started_at(text: bytes) -> str | None:
    """Read the first date line as ISO 8601 without a zone; None where it names no real moment."""
    match = _DATE.search(text)
    if not match:
        return None
    month = _MONTHS.index(match[1]) + 1
    day, hour, minute, second, year = (int(match[i]) for i in (2, 3, 4, 5, 7))
    if match[6]:  # a clock of twelve hours
        hour = hour % 12 + (12 if match[6] == b"PM" else 0)
    try:
        return datetime.datetime(year, month, day, hour, minute, second).isoformat()
    except ValueError:
        return None
