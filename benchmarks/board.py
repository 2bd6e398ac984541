"""How long a board of 1,000 records takes, and how much memory: at most 1 s to render, a page per record, and 500 MB.

    python benchmarks/board.py [RECORDS] [--small]

Reading the record folders strictly is measured apart from rendering them, on records made here with ten runs each.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.board import leaderboard
from harness.catalog.tracks import load_tracks
from harness.core.record import Claimed, Original, Record, RecordRun
from harness.store.layout import Project
from harness.store.records import read_records, write_record

ROOT = Path(__file__).parents[1]


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
        claimed=Claimed(2700.0 / number**0.5, None, None, None),
        original=Original("owner/name", "0" * 40, "log", "a/log.txt", {"train_gpt.py": "b" * 64}, None, None),
        notes=None,
        withdrawn=None,
        runs=runs,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="time and memory of a large board")
    parser.add_argument("records", nargs="?", type=int, default=1_000)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    count = 20 if args.small else args.records
    records = [make_record(number) for number in range(1, count + 1)]
    tracks = load_tracks(ROOT / "tracks")
    leaderboard.render(tracks, records[:10], {})  # imports matplotlib and scipy, which a process does once
    began = time.perf_counter()
    files = leaderboard.render(tracks, records, {})
    rendering = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as scratch:
        for record in records:
            write_record(Path(scratch) / "records" / "short" / record.slug, record)
        began = time.perf_counter()
        read_records(Project(Path(scratch)))
        reading = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = sum(len(text) for text in files.values())
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"{count:,} records, {size / 1e6:.1f} MB of board, at most {peak:.0f} MiB of memory")
    print(f"rendered in {rendering:.2f} s (at most {count / 1000:g}); read from their folders in {reading:.2f} s")
    return 0 if args.small or (rendering < count / 1000 and peak < 500) else 1


if __name__ == "__main__":
    sys.exit(main())
