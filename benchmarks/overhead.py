"""What the harness costs a run: train time under it against bare torchrun, and the price of stamping one line.

    python benchmarks/overhead.py [PAIRS] [--small]        default 12 pairs, about 4 minutes

Each pair runs the current smoke record twice with the same seed, once bare and once through the launcher, in an order
drawn by a coin. The ratio of the script's own train times is given with its 95 % interval (Student's t over the log
ratios): the interval must contain 1 or lie within ±1 %. Times of a shared machine; the ratio is what counts.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import stats
from harness.dataset import fetching
from harness.launch.launcher import LaunchPlan
from harness.launch.recorder import Hashed, Recorder
from harness.launch.torchrun import TorchrunLauncher, clean_environment
from harness.runlog import reader
from harness.store.layout import Project

PROJECT = Project(Path(__file__).parents[1])
NO_TRAINING = 'print("step:1/1 val_loss:2.9 train_time:1000ms step_avg:1000.00ms")\n'


def lay_out(found: Subject, folder: Path) -> Path:
    """A run folder with script and data."""
    work = folder / "work"
    work.mkdir(parents=True)
    shutil.copyfile(found.files_folder / found.entry, work / found.entry)
    fetching.offer(fetching.fetch_for(found.track), found.track, work)
    return work


def timed_run(found: Subject, seed: int, *, through_harness: bool, small: bool) -> tuple[float, float]:
    """One run's own train time and its time from start to end, seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        work = lay_out(found, folder)
        if small:
            (work / found.entry).write_text(NO_TRAINING)
        ranks = 1 if small else 2
        plan = LaunchPlan("benchmark", folder, found.entry, ranks, seed, (), 600, 3600, tokens=found.track.data.folder)
        (folder / "home").mkdir()
        began = time.perf_counter()
        if through_harness:
            TorchrunLauncher().run(plan, lambda line: None)
            raw = (folder / "log.txt").read_bytes()
        else:
            command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
            command += [found.entry, *plan.arguments]
            done = subprocess.run(
                command,
                cwd=work,
                env=clean_environment(plan),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            raw = done.stdout
        wall = time.perf_counter() - began
        shutil.rmtree(fetching.given_folder(work))
    train_time = reader.read_bytes(raw, "log.txt")[-1].final_train_time_s
    assert train_time is not None
    return train_time, wall


def stamp_cost_us(lines: int = 200_000) -> float:
    """Microseconds to stamp and store one line of 60 bytes that arrives alone."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        recorder = Recorder(folder, {"environment": {}, "wrappers": 0})
        line = b"x" * 59 + b"\n"
        recorder.log, recorder.clock = Hashed(folder / "log.txt"), Hashed(folder / "clock.csv")
        recorder.started = 0
        with recorder.log.file, recorder.clock.file:
            began = time.perf_counter()
            for _ in range(lines):
                recorder.take(line, time.monotonic_ns())
            return (time.perf_counter() - began) / lines * 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description="what the harness costs a run")
    parser.add_argument("pairs", nargs="?", type=int, default=12)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    pairs = 1 if args.small else args.pairs
    catalog = Catalog(PROJECT)
    found = catalog.subject(catalog.find("smoke"))
    ratios, extra = [], []
    for pair in range(pairs):
        seed = secrets.randbelow(2**31)
        harness_first = secrets.randbelow(2) == 1
        results = {}
        for through_harness in (harness_first, not harness_first):
            results[through_harness] = timed_run(found, seed, through_harness=through_harness, small=args.small)
        ratios.append(math.log(results[True][0] / results[False][0]))
        extra.append((results[True][1] - results[True][0]) - (results[False][1] - results[False][0]))
        print(f"pair {pair + 1}: bare {results[False][0]:.3f} s, harness {results[True][0]:.3f} s", flush=True)
    # One pair has no interval.
    low, high = (math.exp(bound) for bound in (stats.interval(ratios) if pairs > 1 else (-math.inf, math.inf)))
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {found.name}")
    print(
        f"train time, harness / bare: {math.exp(stats.mean(ratios)):.4f} (95 % interval {low:.4f} to {high:.4f}, {pairs} pairs)"
    )
    print(f"start and end, harness - bare: {stats.mean(extra):+.2f} s")
    print(f"stamping and storing one line: {stamp_cost_us(1000 if args.small else 200_000):.1f} us")
    fine = low <= 1 <= high or (low > 0.99 and high < 1.01)
    print("the interval contains 1 or lies within ±1 %" if fine else "the harness costs train time")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
