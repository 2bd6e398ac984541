"""How long the command line takes to say something, each with its limit, and a bare interpreter beside them.

    python benchmarks/startup.py [--small]

Medians of 15 starts: `--help` (at most 150 ms) and `check` without torch (at most 1 s). `doctor` answers within 5 s, on
this machine and where a driver hangs.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A finder that refuses torch: the judge must not need it.
NO_TORCH = (
    "import sys\n"
    "class Refuse:\n"
    "    def find_spec(self, name, path=None, target=None):\n"
    "        if name.partition('.')[0] == 'torch': raise ImportError('torch is refused')\n"
    "sys.meta_path.insert(0, Refuse())\n"
    "from harness.cli import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def median_ms(command: list[str], times: int, *, fine: tuple[int, ...] = (0,), path: str = "") -> float:
    """Median time of a command that ends with a status among `fine`, milliseconds; its programs are first in `path`."""
    taken = []
    environment = os.environ | {"PATH": path + os.environ["PATH"]}
    for _ in range(times):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        taken.append((time.perf_counter() - began) * 1000)
        if done.returncode not in fine:
            raise SystemExit(f"{command[-2:]} ended with {done.returncode}: {done.stderr[-500:]}")
    return statistics.median(taken)


def driver_that_hangs(folder: Path) -> str:
    """A folder for PATH with an nvidia-smi that never answers."""
    folder.mkdir()
    (folder / "nvidia-smi").write_text("#!/bin/sh\nsleep 600\n")
    (folder / "nvidia-smi").chmod(0o755)
    return f"{folder}{os.pathsep}"


def packed_submission(root: Path) -> str:
    """A project in `root` whose one submission is the current smoke record with its evidence."""
    record = ROOT / "records" / "smoke" / "2026-11-21_muon"
    folder = root / "submissions" / record.name
    shutil.copytree(ROOT / "tracks", root / "tracks")
    shutil.copytree(record / "evidence", folder / "evidence")
    shutil.copyfile(record / "script" / "train_gpt.py", folder / "train_gpt.py")
    questions = ("What changed?", "Why is it faster?", "How was it measured, and what else did you try?")
    (folder / "README.md").write_text(
        "# A copy\n" + "".join(f"\n## {question}\n\nIt is a copy.\n" for question in questions)
    )
    digest = hashlib.sha256((folder / "train_gpt.py").read_bytes()).hexdigest()
    (folder / "manifest.yaml").write_text(
        "schema: 1\ntrack: smoke\nruleset: smoke@1\ntitle: a copy\ncontributors: [somebody]\nclaim: ml\n"
        f"entry: train_gpt.py\nfiles:\n  train_gpt.py: {digest}\n"
    )
    return str(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="how long the command line takes to say something")
    parser.add_argument(
        "--small", action="store_true", help="each thing once, in its smallest form; nothing is required"
    )
    small = parser.parse_args().small
    times, few = (1, 1) if small else (15, 3)
    bare = median_ms([sys.executable, "-c", "pass"], times)
    help_ms = median_ms([sys.executable, "-m", "harness", "--help"], times)
    record_ms = median_ms([sys.executable, "-c", NO_TORCH, "check", "smoke/2"], times)
    doctor = [sys.executable, "-m", "harness", "doctor", "short/12"]
    doctor_ms = median_ms(doctor, few, fine=(0, 2))
    with tempfile.TemporaryDirectory() as scratch:
        submission = packed_submission(Path(scratch))
        check_ms = median_ms([sys.executable, "-c", NO_TORCH, "--root", scratch, "check", submission], times)
        hanging_ms = median_ms(doctor, few, fine=(2,), path=driver_that_hangs(Path(scratch) / "bin"))
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"bare interpreter      {bare:6.0f} ms")
    print(f"speedrun --help       {help_ms:6.0f} ms   (at most 150)")
    print(f"check a submission    {check_ms:6.0f} ms   (without torch, three packed runs; at most 1000)")
    print(f"check a record        {record_ms:6.0f} ms   (without torch, three packed runs)")
    print(f"speedrun doctor       {doctor_ms:6.0f} ms   (on this machine; at most 5000)")
    print(f"                      {hanging_ms:6.0f} ms   (where the driver hangs; at most 5000)")
    within = help_ms <= 150 and check_ms <= 1000 and max(doctor_ms, hanging_ms) <= 5000
    return 0 if small or within else 1


if __name__ == "__main__":
    sys.exit(main())
