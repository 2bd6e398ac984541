"""How long the command line takes to say something: `--help` (at most 150 ms) and `check` without torch (at most 1 s).

    python benchmarks/startup.py

Medians of 15 starts, with a bare interpreter beside them as the limit.
"""

from __future__ import annotations

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


def median_ms(command: list[str], times: int = 15) -> float:
    """Median time of a command, milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def packed_submission(root: Path) -> str:
    """A project in `root` whose one submission is the current smoke record with its evidence."""
    record = ROOT / "records" / "smoke" / "2026-11-21_muon"
    folder = root / "submissions" / record.name
    shutil.copytree(ROOT / "tracks", root / "tracks")
    shutil.copytree(record / "evidence", folder / "evidence")
    shutil.copyfile(record / "script" / "train_gpt.py", folder / "train_gpt.py")
    digest = hashlib.sha256((folder / "train_gpt.py").read_bytes()).hexdigest()
    (folder / "manifest.yaml").write_text(
        "schema: 1\ntrack: smoke\nruleset: smoke@1\ntitle: a copy\ncontributors: [somebody]\nclaim: ml\n"
        f"entry: train_gpt.py\nfiles:\n  train_gpt.py: {digest}\n"
    )
    return str(folder)


def main() -> int:
    bare = median_ms([sys.executable, "-c", "pass"])
    help_ms = median_ms([sys.executable, "-m", "harness", "--help"])
    verify_ms = median_ms([sys.executable, "-c", NO_TORCH, "verify", "smoke/2"])
    with tempfile.TemporaryDirectory() as scratch:
        submission = packed_submission(Path(scratch))
        check_ms = median_ms([sys.executable, "-c", NO_TORCH, "--root", scratch, "check", submission])
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}")
    print(f"bare interpreter      {bare:6.0f} ms")
    print(f"speedrun --help       {help_ms:6.0f} ms   (at most 150)")
    print(f"speedrun check        {check_ms:6.0f} ms   (without torch, three packed runs; at most 1000)")
    print(f"speedrun verify       {verify_ms:6.0f} ms   (without torch, three packed runs)")
    return 0 if help_ms <= 150 and check_ms <= 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
