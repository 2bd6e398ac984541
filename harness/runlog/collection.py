"""Read many logs, one result per file, in the order of the paths.

Several processes may share the work, and the memory of all of them together stays below the largest single log plus
200 MB: workers take only logs that are small when unpacked, large ones are read here, one at a time.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.core.errors import LogError, Problem
from harness.core.measurement import RunLog
from harness.runlog.log_files import MOST_BYTES, LargerThanAsked, opened, read_data, read_file
from harness.runlog.reader import NoLog
from harness.runlog.source import embedded_files
from harness.store.files import write_atomic

MOST_JOBS = 6  # a worker takes about 20 MB of its own
_WORKER_BYTES = 4 << 20  # the largest log that a worker takes; real ones are below 1 MB
_BATCH = 16
_HEAD_BYTES = 1024  # a shard's header: 12 bytes of numbers, then zeros


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
    too_large: bool = False  # for a worker; to be read again by the main process
    no_log: bool = False  # a readable file that has nothing of a training log


def find_logs(paths: Sequence[str]) -> Iterator[Target]:
    """List all files that the paths name: folders with all below them, sorted; links to folders are not followed."""
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
        # Only so many files at a time, so that the results of a million files do not wait in memory.
        for start in range(0, len(targets), _BATCH * jobs * 4):
            for reading in pool.map(work, targets[start : start + _BATCH * jobs * 4], chunksize=_BATCH):
                yield _read_one(reading.target, curve, final_only) if reading.too_large else reading


def _read_one(target: Target, curve: bool, final_only: bool, most_bytes: int = MOST_BYTES) -> Reading:
    if not target.named and _is_binary(target.name):
        what = "no training log: its first bytes are not text"
        return Reading(target, (), Problem(target.name, what, "name logs of training runs"), no_log=True)
    path = Path(target.name)
    try:
        runs = read_file(path, name=target.name, curve=curve, final_only=final_only, most_bytes=most_bytes)
    except LargerThanAsked as error:
        return Reading(target, (), error.problems[0], too_large=most_bytes < MOST_BYTES)
    except LogError as error:
        return Reading(target, (), error.problems[0], no_log=isinstance(error, NoLog))
    return Reading(target, tuple(runs), None)


def _is_binary(path: str) -> bool:
    """Tell by its first bytes whether a file is none of text, as a shard of some hundred MB is not."""
    try:
        with opened(Path(path), path) as (file, _):
            return file.read(_HEAD_BYTES).count(0) > _HEAD_BYTES // 2
    except LogError:  # read_file says why, but of the links that a run leaves to tokens, which are gone with it
        return path.endswith(".bin")


def exit_status(readings: Sequence[tuple[bool, bool, bool]], *, strict: bool) -> int:
    """Decide the exit status from (named, read, has problems) of each file.

    2 where nothing was readable; 1 where a file that the user named was not, or with `strict` where a run has
    problems; else 0. Files found in a folder that are no training logs change nothing.
    """
    if not any(read for _, read, _ in readings):
        return 2
    missed = any(named and not read for named, read, _ in readings)
    return 1 if missed or (strict and any(problems for _, _, problems in readings)) else 0


def extract(log: str, folder: Path) -> dict[str, bytes]:
    """Write the script that a log embeds, and the files behind it, into `folder`, byte for byte; return them by name.

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
