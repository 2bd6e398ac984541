"""What the observer beside a run sees: openings of shards, bytes read, and GPUs through anything that acts like NVML."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.core.errors import StoreError
from harness.launch import observer
from harness.launch.observer import READS
from harness.launch.stamps import read_observed
from harness.launch.telemetry import TELEMETRY, TELEMETRY_HEADER, Gpus
from tests.faults.projects import wait_for


def fake_nvml(reasons: int, fails: bool = False) -> SimpleNamespace:
    """Two GPUs at half use."""

    def power(gpu: int) -> int:
        if fails:
            raise RuntimeError("not supported")
        return 512_300

    return SimpleNamespace(
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetPowerUsage=power,
        nvmlDeviceGetClockInfo=lambda gpu, kind: 1980,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        nvmlDeviceGetTemperature=lambda gpu, kind: 61,
        NVML_TEMPERATURE_GPU=0,
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=50),
        nvmlDeviceGetCurrentClocksEventReasons=lambda gpu: reasons if gpu else 0,
    )


def written(folder: Path, nvml: SimpleNamespace, times_ns: tuple[int, ...]) -> None:
    gpus = Gpus(nvml)
    (folder / TELEMETRY).write_bytes(TELEMETRY_HEADER + b"".join(gpus.rows(now) for now in times_ns))
    (folder / READS).write_bytes(observer.READS_HEADER)


def test_gpu_figures_come_back_as_use_and_slow_downs(tmp_path: Path) -> None:
    written(tmp_path, fake_nvml(0x40 | 0x04), (2_000_000_000, 3_000_000_000))
    seen = read_observed(tmp_path, 1_000_000_000)
    assert seen is not None
    assert seen.throttling == ("thermal (hardware)",)
    assert seen.busy == ((1.0, 0.5), (2.0, 0.5))
    assert b"512.3,1980,1980,61,50,thermal (hardware)+power cap" in (tmp_path / TELEMETRY).read_bytes()


def test_the_power_cap_alone_is_no_slow_down(tmp_path: Path) -> None:
    written(tmp_path, fake_nvml(0x04), (2,))
    seen = read_observed(tmp_path, 1)
    assert seen is not None
    assert seen.throttling == ()


def test_a_figure_that_the_driver_refuses_stays_empty(tmp_path: Path) -> None:
    written(tmp_path, fake_nvml(0, fails=True), (5,))
    assert b"5,0,,1980," in (tmp_path / TELEMETRY).read_bytes()


def test_without_telemetry_nothing_is_said_of_the_gpus(tmp_path: Path) -> None:
    (tmp_path / READS).write_bytes(observer.READS_HEADER)
    seen = read_observed(tmp_path, 1)
    assert seen is not None
    assert seen.throttling is None
    assert seen.busy is None
    assert read_observed(tmp_path, None) is None


@pytest.mark.parametrize("line", [b"x,open,a.bin,1\n", b"1,open\n", b"\n", b"-1,open,a.bin,1\n"])
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, line: bytes) -> None:
    (tmp_path / READS).write_bytes(observer.READS_HEADER + b"5,open,a.bin,1\n" + line)
    with pytest.raises(StoreError, match=r"reads.csv:3"):
        read_observed(tmp_path, 1)


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    (tmp_path / READS).write_bytes(observer.READS_HEADER + b"1000000005,open,a.bin,1\n7,op")
    seen = read_observed(tmp_path, 5)
    assert seen is not None
    assert seen.opens == ((1.0, "a.bin"),)


def test_the_shard_in_the_cache_counts_only_while_a_process_of_the_run_holds_it(tmp_path: Path) -> None:
    data, cache = tmp_path / "run" / "work" / "data", tmp_path / "cache"
    data.mkdir(parents=True)
    cache.mkdir()
    for name in ("x_train_000001.bin", "x_val_000000.bin"):
        (cache / name).write_bytes(b"tokens")
    (data / "x_train_000001.bin").symlink_to(cache / "x_train_000001.bin")
    (data / "x_val_000000.bin").write_bytes(b"tokens")
    program = "import mmap, sys; f = open(sys.argv[1], 'rb'); m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)"
    program += "; f.close(); print(flush=True); input()"
    command = [sys.executable, "-I", observer.__file__, str(tmp_path / "run"), str(os.getpid())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    reads = tmp_path / "run" / READS
    try:
        assert wait_for(reads.exists)
        # Somebody else: its parent is not this process.
        stranger = f"import subprocess, sys; subprocess.run(['cat', {str(cache / 'x_val_000000.bin')!r}])"
        subprocess.run(["setsid", "--fork", sys.executable, "-c", stranger], check=True, stdout=subprocess.DEVNULL)
        time.sleep(1.0)
        (data / "x_val_000000.bin").read_bytes()
        assert wait_for(lambda: reads.read_bytes().count(b"open,x_val_000000.bin") == 1)
        mine = subprocess.Popen(
            [sys.executable, "-c", program, str(cache / "x_val_000000.bin")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert mine.stdout is not None
        mine.stdout.readline()
        assert wait_for(lambda: reads.read_bytes().count(b"open,x_val_000000.bin") == 2)
        mine.communicate(b"\n")
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=600) == 0


def test_the_observer_sees_a_shard_opened_and_ends_when_it_is_let_go(tmp_path: Path) -> None:
    shard = tmp_path / "cache.bin"
    shard.write_bytes(b"tokens")
    (tmp_path / "run" / "work" / "data").mkdir(parents=True)
    (tmp_path / "run" / "work" / "data" / "x_train_000001.bin").symlink_to(shard)
    command = [sys.executable, "-I", observer.__file__, str(tmp_path / "run"), "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        reads = tmp_path / "run" / READS
        assert wait_for(reads.exists)
        begun = time.monotonic_ns()
        shard.read_bytes()
        assert wait_for(lambda: b"open,x_train_000001.bin" in reads.read_bytes())
        stamp = int(reads.read_bytes().split(b"open,")[0].splitlines()[-1].split(b",")[0])
        assert begun <= stamp <= time.monotonic_ns()
    finally:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=600) == 0
