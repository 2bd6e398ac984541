"""How long a board of 1,000 records takes, and how much memory: at most 1 s to make its pages and tables, and 500 MB.

    python benchmarks/board.py [RECORDS] [--small]

Measured apart, on records made here with ten runs and a curve each: reading their folders strictly, drawing the
pictures (each 20th record is a milestone with one of its own), and comparing scripts for the change of the code. All is
processor time of one process, which other work beside it changes little.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.board import leaderboard, learning, plots, waterfall
from harness.catalog.tracks import load_tracks
from harness.core.record import Claimed, Original, Record, RecordRun
from harness.store.layout import Project
from harness.store.records import Curve, read_records, write_record
from harness.submission import codediff

ROOT = Path(__file__).parents[1]
TIMES = 3  # that a board is rendered; the least counts


def make_record(number: int) -> Record:
    """A record with ten own runs."""
    runs = tuple(
        RecordRun(
            id=f"log-{number}-{k}",
            role="own",
            step=1390,
            metric="val_loss",
            value=3.2785 + k / 1e4,
            train_time_s=80 + k / 100,
            gpu_name="NVIDIA H100 80GB HBM3",
            gpu_count=8,
            driver="580.159.04",
            torch="2.10.0+cu128",
            started_at=None,
            script_sha256="a" * 64,
            note=None,
        )
        for k in range(10)
    )
    date = datetime.date(2024, 6, 1) + datetime.timedelta(days=number % 900)
    return Record(
        track="short",
        slug=f"{date}_record-{number}",
        ruleset="short@2",
        number=number,
        kind="record",
        retimes=None,
        date=date,
        title=f"Record {number} of the benchmark",
        contributors=("@somebody",),
        pull_request=str(number),
        claimed=Claimed(2700.0 * 0.975 ** (number // 20) - number / 1000, None, None, None),
        original=Original("owner/name", "0" * 40, "log", "a/log.txt", {"train_gpt.py": "b" * 64}, None, None),
        notes=None,
        withdrawn=None,
        runs=runs,
    )


def make_curve(record: Record) -> Curve:
    """A curve of twelve points to the target."""
    time_s = record.claimed.train_time_s or 1.0
    return tuple((100 * k, 3.275 + 7.5 / (1 + k) - 7.5 / 12, time_s * k / 11) for k in range(12))


class Stopwatch:
    """Adds up the time spent in some functions."""

    def __init__(self) -> None:
        self.taken = 0.0

    def watch(self, module: Any, name: str) -> None:
        """Put a function in place of one of a module that takes the time of each call."""
        inner: Callable[..., Any] = getattr(module, name)

        def timed(*arguments: Any, **more: Any) -> Any:
            began = time.process_time()
            try:
                return inner(*arguments, **more)
            finally:
                self.taken += time.process_time() - began

        setattr(module, name, timed)


def compare_scripts(count: int) -> float:
    """Compare so many scripts, each with the one before it, and return the time of it all."""
    script = (ROOT / "records" / "short" / "2024-11-19_flex-attention" / "script" / "train_gpt.py").read_bytes()
    scripts = [script + f"EXTRA = {number}\n".encode() for number in range(count + 1)]
    began = time.process_time()
    for old, new in itertools.pairwise(scripts):
        assert codediff.diff({"train_gpt.py": old}, {"train_gpt.py": new}).added
    return time.process_time() - began


def render(records: list[Record]) -> tuple[float, float, dict[str, str]]:
    """Render a board: the time without its pictures and of its pictures, least of a few, and its files."""
    tracks, curves = load_tracks(ROOT / "tracks"), {"short": {record.slug: make_curve(record) for record in records}}
    drawing = Stopwatch()
    for module, name in ((plots, "progress"), (waterfall, "waterfall"), (learning, "curves"), (learning, "beside")):
        drawing.watch(module, name)
    leaderboard.render(tracks, records[:10], curves)  # imports numpy and scipy, which a process does once
    best = float("inf"), float("inf")
    for _ in range(TIMES):
        drawing.taken, began = 0.0, time.process_time()
        files = leaderboard.render(tracks, records, curves)
        taken = time.process_time() - began
        best = min(best, (taken - drawing.taken, drawing.taken))
    return *best, files


def read(records: list[Record]) -> float:
    """Write the records' folders, and return the time that reading them takes."""
    with tempfile.TemporaryDirectory() as scratch:
        for record in records:
            write_record(Path(scratch) / "records" / "short" / record.slug, record)
        began = time.process_time()
        read_records(Project(Path(scratch)))
        return time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="time and memory of a large board")
    parser.add_argument("records", nargs="?", type=int, default=1_000)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    count = 20 if args.small else args.records
    records = [make_record(number) for number in range(1, count + 1)]
    rendering, drawing, files = render(records)
    reading = read(records)
    scripts = 2 if args.small else 100
    comparing = compare_scripts(scripts)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(len(text) for text in files.values())
    pictures = sum(name.endswith(".svg") for name in files)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{count:,} records, {len(files):,} files, {size / 1e6:.1f} MB of board, at most {peak:.0f} MiB of memory")
    print(f"pages and tables in {rendering:.2f} s (at most {count / 1000:g}); {pictures} pictures in {drawing:.2f} s")
    print(f"read from their folders in {reading:.2f} s; {scripts} scripts compared in {comparing:.2f} s")
    return 0 if args.small or (rendering < count / 1000 and peak < 500) else 1


if __name__ == "__main__":
    sys.exit(main())
