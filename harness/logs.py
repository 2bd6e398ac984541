"""The story of `speedrun log`: paths in, one result per file out, in the order of the paths.

Folders are walked, several processes may share the files, and the memory of all of them together stays below the
largest single log plus 200 MB: workers take only logs that are small when unpacked, large ones are read here, alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.errors import LogError, Problem
from harness.runlog.files import LargerThanAsked, read_data, read_file
from harness.runlog.source import embedded_files
from harness.schema import RunLog
from harness.store.files import write_atomic

MOST_JOBS = 6  # a worker takes about 20 MB of its own
_WORKER_BYTES = 4 << 20  # the largest log that a worker takes; real ones are below 1 MB
_BATCH = 16


@dataclass(frozen=True, slots=True)
class Target:
    """One file to read."""

    name: str  # as given, or found below a folder as given
    named: bool  # whether the user named this very file


@dataclass(frozen=True, slots=True)
class Reading:
    """What one file gave: its runs, or why it gives none."""

    target: Target
    runs: tuple[RunLog, ...]
    refusal: Problem | None  # no training log, or unreadable
    too_large: bool = False  # for a worker; read again alone


def find_logs(paths: Sequence[str]) -> Iterator[Target]:
    """All files that the paths name: files as they are, folders recursively and sorted, links to folders not followed."""
    for path in paths:
        if not os.path.isdir(path):
            yield Target(path, True)
            continue
        for folder, below, files in os.walk(path):
            below.sort()
            for name in sorted(files):
                yield Target(os.path.join(folder, name), False)


def read_logs(
    targets: Sequence[Target], *, curve: bool = False, final_only: bool = False, jobs: int = 1
) -> Iterator[Reading]:
    """Read files one after the other, or in `jobs` processes (at most 6); results keep the order of `targets`."""
    jobs = min(jobs, MOST_JOBS, len(targets))
    if jobs <= 1:
        for target in targets:
            yield _read_one(target, curve, final_only)
        return
    work = partial(_read_one, curve=curve, final_only=final_only, most_bytes=_WORKER_BYTES)
    with ProcessPoolExecutor(jobs) as pool:
        # A bounded number of batches is under way, so that a million files do not queue up as results.
        for start in range(0, len(targets), _BATCH * jobs * 4):
            for reading in pool.map(work, targets[start : start + _BATCH * jobs * 4], chunksize=_BATCH):
                yield _read_one(reading.target, curve, final_only) if reading.too_large else reading


def _read_one(target: Target, curve: bool, final_only: bool, most_bytes: int | None = None) -> Reading:
    limit = {} if most_bytes is None else {"most_bytes": most_bytes}
    try:
        runs = read_file(Path(target.name), name=target.name, curve=curve, final_only=final_only, **limit)
    except LargerThanAsked as error:
        return Reading(target, (), error.problems[0], too_large=most_bytes is not None)
    except LogError as error:
        return Reading(target, (), error.problems[0])
    return Reading(target, tuple(runs), None)


def exit_status(readings: Sequence[tuple[bool, bool, bool]], *, strict: bool) -> int:
    """The exit status for (named, read, has problems) per file.

    2 where nothing was readable; 1 where a file that the user named was not, or with `strict` where a run has
    problems; else 0. Files found in a folder that are no training logs change nothing.
    """
    if not any(read for _, read, _ in readings):
        return 2
    missed = any(named and not read for named, read, _ in readings)
    return 1 if missed or (strict and any(problems for _, _, problems in readings)) else 0


def extract(log: str, folder: Path) -> dict[str, bytes]:
    """Write the script that a log embeds, and the files behind it, into `folder`, byte for byte; returns them by name.

    Raises LogError where the log holds no source or another file of that name is there already.
    """
    files = embedded_files(read_data(Path(log), name=log), path=log)
    for name, content in files.items():
        there = folder / name
        if there.is_symlink() or (there.exists() and (not there.is_file() or there.read_bytes() != content)):
            raise LogError.at(there, "something else of this name is there already", "choose an empty folder")
    for name, content in files.items():
        write_atomic(folder / name, content)
    return files
