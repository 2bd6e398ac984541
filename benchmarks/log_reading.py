"""How fast the log reader is, as ratios in one run over the same files.

    python benchmarks/log_reading.py [FOLDER_OR_TAR] [--repeats N] [--json] [--small]

The corpus is the shared history (`history/logs.tar.xz` in $SPEEDRUN_SHARED or in a `shared/` folder above), else the
project's own small corpus, each log copied many times. The shared logs came without their source, so 40 to 250 kB of
source-like lines are put back in front of every log that had one. Four readers then go over the same files, turn by
turn; every ratio compares the fastest turns, all with warm file caches, in one process:

    plain        read the file, split its lines, one compiled regular expression per line, floats
    all fields   `read_file`: every field of the JSON, hashes of the source included
    final only   `read_file(final_only=True)`
    limit        read and sha256-hash the same bytes

Required: all fields ≥ 1.5 × plain, final only ≥ 20 × plain. Exit status 1 where that does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import re
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.runlog.log_files import read_file  # noqa: E402

NEEDED = {"all fields": 1.5, "final only": 20.0}
SEPARATOR = b"=" * 100 + b"\n"


def plain(path: Path) -> list[tuple[int, int, float | None, float, float]]:
    """What a careful person writes in five minutes: step, total, loss, time and average of every metric line."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = file.read().split("\n")
    found = []
    for line in lines:
        match = PLAIN.match(line)
        if match is not None:
            loss = None if match[3] is None else float(match[3])
            seconds = float(match[4]) / (1000 if match[5] == "ms" else 1)
            found.append((int(match[1]), int(match[2]), loss, seconds, float(match[6])))
    return found


PLAIN = re.compile(
    r"step:(\d+)/(\d+) (?:(?:val|train)_loss:([\d.]+|nan) )?(?:val_avg_loss:[\d.]+ val_ema_loss:[\d.]+ )?"
    r"train_time:([\d.]+)(ms|s) step_avg:([\d.]+|nan)ms"
)


def all_fields(path: Path) -> object:
    return read_file(path)


def final_only(path: Path) -> object:
    return read_file(path, final_only=True)


def limit(path: Path) -> object:
    return hashlib.sha256(path.read_bytes()).digest()


def shared_logs() -> Path | None:
    named = os.environ.get("SPEEDRUN_SHARED")
    for place in [Path(named)] if named else [folder / "shared" for folder in ROOT.parents]:
        if (place / "history" / "logs.tar.xz").is_file():
            return place / "history" / "logs.tar.xz"
    return None


def source_text(size: int, draw: random.Random) -> bytes:
    """Lines that look like a training script: indentation, names, calls, comments, blank lines."""
    words = ("step", "loss", "model", "grad", "weight", "tensor", "config", "rank", "cache", "window", "head", "embed")
    lines: list[str] = []
    length = 0
    while length < size:
        indent = " " * (4 * draw.randrange(4))
        a, b, c = draw.choice(words), draw.choice(words), draw.choice(words)
        line = draw.choice(
            (f"{indent}{a}.{b} = {c}({a}, {draw.random():.4f})", f"{indent}# the {a} of each {b} {c}", "")
        )
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines).encode()[: size - 1] + b"\n"


def restore(data: bytes, size: int, draw: random.Random) -> bytes:
    """Put a source part of `size` bytes where the placeholder stands; a log that never had one stays as it is."""
    return re.sub(
        rb"\[source removed: \d+ bytes, sha256 [0-9a-f]{64}\]\n", lambda _: source_text(size, draw), data, count=1
    )


def prepare(folder: Path, archive: Path | None, copies: int) -> list[Path]:
    """Write the corpus to measure into `folder`; without an archive so many copies of the project's own."""
    draw = random.Random(5)
    logs: list[bytes] = []
    if archive is not None and archive.is_file():
        with tarfile.open(archive) as tar:
            logs = [tar.extractfile(member).read() for member in tar if member.isfile()]  # type: ignore[union-attr]
    elif archive is not None:
        logs = [path.read_bytes() for path in sorted(archive.rglob("*")) if path.is_file()]
    else:
        logs = [path.read_bytes() for path in sorted((ROOT / "tests/golden/logs").glob("*.txt"))] * copies
    paths = []
    for number, data in enumerate(logs):
        path = folder / f"{number:05}.txt"
        path.write_bytes(restore(data, draw.randrange(40_000, 250_000), draw))
        paths.append(path)
    return paths


def turn(read: Callable[[Path], object], paths: list[Path]) -> float:
    began = time.perf_counter()
    for path in paths:
        read(path)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="ratios of log reading speed")
    parser.add_argument("corpus", nargs="?", help="a folder of logs or a tar of them (default: the shared history)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    args = parser.parse_args()
    repeats = 1 if args.small else args.repeats
    archive = Path(args.corpus) if args.corpus else None if args.small else shared_logs()
    readers = {"plain": plain, "all fields": all_fields, "final only": final_only, "limit": limit}
    with tempfile.TemporaryDirectory() as name:
        paths = prepare(Path(name), archive, 1 if args.small else 20)
        size = sum(path.stat().st_size for path in paths)
        for path in paths:  # warm the file cache
            path.read_bytes()
        best = dict.fromkeys(readers, float("inf"))
        for _ in range(repeats):
            for kind, read in readers.items():
                best[kind] = min(best[kind], turn(read, paths))
    ratios = {kind: best["plain"] / seconds for kind, seconds in best.items() if kind != "plain"}
    to_limit = best["all fields"] / best["limit"]
    enough = args.small or all(ratios[kind] >= needed for kind, needed in NEEDED.items())
    if args.json:
        print(json.dumps({"files": len(paths), "bytes": size, "seconds": best, "ratios": ratios, "to_limit": to_limit}))
        return 0 if enough else 1
    print(
        f"{len(paths)} logs, {size / 1e6:.1f} MB, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs"
    )
    for kind, seconds in best.items():
        needed = f"  (needs {NEEDED[kind]:g})" if kind in NEEDED else ""
        ratio = "" if kind == "plain" else f"  {ratios[kind]:6.2f} × as fast as plain{needed}"
        print(f"{kind:<11} {seconds:7.3f} s  {size / 1e6 / seconds:7.0f} MB/s{ratio}")
    print(f"all fields take {to_limit:.2f} × the time of reading and hashing alone")
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
