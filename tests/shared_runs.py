"""Work that tests of several files need and one of them does: real runs, above all.

pytest-xdist gives every worker its own session, so a session fixture is made once per worker. What is made here lies
in the folder that all workers of one start of pytest have in common, behind a lock.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder `name` that `make` fills, by whichever worker comes first; the others wait for it."""
    base = factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / f"shared-{name}", base / f"shared-{name}.done"
    with (base / f"shared-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            folder.mkdir()  # fails at once where an attempt failed before: no test file repeats an hour's mistake
            make(folder)
            done.touch()
    return folder
