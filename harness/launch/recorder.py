"""Own a run, in a process for it alone: start torchrun, stamp every line of rank 0, leave nothing running.

    python -I recorder.py RUN_FOLDER      reads RUN_FOLDER/launch.json, writes log.txt, clock.csv, stderr.txt, outcome.json

It needs nothing but the standard library, and is a process of its own for two reasons. A display in the same process
would hold the interpreter lock while a line arrives (p99 of the stamp 11 ms instead of 5). And it outlives a
`kill -9` of the harness: its standard input is a pipe from there, whose end means that it must stop everything.

Each chunk is stamped with the monotonic clock directly after the read, before anything is written. torchrun puts its
workers into sessions of their own, so a signal to the process group misses them; this process is the reaper of all
its descendants instead and ends them one by one.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

LOG_LIMIT_BYTES = 1 << 30  # a log of a record is 0.05 to 5 MB
GRACE_S = 5.0  # between asking and killing
DRAIN_S = 2.0  # how long output may still come after the launcher has ended
_PR_SET_CHILD_SUBREAPER = 36
_MARK = "SPEEDRUN_RUN_ID"


def main(folder: Path) -> int:
    """Run the plan in `folder/launch.json` to its end and write `outcome.json`."""
    plan = json.loads((folder / "launch.json").read_text())
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the harness decides, through the pipe
    recorder = Recorder(folder, plan)
    signal.signal(signal.SIGTERM, lambda *_: recorder.end("stopped", "the recorder got SIGTERM"))
    outcome = recorder.run()
    write_outcome(folder, outcome)
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
        self.lock = (folder / "lock").open("w")
        fcntl.flock(self.lock, fcntl.LOCK_SH)  # shared with the harness that started this run

    def run(self) -> dict[str, Any]:
        """Start torchrun, follow it to its end, and say how it ended."""
        with (
            (self.folder / "log.txt").open("ab", buffering=0) as self.log,
            (self.folder / "clock.csv").open("ab", buffering=0) as self.clock,
            (self.folder / "stderr.txt").open("ab", buffering=0) as stderr,
        ):
            self.started = time.monotonic_ns()
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
            self.end_descendants()
            self.write(self.clock, b"exit,%d\n" % exited)
        if self.state is not None:
            return self.outcome(self.state, code, exited, self.reason)
        if code == 0:
            return self.outcome("finished", 0, exited, None)
        return self.outcome("failed", code, exited, _describe_exit(code))

    def outcome(self, state: str, code: int | None, exited: int, reason: str | None) -> dict[str, Any]:
        """Give the content of outcome.json."""
        wall = (exited - self.started) / 1e9
        return {"state": state, "exit_code": code, "wall_time_s": wall, "reason": reason}

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
                    asked = os.read(harness_pipe, 100)
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
        if self.written > LOG_LIMIT_BYTES:
            self.end("failed", f"the script printed more than {LOG_LIMIT_BYTES >> 20} MiB")

    def write(self, file: Any, data: bytes) -> None:
        """Write all of the data; where that fails, end the run."""
        if not data:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            self.end("failed", "the disk is full" if full else f"the log cannot be written: {error.strerror}")

    # ------------------------------------------------------------------ ending

    def watch_limits(self) -> None:
        """End a run that is silent, takes too long or writes too much."""
        now = time.monotonic()
        # Some scripts print little and write a log of their own: that is output as well.
        size = os.stat(self.folder / "stderr.txt").st_size + self.own_logs()
        if size != self.stderr_size:
            self.stderr_size, self.last_output = size, now
            if size > LOG_LIMIT_BYTES:
                self.end("failed", f"the script wrote more than {LOG_LIMIT_BYTES >> 20} MiB of errors")
        if now - self.last_output > self.plan["silence_limit_s"]:
            self.dump_stacks()
            self.end("hung", f"no output for {self.plan['silence_limit_s']:g} s; stacks are in stderr.txt")
        elif now - self.started / 1e9 > self.plan["time_limit_s"]:
            self.end("stopped", f"longer than the track's limit of {self.plan['time_limit_s']:g} s")

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
        for pid in descendants(os.getpid()):
            if pid != self.process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGABRT)
        time.sleep(1.0)

    def end_descendants(self) -> None:
        """Kill all processes of this run, daemons included, until none is left."""
        for _ in range(100):
            left = descendants(os.getpid()) | marked(self.plan["environment"].get(_MARK))
            left.discard(os.getpid())
            if not left:
                return
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)
            self.reap()

    def reap(self) -> None:
        """Collect ended descendants that the kernel gave to this process; torchrun itself is left to Popen."""
        self.process.poll()
        for pid in descendants(os.getpid(), zombies=True):
            if pid != self.process.pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def descendants(root: int, *, zombies: bool = False) -> set[int]:
    """List all living processes below `root` (or, with zombies, those that wait to be collected)."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                parents[int(entry)] = (int(fields[1]), fields[0])
    below = {root}
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in below} - below
        if not more:
            break
        below |= more
    return {pid for pid in below - {root} if (parents[pid][1] == "Z") == zombies}


def marked(run_id: str | None) -> set[int]:
    """List the processes whose environment carries this run's mark, whoever their parent is."""
    found: set[int] = set()
    if run_id is None:
        return found
    needle = f"{_MARK}={run_id}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if needle in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry))
    return found


def _describe_exit(code: int) -> str:
    if code < 0:
        return f"torchrun was ended by {signal.Signals(-code).name}"
    return f"torchrun ended with exit code {code}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
