"""What nvidia-smi says in, lines about the accelerators out: model and count, then what a time on them depends on."""

from __future__ import annotations

import dataclasses
import os
import pwd
from collections import Counter
from collections.abc import Iterator

from harness.core.errors import MachineError
from harness.core.measurement import Gpu, Machine
from harness.core.task import Track
from harness.doctor.wanted import Line, State, Wanted
from harness.machine import computer, nvidia

NVIDIA_SMI_S = 3.5  # of the 5 that an answer may take
FULL_SPEED_MIB = 70_000  # the least of an "80 GB" GPU; scripts of the GPU tracks fill them
SHARED_MIB = 1024  # an idle GPU shows up to 600 MiB in use
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}  # by the CUDA that torch was built for, as its release notes say


def gpu_lines(seen: nvidia.GpuReport, wanted: Wanted | None) -> Iterator[Line]:
    """The accelerators: model and count, then what a time on them depends on."""
    yield gpus(seen, wanted)
    if seen.state != "answered":
        return
    strict = wanted is not None and wanted.gpus > 0
    least = min((gpu.memory_mib or 0) for gpu in seen.gpus)
    small = strict and least < FULL_SPEED_MIB
    yield Line(
        "GPU memory",
        "yellow" if small else "green",
        f"{least:,} MiB each" if least else "not reported",
        "a script made for 80 GB may run out of it; use --gpus with more of them" if small else None,
    )
    yield capability(seen)
    yield driver(seen, wanted)
    yield links(seen)
    yield power(seen)
    yield users(seen, strict)
    yield from hidden(seen, wanted)


def gpus(seen: nvidia.GpuReport, wanted: Wanted | None) -> Line:
    """Model and count, judged as `run` and `replay` judge them."""
    values = {
        "absent": "none (there is no nvidia-smi)",
        "silent": f"nvidia-smi did not answer within {NVIDIA_SMI_S:g} s",
        "failed": f"nvidia-smi gives no GPU; it says: {seen.said}",
        "answered": ", ".join(f"{n}× {name}" for name, n in Counter(gpu.name for gpu in seen.gpus).items()),
    }
    fixes = {
        "absent": None,
        "silent": "the driver hangs: see `dmesg`, then restart the machine",
        "failed": "install the driver again; in a container, start it with access to the GPUs",
        "answered": None,
    }
    value, fix = values[seen.state], fixes[seen.state]
    if wanted is None:
        state: State = "green" if seen.state == "answered" else "yellow"
        return Line("GPUs", state, value, fix or (None if state == "green" else "without one: the smoke track, --dry"))
    if not wanted.gpus:
        return Line("GPUs", "green", f"{value}; the track {wanted.track.name} needs none")
    if refused(seen, wanted.track, wanted.gpus, wanted.track.hardware.gpu_name) is None:
        return Line("GPUs", "green", value)
    counts = [n for n in (wanted.gpus, 4, 2, 1) if n == wanted.gpus or wanted.fewer]
    fitting = next((n for n in counts if refused(seen, wanted.track, n, None) is None), None)
    if wanted.replayed and fitting is not None:
        flags = " --original" if wanted.subject is None else ""
        flags += f" --gpus {fitting}" if fitting != wanted.gpus else ""
        return Line(
            "GPUs",
            "yellow",
            f"{value}; a time counts on {wanted.gpus}× {wanted.track.hardware.gpu_name or 'GPU'} only",
            f"`speedrun replay {wanted.name}{flags}` compares its loss",
        )
    asserts = wanted.needs is not None and wanted.subject is None and not wanted.fewer
    why = f"; the script asserts {wanted.gpus} ranks" if asserts else ""
    model = wanted.track.hardware.gpu_name or "GPU"
    needs = f"use a machine with {wanted.gpus}× {model}, or try the pipeline: ./run_record.sh {wanted.track.name} --dry"
    return Line("GPUs", "red", value + why, f"{fix}; {needs}" if fix else needs)


def refused(seen: nvidia.GpuReport, track: Track, processes: int, gpu_name: str | None) -> str | None:
    """Why a start on so many of these GPUs would be refused; None where it would not. No name: any model will do."""
    here = Machine(
        gpus=tuple(Gpu(gpu.name, gpu.memory_mib, gpu.power_cap_w) for gpu in seen.gpus),
        driver=None,
        cpu="",
        cpu_count=0,
        memory_bytes=0,
        kernel="",
        python="",
        torch="asked elsewhere",
        fingerprint="",
    )
    asked = dataclasses.replace(
        track, hardware=dataclasses.replace(track.hardware, processes=processes, gpu_name=gpu_name)
    )
    try:
        computer.check(here, asked)
    except MachineError as error:
        return str(error)
    return None


def capability(seen: nvidia.GpuReport) -> Line:
    """Compute capability: which number formats and kernels there are."""
    least = min((gpu.capability or 0.0) for gpu in seen.gpus)
    if not least:
        return Line("capability", "yellow", "not reported", "update the driver")
    if least >= 9.0:
        return Line("capability", "green", f"{least:g}")
    lacks = "no FP8 and no kernels written for Hopper" if least >= 8.0 else "no bf16, which every script uses"
    return Line("capability", "yellow", f"{least:g}: {lacks}", "H100 has 9.0; older records may run, later ones not")


def driver(seen: nvidia.GpuReport, wanted: Wanted | None) -> Line:
    """The driver, against the CUDA of the torch that a run would use."""
    version = seen.gpus[0].driver
    cuda, whose = cuda_of(computer.version("torch")), f"torch {computer.version('torch')}"
    if wanted is not None and wanted.replayed and wanted.build is not None and wanted.build.cuda:
        told = wanted.build.cuda.partition(".")[0]
        cuda, whose = int(told) if told.isdecimal() else None, "the original's torch"
    major = int(version.split(".")[0]) if version.split(".")[0].isdecimal() and len(version) < 40 else None
    least = LEAST_DRIVER.get(cuda) if cuda is not None else None
    if major is not None and least is not None and major < least:
        fix = f"CUDA {cuda} needs driver {least} or newer: update it, or use a torch for an older CUDA"
        return Line("driver", "red", f"{version}, too old for {whose}", fix)
    return Line("driver", "green", version if cuda is None else f"{version} ({whose} is built for CUDA {cuda})")


def cuda_of(torch_version: str | None) -> int | None:
    """The major CUDA version of the installed torch; None where torch has none or does not say."""
    if torch_version is None or "+cpu" in torch_version:
        return None
    local = torch_version.partition("+")[2]
    if local.startswith("cu") and local[2:4].isdecimal():
        return int(local[2:4])
    runtime = computer.version("nvidia-cuda-runtime")  # without a number in its name since CUDA 13
    if runtime is not None and runtime.split(".")[0].isdecimal():
        return int(runtime.split(".")[0])
    return 12 if computer.version("nvidia-cuda-runtime-cu12") else None


def links(seen: nvidia.GpuReport) -> Line:
    """NVLink between all pairs, on which the time of every step depends."""
    if len(seen.gpus) == 1:
        return Line("NVLink", "green", "one GPU needs none")
    if seen.links is None:
        return Line("NVLink", "yellow", "not reported", "see `nvidia-smi topo -m`")
    kinds = Counter(seen.links.values())
    value = ", ".join(f"{count} pairs by {kind}" for kind, count in kinds.most_common(4))
    if all(kind.startswith("NV") for kind in kinds):
        return Line("NVLink", "green", value)
    (first, second), kind = next((pair, kind) for pair, kind in seen.links.items() if not kind.startswith("NV"))
    fix = f"GPU{first} and GPU{second} talk by {kind}: times will be longer; take a host with NVLink between all"
    return Line("NVLink", "yellow", value, fix)


def power(seen: nvidia.GpuReport) -> Line:
    """Power caps, which slow a GPU down without a word."""
    caps = [(gpu.power_cap_w, gpu.power_default_w) for gpu in seen.gpus]
    known = sorted({cap for cap, _ in caps if cap is not None})
    if not known:
        return Line("power cap", "yellow", "not reported", "ask who owns the host; a lower cap means longer times")
    value = " to ".join(f"{cap:.0f}" for cap in dict.fromkeys((known[0], known[-1]))) + " W"
    lowered = [full for cap, full in caps if cap is not None and full is not None and cap < 0.99 * full]
    if lowered:
        return Line("power cap", "yellow", f"{value} of {lowered[0]:.0f} W", f"sudo nvidia-smi -pl {lowered[0]:.0f}")
    return Line("power cap", "green", value)


def users(seen: nvidia.GpuReport, strict: bool) -> Line:
    """Who else uses the GPUs: a shared GPU gives no time that means anything, and its memory is gone."""
    found = [f"pid {user.pid} {user.program}{_owner(user.pid)}, {_mib(user.memory_mib)}" for user in seen.users or ()]
    if not found:
        busy = [gpu for gpu in seen.gpus if (gpu.used_mib or 0) > SHARED_MIB]
        found = [f"GPU{gpu.index}: {_mib(gpu.used_mib)} of somebody that is not visible from here" for gpu in busy]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        fix = "wait, or ask them: a run needs the GPUs alone"
        return Line("GPU users", "red" if strict else "yellow", "; ".join(found[:3]) + more, fix)
    if seen.users is None and all(gpu.used_mib is None for gpu in seen.gpus):
        return Line("GPU users", "yellow", "not reported", "see `nvidia-smi`")
    return Line("GPU users", "green", "nobody else")


def _owner(pid: int) -> str:
    try:
        return f" of {pwd.getpwuid(os.stat(f'/proc/{pid}').st_uid).pw_name}"
    except (OSError, KeyError, OverflowError):
        return ""  # of another container


def _mib(value: int | None) -> str:
    return "memory not reported" if value is None else f"{value:,} MiB"


def hidden(seen: nvidia.GpuReport, wanted: Wanted | None) -> Iterator[Line]:
    """CUDA_VISIBLE_DEVICES reaches a script, so it may see fewer GPUs than there are."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return
    visible = len([part for part in setting.split(",") if part.strip()])
    needed = wanted.gpus if wanted is not None else 0
    short = visible < min(needed, len(seen.gpus))
    value = f"CUDA_VISIBLE_DEVICES={setting[:60]} shows a script {visible} of {len(seen.gpus)}"
    yield Line("visible", "red" if short else "green", value, "unset CUDA_VISIBLE_DEVICES" if short else None)
