"""Take the state that this computer is in right before a run, and tell whether it is still fit for a comparison.

Two runs are comparable only where the second one finds the machine as the first one did. What a person or a run can
change and what alters every time after it is an obstacle: a power cap, a clock setting, somebody's process on a GPU,
memory that is still in use. Temperature and load are kept and never an obstacle: they follow from the runs themselves,
and the order of the runs is what evens them out. A value that was not measured is no obstacle either.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from harness.core.measurement import GpuAtStart, Machine, MachineState
from harness.core.text import plural
from harness.machine import nvidia

MOST_LEFT = 0.01  # of the memory of a GPU or, in /dev/shm, of the host: more is in the way of the next run
SHM = Path("/dev/shm")
_MEMORY = Path("/proc/meminfo")
_CLOCK_SETTING = "applications_clocks_setting"  # a clock that somebody set or locked


def take() -> MachineState:
    """Take the state; a few milliseconds, plus nvidia-smi where there is one (about 1 s, 30 s at most)."""
    return MachineState(nvidia.at_start(), _load(), _memory_available_bytes(), _shm_used_bytes())


def obstacles(before: MachineState, now: MachineState, machine: Machine) -> list[str]:
    """Say what is in the way of a run now, against the state before the first run; empty: nothing is.

    A process on a GPU is always in the way, because no run is going on while the state is taken.
    """
    found: dict[str, list[int]] = {}
    for gpu in now.gpus or ():
        old = next((other for other in before.gpus or () if other.index == gpu.index), gpu)
        for text in (*_settings(old, gpu), *_uses(old, gpu)):
            found.setdefault(text, []).append(gpu.index)
    said = [f"GPU {', '.join(map(str, indexes))}: {text}" for text, indexes in found.items()]
    if now.gpus is None and machine.gpus:
        said.insert(0, "nvidia-smi gives no answer")
    elif missing := sorted({gpu.index for gpu in before.gpus or ()} - {gpu.index for gpu in now.gpus or ()}):
        said.insert(0, f"GPU {', '.join(map(str, missing))}: not listed any more")
    if before.shm_used_bytes is not None and now.shm_used_bytes is not None:
        more = now.shm_used_bytes - before.shm_used_bytes
        if more > MOST_LEFT * machine.memory_bytes:
            said.append(f"/dev/shm: {more / 2**20:,.0f} MiB more in use than before the first run")
    return said


def _settings(old: GpuAtStart, now: GpuAtStart) -> Iterator[str]:
    """Say which settings of a GPU are others than before."""
    for name, was, unit in (
        ("power_cap_w", "the power cap", "W"),
        ("clock_max_mhz", "the highest clock", "MHz"),
        ("clock_application_mhz", "the clock for applications", "MHz"),
    ):
        then, value = getattr(old, name), getattr(now, name)
        if then is not None and value is not None and value != then:
            yield f"{was} is {value:g} {unit} and was {then:g} {unit}"
    # Only one way: a GPU at rest may say nothing but gpu_idle, whatever its clock is set to.
    if old.clock_limits is not None and _CLOCK_SETTING in set(now.clock_limits or ()) - set(old.clock_limits):
        yield "the clock was set or locked since the first run"


def _uses(old: GpuAtStart, now: GpuAtStart) -> Iterator[str]:
    """Say who and what uses a GPU that should be free."""
    if now.processes:
        some = ", ".join(map(str, now.processes[:4])) + (", …" if len(now.processes) > 4 else "")
        yield f"{plural(len(now.processes), 'process')} on it ({some})"
    if None not in (old.memory_used_mib, now.memory_used_mib, now.memory_mib):
        more = (now.memory_used_mib or 0) - (old.memory_used_mib or 0)
        if more > MOST_LEFT * (now.memory_mib or 0):
            yield f"{more:,} MiB more in use than before the first run"


def _load() -> float | None:
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _memory_available_bytes() -> int | None:
    try:
        lines = _MEMORY.read_text().splitlines()
    except OSError:
        return None
    cells = next((line.split() for line in lines if line.startswith("MemAvailable:")), [])
    return int(cells[1]) << 10 if len(cells) > 1 and cells[1].isdecimal() else None


def _shm_used_bytes() -> int | None:
    """Return what is in use in /dev/shm; None where that is no file system of its own."""
    try:
        if not SHM.is_mount():
            return None
        size = os.statvfs(SHM)
    except OSError:
        return None
    return (size.f_blocks - size.f_bfree) * size.f_frsize
