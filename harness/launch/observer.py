"""Watch a run from another process: which shards are opened when, how much is read, what the GPUs do.

    python -I observer.py RUN_FOLDER RECORDER_PID     ends when its standard input closes

A process of its own, so that a slow driver call never delays a stamp. It needs the standard library, and pynvml for
the GPUs. What the platform does not show is left out: no file, not a zero.

    reads.csv       monotonic_ns,kind,name,value   kind open: a shard was opened; kind bytes: read by all processes so far
    telemetry.csv   one row per GPU, 5 times a second; absent where there is no GPU

A shard that a script maps into its memory shows its opening and no bytes. The kernel tells that a file was opened and
not by whom. Only this run knows its own copy of the validation shard. The one in the cache, which other runs open too,
counts only while a process of this run holds it open or mapped. Training shards in the cache count whoever opens them.
"""

import contextlib
import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

READS, TELEMETRY = "reads.csv", "telemetry.csv"
READS_HEADER = b"monotonic_ns,kind,name,value\n"
TELEMETRY_HEADER = b"monotonic_ns,gpu,power_w,sm_mhz,memory_mhz,temperature_c,utilisation,throttling\n"
PERIOD_S = 0.2
BYTES_EVERY = 5  # periods; walking the processes costs some milliseconds
MOST_OPENS = 100_000
_IN_OPEN = 0x20
_EVENT = struct.Struct("iIII")
# Bits of the clock event reasons (NVML); the first two are the machine's fault, the power cap is its ordinary state.
SLOW = {0x08: "hardware slowdown", 0x20: "thermal (software)", 0x40: "thermal (hardware)", 0x80: "power brake"}
OTHER = {0x04: "power cap", 0x02: "application clocks"}


def main(folder: Path, recorder: int) -> int:
    """Observe until the other end of standard input closes."""
    watched = Shards(folder / "work", recorder)
    gpus = Gpus.find()
    peaks: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        reads = stack.enter_context((folder / READS).open("wb", buffering=0))
        reads.write(READS_HEADER)
        telemetry: BinaryIO | None = None
        if gpus is not None:
            telemetry = stack.enter_context((folder / TELEMETRY).open("wb", buffering=0))
            telemetry.write(TELEMETRY_HEADER)
        due, period = time.monotonic(), 0
        while True:
            ready, _, _ = select.select([0, *watched.descriptors], [], [], max(0.0, due - time.monotonic()))
            if watched.descriptors and watched.descriptors[0] in ready:
                reads.write(watched.take(time.monotonic_ns()))
            if 0 in ready and not os.read(0, 100):
                return 0
            if time.monotonic() >= due:
                due, period = max(due + PERIOD_S, time.monotonic()), period + 1
                if telemetry is not None and gpus is not None:
                    telemetry.write(gpus.rows(time.monotonic_ns()))
                if period % BYTES_EVERY == 1:
                    total = read_bytes(recorder, peaks)
                    if total is not None:
                        reads.write(b"%d,bytes,,%d\n" % (time.monotonic_ns(), total))


class Shards:
    """The token files that a work folder holds or links to, watched for being opened."""

    def __init__(self, work: Path, root: int) -> None:
        self.root = root  # the process that all processes of the run descend from
        self.names: dict[int, str] = {}  # watch -> name
        self.shared: dict[int, str] = {}  # watch -> path of a file in the cache of which the run has its own copy
        self.count = 0
        self.descriptors: list[int] = []
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            return
        descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return
        offered = sorted(work.rglob("*.bin"))
        cache = {path.resolve().parent for path in offered if path.is_symlink()}
        cached = [folder / path.name for path in offered if not path.is_symlink() for folder in cache]
        for path in offered + cached:
            watch = libc.inotify_add_watch(descriptor, os.fsencode(path.resolve()), _IN_OPEN)
            if watch >= 0:
                self.names[watch] = path.name
                if path in cached:
                    self.shared[watch] = str(path.resolve())
        self.descriptors = [descriptor]

    def take(self, now: int) -> bytes:
        """Write one row for every opening that the kernel has reported."""
        rows = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptors[0], 1 << 16)
            position = 0
            while position < len(data):
                watch, _, _, length = _EVENT.unpack_from(data, position)
                position += _EVENT.size + length
                if watch in self.shared and not holds(self.root, self.shared[watch]):
                    continue
                if watch in self.names and self.count < MOST_OPENS:
                    self.count += 1
                    rows.append(b"%d,open,%s,1\n" % (now, self.names[watch].encode()))
        return b"".join(rows)


def read_bytes(root: int, peaks: dict[int, int]) -> int | None:
    """Add up what all processes below `root` have read so far, ended ones included; None where /proc does not say.

    peaks: the highest count of every process so far; kept by the caller, updated here.
    """
    for pid in descendants(root):
        with contextlib.suppress(OSError, ValueError, IndexError):
            count = int(Path(f"/proc/{pid}/io").read_text().split("rchar:", 1)[1].split()[0])
            peaks[pid] = max(peaks.get(pid, 0), count)
    return sum(peaks.values()) if peaks else None


def descendants(root: int) -> list[int]:
    """List a process and all that it started, directly or not."""
    pids, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        pids.append(pid)
        with contextlib.suppress(OSError, ValueError):
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return pids


def holds(root: int, path: str) -> bool:
    """Whether a process below `root` has the file open or mapped right now."""
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in Path(f"/proc/{pid}/maps").read_bytes():
                return True
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == path:
                        return True
    return False


class Gpus:
    """All GPUs of this machine, through a module that is or acts like pynvml."""

    def __init__(self, nvml: Any) -> None:
        self.nvml = nvml
        self.handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]

    @classmethod
    def find(cls) -> Self | None:
        """Find the GPUs; None without pynvml, a driver or a GPU."""
        try:
            import pynvml

            pynvml.nvmlInit()
            gpus = cls(pynvml)
        except Exception:  # whatever a driver library raises, the run goes on without telemetry
            return None
        return gpus if gpus.handles else None

    def rows(self, now: int) -> bytes:
        """Write one row per GPU; a figure that the driver does not give stays empty."""
        return b"".join(b"%d,%d,%s\n" % (now, index, self._figures(gpu)) for index, gpu in enumerate(self.handles))

    def _figures(self, gpu: Any) -> bytes:
        nvml = self.nvml
        reasons = getattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons", None)
        reasons = reasons or nvml.nvmlDeviceGetCurrentClocksThrottleReasons
        figures = [
            _text_of(lambda: f"{nvml.nvmlDeviceGetPowerUsage(gpu) / 1000:.1f}"),
            _text_of(lambda: str(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM))),
            _text_of(lambda: str(nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM))),
            _text_of(lambda: str(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU))),
            _text_of(lambda: str(nvml.nvmlDeviceGetUtilizationRates(gpu).gpu)),
            _text_of(lambda: "+".join(name for bit, name in (SLOW | OTHER).items() if reasons(gpu) & bit)),
        ]
        return ",".join(figures).encode()


def _text_of(ask: Callable[[], str]) -> str:
    try:
        return ask()
    except Exception:  # NVMLError of any kind: not supported, no permission, lost
        return ""


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
