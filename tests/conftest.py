"""What all tests share, and which of them are quick."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

# A shell that starts a job in the background lets it ignore Ctrl-C, and every child inherits that. The tests that
# interrupt a run send a real SIGINT, so it must mean what it means at a terminal.
signal.signal(signal.SIGINT, signal.default_int_handler)

# What the harness prints is broken into lines of COLUMNS columns, which pytest sets for its workers: tests read whole
# lines unless they ask for columns. Nor do colours or a terminal of whoever runs them change what they read.
for setting in ("COLUMNS", "NO_COLOR"):
    os.environ.pop(setting, None)

# `./run_tests.sh --quick`: what shows most mistakes for the least time, at most a minute of CPU. A folder's tests are
# quick but for files (or single tests) that simulate, pack, start many processes or read a thousand logs.
HERE = Path(__file__).parent
QUICK = ("golden", "guard", "unit")
SLOW = (
    "golden/test_shared_logs.py",
    "unit/test_doctor.py",
    "unit/test_error_rates.py",
    "unit/test_pack.py",
    "unit/test_pairs.py",
    "unit/test_scan.py::test_no_script_makes_the_scan_grow",
    "unit/test_scan.py::test_the_work_of_a_scan_grows_no_faster_than_the_script",
)


def is_quick(test: str) -> bool:
    """Whether a test is quick, by its path below this folder and, behind `::`, its name."""
    return test.partition("/")[0] in QUICK and not test.startswith(SLOW)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE) and is_quick(f"{item.path.relative_to(HERE).as_posix()}::{item.name}"):
            item.add_marker(pytest.mark.quick)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m quick`, leave other folders unread: they import torch."""
    if config.getoption("markexpr") != "quick" or not collection_path.is_relative_to(HERE):
        return None
    folder = collection_path.relative_to(HERE).parts[:1]
    return True if collection_path.parent == HERE and collection_path.is_dir() and folder[0] not in QUICK else None
