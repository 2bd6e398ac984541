"""Fuzz the log reader: 100,000 damaged logs, and what went wrong with any of them.

    python benchmarks/fuzz_logs.py [--inputs N] [--seed N] [--jobs N]

Every input is a log of the project's corpus (or several, glued) after one to five mutations of
`tests/property/log_mutations.py`. A quarter of them only cut, mix or decorate lines; there every point that is read
must be a point of an undamaged line. Exit status 1 where anything is found; the failing input is written to the
current folder.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.property.log_mutations import ANY, CORPUS, KEEPS_NUMBERS, check, glue  # noqa: E402

_BATCH = 500
_ENDED = sorted(name for name in CORPUS if not name.startswith("L"))


def one_input(seed: int) -> tuple[bytes, bool]:
    """The damaged log of a seed, and whether the damage keeps numbers whole."""
    draw = random.Random(seed)
    keeps = draw.random() < 0.25
    names = _ENDED if keeps else sorted(CORPUS)
    data = CORPUS[draw.choice(names)]
    for _ in range(draw.randrange(1, 6)):
        mutate = draw.choice(KEEPS_NUMBERS if keeps else ANY)
        if keeps and mutate is glue:
            data += CORPUS[draw.choice(names)]
        elif data:
            data = mutate(data, draw)
    return data, keeps


def batch(first: int, count: int) -> tuple[int, list[tuple[int, str]]]:
    """How many of `count` inputs gave runs, and the findings."""
    read, findings = 0, []
    for seed in range(first, first + count):
        data, keeps = one_input(seed)
        try:
            read += check(data, keeps_numbers=keeps) > 0
        except Exception as error:  # whatever it is, it is a finding
            findings.append((seed, f"{type(error).__name__}: {str(error)[:300]}"))
    return read, findings


def main() -> int:
    parser = argparse.ArgumentParser(description="fuzz the log reader")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    began = time.monotonic()
    read, findings = 0, []
    starts = range(args.seed, args.seed + args.inputs, _BATCH)
    counts = [min(_BATCH, args.seed + args.inputs - start) for start in starts]
    with ProcessPoolExecutor(args.jobs) as pool:
        for got, found in pool.map(batch, starts, counts):
            read += got
            findings += found
    seconds = time.monotonic() - began
    print(
        f"{args.inputs:,} inputs in {seconds:.0f} s: {read:,} gave runs, the rest was refused; {len(findings)} findings"
    )
    for seed, text in findings[:20]:
        Path(f"fuzz-{seed}.txt").write_bytes(one_input(seed)[0])
        print(f"  seed {seed}: {text}  (written to fuzz-{seed}.txt)")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
