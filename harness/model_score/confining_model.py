"""Lay out a script beside trained weights, and give the command that serves them to whoever asks, confined.

The script's folder and the weights are read-only, there is nothing else of the project, no network where the tier can
take it away, and no shared memory that is everybody's.
"""

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.measurement import Confinement
from harness.launch import confinement, torchrun
from harness.launch.launcher import LaunchPlan
from harness.model_score import serving
from harness.store import run_files
from harness.store.files import disk_error
from harness.store.layout import Project, cache_folder


@dataclass(frozen=True, slots=True)
class Served:
    """A script with the weights that its `load` is given."""

    files_folder: Path
    files: Iterable[str]
    entry: str
    weights: Path
    readable: Path  # the weights, or the folder that they lie in alone


@dataclass(frozen=True, slots=True)
class Place:
    """Where and how one scorer runs."""

    project: Project
    id: str  # its processes are found by it
    folder: Path  # an own one; the script is laid out in it
    python: str
    silence_limit_s: float
    time_limit_s: float
    threads: int = 1

    def plan(self, entry: str) -> LaunchPlan:
        """Return what the launcher's parts need to know of it."""
        alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "OMP_NUM_THREADS": str(self.threads)}
        return LaunchPlan(
            run_id=self.id,
            folder=self.folder,
            entry=entry,
            processes=1,
            seed=None,
            overrides=(),
            silence_limit_s=self.silence_limit_s,
            time_limit_s=self.time_limit_s,
            hidden=(self.project.outermost, cache_folder()),
            environment=alone,
        )


@contextlib.contextmanager
def confined_model(
    served: Served, place: Place, confined: Confinement, program: str | None = None
) -> Iterator[dict[str, Any]]:
    """Give command, environment and folder of a process that answers with logits.

    program: the text that serves, where it is not `serving` itself. Raises StoreError where the disk is full.
    """
    private = confinement.is_private(confined)
    temporary = None if private else Path(tempfile.mkdtemp(prefix="speedrun-"))
    plan, work = place.plan(served.entry), place.folder / run_files.WORK
    try:
        work.mkdir(parents=True)
        for file in served.files:
            shutil.copyfile(served.files_folder / file, work / file)
        view = torchrun.TorchrunLauncher(place.python).view(plan, temporary)
        readable = (*view.readable, served.readable)
        view = dataclasses.replace(view, readable=readable, frozen=(work,), shared_memory=False)
        torchrun.make_folders(view, confined)
        text = program if program is not None else Path(serving.__file__).read_text()
        command = [place.python, "-I", "-c", text, str(work / served.entry), str(served.weights)]
        yield {
            "command": confinement.wrap(confined, view, place.folder / "etc", command),
            "environment": torchrun.clean_environment(plan, place.python, temporary, network=False),
            "cwd": str(work),
        }
    except OSError as error:
        raise disk_error(place.folder, error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def isolated_call(module: str) -> str:
    """Return a program that calls `main` of a module of `harness`, for an interpreter that is not the harness's.

    No bytecode that somebody may have planted in the harness is read; torch without its own takes 10 s to import.
    """
    package, _, name = module.rpartition(".")
    code = f"import sys; sys.path.insert(0, {str(torchrun.ROOT)!r}); sys.pycache_prefix = '/dev/null'"
    code += f"; sys.dont_write_bytecode = True; from {package} import {name}; sys.pycache_prefix = None"
    return code + f"; {name}.main()"
