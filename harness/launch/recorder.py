"""Own a run, in a process for it alone: start torchrun, stamp every line of rank 0, leave nothing running.

`main(RUN_FOLDER)` reads launch.json there and writes log.txt, clock.csv, stderr.txt and outcome.json. It needs nothing
but the standard library, and is a process of its own for two reasons. A display in the same process would hold the
interpreter lock while a line arrives (p99 of the stamp 11 ms instead of 5). And it outlives a `kill -9` of the harness:
its standard input is a pipe from there, whose end means that it must stop everything.

Each chunk is stamped with the monotonic clock directly after the read, before anything is written, and hashed as it is
written. The outcome with both digests goes to standard output too, a pipe to the harness: an outcome counts only with
this word. torchrun puts its workers into sessions of their own, so a signal to the process group misses them; this
process is the reaper of all its descendants instead and ends them one by one. Nobody may look into its memory: it is
not dumpable.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness.launch.processes import MARK, children, descendants, kill, marked

LOG_LIMIT_BYTES = 32 << 20  # a log of a record is 0.05 to 5 MB
LINE_LIMIT = 1_000_000  # of a whole run, 22 MB of stamps
LINE_BURST, LINES_PER_S = 100_000, 1_000  # a record prints 3,000 lines of source at once, then 10 to 100 a second
GRACE_S = 5.0  # between asking and killing
DRAIN_S = 2.0  # how long output may still come after the launcher has ended
KILL_S = 60.0  # how long processes are killed that come back
GO = b"go\n"
# How the harness asks to end a run that went too far, or has done what it was started for; the reason stands behind.
LIMIT_WORD, ENOUGH_WORD = b"limit:", b"enough:"
_PR_SET_CHILD_SUBREAPER, _PR_SET_DUMPABLE = 36, 4


def main(folder: Path) -> int:
    """Run the plan in `folder/launch.json` to its end and write `outcome.json`."""
    plan = json.loads((folder / "launch.json").read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the harness decides, through the pipe
    recorder = Recorder(folder, plan)
    signal.signal(signal.SIGTERM, lambda *_: recorder.end("stopped", "the recorder got SIGTERM"))
    outcome = recorder.run()
    write_outcome(folder, outcome)
    with contextlib.suppress(OSError):  # the harness may be gone
        os.write(1, json.dumps(outcome).encode() + b"\n")
    return 0


def write_outcome(folder: Path, outcome: dict[str, Any]) -> None:
    """Write outcome.json whole; on a full disk the reserve makes room for it."""
    with contextlib.suppress(OSError):
        (folder / "reserve").unlink()
    temporary = folder / ".outcome.json"
    with temporary.open("w") as file:
        json.dump(outcome, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(folder / "outcome.json")


class Hashed:
    """A file that is written and hashed at once; the digest is that of the bytes that were stored."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb", buffering=0)
        self.digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Store all of the data; raises OSError after as much as there was room for."""
        view = memoryview(data)
        while view:
            stored = self.file.write(view)
            self.digest.update(view[:stored])
            view = view[stored:]


class Recorder:
    """One run from start to end."""

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        self.state: str | None = None  # set once something other than the script decides the end
        self.reason: str | None = None
        self.lines = 0
        self.written = 0
        self.torn = False  # whether there is output after the last newline
        self.last_output = time.monotonic()
        self.stderr_size = 0
        self.survivors: tuple[int, ...] = ()
        self.lock = (folder / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_SH)  # shared with the harness that started this run

    def run(self) -> dict[str, Any]:
        """Start torchrun, follow it to its end, and say how it ended."""
        self.log, self.clock = Hashed(self.folder / "log.txt"), Hashed(self.folder / "clock.csv")
        with self.log.file, self.clock.file, (self.folder / "stderr.txt").open("ab", buffering=0) as stderr:
            told = os.read(0, len(GO))  # comes once the observer watches
            self.started = time.monotonic_ns()
            if told != GO:
                return self.outcome("stopped", None, self.started, "the harness went away before the start")
            self.write(self.clock, b"line,monotonic_ns\nstart,%d\n" % self.started)
            try:
                self.process = subprocess.Popen(
                    self.plan["command"],
                    cwd=self.plan["cwd"],
                    env=self.plan["environment"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                return self.outcome(
                    "failed", None, time.monotonic_ns(), f"torchrun cannot be started: {error.strerror}"
                )
            exited = self.follow()
            code = self.process.wait()
            self.survivors = self.end_descendants()
            self.write(self.clock, b"exit,%d\n" % exited)
        if self.state is not None:
            return self.outcome(self.state, code, exited, self.reason)
        if code == 0:
            return self.outcome("finished", 0, exited, None)
        return self.outcome("failed", code, exited, _describe_exit(code, self.plan["wrappers"]))

    def outcome(self, state: str, code: int | None, exited: int, reason: str | None) -> dict[str, Any]:
        """Give the content of outcome.json."""
        wall = (exited - self.started) / 1e9
        received = {"log.txt": self.log.digest.hexdigest(), "clock.csv": self.clock.digest.hexdigest()}
        said = {"state": state, "exit_code": code, "wall_time_s": wall, "reason": reason}
        return said | {"received": received, "survivors": list(self.survivors)}

    # ------------------------------------------------------------------ following the output

    def follow(self) -> int:
        """Read and stamp until torchrun has ended and its output is read; return the time of its exit, ns."""
        assert self.process.stdout is not None
        output, harness_pipe = self.process.stdout.fileno(), sys.stdin.fileno()
        launcher_end = os.pidfd_open(self.process.pid)
        exited: int | None = None
        with selectors.DefaultSelector() as selector:
            for descriptor in (output, harness_pipe, launcher_end):
                selector.register(descriptor, selectors.EVENT_READ)
            closed = False
            while not (closed and exited is not None):
                ready = {key.fd for key, _ in selector.select(timeout=0.25)}
                if output in ready:
                    chunk = os.read(output, 1 << 16)
                    now = time.monotonic_ns()
                    if chunk:
                        self.take(chunk, now)
                    else:
                        closed = True
                        selector.unregister(output)
                if launcher_end in ready:
                    exited = time.monotonic_ns()
                    selector.unregister(launcher_end)
                if harness_pipe in ready:
                    selector.unregister(harness_pipe)
                    asked = os.read(harness_pipe, 1000)
                    for word, state in ((LIMIT_WORD, "failed"), (ENOUGH_WORD, "stopped")):
                        if asked.startswith(word):
                            self.end(state, asked.removeprefix(word).decode())
                    self.end("stopped", "stopped by the user" if asked else "the harness went away")
                if exited is not None and not closed and time.monotonic_ns() - exited > DRAIN_S * 1e9:
                    break  # something that outlived the launcher holds the pipe; it is ended next
                if exited is None:
                    self.watch_limits()
        os.close(launcher_end)
        if self.torn:
            self.lines += 1
            self.write(self.clock, b"%d,%d\n" % (self.lines, exited or time.monotonic_ns()))
        return exited if exited is not None else time.monotonic_ns()

    def take(self, chunk: bytes, now: int) -> None:
        """Store a chunk and one stamp for every line that it completes."""
        self.last_output = time.monotonic()
        count = chunk.count(b"\n")
        self.torn = not chunk.endswith(b"\n")
        first = self.lines + 1
        self.lines += count
        self.write(self.clock, b"".join(b"%d,%d\n" % (line, now) for line in range(first, first + count)))
        self.write(self.log, chunk)
        self.written += len(chunk)
        allowed = min(LINE_LIMIT, LINE_BURST + LINES_PER_S * (now - self.started) // 10**9)
        if self.written > LOG_LIMIT_BYTES:
            self.end("failed", f"the script printed more than {LOG_LIMIT_BYTES >> 20} MiB")
        elif self.lines > allowed:
            self.end(
                "failed", f"the script printed too many lines: {self.lines:,}, where {allowed:,} are allowed by now"
            )

    def write(self, file: Hashed, data: bytes) -> None:
        """Write all of the data; where that fails, end the run."""
        try:
            file.write(data)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.end("failed", "the disk is full" if full else f"the log cannot be written: {error.strerror}")

    # ------------------------------------------------------------------ ending

    def watch_limits(self) -> None:
        """End a run that is silent, takes too long or writes too much."""
        now = time.monotonic()
        # Some scripts print little and write a log of their own: that is output as well.
        if (size := os.stat(self.folder / "stderr.txt").st_size + self.own_logs()) != self.stderr_size:
            self.stderr_size, self.last_output = size, now
            if size > LOG_LIMIT_BYTES:
                self.end("failed", f"the script wrote more than {LOG_LIMIT_BYTES >> 20} MiB of errors")
        if now - self.last_output > self.plan["silence_limit_s"]:
            self.dump_stacks()
            self.end("hung", f"no output for {self.plan['silence_limit_s']:g} s; stacks are in stderr.txt")
        elif now - self.started / 1e9 > self.plan["time_limit_s"]:
            self.end("stopped", f"longer than its limit of {self.plan['time_limit_s']:g} s")

    def own_logs(self) -> int:
        """Count the bytes of the logs that the script writes into `logs/` by itself."""
        total = 0
        with contextlib.suppress(OSError):
            for entry in os.scandir(Path(self.plan["cwd"]) / "logs"):
                if entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
        return total

    def end(self, state: str, reason: str) -> None:
        """End everything now, for this reason unless there was one before."""
        if self.state is not None:
            return
        self.state, self.reason = state, reason
        process = getattr(self, "process", None)
        if process is None or process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)  # torchrun passes it on to its workers
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        self.end_descendants()

    def dump_stacks(self) -> None:
        """Make every Python worker print its stacks to stderr.txt, by SIGABRT and PYTHONFAULTHANDLER."""
        first = {os.getpid()}
        for _ in range(self.plan["wrappers"] + 1):
            first |= {child for pid in first for child in children(pid)}  # torchrun and what it was started through
        for pid in descendants(os.getpid()) - first:
            kill(pid, signal.SIGABRT)
        time.sleep(1.0)

    def end_descendants(self) -> tuple[int, ...]:
        """Kill all processes of this run, daemons included, until none is left; return those that still are."""
        deadline = time.monotonic() + KILL_S
        while True:
            left = descendants(os.getpid()) | marked(self.plan["environment"].get(MARK))
            left.discard(os.getpid())
            if not left or time.monotonic() > deadline:
                return tuple(sorted(left))
            for pid in left:
                kill(pid, signal.SIGKILL)
            # A process that forks and exits within a millisecond is gone before /proc is read to its end. Its child
            # becomes a child of this process, and the list of those is read in microseconds.
            for _ in range(1000):
                orphans = children(os.getpid()) - {self.process.pid}
                if not orphans:
                    break
                for pid in orphans:
                    kill(pid, signal.SIGKILL)
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(pid, os.WNOHANG)
            self.reap()
            time.sleep(0.02)

    def reap(self) -> None:
        """Collect ended descendants that the kernel gave to this process; torchrun itself is left to Popen."""
        self.process.poll()
        for pid in descendants(os.getpid(), zombies=True):
            if pid != self.process.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _describe_exit(code: int, wrappers: int) -> str:
    if wrappers and 128 < code < 128 + signal.NSIG:
        code = 128 - code  # how a wrapper hands on the signal that ended what it had started
    if code < 0:
        return f"torchrun was ended by {signal.Signals(-code).name}"
    return f"torchrun ended with exit code {code}"
