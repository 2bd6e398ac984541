"""The full-size measurement names the scripts that it can measure."""

import os
import subprocess
import sys

from .scripts import ALL, ROOT


def run(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "scripts_h100.py"), *names]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


def test_the_benchmark_knows_every_script_once() -> None:
    done = run("short/7")
    assert done.returncode == 2
    listed = done.stderr.strip().split("there are: ")[1].split(", ")
    assert sorted(listed) == sorted(ALL)
