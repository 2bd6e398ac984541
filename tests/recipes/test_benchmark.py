"""The full-size measurement refuses where it cannot measure."""

import os
import subprocess
import sys

import pytest
import torch

from .scripts import ALL, ROOT


def run(*names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "scripts_h100.py"), *names]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.skipif(torch.version.cuda is not None and torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_benchmark_refuses_with_one_sentence() -> None:
    done = run("short/12")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.strip() == ("these figures need an NVIDIA GPU with about 80 GB, and no CUDA GPU is visible here")


def test_the_benchmark_knows_every_script_once() -> None:
    done = run("short/7")
    assert done.returncode == 1
    listed = done.stderr.strip().split("there are: ")[1].split(", ")
    assert sorted(listed) == sorted(ALL)
