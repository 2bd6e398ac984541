"""Ask nvidia-smi which accelerators there are and what they are doing.

Hard because the driver behind it may hang for good, refuse fields that it does not know, or say "[N/A]"; and because
anything on PATH may call itself nvidia-smi. So every query has a time limit, its answer a size limit, and a cell that
is not a number is None.
"""

import contextlib
import csv
import io
import math
import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.measurement import Gpu

_QUERY = ("name", "memory.total", "power.limit", "vbios_version", "driver_version")
_STATE_QUERY = (
    "index",
    "uuid",
    "name",
    "memory.total",
    "memory.used",
    "compute_cap",
    "driver_version",
    "power.limit",
    "power.default_limit",
)
_USER_QUERY = ("gpu_uuid", "pid", "process_name", "used_memory")
_CAPTURE_S = 30.0  # without persistence mode a driver initialises 8 GPUs one after the other
_MOST_BYTES = 1 << 20  # of what a program that calls itself nvidia-smi may print
_MOST_ROWS = 256
_CSV = ("--format=csv,noheader,nounits",)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int | None  # None: it did not end in time
    text: str


def named() -> tuple[tuple[Gpu, ...], str | None]:
    """Return the accelerators as a fingerprint names them, and their driver; none where nvidia-smi gives none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return (), None
    [answer] = _ask([[program, f"--query-gpu={','.join(_QUERY)}", *_CSV]], _CAPTURE_S)
    rows = _rows(answer, _QUERY)
    gpus = tuple(
        Gpu(row["name"], _whole(row["memory.total"]), _decimal(row["power.limit"]), row["vbios_version"])
        for row in rows
    )
    return gpus, rows[0]["driver_version"] if rows else None


@dataclass(frozen=True, slots=True)
class GpuState:
    """One accelerator at this moment; None is "the driver does not say"."""

    index: int
    uuid: str
    name: str
    memory_mib: int | None
    used_mib: int | None
    capability: float | None  # 9.0 on an H100
    driver: str
    power_cap_w: float | None
    power_default_w: float | None


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A process that computes on an accelerator."""

    uuid: str
    pid: int
    program: str
    memory_mib: int | None


@dataclass(frozen=True, slots=True)
class GpuReport:
    """What nvidia-smi says about the accelerators, if it says anything."""

    state: Literal["answered", "absent", "silent", "failed"]
    message: str = ""  # its first line, where it failed
    gpus: tuple[GpuState, ...] = ()
    users: tuple[GpuUser, ...] | None = None  # None: it does not say
    links: dict[tuple[int, int], str] | None = None  # (0, 1) -> "NV18", "PHB", …


def query(seconds: float) -> GpuReport:
    """Ask nvidia-smi for the accelerators, their users and the links between them; never takes longer than `seconds`.

    All queries run at once, because each takes up to a second. An old driver refuses a query with one field that it
    does not know; for that case the plain query of `named` runs beside it.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return GpuReport("absent")
    full, plain, users, topology = _ask(
        [
            [program, f"--query-gpu={','.join(_STATE_QUERY)}", *_CSV],
            [program, f"--query-gpu={','.join(_QUERY)}", *_CSV],
            [program, f"--query-compute-apps={','.join(_USER_QUERY)}", *_CSV],
            [program, "topo", "-m"],
        ],
        seconds,
    )
    gpus = _states(full, _STATE_QUERY) or _states(plain, _QUERY)
    if not gpus:
        silent = full.status is None and plain.status is None
        lines = (line.strip() for line in (full.text + plain.text).splitlines())
        return GpuReport("silent" if silent else "failed", next((line[:120] for line in lines if line), "nothing"))
    return GpuReport("answered", "", gpus, _users(users), _links(topology, len(gpus)))


def _states(answer: _Answer, columns: Sequence[str]) -> tuple[GpuState, ...]:
    """Read GPUs from an answer with these columns; what stands in no column is not reported."""
    states = []
    for number, row in enumerate(_rows(answer, columns)):
        cells = {**dict.fromkeys(_STATE_QUERY, ""), "index": str(number), **row}
        index, memory = _whole(cells["index"]), _whole(cells["memory.total"])
        if index is None or ("index" not in row and memory is None):
            continue  # no row about a GPU
        states.append(
            GpuState(
                index=index,
                uuid=cells["uuid"],
                name=cells["name"],
                memory_mib=memory,
                used_mib=_whole(cells["memory.used"]),
                capability=_decimal(cells["compute_cap"]),
                driver=cells["driver_version"],
                power_cap_w=_decimal(cells["power.limit"]),
                power_default_w=_decimal(cells["power.default_limit"]),
            )
        )
    return tuple(states)


def _users(answer: _Answer) -> tuple[GpuUser, ...] | None:
    if answer.status != 0:
        return None
    return tuple(
        GpuUser(row["gpu_uuid"], pid, row["process_name"], _whole(row["used_memory"]))
        for row in _rows(answer, _USER_QUERY)
        if (pid := _whole(row["pid"])) is not None
    )


def _links(answer: _Answer, count: int) -> dict[tuple[int, int], str] | None:
    """Read the matrix of `nvidia-smi topo -m`; None where it is incomplete."""
    if answer.status != 0:
        return None
    links: dict[tuple[int, int], str] = {}
    for line in re.sub(r"\x1b\[[0-9;]*m", "", answer.text).splitlines():
        name, *cells = line.split()[: count + 1] or [""]
        row = _whole(name.removeprefix("GPU")) if name.startswith("GPU") else None
        if row is None or cells[:1] == ["GPU1"]:  # the heading begins with GPU0 GPU1
            continue
        links |= {(row, column): cell for column, cell in enumerate(cells) if column > row}
    pairs = {(row, column) for row in range(count) for column in range(row + 1, count)}
    return links if links.keys() == pairs else None


def _ask(commands: Sequence[Sequence[str]], seconds: float) -> list[_Answer]:
    """Run all commands at once and collect what they print within `seconds`.

    A driver that hangs leaves its nvidia-smi in a state that even SIGKILL does not end, so nothing is waited for.
    """
    end = time.monotonic() + seconds
    started = [_start(command) for command in commands]
    printed = [bytearray() for _ in commands]
    with selectors.DefaultSelector() as ready:
        for number, process in enumerate(started):
            if process is not None and process.stdout is not None:
                ready.register(process.stdout, selectors.EVENT_READ, number)
        while ready.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in ready.select(left):
                chunk = os.read(key.fd, 1 << 16)
                printed[key.data] += chunk
                if not chunk or len(printed[key.data]) > _MOST_BYTES:
                    ready.unregister(key.fileobj)
    return [
        _Answer(_end(process, end), bytes(text).decode("utf-8", "replace"))
        for process, text in zip(started, printed, strict=True)
    ]


def _start(command: Sequence[str]) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,
        )
    except OSError:
        return None


def _end(process: subprocess.Popen[bytes] | None, end: float) -> int | None:
    """Return the exit status; None where a process had to be killed. A program that cannot be started gives 127."""
    if process is None:
        return 127
    if process.stdout is not None:
        process.stdout.close()  # ends a program that never stops printing
    try:
        return process.wait(max(0.0, min(0.5, end - time.monotonic())))
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        return None


def _rows(answer: _Answer, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV answer that have all its columns; cells are cut to 80 characters."""
    if answer.status != 0:
        return []
    try:
        rows = [row for row in csv.reader(io.StringIO(answer.text)) if len(row) == len(columns)]
    except csv.Error:
        return []
    return [dict(zip(columns, (cell.strip()[:80] for cell in row), strict=True)) for row in rows[:_MOST_ROWS]]


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def _decimal(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None  # "[N/A]"
    return value if math.isfinite(value) else None
