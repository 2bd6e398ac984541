"""Every program in benchmarks/ runs: in its smallest form it prints its figures and ends well, whatever they are."""

from __future__ import annotations

import json
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
    "static_site.py": (("--small",), rf"made in {NUMBER} s, written in {NUMBER} s"),
    "startup.py": (("--small",), rf"speedrun check +{NUMBER} ms"),
}
WITHOUT_A_GPU = {"gpu.py": "these figures need an NVIDIA GPU with about 80 GB, and no CUDA GPU is visible here\n"}


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
def test_this_program_says_that_it_needs_a_gpu(name: str, tmp_path: Path) -> None:
    done = run(name, str(tmp_path / "out"))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", WITHOUT_A_GPU[name])


def test_a_piece_for_a_gpu_that_fails_stops_no_other_and_is_the_only_one_made_again(tmp_path: Path) -> None:
    out, empty = tmp_path / "out", tmp_path / "empty"
    empty.mkdir()
    arguments = ("gpu.py", str(out), "--small", "--only", "short-6", "--checkout", str(empty))
    done = run(*arguments)
    assert done.returncode == 1
    assert "1 of 2 pieces are done; failed: original_short-6" in done.stdout
    told = json.loads((out / "start_short-6.json").read_text())
    assert (told["state"], told["learned"], told["compiled_after_step_10"]) == ("done", True, False)
    assert told["step_ms"] == pytest.approx(told["optimizer_ms"] + told["forward_backward_ms"], abs=0.01)
    broken = json.loads((out / "original_short-6.json").read_text())
    assert broken["state"] == "failed"
    assert broken["why"]
    again = run(*arguments)
    assert "start_short-6 …" not in again.stdout
    assert "original_short-6 …" in again.stdout


PARTS = {"timed_script.py": "gpu.py"}  # program that another starts -> that one


def test_every_program_is_tried_here() -> None:
    tried = PROGRAMS.keys() | WITHOUT_A_GPU.keys()
    assert tried | PARTS.keys() == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert tried >= set(PARTS.values())
