"""Show how far a job over several files is, on stderr.

On a terminal these are bars with speed and remaining time; elsewhere (a file, a job's log) plain lines, one per finished
file and one at least every ten seconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from harness.core.text import plural
from harness.dataset.progress import Progress
from harness.ui import console, streams

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

_LINE_EVERY_S = 10.0


@contextmanager
def file_progress(doing: str, stream: TextIO | None = None) -> Iterator[Progress]:
    """Open a display for a job over several files; `doing` is its verb ("fetching")."""
    stream = stream or sys.stderr
    if not streams.can_redraw(stream):
        yield PlainProgress(stream)
        return
    from rich import progress
    from rich.console import Console

    bars = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(file=stream),
    )
    try:
        yield BarProgress(bars, doing)
    finally:
        bars.stop()


class PlainProgress(Progress):
    """Lines for a stream that is not a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.expect(0, 0)

    def expect(self, files: int, total_bytes: int) -> None:
        """Begin a stage: counts start again."""
        self._files, self._left_bytes = files, total_bytes
        self._finished, self._arrived_bytes = 0, 0
        self._sizes: dict[str, int] = {}
        self._started = self._spoke = time.monotonic()

    def begin(self, name: str, total_bytes: int, stored_bytes: int) -> None:
        with self._lock:
            self._sizes[name] = total_bytes
            self._left_bytes -= stored_bytes
            if 0 < stored_bytes < total_bytes:
                self._print(f"{name}: {_mb(stored_bytes)} of {_mb(total_bytes)} are stored already")

    def advance(self, name: str, more_bytes: int) -> None:
        with self._lock:
            self._left_bytes -= more_bytes
            self._arrived_bytes += max(0, more_bytes)
            if time.monotonic() - self._spoke >= _LINE_EVERY_S:
                self._print(f"{_mb(self._left_bytes)} left{self._pace()}")

    def finish(self, name: str) -> None:
        with self._lock:
            self._finished += 1
            size = _mb(self._sizes.get(name, 0))
            self._print(f"{name}: {size}, verified ({self._finished} of {self._files}{self._pace()})")

    def say(self, text: str) -> None:
        with self._lock:
            self._print(text)

    def _pace(self) -> str:
        """Return the speed since the stage began, and the time that the rest takes at this speed."""
        seconds = time.monotonic() - self._started
        if self._arrived_bytes == 0 or seconds < 0.01:
            return ""
        speed = self._arrived_bytes / seconds
        return f"; {_mb(speed)}/s, about {max(0, self._left_bytes) / speed:,.0f} s left"

    def _print(self, text: str) -> None:
        self._spoke = time.monotonic()
        print(text, file=self._stream, flush=True)


class BarProgress(Progress):
    """Bars on a terminal: one for the whole, one for each file that moves."""

    def __init__(self, bars: Bars, doing: str) -> None:
        self._bars = bars
        self._doing = doing
        self._whole: TaskID | None = None
        self._left_bytes = 0
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def expect(self, files: int, total_bytes: int) -> None:
        console.close_with(self._bars.stop)  # before a run is shown, or anything is said, on the same terminal
        self._bars.start()
        with self._lock:
            if self._whole is not None:
                self._bars.remove_task(self._whole)
            self._left_bytes = total_bytes
            self._whole = self._bars.add_task(f"{self._doing} {plural(files, 'file')}", total=total_bytes)

    def begin(self, name: str, total_bytes: int, stored_bytes: int) -> None:
        with self._lock:
            self._tasks[name] = self._bars.add_task(name, total=total_bytes, completed=stored_bytes)
            # What was stored already is subtracted from the total, so that it does not count as speed.
            self._left_bytes -= stored_bytes
            if self._whole is not None:
                self._bars.update(self._whole, total=self._left_bytes)

    def advance(self, name: str, more_bytes: int) -> None:
        with self._lock:
            for task in (self._tasks.get(name), self._whole):
                if task is not None:
                    self._bars.advance(task, more_bytes)

    def finish(self, name: str) -> None:
        with self._lock:
            task = self._tasks.pop(name, None)
            if task is not None:
                self._bars.remove_task(task)
        self.say(f"{name}: verified")

    def say(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)


def _mb(count: float) -> str:
    return f"{count / 1e6:,.1f} MB"
