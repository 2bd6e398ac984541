"""What the harness costs a run: train time under it against bare torchrun, and the price of stamping one line.

    python benchmarks/overhead.py [PAIRS] [--small]        default 40 pairs, about 20 minutes

Each pair runs the current smoke record twice with the same seed, once bare and once confined and recorded by the
launcher, with the live view on a terminal of 100 columns. Both run at once, each with one rank on one core, and a coin
decides who gets which: the speed of a shared machine changes by 10 % within seconds, and so it changes for both. What the
harness starts beside a run, and the view, may use every core, as on a GPU host, which has cores to spare. The
ratio of the script's own train times is given with its 95 % interval (Student's t over the log ratios), which must contain
1 and be at most 0.04 wide. What the harness adds to the start and end of a run, at most 0.3 s, comes from half as many
pairs of a script that trains nothing, one run after the other.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import os
import platform
import pty
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import stats
from harness.dataset import fetching
from harness.launch.launcher import LaunchPlan
from harness.launch.recorder import Hashed, Recorder
from harness.launch.torchrun import TorchrunLauncher, clean_environment
from harness.machine import computer
from harness.run.command_progress import Command
from harness.run.record_curve import Reference
from harness.run.run_progress import Point
from harness.run.run_reading import RunReader
from harness.runlog import reader
from harness.store import records, run_files
from harness.store.layout import Project
from harness.ui.live import Display
from harness.ui.run_status import Status, status_of

PROJECT = Project(Path(__file__).parents[1])
NO_TRAINING = 'print("step:1/1 val_loss:2.9 train_time:1000ms step_avg:1000.00ms")\n'


def lay_out(found: Subject, folder: Path) -> Path:
    """A run folder with script and data."""
    work = folder / "work"
    work.mkdir(parents=True)
    shutil.copyfile(found.files_folder / found.entry, work / found.entry)
    fetching.offer(fetching.fetch_for(found.track), found.track, work)
    return work


def write_run_file(found: Subject, folder: Path) -> None:
    """What the view reads of a run beside its log."""
    run_files.write_run_file(
        folder,
        run_files.RunFile(
            schema=2,
            id=folder.name,
            series="benchmark",
            subject=found.name,
            track=found.track.name,
            ruleset=found.ruleset.id,
            script_sha256=found.script_sha256,
            files=found.files,
            processes=1,
            arguments=(),
            dry=False,
            started_at=run_files.now(),
            machine=computer.capture(),
            data=fetching.fetch_for(found.track).receipt,
            outcome=None,
            log_sha256=None,
        ),
    )


@contextlib.contextmanager
def on_a_terminal(found: Subject, folder: Path) -> Iterator[Display]:
    """Make what shows a run on a terminal, as `run` does; nobody looks."""
    terminal, end = pty.openpty()
    os.environ |= {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    drain = threading.Thread(target=read_all, args=(terminal,), daemon=True)
    drain.start()
    write_run_file(found, folder)
    points = tuple(Point(*point) for point in records.read_curve(found.folder))
    beside = Reference(found.name, points, False) if points else None
    entropy = found.track.data.oracle_loss
    command = Command(1, 1, 1, False, None, None, found.ruleset.above_entropy, entropy, 24.0, 0.0, 0, None)
    reading = RunReader(folder)

    def status() -> Status:
        reading.poll()
        return status_of(reading, command, beside, found.name)

    with open(end, "w") as stream:
        display = Display(status, stream)
        yield display
    assert display.broken is None and reading.progress.last is not None, f"nothing was shown: {display.broken!r}"
    drain.join()
    os.close(terminal)


def read_all(descriptor: int) -> None:
    """Read what is drawn until nobody draws any more."""
    with contextlib.suppress(OSError):
        while os.read(descriptor, 1 << 16):
            pass


@dataclass(frozen=True)
class Took:
    """Seconds of one run."""

    train: float
    whole: float  # from start to end


class Pinned(TorchrunLauncher):
    """Starts a run on one core (None: on all); what watches it may use every core."""

    def __init__(self, core: int | None) -> None:
        super().__init__()
        self.core = core

    def command(self, plan: LaunchPlan) -> list[str]:
        pin = [] if self.core is None else ["taskset", "--cpu-list", str(self.core)]
        return [*pin, *super().command(plan)]


def timed_run(found: Subject, seed: int, core: int | None, through_harness: bool, small: bool) -> Took:
    """Make one run with one rank; small: of a script that trains nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "run"
        work = lay_out(found, folder)
        if small:
            (work / found.entry).write_text(NO_TRAINING)
        plan = LaunchPlan(
            f"benchmark-{core}", folder, found.entry, 1, seed, (), 600, 3600, tokens=found.track.data.folder
        )
        (folder / "home").mkdir()
        began = time.perf_counter()
        if through_harness:
            with on_a_terminal(found, folder) as display:
                display.open()
                outcome = Pinned(core).run(plan, lambda line: None)
                display.close()
            assert outcome.state == "finished", outcome
            raw = (folder / "log.txt").read_bytes()
        else:
            done = subprocess.run(
                Pinned(core).command(plan),
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
    return Took(train_time, wall)


def view_cost_ms(found: Subject, redraws: int = 100) -> float:
    """Milliseconds of processor time to read five new lines of a run and redraw the view; it does that twice a second."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / run_files.CLOCK).write_text(f"line,monotonic_ns\nstart,{time.monotonic_ns()}\n")
        with on_a_terminal(found, folder) as display, (folder / run_files.LOG).open("a") as log:
            spent = 0.0
            for step in range(0, 5 * redraws, 5):
                for line in range(step, step + 5):
                    print(f"step:{line}/{5 * redraws} train_time:{line * 90}ms step_avg:90.00ms", file=log)
                loss = 6 - 3 * step / (5 * redraws)
                print(
                    f"step:{step + 4}/{5 * redraws} val_loss:{loss} train_time:9ms step_avg:90.00ms",
                    file=log,
                    flush=True,
                )
                began = time.thread_time()
                display.sink.show(display.status())
                spent += time.thread_time() - began
            display.sink.leave()
    return spent / redraws * 1e3


def start_and_end(found: Subject, pairs: int) -> list[float]:
    """Measure by how much longer a run takes that trains nothing, seconds of each pair."""
    added = []
    for pair in range(pairs):
        whole = {}
        for through_harness in (pair % 2 == 0, pair % 2 == 1):
            whole[through_harness] = timed_run(found, pair, None, through_harness, True).whole
        added.append(whole[True] - whole[False])
    return added


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
    parser.add_argument("pairs", nargs="?", type=int, default=40)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    pairs = 1 if args.small else args.pairs
    catalog = Catalog(PROJECT)
    found = catalog.subject(catalog.find("smoke"))
    cores = sorted(os.sched_getaffinity(0))
    ratios = []
    for pair in range(pairs):
        seed = secrets.randbelow(2**31)
        mine = secrets.randbelow(2)
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            arms = {
                through_harness: pool.submit(timed_run, found, seed, core, through_harness, args.small)
                for through_harness, core in ((True, cores[mine - 1]), (False, cores[-mine]))
            }
            results = {through_harness: arm.result() for through_harness, arm in arms.items()}
        ratios.append(math.log(results[True].train / results[False].train))
        print(f"pair {pair + 1}: bare {results[False].train:.3f} s, harness {results[True].train:.3f} s", flush=True)
    # One pair has no interval.
    low, high = (math.exp(bound) for bound in (stats.interval(ratios) if pairs > 1 else (-math.inf, math.inf)))
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, {found.name}")
    print(
        f"train time, harness / bare: {math.exp(stats.mean(ratios)):.4f} (95 % interval {low:.4f} to {high:.4f}, {pairs} pairs)"
    )
    added = start_and_end(found, max(1, pairs // 2))
    spread = (stats.interval(added)[1] - stats.mean(added)) if len(added) > 1 else math.inf
    print(f"start and end, harness - bare: {stats.mean(added):+.2f} s (± {spread:.2f} s, {len(added)} pairs)")
    print(f"one look of the view, twice a second: {view_cost_ms(found, 4 if args.small else 100):.1f} ms")
    print(f"stamping and storing one line: {stamp_cost_us(1000 if args.small else 200_000):.1f} us")
    if args.small:
        return 0
    contains, narrow = low <= 1 <= high, high - low <= 0.04
    quick = stats.mean(added) <= 0.3
    print(
        f"the interval {'contains' if contains else 'does not contain'} 1 and is {high - low:.3f} wide (at most 0.040)"
    )
    return 0 if contains and narrow and quick else 1


if __name__ == "__main__":
    sys.exit(main())
