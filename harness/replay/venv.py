"""Make a Python environment for a set of requirements, once, and find it again.

Made with venv and pip, in the cache, never in the harness's own environment. Hard because a maker may be killed, and two
may start at once: the folder is built under a temporary name and renamed, so whatever is found is complete, and a lock
keeps two makers apart. pip takes its index and proxies from the user's own settings; SPEEDRUN_TORCH_INDEX names one more
index, for torch builds of a certain CUDA or of a certain night.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import StoreError
from harness.store.files import disk_error, locked, write_atomic
from harness.store.layout import cache_folder

SIZE_BYTES = 8 * 10**9  # at most, of one environment: torch for CUDA with its libraries, and what pip unpacks
NOT_MADE = "in an environment of its own"  # stands for the torch of a machine as long as the environment is not made
# Of a requirement: options, addresses and paths are none, and a line of environments.yaml could come from anybody.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(==[A-Za-z0-9.+!_-]+)?")
LOCK_FILE = "requirements.lock"  # every package of the environment with its version


class InstallError(StoreError):
    """pip could not install a set of requirements, and the disk is not full."""

    def lists_others(self, requirement: str) -> bool:
        """Tell whether the index lists other versions of this requirement, so that the one asked for does not exist."""
        # An index that was not reached lists none and proves nothing.
        listed = rf"requirement {re.escape(requirement)} \(from versions: (?!none)"
        return re.search(listed, self.problems[0].what) is not None


@dataclass(frozen=True, slots=True)
class Venv:
    """A finished environment."""

    folder: Path
    requirements: tuple[str, ...]
    packages: dict[str, str]  # name -> version of everything that is installed

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def torch(self) -> str | None:
        """Read the build of torch as a script prints it: 2.10.0+cu128, which the default index lists as 2.10.0."""
        for path in self.folder.glob("lib/python3*/site-packages/torch/version.py"):
            source = path.read_text("utf-8", "replace")
            version = re.search(r"^__version__ = '([0-9][A-Za-z0-9.+]*)'$", source, re.MULTILINE)
            if version is not None:
                return version[1]
        return self.packages.get("torch")


def folder_of(requirements: tuple[str, ...]) -> Path:
    """Return the folder of the environment of these requirements, whether it exists or not."""
    key = json.dumps([sorted(requirements), platform.python_version(), index()])
    return cache_folder() / "environments" / hashlib.sha256(key.encode()).hexdigest()[:24]


def index() -> str | None:
    """Return the user's additional package index for torch builds, if any."""
    return os.environ.get("SPEEDRUN_TORCH_INDEX") or None


def find(requirements: tuple[str, ...]) -> Venv | None:
    """Find the environment of these requirements; None where it was not made before."""
    folder = folder_of(requirements)
    try:
        packages = dict(line.split("==", 1) for line in (folder / LOCK_FILE).read_text().splitlines() if "==" in line)
    except OSError:
        return None
    return Venv(folder, requirements, packages)


def make(requirements: tuple[str, ...]) -> Venv:
    """Return the environment of these requirements, made unless it exists; a minute or more for torch.

    Raises StoreError where a package cannot be installed, the disk is full or venv is missing; nothing half-made is left.
    """
    for one in requirements:
        if not _PLAIN.fullmatch(one):
            what = f"{ascii(one)[:100]} is no package, or package==version"
            raise StoreError.at("environments.yaml", what, "restore the file as speedrun wrote it")
    folder = folder_of(requirements)
    with locked(folder) as lock:
        made = find(requirements)
        if made is not None:
            return made
        temporary = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            _run([sys.executable, "-m", "venv", str(temporary)], "the environment cannot be made", lock)
            pip = [str(temporary / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
            extra = ["--extra-index-url", url] if (url := index()) else []
            what = f"{', '.join(requirements)} cannot be installed"
            _run([*pip, "install", "--quiet", *extra, *requirements], what, lock, InstallError)
            installed = _run([*pip, "freeze", "--all"], "the environment cannot be listed", lock)
            write_atomic(temporary / LOCK_FILE, installed)
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        except OSError as error:
            raise disk_error(folder, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    made = find(requirements)
    if made is None:
        raise StoreError.at(folder, "was deleted while it was made", "start again")
    return made


def missing_modules(made: Venv, modules: Iterable[str]) -> list[str]:
    """Return those of the modules that an environment cannot import; none of them is run."""
    program = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    return _run([str(made.python), "-I", "-c", program, *sorted(modules)], "the environment does not start").split()


def _run(command: list[str], what: str, lock: int | None = None, failed: type[StoreError] = StoreError) -> str:
    # A user's PYTHONPATH must not add packages to an environment that is meant to be isolated.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # If this process is killed, pip continues for a while: it inherits the lock and holds it until it has ended.
    inherited = () if lock is None else (lock,)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, pass_fds=inherited)
    if done.returncode == 0:
        return done.stdout
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    if "No space left" in done.stderr:
        raise StoreError.at("environment", f"{what}: the disk is full", "free about 6 GB and start again")
    reason = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no message")
    todo = "check the network and pip's settings; SPEEDRUN_TORCH_INDEX adds an index"
    raise failed.at("environment", f"{what}: {reason[:300]}", todo)
