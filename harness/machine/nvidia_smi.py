"""Run nvidia-smi and read the cells of its answer.

Hard because the driver behind it may hang for good, refuse fields that it does not know, or say "[N/A]"; and because
anything on PATH may call itself nvidia-smi. So every query has a time limit, its answer a size limit, and a cell that
is not a number is None.
"""

import contextlib
import csv
import io
import math
import os
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

_MOST_BYTES = 1 << 20  # of what a program that calls itself nvidia-smi may print
_MOST_ROWS = 256
_CSV = ("--format=csv,noheader,nounits",)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one start of the program gave."""

    status: int | None  # None: it did not end in time
    text: str


def find() -> str | None:
    """Return the path of nvidia-smi; None where there is none."""
    return shutil.which("nvidia-smi")


def of_gpus(program: str, columns: Sequence[str]) -> list[str]:
    """Return the command that asks for these columns of every GPU."""
    return [program, f"--query-gpu={','.join(columns)}", *_CSV]


def of_users(program: str, columns: Sequence[str]) -> list[str]:
    """Return the command that asks for these columns of every process that computes on a GPU."""
    return [program, f"--query-compute-apps={','.join(columns)}", *_CSV]


def ask(commands: Sequence[Sequence[str]], seconds: float) -> list[Answer]:
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
        Answer(_end(process, end), bytes(text).decode("utf-8", "replace"))
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


def rows(answer: Answer, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV answer that have all its columns; cells are cut to 80 characters."""
    if answer.status != 0:
        return []
    try:
        found = [row for row in csv.reader(io.StringIO(answer.text)) if len(row) == len(columns)]
    except csv.Error:
        return []
    return [dict(zip(columns, (cell.strip()[:80] for cell in row), strict=True)) for row in found[:_MOST_ROWS]]


def whole(text: str) -> int | None:
    """Read a cell with a whole number; None where it is none."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 12 else None


def decimal(text: str) -> float | None:
    """Read a cell with a number; None where it is none."""
    try:
        value = float(text)
    except ValueError:
        return None  # "[N/A]"
    return value if math.isfinite(value) else None
