"""Read the folder of a run while it grows, or when it has ended, for whoever wants to see how it goes.

It only reads, a few times a second, in a process that stamps nothing. The folder may be in the reach of the script where
a run is not confined, so nothing in it is followed as a link, and whatever cannot be read counts as not there.
"""

import contextlib
import time
from array import array
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.measurement import RunOutcome
from harness.launch.following import FEW_LINES, Follower, find_script_log
from harness.launch.stamps import whole_number
from harness.run.command_progress import COMMAND_FILE, COMMAND_FORM, Command
from harness.run.run_progress import Progress, State
from harness.store import run_files
from harness.store.run_files import CLOCK, LOG, OUTCOME, RUN_FILE, TELEMETRY, WORK, RunFile

LOCK_EVERY_S = 2.0  # how often it is asked whether somebody still holds the run's lock
MOST_SCRIPT_BYTES = 4 << 20


class RunReader:
    """The folder of one run, read further with each `poll`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: RunFile | None = None
        self.command: Command | None = None
        self.outcome: RunOutcome | None = None
        self.final = False  # whether the outcome is what the harness made of it, and not the recorder's word alone
        self.lost = False  # nobody holds the run any more, and nobody wrote how it ended
        self.progress = Progress(on_gpus=False)
        self.start_ns: int | None = None
        self.exit_ns: int | None = None
        self.stamps = array("q")
        self.own: frozenset[bytes] = frozenset()  # lines of its source, which a log begins with
        self._clock, self._log = Follower(folder / CLOCK), Follower(folder / LOG)
        self._telemetry = Follower(folder / TELEMETRY)
        self._script_log: Follower | None = None
        self._asked_s, self._unheld = time.monotonic(), 0

    @property
    def over(self) -> bool:
        """Whether the run has ended, as far as its folder tells."""
        return self.outcome is not None or self.lost

    def poll(self) -> None:
        """Read what has come since the last call."""
        if self.file is None and not self._open():
            return  # it is still being made
        ended = None if self.final else self._ended()
        self._read()
        if ended is not None:
            if self.outcome is None:
                self._read_to_the_end()
            self.outcome = ended
        elif self.outcome is None:
            self.lost = self._is_abandoned()

    def follow_to(self, folder: Path) -> None:
        """Go on in the folder that the run was moved to, if it was moved: a probe's run is, when it has ended."""
        if folder != self.folder and not self.folder.exists() and folder.is_dir():
            self.folder, self.lost = folder, False
            self._clock.path, self._log.path = folder / CLOCK, folder / LOG
            self._telemetry.path = folder / TELEMETRY

    def state(self) -> State:
        """Say where the run stands now."""
        return self.progress.state(self.elapsed_s())

    def elapsed_s(self) -> float | None:
        """Return the seconds since its start, until its end; None before the start."""
        if self.start_ns is None:
            return None
        end = self.exit_ns
        if end is None and self.over:
            end = self.stamps[-1] if self.stamps else self.start_ns
        return max(0.0, ((time.monotonic_ns() if end is None else end) - self.start_ns) / 1e9)

    # ------------------------------------------------------------------------------------------------ files

    def _open(self) -> bool:
        with contextlib.suppress(HarnessError, OSError):
            self.file = run_files.read_run_file(self.folder)
        if self.file is None:
            return False
        self.progress = Progress(on_gpus=bool(self.file.machine.gpus))
        with contextlib.suppress(OSError):
            for name in self.file.files:
                path = self.folder / WORK / name
                if path.is_file() and not path.is_symlink() and path.stat().st_size < MOST_SCRIPT_BYTES:
                    self.own |= {line.strip() for line in path.read_bytes().splitlines()}
        return True

    def _ended(self) -> RunOutcome | None:
        """Read how the run ended: run.json has the last word, the recorder the first."""
        with contextlib.suppress(HarnessError, OSError):
            if self.file is not None and self.file.outcome is None and (self.folder / OUTCOME).is_file():
                said = run_files.read_outcome_file(self.folder)
                self.file = run_files.read_run_file(self.folder)
                if self.file.outcome is None:
                    return said
        self.final = self.file is not None and self.file.outcome is not None
        return None if self.file is None else self.file.outcome

    def _read_to_the_end(self) -> None:
        while self._read():
            pass
        if self._log.rest:  # after the last newline
            self._line(self._log.rest)

    def _is_abandoned(self) -> bool:
        if self.lost or time.monotonic() - self._asked_s < LOCK_EVERY_S:
            return self.lost
        self._asked_s = time.monotonic()
        if not (self.folder / RUN_FILE).exists():
            return True
        free = False
        with contextlib.suppress(HarnessError, OSError):
            free = (self.folder / run_files.LOCK).exists() and not run_files.is_running(self.folder)
        self._unheld = self._unheld + 1 if free else 0
        return self._unheld > 1  # once may be the moment between making the lock and taking it

    def _read(self) -> bool:
        """Read on; tell whether anything was there."""
        if self.command is None:
            with contextlib.suppress(HarnessError, OSError):
                if (self.folder / COMMAND_FILE).is_file():
                    self.command = COMMAND_FORM.read(self.folder / COMMAND_FILE)
        before = self._positions()
        stamped = -1
        while stamped != self._clock.position:  # first: the recorder writes the stamp of a line before the line
            stamped = self._clock.position
            self._clock.pass_on(self._stamp)
        self._log.pass_on(self._line)
        self._telemetry.pass_on(self.progress.sample)
        self._script_log = self._script_log or find_script_log(self.folder / WORK)
        if self._script_log is not None and self._log.lines < FEW_LINES:
            self._script_log.pass_on(lambda line: self._take(line, None))
        return self._positions() != before

    def _positions(self) -> list[int]:
        files = (self._clock, self._log, self._telemetry, self._script_log)
        return [file.position for file in files if file is not None]

    # ------------------------------------------------------------------------------------------------ lines

    def _stamp(self, row: bytes) -> None:
        label, _, digits = row.decode("ascii", "replace").partition(",")
        stamp, line = whole_number(digits), whole_number(label)
        if stamp is None or stamp >= 1 << 63:
            return
        if label == "start":
            self.start_ns = stamp
        elif label == "exit":
            self.exit_ns = stamp
        elif line == len(self.stamps) + 1:
            self.stamps.append(stamp)

    def _line(self, line: bytes) -> None:
        number = self.progress.lines
        at_s = None
        if self.start_ns is not None and number < len(self.stamps):
            at_s = (self.stamps[number] - self.start_ns) / 1e9
        self._take(line, at_s)

    def _take(self, line: bytes, at_s: float | None) -> None:
        self.progress.take(b"" if line.strip() in self.own else line, at_s)
