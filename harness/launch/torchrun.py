"""Start a plan under `torchrun` through the recorder, and pass on what the run prints.

The environment is made from nothing: a short list of variables passes, everything else (tokens, keys, a user's
settings for torch or Python) stays outside and is not inherited. What the run can reach is decided by `confinement`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness.core import codec
from harness.core.errors import RunError, StoreError
from harness.core.measurement import Confinement, RunOutcome
from harness.launch import confinement, installation, launcher, observer, processes, recorder, vocabulary
from harness.launch.following import WRITTEN_LIMIT_BYTES, follow
from harness.store import run_files
from harness.store.files import disk_error

ROOT = Path(__file__).parents[2]  # the folder that holds the package `harness`
PASSED = ("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "NCCL_SOCKET_IFNAME", "TZ")
RESERVE_BYTES = 1 << 18  # given back on a full disk, so that the outcome can still be written
OBSERVER_LIMIT_S = 120.0  # until it watches, usually 0.1 s; without persistence mode a driver takes 30 s
HOME, RANKS = "home", "ranks"  # folders of a run, beside its work folder, that it writes to
_RANK = re.compile(rb"^\s*rank\s*:\s*(\d{1,5})\b", re.MULTILINE)
_EXIT_CODE = re.compile(rb"^\s*exitcode\s*:\s*(-?\d{1,5})\b", re.MULTILINE)


class TorchrunLauncher:
    """Executes plans on this machine with `python`, an interpreter that has torch."""

    def __init__(self, python: str = sys.executable) -> None:
        self.python = python

    def confined_by(self, plan: launcher.LaunchPlan) -> Confinement:
        """Choose the strongest tier that works here; raises MachineError where one was asked for and does not work."""
        return confinement.choose(self.view(plan))

    def run(self, plan: launcher.LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        """Execute the plan to its end; see `Launcher`. Ctrl-C or SIGTERM here ends the run first, then is raised."""
        confined = plan.confinement or self.confined_by(plan)
        # Short, because sockets are made there, and their paths have a limit of 108 bytes. A private /tmp needs none.
        temporary = None if confinement.is_private(confined) else Path(tempfile.mkdtemp(prefix="speedrun-"))
        before = shared_memory(confined.user)
        # Inside a confinement these are read-only.
        watched = (ROOT / "harness", *packages(self.python)) if confined.tier == "none" else ()
        installed = installation.take(watched)
        try:
            outcome = self._run(plan, confined, temporary, watch)
            changed = installation.changes(installed, watched)
            if changed is not None:
                said = f"files of the environment or the harness were changed while it ran: {changed}"
                outcome = outcome.refused([said])
            private = confinement.is_private(confined)
            return dataclasses.replace(outcome, left_bytes=0 if private else left_bytes(before, confined.user))
        finally:
            if temporary is not None:
                shutil.rmtree(temporary, ignore_errors=True)

    def _run(
        self, plan: launcher.LaunchPlan, confined: Confinement, temporary: Path | None, watch: Callable[[bytes], None]
    ) -> RunOutcome:
        view = self.view(plan, temporary)
        try:
            make_folders(view, confined)
            command = confinement.wrap(confined, view, plan.folder / "etc", self.command(plan))
            environment = clean_environment(plan, self.python, temporary, confined.network)
            write_launch_file(plan, command, environment, confinement.wrappers(confined))
        except OSError as error:
            raise disk_error(plan.folder, error) from error
        call = f"from harness.launch import recorder; sys.exit(recorder.main(Path({str(plan.folder)!r})))"
        recording = start_aside(call)
        assert recording.stdin is not None
        observing = start_observer(plan.folder, recording.pid)
        interrupted: BaseException | None = None
        try:
            _let_start(recording, observing, plan.folder)
            follow(recording, observing, plan.folder, watch)
        except launcher.Enough as enough:
            _ask_to_stop(recording, recorder.ENOUGH_WORD + str(enough).encode())
        except BaseException as error:  # KeyboardInterrupt and SystemExit too: the run must not outlive us
            interrupted = error
            _ask_to_stop(recording)
        reads = end_observer(observing)
        with contextlib.suppress(OSError):
            recording.stdin.close()
        outcome = read_outcome(plan, recording)
        if reads is not None:
            outcome = dataclasses.replace(outcome, received=outcome.received | {observer.READS: reads})
        if interrupted is not None:
            raise launcher.Interrupted(outcome) from interrupted
        return outcome

    def view(self, plan: launcher.LaunchPlan, temporary: Path | None = None) -> confinement.View:
        """Describe what a run of the plan may see."""
        work = plan.folder / run_files.WORK
        saved = (run_files.SAVED,) if plan.saves else ()
        own = [plan.folder / name for name in (run_files.WORK, HOME, run_files.CACHE, RANKS, *saved)]
        tokens = work / plan.tokens if plan.tokens else None
        return confinement.View(
            work=work,
            writable=(*own, *([temporary] if temporary is not None else [])),
            frozen=() if tokens is None else (tokens,),
            readable=(*linked(work), *vocabulary.find_vocabulary()),
            hidden=(*plan.hidden, plan.folder),
            network=plan.network,
            python=self.python,
            other_paths={} if plan.cache_at is None else {plan.cache_at: plan.folder / run_files.CACHE},
        )

    def command(self, plan: launcher.LaunchPlan) -> list[str]:
        """Build the torchrun command. Ranks above 0 are redirected to files, never copied as well (that costs 50 ms)."""
        redirects = ",".join(f"{rank}:3" for rank in range(1, plan.processes))
        command = [self.python, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={plan.processes}"]
        command += [f"--log-dir={plan.folder / RANKS}"]
        command += [f"--redirects={redirects}"] if redirects else []
        return [*command, plan.entry, *plan.arguments]


def left_bytes(before: dict[str, int], user: int | None) -> int:
    """Count the bytes in /dev/shm that were not there before and that no living program uses: the run's are gone."""
    left = {f"/dev/shm/{name}": size for name, size in shared_memory(user).items() if name not in before}
    used = processes.held_by_anyone(left)
    return sum(size for path, size in left.items() if path not in used)


def shared_memory(user: int | None) -> dict[str, int]:
    """List what a user (None: the harness's) holds in /dev/shm: name -> bytes."""
    user = os.geteuid() if user is None else user
    held = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir("/dev/shm"):
            with contextlib.suppress(OSError):
                about = entry.stat(follow_symlinks=False)
                if about.st_uid == user:
                    held[entry.name] = about.st_size if entry.is_file(follow_symlinks=False) else 1
    return held


def packages(python: str) -> tuple[Path, ...]:
    """List the folders with the packages of an interpreter's environment."""
    return tuple(sorted(Path(os.path.abspath(python)).parent.parent.glob("lib/python3*/site-packages")))


def linked(folder: Path) -> tuple[Path, ...]:
    """List what the links in a folder lead to."""
    return tuple(path.resolve() for path in sorted(folder.rglob("*")) if path.is_symlink())


def make_folders(view: confinement.View, confined: Confinement) -> None:
    """Make the folders that a run writes to, and give them to the user that it runs as."""
    for folder in view.writable:
        folder.mkdir(exist_ok=True)
        if confined.user is not None:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, confined.user, confined.user, follow_symlinks=False)


def clean_environment(
    plan: launcher.LaunchPlan, python: str = sys.executable, temporary: Path | None = None, network: bool = True
) -> dict[str, str]:
    """Build the environment of a run: passed variables, private folders, and the plan's own additions."""
    environment = {name: os.environ[name] for name in PASSED if name in os.environ}
    cache = plan.cache_at or plan.folder / run_files.CACHE
    environment |= {
        "PATH": os.pathsep.join([str(Path(python).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(plan.folder / HOME),
        "USER": "runner",  # a user id inside may have no name
        "LOGNAME": "runner",
        # Compiled programs are kept per run: it starts from an empty cache, or from a copy of its own of a stored one.
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "OMP_NUM_THREADS": "1",  # what torchrun would set, without its warning
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",  # a hang is answered with a stack dump
        "SPEEDRUN_RUN_ID": plan.run_id,
    }
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    if not network:
        environment |= {"NCCL_SOCKET_IFNAME": "lo", "GLOO_SOCKET_IFNAME": "lo"}
    if vocabulary.find_vocabulary():
        environment[vocabulary.VARIABLE] = str(vocabulary.folder())
    return environment | plan.environment


def start_aside(call: str) -> subprocess.Popen[bytes]:
    """Start one of the two processes beside a run; it ends when its standard input closes."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.dont_write_bytecode = True; from pathlib import Path; {call}"
    return subprocess.Popen(
        [sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )


def start_observer(folder: Path, recorder_pid: int) -> subprocess.Popen[bytes]:
    """Start the process that watches the run from beside it; it ends when its standard input closes."""
    return subprocess.Popen(
        [sys.executable, "-I", str(Path(observer.__file__)), str(folder), str(recorder_pid), str(WRITTEN_LIMIT_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _let_start(recording: subprocess.Popen[bytes], observing: subprocess.Popen[bytes], folder: Path) -> None:
    """Let the script start once the observer watches; where it cannot, without it: a driver may hang it for good."""
    given_up = time.monotonic() + OBSERVER_LIMIT_S
    while not (folder / observer.READS).exists() and time.monotonic() <= given_up:
        if processes.has_ended(observing.pid) or processes.has_ended(recording.pid):
            break
        time.sleep(0.005)
    assert recording.stdin is not None
    with contextlib.suppress(OSError):
        recording.stdin.write(recorder.GO)
        recording.stdin.flush()


def end_observer(process: subprocess.Popen[bytes]) -> str | None:
    """Let the observer write its last rows and end; return the digest of reads.csv as it wrote it, if it says so."""
    assert process.stdin is not None and process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=60)
    except subprocess.TimeoutExpired:  # a driver call that hangs, or somebody has stopped it
        process.kill()
        process.wait()
    said = re.search(rf"^{re.escape(observer.READS)} ([0-9a-f]{{64}})$", process.stdout.read().decode(), re.MULTILINE)
    return said[1] if said else None


def write_launch_file(
    plan: launcher.LaunchPlan, command: list[str], environment: dict[str, str], wrappers: int
) -> None:
    """Write launch.json for the recorder, and the reserve. wrappers: processes between the recorder and torchrun."""
    (plan.folder / "reserve").write_bytes(b"\0" * RESERVE_BYTES)
    launch = {
        "command": command,
        "cwd": str(plan.folder / run_files.WORK),
        "environment": environment,
        "wrappers": wrappers,
        "silence_limit_s": plan.silence_limit_s,
        "time_limit_s": plan.time_limit_s,
    }
    (plan.folder / "launch.json").write_text(json.dumps(launch, indent=1))


def read_outcome(plan: launcher.LaunchPlan, recording: subprocess.Popen[bytes]) -> RunOutcome:
    """Take the recorder's word for how a run ended; without it, end everything of the run here.

    A file alone counts for nothing: a run that is not confined could have written it, and killed the recorder.
    """
    assert recording.stdout is not None
    said = recording.stdout.read()
    code = recording.wait()
    path = plan.folder / run_files.OUTCOME
    with contextlib.suppress(StoreError):
        return run_files.OUTCOME_FORM.parse(said, f"{plan.run_id}/{path.name}")
    for pid in processes.marked(plan.run_id):
        processes.kill(pid, signal.SIGKILL)
    outcome = RunOutcome("lost", None, 0.0, f"the recorder was ended from outside (exit code {code})")
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


def _ask_to_stop(recording: subprocess.Popen[bytes], word: bytes = b"stop") -> None:
    assert recording.stdin is not None
    with contextlib.suppress(OSError):
        recording.stdin.write(word)
        recording.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        recording.wait(timeout=recorder.GRACE_S + 10)
