"""The memory that reading logs takes: the largest single log plus 200 MB, whatever it holds."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests" / "golden" / "logs"
GOOD = (CORPUS / "M7-ms-2sep.txt").read_bytes()
MB = 1_000_000
ALLOWED = 200 * MB
# VmHWM and not ru_maxrss: the latter begins with what the test process itself held when it forked.
_PEAK = """
import sys
from harness.cli import main
status = main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
sys.exit(status)
"""
pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")


def read(path: Path, *options: str) -> tuple[int, int, str]:
    """Exit status, peak memory in bytes and output of `speedrun log` on one file."""
    command = [sys.executable, "-c", _PEAK, "log", str(path), "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    *output, last = done.stdout.splitlines()
    return done.returncode, int(last) * 1024, "\n".join(output) + done.stderr


HUGE_LINES = {
    "one line of letters": (b"", b"x"),
    "one line of equals signs": (b"", b"="),
    "one line of metric words": (b"", b"step:1/2 val_loss:3.1 "),
    "one line of digits behind a loss": (b"step:5/8 val_loss:", b"3"),
    "one line of NUL bytes": (b"", b"\0"),
}


@pytest.mark.parametrize("what", HUGE_LINES)
def test_a_line_of_100_mb_between_good_lines_is_left_out_within_the_memory(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    start, word = HUGE_LINES[what]
    line = start + word * (100 * MB // len(word)) + b"\n"
    path.write_bytes(GOOD.replace(b"step:5/8", line + b"step:5/8", 1))
    status, peak, output = read(path)
    assert (status, '"final_val_loss": 3.2791' in output) == (0, True), output[:2000]
    assert peak <= path.stat().st_size + ALLOWED


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (b"step:5/8 train_time:207ms step_avg:41.40ms\r" * 200_000, 100 * MB),
        (b"\x1b[31mstep:5/8 train_time:207ms step_avg:41.40ms\n" * 150_000, 100 * MB),
        (b"step:5/8 val_loss:\xff\n" * 350_000, 160 * MB),
        (
            b"".join(b"step:%d/99999999 train_time:%dms step_avg:1.00ms\n" % (n, n) for n in range(9, 200_000)),
            100 * MB,
        ),
    ],
    ids=["carriage returns", "colours", "broken lines", "a long run"],
)
def test_a_log_of_many_lines_is_read_within_the_memory(text: bytes, allowed: int, tmp_path: Path) -> None:
    """Less than the 200 MB: what a line may leave behind, some hundred bytes, shows on so much fewer lines."""
    path = tmp_path / "a.txt"
    path.write_bytes(GOOD + text)
    status, peak, output = read(path)
    assert status == 0, output[:2000]
    assert '"final_val_loss": 3.2791' in output
    assert peak <= path.stat().st_size + allowed


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gzip", "xz"])
def test_a_small_file_that_unpacks_to_100_mb_stays_within_the_memory(pack: object, tmp_path: Path) -> None:
    text = b"x" * 1023 + b"\n"
    options = {"compresslevel": 1} if pack is gzip.compress else {"preset": 0}
    path = tmp_path / "a.packed"
    path.write_bytes(pack(text * 100_000 + GOOD, **options))  # type: ignore[operator]
    status, peak, output = read(path)
    assert path.stat().st_size < MB
    assert (status, '"final_val_loss": 3.2791' in output) == (0, True), output[:2000]
    assert peak <= 1024 * 100_000 + ALLOWED


def proportional_memory(process: int) -> int:
    """Memory of a process and its children, pages they share counted once, in bytes."""
    total = 0
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                if process in (int(entry), parent):
                    line = next(
                        s for s in Path(f"/proc/{entry}/smaps_rollup").read_text().splitlines() if s.startswith("Pss:")
                    )
                    total += int(line.split()[1]) * 1024
        except (OSError, StopIteration):
            continue  # it ended while we looked
    return total


def test_several_processes_together_hold_one_large_log_at_a_time(tmp_path: Path) -> None:
    size = 40 * MB
    for number in range(4):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * 1023 * (size // 1023) + b"\n" + GOOD)
    for number in range(4, 60):
        (tmp_path / f"{number}.txt").write_bytes(GOOD * 300)
    command = [sys.executable, "-m", "harness", "log", str(tmp_path), "--json", "--jobs", "6"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        peak = 0
        while running.poll() is None:
            peak = max(peak, proportional_memory(running.pid))
            time.sleep(0.01)
    assert running.returncode == 0
    assert peak > size
    assert peak <= size + ALLOWED
