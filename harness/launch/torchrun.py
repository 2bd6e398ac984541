"""Start a plan under `torchrun` through the recorder, and pass on what the run prints.

The environment is made from nothing: a short list of variables passes, everything else (tokens, keys, a user's
settings for torch or Python) stays outside and is not inherited.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from harness.core import codec
from harness.core.errors import RunError
from harness.core.measurement import RunOutcome
from harness.launch import launcher, observer, recorder
from harness.store import run_files
from harness.store.files import disk_error

PASSED = ("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "NCCL_SOCKET_IFNAME", "TZ")
RESERVE_BYTES = 1 << 18  # given back on a full disk, so that the outcome can still be written
_POLL_S = 0.1
FEW_LINES = 10  # a standard output with no more lines does not show how the run goes
_RANK = re.compile(rb"^\s*rank\s*:\s*(\d{1,5})\b", re.MULTILINE)
_EXIT_CODE = re.compile(rb"^\s*exitcode\s*:\s*(-?\d{1,5})\b", re.MULTILINE)


class TorchrunLauncher:
    """Executes plans on this machine with `python`, an interpreter that has torch."""

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python

    def run(self, plan: launcher.LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Execute the plan to its end; see `Launcher`. Ctrl-C or SIGTERM here ends the run first, then is raised."""
        try:
            write_launch_file(plan, self.command(plan), clean_environment(plan, self.python))
        except OSError as error:
            raise disk_error(plan.folder, error) from error
        recording = subprocess.Popen(
            [sys.executable, "-I", str(Path(recorder.__file__)), str(plan.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert recording.stdin is not None
        observing = start_observer(plan.folder, recording.pid)
        log = Follower(plan.folder / run_files.LOG)
        script_log: Follower | None = None  # the file that a script with a silent standard output prints to
        try:
            while recording.poll() is None:
                log.pass_on(watch)
                script_log = script_log or find_script_log(plan.folder / run_files.WORK)
                if script_log is not None and log.lines < FEW_LINES:
                    script_log.pass_on(watch)
                time.sleep(_POLL_S)
        except BaseException:  # KeyboardInterrupt and SystemExit too: the run must not outlive us
            _ask_to_stop(recording)
            raise
        finally:
            end_observer(observing)
            with contextlib.suppress(OSError):
                recording.stdin.close()
        log.pass_on(watch)
        return read_outcome(plan, recording.returncode)

    def command(self, plan: launcher.LaunchPlan) -> list[str]:
        """Build the torchrun command. Ranks above 0 are redirected to files, never copied as well (that costs 50 ms)."""
        redirects = ",".join(f"{rank}:3" for rank in range(1, plan.processes))
        command = [self.python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={plan.processes}"]
        command += [f"--log-dir={plan.folder / 'ranks'}"]
        command += [f"--redirects={redirects}"] if redirects else []
        return [*command, plan.entry, *plan.arguments]


def clean_environment(plan: launcher.LaunchPlan, python: str = sys.executable) -> dict[str, str]:
    """Build the environment of a run: passed variables, private folders, and the plan's own additions."""
    home = plan.folder / "home"
    home.mkdir(exist_ok=True)
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    environment |= {
        "PATH": os.pathsep.join([str(Path(python).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(home),
        # Compiled kernels are kept per run: every run starts cold, none profits from another's.
        "TORCHINDUCTOR_CACHE_DIR": str(plan.folder / run_files.CACHE / "inductor"),
        "TRITON_CACHE_DIR": str(plan.folder / run_files.CACHE / "triton"),
        "OMP_NUM_THREADS": "1",  # what torchrun would set, without its warning
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",  # a hang is answered with a stack dump
        "SPEEDRUN_RUN_ID": plan.run_id,
    }
    return environment | plan.environment


def start_observer(folder: Path, recorder_pid: int) -> subprocess.Popen[bytes]:
    """Start the process that watches the run from beside it; it ends when its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-I", str(Path(observer.__file__)), str(folder), str(recorder_pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def end_observer(process: subprocess.Popen[bytes]) -> None:
    """Let the observer write its last rows and end."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:  # a driver call that hangs
        process.kill()
        process.wait()


def write_launch_file(plan: launcher.LaunchPlan, command: list[str], environment: dict[str, str]) -> None:
    """Write launch.json for the recorder, and the reserve."""
    (plan.folder / "reserve").write_bytes(b"\0" * RESERVE_BYTES)
    launch = {
        "command": command,
        "cwd": str(plan.folder / run_files.WORK),
        "environment": environment,
        "silence_limit_s": plan.silence_limit_s,
        "time_limit_s": plan.time_limit_s,
    }
    (plan.folder / "launch.json").write_text(json.dumps(launch, indent=1))


def read_outcome(plan: launcher.LaunchPlan, recorder_code: int | None) -> RunOutcome:
    """Read what the recorder wrote at the end; where it was killed, end everything of the run here instead."""
    path = plan.folder / run_files.OUTCOME
    if path.exists():
        return run_files.OUTCOME_FORM.read(path, name=f"{plan.run_id}/{path.name}")
    for pid in recorder.marked(plan.run_id):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, 9)
    outcome = RunOutcome("lost", None, 0.0, f"the recorder was ended from outside (exit code {recorder_code})")
    try:
        recorder.write_outcome(plan.folder, codec.encode(outcome))
    except OSError as error:
        raise RunError.at(path, f"cannot be written ({error.strerror})", "free some space") from None
    return outcome


def first_failure(stderr: bytes) -> tuple[int, int] | None:
    """Find the rank that failed first and its exit code (below 0: a signal); None without torchrun's summary."""
    start = stderr.rfind(b"Root Cause")
    if start < 0:
        return None
    rank, code = _RANK.search(stderr, start), _EXIT_CODE.search(stderr, start)
    return (int(rank[1]), int(code[1])) if rank and code else None


def _ask_to_stop(recording: subprocess.Popen[bytes]) -> None:
    assert recording.stdin is not None
    with contextlib.suppress(OSError):
        recording.stdin.write(b"stop")
        recording.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        recording.wait(timeout=recorder.GRACE_S + 10)


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
        """Pass on what has come since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.position)
                chunk = file.read(1 << 22)
        except FileNotFoundError:
            return
        self.position += len(chunk)
        *lines, rest = (self.rest + chunk).split(b"\n")
        self.rest = rest[-65536:]  # a line without an end must not fill the memory
        self.lines += len(lines)
        for line in lines:
            watch(line)
