"""Follow the log of a run while it grows. Nothing that a script may put in its place is read: no link, no pipe."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from harness.launch import processes
from harness.launch.recorder import LIMIT_WORD
from harness.store import run_files

_POLL_S = 0.1
WRITTEN_LIMIT_BYTES = 64 << 30  # compiled kernels take 1 GB, a checkpoint of the largest record 2 GB
FEW_LINES = 10  # a standard output with no more lines does not show how the run goes


def follow(
    recording: subprocess.Popen[bytes],
    observing: subprocess.Popen[bytes],
    folder: Path,
    watch: Callable[[bytes], None],
) -> None:
    """Pass on what a run prints until its recorder has ended; have it ended when it has written too much."""
    assert observing.stdout is not None
    log = Follower(folder / run_files.LOG)
    script_log: Follower | None = None  # the file that a script with a silent standard output prints to
    while not processes.has_ended(recording.pid):
        log.pass_on(watch)
        script_log = script_log or find_script_log(folder / run_files.WORK)
        if script_log is not None and log.lines < FEW_LINES:
            script_log.pass_on(watch)
        if select.select([observing.stdout], [], [], 0)[0] and not processes.has_ended(observing.pid):
            end_for_size(recording, observing)
        time.sleep(_POLL_S)
    log.pass_on(watch)


def end_for_size(recording: subprocess.Popen[bytes], observing: subprocess.Popen[bytes]) -> None:
    """Ask the recorder to end a run of which the observer says that it has written more than it may."""
    assert recording.stdin is not None and observing.stdout is not None
    if observing.stdout.readline().startswith(b"written"):
        said = f"the script wrote more than {WRITTEN_LIMIT_BYTES >> 30} GiB"
        with contextlib.suppress(OSError):
            recording.stdin.write(LIMIT_WORD + said.encode())
            recording.stdin.flush()


def find_script_log(work: Path) -> Follower | None:
    """Find the log that a script writes into `logs/` by itself; None where there is none yet, or several."""
    paths = [path for path in (work / "logs").glob("*.txt") if path.is_file() and not path.is_symlink()]
    return Follower(paths[0]) if len(paths) == 1 else None


class Follower:
    """Passes complete lines of a growing file to a watcher."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.position = 0
        self.lines = 0
        self.rest = b""

    def pass_on(self, watch: Callable[[bytes], None]) -> None:
        """Pass on what has come since the last call; nothing of a link or a pipe, which a script may put there."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    return
                file.seek(self.position)
                chunk = file.read(1 << 22)
        except OSError:
            return
        self.position += len(chunk)
        *lines, rest = (self.rest + chunk).split(b"\n")
        self.rest = rest[-65536:]  # a line without an end must not fill the memory
        self.lines += len(lines)
        for line in lines:
            watch(line)
