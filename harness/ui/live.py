"""Show a run while it goes, on a terminal in place, elsewhere in lines.

A thread of the harness reads the run's folder twice a second and redraws what has changed. It has nothing to do with the
process that stamps lines, and the run waits for nothing here. What is said meanwhile closes the display first
(`console.say`), so that its last state stays and the message comes below. Whatever ends the command, Ctrl-C too, closes
it on the way out: the cursor is shown again, and the line is free.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from harness.ui import console, streams
from harness.ui.run_lines import RunLines
from harness.ui.run_status import Status

if TYPE_CHECKING:
    from rich.live import Live

EVERY_S = 0.5


class Screen:
    """Redraws a status in place on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live

        self.console = Console(file=stream, markup=False, highlight=False, emoji=False)
        self.drawn = ""
        self.live: Live = Live(console=self.console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def show(self, status: Status) -> None:
        """Draw a status where it differs from what is there; below it is a free line, for the echo of a Ctrl-C."""
        self._draw(status, whole=True, below="\n")

    def close(self, status: Status, *, whole: bool = False) -> None:
        """Draw the last state and leave it; of a run that finished and is not the last one, the figures, unless `whole`."""
        last = status.command.number >= status.command.count
        self._draw(status, whole=whole or last or not status.good or status.ended is None, below="")

    def leave(self) -> None:
        """Show the cursor again, and begin a line."""
        with contextlib.suppress(OSError):
            self.live.stop()

    def _draw(self, status: Status, *, whole: bool, below: str) -> None:
        from harness.ui import run_view

        width, height = self.console.size
        text = run_view.frame(status, width, height - 1, whole=whole).append(below)
        if not self.live.is_started:
            self.live.start()
        if text.markup != self.drawn:
            self.drawn = text.markup
            self.live.update(text, refresh=True)


class Lines:
    """Prints lines about a status as they become due."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.lines = RunLines(time.monotonic())

    def show(self, status: Status) -> None:
        """Print what is due."""
        for line in self.lines.due(status, time.monotonic()):
            print(line, file=self.stream, flush=True)

    def close(self, status: Status, *, whole: bool = True) -> None:
        """Print what is due at the end; lines are printed as a whole anyway."""
        self.show(status)

    def leave(self) -> None:
        """Leave the stream as it is: every line was whole."""


def sink(stream: TextIO) -> Screen | Lines:
    """Choose how to show a run: in place where a terminal of 60 columns or more can redraw, else in lines."""
    from harness.ui.run_view import LEAST_WIDTH

    wide = (streams.width_of(stream) or streams.USUAL) >= LEAST_WIDTH
    return Screen(stream) if streams.can_redraw(stream) and wide else Lines(stream)


class Display:
    """Shows one run from a thread, until it is closed."""

    def __init__(self, status: Callable[[], Status], stream: TextIO) -> None:
        self.status, self.sink = status, sink(stream)
        self.stop = threading.Event()
        self.broken: Exception | None = None  # what ended it before its run did
        self.thread = threading.Thread(target=self._run, name="display", daemon=True)

    def open(self) -> None:
        """Begin; whatever is said from now on closes it."""
        console.close_with(self.close)
        self.thread.start()

    def close(self) -> None:
        """Show the last state and stop; the terminal is left clean whatever happens meanwhile."""
        if self.stop.is_set():
            return
        self.stop.set()
        try:
            self.thread.join()
            self._guarded(self.sink.close)
        finally:
            self.sink.leave()

    def _run(self) -> None:
        while not self.stop.wait(EVERY_S) and self._guarded(self.sink.show):
            pass

    def _guarded(self, show: Callable[[Status], None]) -> bool:
        """Show the status; whatever breaks here is told in a line, and the run, which may be dear, goes on."""
        try:
            if self.broken is None:
                show(self.status())
        except OSError as error:  # the terminal is gone
            self.broken = error
        except Exception as error:
            self.broken = error
            self.sink.leave()
            print(f"the display of this run broke, the run goes on: {error!r}"[:300], file=sys.stderr, flush=True)
        return self.broken is None
