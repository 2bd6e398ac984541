"""Starts a plan under `torchrun` through the recorder, and follows what comes.

The environment is made from nothing: a short list of variables passes, everything else (tokens, keys, a user's
settings for torch or Python) stays outside and is not inherited.
"""

from __future__ import annotations

import contextlib
import json
import os
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
FEW_LINES = 10  # a standard output that holds no more tells nobody how the run goes


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
        program = Path(recorder.__file__)
        owner = subprocess.Popen(
            [sys.executable, "-I", str(program), str(plan.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert owner.stdin is not None
        beside = start_observer(plan.folder, owner.pid)
        follower = Follower(plan.folder / run_files.LOG)
        own: Follower | None = None  # of the file that a script with a silent standard output prints to
        try:
            while owner.poll() is None:
                follower.pass_on(watch)
                own = own or own_log(plan.folder / run_files.WORK)
                if own is not None and follower.lines < FEW_LINES:
                    own.pass_on(watch)
                time.sleep(_POLL_S)
        except BaseException:  # KeyboardInterrupt and SystemExit too: the run must not outlive us
            _ask_to_stop(owner)
            raise
        finally:
            end_observer(beside)
            with contextlib.suppress(OSError):
                owner.stdin.close()
        follower.pass_on(watch)
        return read_outcome(plan, owner.returncode)

    def command(self, plan: launcher.LaunchPlan) -> list[str]:
        """The torchrun command of a plan. Ranks above 0 are redirected to files, never teed (a tee costs 50 ms)."""
        redirects = ",".join(f"{rank}:3" for rank in range(1, plan.processes))
        command = [self.python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={plan.processes}"]
        command += [f"--log-dir={plan.folder / 'ranks'}"]
        command += [f"--redirects={redirects}"] if redirects else []
        return [*command, plan.entry, *plan.arguments]


def clean_environment(plan: launcher.LaunchPlan, python: str = sys.executable) -> dict[str, str]:
    """The environment of a run: passed variables, private folders, and the plan's own additions."""
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
    """Write what the recorder reads, and the reserve."""
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
    """What the recorder wrote at the end; if it was killed, everything of the run is ended here instead."""
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


def _ask_to_stop(owner: subprocess.Popen[bytes]) -> None:
    assert owner.stdin is not None
    with contextlib.suppress(OSError):
        owner.stdin.write(b"stop")
        owner.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        owner.wait(timeout=recorder.GRACE_S + 10)


def own_log(work: Path) -> Follower | None:
    """Follows the log that a script writes into `logs/` by itself, once there is one."""
    found = [path for path in (work / "logs").glob("*.txt") if path.is_file() and not path.is_symlink()]
    return Follower(found[0]) if len(found) == 1 else None


class Follower:
    """Hands complete lines of a growing file to a watcher."""

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
