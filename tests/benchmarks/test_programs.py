"""Every program in benchmarks/ runs: in its smallest form it prints its figures and ends well, whatever they are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NUMBER = r"[\d,.]+"

# The smallest form of each program, and a line that holds its figures.
PROGRAMS = {
    "board.py": (("--small",), rf"tables in {NUMBER} s .* pictures in {NUMBER} s"),
    "busy_machine.py": (("--small",), r"3 honest runs beside 1 busy processes: 1 \w+; 0 findings fail"),
    "cluster_driver.py": (("--small",), rf"driver: {NUMBER} s per 100 jobs"),
    "fetch.py": (("--small",), rf"fetch / hub: {NUMBER}; aim"),
    "fuzz_logs.py": (("--inputs", "40", "--jobs", "1"), rf"40 inputs in {NUMBER} s: {NUMBER} gave runs"),
    "fuzz_packs.py": (("--packs", "60", "--jobs", "1"), rf"60 packs in {NUMBER} s: {NUMBER} refused .*; 0 findings"),
    "hidden_training.py": (("--small",), rf"1 step before the clock +{NUMBER} +{NUMBER} +{NUMBER} ms"),
    "kill_points.py": (("--points", "1"), r"1 of 1 points recovered"),
    "log_reading.py": (("--small",), rf"all fields take {NUMBER} × the time"),
    "overhead.py": (("--small",), rf"stamping and storing one line: {NUMBER} us"),
    "smallest_theft.py": (("--small",), rf"in one gap of one run +{NUMBER}%"),
    "stamp_latency.py": (("--small",), rf"\n +1( +{NUMBER}){{3}}\n"),
    "startup.py": (("--small",), rf"speedrun check +{NUMBER} ms"),
}
WITHOUT_A_GPU = {
    "scripts_h100.py": "these figures need an NVIDIA GPU with about 80 GB, and no CUDA GPU is visible here\n"
}


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1800, check=False)


@pytest.mark.parametrize("name", PROGRAMS)
def test_this_program_prints_its_figures_in_its_smallest_form(name: str) -> None:
    if name == "fetch.py" and shutil.which("curl") is None:
        pytest.skip("curl, whose speed it compares with, is not installed")
    arguments, figures = PROGRAMS[name]
    done = run(name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(figures, done.stdout + done.stderr), done.stdout + done.stderr


@pytest.mark.parametrize("name", WITHOUT_A_GPU)
def test_this_program_says_that_it_needs_a_gpu(name: str) -> None:
    done = run(name)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", WITHOUT_A_GPU[name])


def test_every_program_is_tried_here() -> None:
    assert PROGRAMS.keys() | WITHOUT_A_GPU.keys() == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
