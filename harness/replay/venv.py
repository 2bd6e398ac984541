"""An environment of its own for every replay: requirements in, an interpreter out.

Made once for each set of requirements with venv and pip, in the cache, never in the harness's own environment. The
folder is built under a temporary name and renamed, so what is there is whole; a lock keeps two makers apart. pip takes
its index and proxies from the user's own settings; SPEEDRUN_TORCH_INDEX names one more index, where torch builds of a
certain CUDA or of a certain night may be.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import StoreError
from harness.store.files import disk_error, write_atomic
from harness.store.layout import cache_folder

ROOM_BYTES = 8 * 10**9  # the most that one takes: torch for CUDA with its libraries, and pip's room to unpack them
LOCK_FILE = "requirements.lock"  # every package of the environment with its version


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
        """The build of torch as a script prints it: 2.10.0+cu128, which the default index lists as 2.10.0."""
        for path in self.folder.glob("lib/python3*/site-packages/torch/version.py"):
            told = re.search(
                r"^__version__ = '([0-9][A-Za-z0-9.+]*)'$", path.read_text("utf-8", "replace"), re.MULTILINE
            )
            if told is not None:
                return told[1]
        return self.packages.get("torch")


def folder_of(requirements: tuple[str, ...]) -> Path:
    """Where the environment of these requirements lies, there or not."""
    told = json.dumps([sorted(requirements), platform.python_version(), index()])
    return cache_folder() / "environments" / hashlib.sha256(told.encode()).hexdigest()[:24]


def index() -> str | None:
    """The user's further package index for torch builds."""
    return os.environ.get("SPEEDRUN_TORCH_INDEX") or None


def find(requirements: tuple[str, ...]) -> Venv | None:
    """The environment of these requirements if it was made before."""
    folder = folder_of(requirements)
    try:
        packages = dict(line.split("==", 1) for line in (folder / LOCK_FILE).read_text().splitlines() if "==" in line)
    except OSError:
        return None
    return Venv(folder, requirements, packages)


def make(requirements: tuple[str, ...]) -> Venv:
    """The environment of these requirements, made where it is not there yet; a minute or more for torch.

    Raises StoreError where a package cannot be had, the disk is full or venv is missing; nothing half-made is left.
    """
    folder = folder_of(requirements)
    with _locked(folder) as lock:
        made = find(requirements)
        if made is not None:
            return made
        aside = folder.with_name(f".{folder.name}.new")
        shutil.rmtree(aside, ignore_errors=True)
        try:
            _run([sys.executable, "-m", "venv", str(aside)], "the environment cannot be made", lock)
            pip = [str(aside / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
            further = index()
            extra = ["--extra-index-url", further] if further else []
            what = f"{', '.join(requirements)} cannot be installed"
            _run([*pip, "install", "--quiet", *extra, *requirements], what, lock)
            installed = _run([*pip, "freeze", "--all"], "the environment cannot be listed", lock)
            write_atomic(aside / LOCK_FILE, installed)
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
        except OSError as error:
            raise disk_error(folder, error) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    made = find(requirements)
    if made is None:
        raise StoreError.at(folder, "vanished while it was made", "start again")
    return made


def lacking(made: Venv, modules: Iterable[str]) -> list[str]:
    """Those of the modules that an environment cannot import; nothing of them is run."""
    program = "import importlib.util, sys; print(*(n for n in sys.argv[1:] if importlib.util.find_spec(n) is None))"
    return _run([str(made.python), "-I", "-c", program, *sorted(modules)], "the environment cannot be asked").split()


def _run(command: list[str], what: str, lock: int | None = None) -> str:
    # A user's PYTHONPATH must not leak packages into an environment that is meant to be alone.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Where this process is killed, pip goes on for a while: it holds the lock until it has ended.
    held = () if lock is None else (lock,)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, pass_fds=held)
    if done.returncode == 0:
        return done.stdout
    lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    said = next((line for line in lines if line.startswith("ERROR")), lines[-1] if lines else "no message")
    if "No space left" in done.stderr:
        raise StoreError.at("environment", f"{what}: the disk is full", "free about 6 GB and start again")
    raise StoreError.at(
        "environment",
        f"{what}: {said[:300]}",
        "check the network and pip's settings; SPEEDRUN_TORCH_INDEX adds an index",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[int]:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()
    except OSError as error:
        raise disk_error(folder, error) from error
