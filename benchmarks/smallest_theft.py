"""The smallest theft of time that the clock sees, measured by planting thefts of many sizes in real runs.

    python benchmarks/smallest_theft.py [TRIALS] [--small]        default 5 runs for each size and place, about 4 minutes

The honest script of the gallery, run through the real recorder, hides a number of milliseconds: in one step, at every
start of its clock, before every stop of it, or in a validation gap. Printed is the share of runs that a timing rule
fails. A theft in a gap is compared with the gaps of two honest runs.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cheats.gallery import HONEST, run_and_judge

STEP = "    model = train_step(model)\n"
START = '        log("clock:start")\n'
STOP = '        log("clock:stop")\n'
GAP = "        val_loss = validate(model, val)\n"
PLACES = {
    "in one step": (STEP, STEP + "    if step == 62:\n        time.sleep(T)\n        t0 += T\n"),
    "at each of 4 starts": (START, START + "        time.sleep(T)\n"),
    "before each of 5 stops": (STOP, "        time.sleep(T)\n" + STOP),
    "in one gap of one run": (GAP, GAP + "        time.sleep(T * (SEED == 3 and step == 50))\n"),
}
SIZES_MS = (0, 2, 4, 6, 8, 10, 15, 20, 25, 30, 40, 60, 100)


def caught(place: str, size_ms: float, trials: int) -> float:
    """Share of trials in which a timing rule fails."""
    old, new = PLACES[place]
    script = HONEST.replace(old, new.replace("T)", f"{size_ms / 1000})").replace("+= T", f"+= {size_ms / 1000}"))
    script = script.replace("sleep(T *", f"sleep({size_ms / 1000} *")
    assert script != HONEST
    count = 0
    for _ in range(trials):
        with tempfile.TemporaryDirectory() as root:
            verdict = run_and_judge(Path(root), script, count=3 if "gap" in place else 1)
        count += any(f.rule[0] == "T" and f.outcome == "fail" for f in verdict.findings)
    return count / trials


def main(trials: int, sizes_ms: tuple[int, ...] = SIZES_MS) -> None:
    print(f"{platform.machine()}, {os.cpu_count()} cores; {trials} trials each; share of runs that fail a timing rule")
    print("place                   " + "".join(f"{size:>6} ms"[-8:] for size in sizes_ms))
    for place in PLACES:
        shares = [caught(place, size, trials) for size in sizes_ms]
        print(f"{place:<24}" + "".join(f"{share:8.0%}" for share in shares), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="the smallest theft of time that the clock sees")
    parser.add_argument("trials", nargs="?", type=int, default=5)
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    main(*((1, SIZES_MS[-1:]) if args.small else (args.trials,)))
