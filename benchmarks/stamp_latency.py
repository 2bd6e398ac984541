"""How late a line's stamp is: from the moment a script prints it to the recorder's stamp, idle and busy.

    python benchmarks/stamp_latency.py [SECONDS] [--small]        default 20 s for each number of busy processes

A script prints its own monotonic clock 20 times a second; the recorder stamps the line with the same clock. Busy
processes spin beside it. Printed are p50, p99 and the largest difference in milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.launch.launcher import LaunchPlan
from harness.launch.stamps import read_clock
from tests.cheats.gallery import Direct

SCRIPT = """\
import sys, time
for _ in range(int(20 * SECONDS)):
    time.sleep(0.05)
    print(time.monotonic_ns(), flush=True)
"""


def latencies_ms(seconds: float, busy: int) -> list[float]:
    """Differences between print and stamp, with `busy` spinning processes beside."""
    spinning = [multiprocessing.Process(target=spin, daemon=True) for _ in range(busy)]
    for process in spinning:
        process.start()
    try:
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root) / "run"
            (folder / "work").mkdir(parents=True)
            (folder / "work" / "train_gpt.py").write_text(SCRIPT.replace("SECONDS", str(seconds)))
            plan = LaunchPlan("benchmark", folder, "train_gpt.py", 1, 1, (), 600.0, 3600.0)
            Direct().run(plan, lambda line: None)
            clock = read_clock(folder / "clock.csv")
            printed = [int(line) for line in (folder / "log.txt").read_text().split()]
            start = clock.start_ns or 0
            return [1e3 * clock.arrivals_s[n] - (at - start) / 1e6 for n, at in enumerate(printed, 1)]
    finally:
        for process in spinning:
            process.kill()
            process.join()


def spin() -> None:
    for _ in itertools.count():
        pass


def main(seconds: float, numbers: tuple[int, ...] = (0, 4, 8, 16)) -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores; {20 * seconds:.0f} lines each")
    print("busy processes    p50 ms   p99 ms   max ms")
    for busy in numbers:
        found = sorted(latencies_ms(seconds, busy))
        print(
            f"{busy:14d} {found[len(found) // 2]:9.2f} {found[int(0.99 * len(found))]:8.2f} {found[-1]:8.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="how late a line's stamp is")
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    main(*((0.5, (0, 1)) if args.small else (args.seconds,)))
