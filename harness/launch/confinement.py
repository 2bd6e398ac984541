"""Decide what a run can see and touch, by the strongest of three tiers that this machine allows.

    bubblewrap   namespaces of its own: files, processes, network, shared memory and /tmp; nothing outlives the run
    landlock     where namespaces are forbidden: files, signals and tracing only, every capability given up
    none         nothing: the script has the rights of whoever started the harness

The script is the opponent, so a run gets its own folders (writable), the tokens that it was given, its interpreter and
the system (read-only), and nothing of the project, of the harness, of other runs or of their caches. Whether a tier
works is tried with the run's own interpreter before it is relied on. Device nodes and /sys for NVIDIA GPUs are bound as
the drivers' and NCCL's documentation ask; no GPU host has run them yet.
"""

import contextlib
import dataclasses
import functools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import MachineError
from harness.core.measurement import Confinement
from harness.launch import landlock

FORCE = "SPEEDRUN_CONFINEMENT"  # asks for a weaker tier, or for an error where it cannot be had
RUN_USERS = range(60_706, 61_184)  # of nobody: systemd's table of user ids calls them unused
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt")
_SETTINGS = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "ssl", "ca-certificates", "pki")
_NETWORK_SETTINGS = ("/etc/resolv.conf", "/run/systemd/resolve")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_GPU_DEVICES = ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm*", "nvidia-modeset", "nvidia-caps*", "infiniband", "gdrdrv")
# Without these torchrun waits two minutes for the name "localhost", and getpass finds no user.
_ETC = {
    "passwd": "root:x:0:0::/tmp:/bin/sh\nrunner:x:1000:1000::/tmp:/bin/sh\n",
    "group": "root:x:0:\nrunner:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files{dns}\n",
}


@dataclass(frozen=True, slots=True)
class View:
    """What one run may see: its folders, the tokens and its interpreter."""

    work: Path  # where it starts
    writable: tuple[Path, ...]  # the work folder among them
    frozen: tuple[Path, ...]  # the tokens' folder in it: read-only, where a tier can tell it from the folder around it
    readable: tuple[Path, ...]  # the files that its links lead to
    hidden: tuple[Path, ...]  # the project and the cache, wherever they lie
    network: bool
    python: str
    shared_memory: bool = True  # whether it may write to /dev/shm where that is everybody's
    other_paths: dict[Path, Path] = field(default_factory=dict)  # second path -> the writable folder seen there


def choose(view: View, wanted: str | None = None) -> Confinement:
    """Return the strongest tier that works here for this view, or the one that is wanted (or that FORCE names).

    Raises MachineError where the wanted one does not work.
    """
    wanted = wanted or os.environ.get(FORCE) or None
    reasons: list[str] = []
    for tier, tried in (("bubblewrap", _try_bubblewrap), ("landlock", _try_landlock)):
        if wanted in (None, tier):
            confinement, reason = tried(view)
            if confinement is not None:
                return dataclasses.replace(confinement, network=view.network or tier != "bubblewrap")
            reasons.append(reason)
    if wanted in (None, "none"):
        return Confinement("none", None, network=True)
    said = reasons[0] if reasons else "is no tier"
    raise MachineError.at(f"{FORCE}={wanted}", said, "choose bubblewrap, landlock or none, or see `speedrun doctor`")


def wrap(confinement: Confinement, view: View, etc: Path, command: Sequence[str]) -> list[str]:
    """Return the command that starts `command` inside; etc: an empty folder outside the view for a few settings."""
    if confinement.tier == "bubblewrap":
        return _bubblewrap(view, _settings(etc, view.network), command)
    if confinement.tier == "landlock":
        return _landlock(view, confinement.user, command)
    return list(command)


def wrappers(confinement: Confinement) -> int:
    """Count the processes that stand between the recorder and torchrun."""
    return 2 if confinement.tier == "bubblewrap" else 0


def is_private(confinement: Confinement) -> bool:
    """Whether /tmp and /dev/shm inside belong to the run alone and are gone after it."""
    return confinement.tier == "bubblewrap"


# ---------------------------------------------------------------------------------------------- bubblewrap


def _bubblewrap(view: View, settings: Path | None, command: Sequence[str]) -> list[str]:
    program = _program() or "bwrap"
    apart = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    apart += [] if view.network else ["--unshare-net"]
    # As root, a user namespace without --cap-drop would keep every capability inside it.
    rights = ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "localhost"]
    rights += ["--uid", "1000", "--gid", "1000"]
    mounts = ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm", "--tmpfs", "/tmp"]
    for path in system_paths(view.hidden):
        mounts += ["--symlink", os.readlink(path), str(path)] if path.is_symlink() else _read_only(path)
    for name in _SETTINGS:
        mounts += _read_only(Path("/etc", name))
    for name in _NETWORK_SETTINGS if view.network else ():
        mounts += _read_only(Path(name))
    for device in gpu_devices():
        mounts += ["--dev-bind-try", str(device), str(device)]
    if gpu_devices():
        mounts += _read_only(Path("/sys"))  # NCCL reads the topology of the machine there
    for name in _ETC if settings is not None else ():
        mounts += ["--ro-bind", f"{settings}/{name}", f"/etc/{name}"]
    for path in (*interpreter_paths(view.python, view.hidden), *view.readable):
        mounts += _read_only(path)
    for path, folder in ({path: path for path in view.writable} | view.other_paths).items():
        mounts += ["--bind", str(folder), str(path)]
    for path in view.frozen:
        mounts += _read_only(path)
    return [program, *apart, *rights, *mounts, "--remount-ro", "/", "--chdir", str(view.work), "--", *command]


def _read_only(path: Path) -> list[str]:
    return ["--ro-bind-try", str(path), str(path)]


def _settings(etc: Path, network: bool) -> Path:
    etc.mkdir(exist_ok=True)
    for name, text in _ETC.items():
        (etc / name).write_text(text.replace("{dns}", " dns" if network else ""))
    return etc


def _program() -> str | None:
    return shutil.which("bwrap", path="/usr/local/bin:/usr/bin:/bin")


def _try_bubblewrap(view: View) -> tuple[Confinement | None, str]:
    program = _program()
    if program is None:
        return None, "bubblewrap is not installed"
    said = _tried(_bubblewrap(_trial(view), None, [view.python, "-I", "-c", ""]))
    if said is not None:
        return None, f"bubblewrap cannot be used: {said}"
    return Confinement("bubblewrap", _version(program)), ""


@functools.cache
def _version(program: str) -> str | None:
    said = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()
    return said[-1] if said else None


# ---------------------------------------------------------------------------------------------- Landlock


def _landlock(view: View, user: int | None, command: Sequence[str]) -> list[str]:
    shared = [
        *(["/dev/shm"] if view.shared_memory else []),
        "/dev/pts",
        *(f"/dev/{name}" for name in _DEVICES),
        *map(str, gpu_devices()),
    ]
    # Not all of /etc: root without capabilities still owns /etc/shadow.
    read = [*map(str, system_paths(view.hidden)), "/proc", "/sys", *(f"/etc/{name}" for name in (*_SETTINGS, *_ETC))]
    read += map(str, (*interpreter_paths(view.python, view.hidden), *view.readable))
    read += _NETWORK_SETTINGS
    write = [*shared, *map(str, view.writable)]
    spec = json.dumps({"write": write, "read": read, "user": user})
    return [sys.executable, "-I", str(Path(landlock.__file__)), spec, *command]


def _try_landlock(view: View) -> tuple[Confinement | None, str]:
    version = landlock.abi()
    if not version:
        return None, "this kernel has no Landlock, or it is switched off"
    users = (_run_user(), None) if os.geteuid() == 0 else (None,)
    said: str | None = None
    for user in users:
        said = _tried(_landlock(_trial(view), user, [view.python, "-I", "-c", ""]))
        if said is None:
            return Confinement("landlock", f"ABI {version}", user=user), ""
    return None, f"Landlock cannot be used: {said}"


@functools.cache
def _run_user() -> int:
    """Draw the user that the runs of this command get, so that nothing of another command's is theirs."""
    taken = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                taken.add(entry.stat().st_uid)
    return secrets.choice([user for user in RUN_USERS if user not in taken] or list(RUN_USERS))


# ---------------------------------------------------------------------------------------------- what is seen


def system_paths(hidden: Sequence[Path]) -> tuple[Path, ...]:
    """List what of the system a run may read, without what lies there and is hidden."""
    found: list[Path] = []
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            found.append(path)
        elif path.is_dir():
            found += _without(path, hidden)
    return tuple(found)


def _without(path: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield a folder, or all that lies in it but what is hidden."""
    if any(path == place or path.is_relative_to(place) for place in hidden):
        return
    if not any(place.is_relative_to(path) for place in hidden):
        yield path
        return
    for entry in sorted(path.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            yield from _without(entry, hidden)
        else:
            yield entry


def interpreter_paths(python: str, hidden: Sequence[Path]) -> tuple[Path, ...]:
    """List the folders that an interpreter and its packages lie in: its environment's and those it was made from."""
    hop = Path(os.path.abspath(python))
    found: list[Path] = []
    for _ in range(10):
        found += _prefix(hop.parent.parent, hop, hidden)
        if not hop.is_symlink():
            break
        hop = Path(os.path.abspath(hop.parent / os.readlink(hop)))
    settings = Path(os.path.abspath(python)).parent.parent / "pyvenv.cfg"
    if settings.is_file():
        for home in re.findall(r"^home\s*=\s*(.+)$", settings.read_text(), re.MULTILINE):
            found += _prefix(Path(home.strip()).parent, Path(home.strip()), hidden)
    found += [added for prefix in tuple(found) for added in _added(prefix, hidden)]
    return tuple(dict.fromkeys(path for path in found if not path.is_relative_to("/usr")))


def _prefix(prefix: Path, program: Path, hidden: Sequence[Path]) -> list[Path]:
    """Choose the parts of an installation; of a folder that holds other things too, no more than they need."""
    if prefix in (Path("/"), Path("/usr"), Path("/usr/local")):
        return []
    if not any(prefix.glob("lib/python3*")):
        return [program]
    if any(place.is_relative_to(prefix) for place in (*hidden, Path.home())):
        return [prefix / name for name in ("bin", "lib", "lib64", "include", "pyvenv.cfg")]
    return [prefix]


def _added(prefix: Path, hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield the folders that an environment adds to its packages by .pth files, but not the project's own."""
    for file in sorted(
        (*prefix.glob("lib/python3*/site-packages/*.pth"), *prefix.glob("python3*/site-packages/*.pth"))
    ):
        for line in file.read_text("utf-8", "replace").splitlines():
            path = Path(line.strip())
            near = any(place.is_relative_to(path) or path.is_relative_to(place) for place in hidden)
            if path.is_absolute() and path.is_dir() and not near:
                yield path


def gpu_devices() -> tuple[Path, ...]:
    """List the device nodes of NVIDIA GPUs and of the links between them."""
    return tuple(sorted(path for pattern in _GPU_DEVICES for path in Path("/dev").glob(pattern)))


def _trial(view: View) -> View:
    """The same view before its folders are there: nothing writable, started at the root."""
    return dataclasses.replace(view, work=Path("/"), writable=(), frozen=(), readable=(), other_paths={})


@functools.cache
def _tried_once(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(command, cwd="/", env={}, capture_output=True, text=True, timeout=600)
    except OSError as error:
        return error.strerror
    except subprocess.TimeoutExpired:
        return "it hangs"
    lines = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else (lines[-1][:200] if lines else f"exit code {done.returncode}")


def _tried(command: Sequence[str]) -> str | None:
    """Run a command that does nothing inside; None where it worked, else what it said."""
    return _tried_once(tuple(command))
