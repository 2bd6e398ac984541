"""Describe this computer by everything that a result may depend on, and decide whether it can run a track.

Seconds from two machines cannot be compared (two "8×H100" hosts differ by 0.5 to 8 %), so every run carries a
fingerprint over model, count, memory, power cap and firmware of the GPUs, driver, CPU, memory, kernel, Python and
torch. Host name, user and addresses are left out.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from harness.core import codec
from harness.core.errors import MachineError, Problem, raise_if
from harness.core.measurement import Gpu, Machine
from harness.core.task import Track
from harness.machine import nvidia


def capture(*, torch: str | None = None) -> Machine:
    """Describe this computer; takes some 20 ms, plus nvidia-smi where there is one (1 s on 8 GPUs).

    torch: the version that a run will use, where that is not the harness's own.
    """
    gpus, driver = nvidia.named()
    machine = Machine(
        gpus=gpus,
        driver=driver,
        cpu=cpu_model(),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=platform.release(),
        python=platform.python_version(),
        torch=torch or version("torch"),
        fingerprint="",
    )
    return with_torch(machine, machine.torch)


def with_torch(machine: Machine, torch: str | None) -> Machine:
    """Return the same computer as a run with this version of torch sees it."""
    machine = dataclasses.replace(machine, torch=torch, fingerprint="")
    facts = json.dumps(codec.encode(machine), sort_keys=True).encode()
    return dataclasses.replace(machine, fingerprint=hashlib.sha256(facts).hexdigest())


def check(machine: Machine, track: Track, *, dry: bool = False) -> None:
    """Raise MachineError, naming everything that is missing, where this machine cannot run the track.

    dry: the scaled-down run on synthetic data needs nothing but torch.
    """
    problems = []
    hardware = track.hardware
    if machine.torch is None:
        problems.append(Problem("torch", "is not installed", "install the training extra: pip install '.[train]'"))
    if not dry and hardware.kind == "gpu":
        found = gpus_instead([gpu.name for gpu in machine.gpus], hardware.processes, hardware.gpu_name)
        if found is not None:
            need = f"the track {track.name} needs {hardware.processes}× {hardware.gpu_name or 'GPU'}"
            ways = "use such a machine, or try the pipeline here with --dry"
            problems.append(Problem("GPUs", f"{found}; {need}", ways))
    raise_if(problems, MachineError)


def gpus_instead(names: Sequence[str], count: int, model: str | None) -> str | None:
    """Say what was found where these GPUs are not `count` ones of a model (None: of any); None where they are."""
    if not names:
        return "none found by nvidia-smi"
    other = next((name for name in names if model and name != model), None)
    if len(names) >= count and other is None:
        return None
    return f"{len(names)}× {names[0] if len(names) < count else other} found"


def differences(before: Machine, now: Machine) -> list[str]:
    """List each field in which two machines differ: "driver: 570.1, now 575.2"; empty where times may be compared."""
    changes = []
    for field in dataclasses.fields(Machine):
        old, new = getattr(before, field.name), getattr(now, field.name)
        if old == new or field.name == "fingerprint":
            continue
        if field.name == "gpus" and len(old) == len(new):
            for part in dataclasses.fields(Gpu):
                olds, news = ([getattr(gpu, part.name) for gpu in gpus] for gpus in (old, new))
                if olds != news:
                    changes.append(f"gpus.{part.name}: {_few(olds)}, now {_few(news)}")
        elif field.name == "gpus":
            changes.append(f"gpus: {len(old)}, now {len(new)}")
        else:
            changes.append(f"{field.name}: {old}, now {new}")
    if not changes and before.fingerprint != now.fingerprint:
        changes.append("fingerprint: of another version of the harness")
    return changes


def _few(values: list[object]) -> str:
    """List the values, equal ones once."""
    return str(values[0]) if len(set(values)) == 1 else ", ".join(map(str, values))


def describe(machine: Machine) -> str:
    """Describe a machine in one line for people."""
    gpus = f"{len(machine.gpus)}× {machine.gpus[0].name}, driver {machine.driver}" if machine.gpus else "no GPU"
    memory = machine.memory_bytes / 2**30
    torch = f"torch {machine.torch}" if machine.torch else "no torch"
    return f"{gpus}; {machine.cpu_count} cores of {machine.cpu}, {memory:.0f} GiB; {torch}"


def cpu_model() -> str:
    """Return the name of the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def version(package: str) -> str | None:
    """Return the installed version of a package, without importing it; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
