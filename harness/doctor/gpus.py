"""Report on the accelerators: model and count, then everything that a time on them depends on."""

import os
import pwd
from collections import Counter
from collections.abc import Iterator

from harness.doctor.wanted import ReportLine, State, Wanted
from harness.machine import computer, nvidia

NVIDIA_SMI_S = 3.5  # of the 5 s that the whole report may take
FULL_SPEED_MIB = 70_000  # the least of an "80 GB" GPU; scripts of the GPU tracks fill them
SHARED_MIB = 1024  # an idle GPU shows up to 600 MiB in use
LEAST_DRIVER = {11: 450, 12: 525, 13: 580}  # by the CUDA that torch was built for, as its release notes say


def gpu_lines(report: nvidia.GpuReport, wanted: Wanted | None) -> Iterator[ReportLine]:
    """Report model and count, then what a time depends on."""
    yield gpus(report, wanted)
    if report.state != "answered":
        return
    strict = wanted is not None and wanted.gpus > 0
    least = min((gpu.memory_mib or 0) for gpu in report.gpus)
    small = strict and least < FULL_SPEED_MIB
    yield ReportLine(
        "GPU memory",
        "yellow" if small else "green",
        f"{least:,} MiB each" if least else "not reported",
        "a script made for 80 GB may run out of memory; spread it over more GPUs with --gpus" if small else None,
    )
    yield capability(report)
    yield driver(report, wanted)
    yield links(report)
    yield power(report)
    yield users(report, strict)
    yield from hidden(report, wanted)


def gpus(report: nvidia.GpuReport, wanted: Wanted | None) -> ReportLine:
    """Report model and count, judged as `run` and `replay` judge them."""
    values = {
        "absent": "none (there is no nvidia-smi)",
        "silent": f"nvidia-smi did not answer within {NVIDIA_SMI_S:g} s",
        "failed": f"nvidia-smi lists no GPU; it says: {report.message}",
        "answered": ", ".join(f"{n}× {name}" for name, n in Counter(gpu.name for gpu in report.gpus).items()),
    }
    fixes = {
        "silent": "the driver hangs: see `dmesg`, then restart the machine",
        "failed": "install the driver again; in a container, start it with access to the GPUs",
    }
    value, fix = values[report.state], fixes.get(report.state)
    if wanted is None:
        state: State = "green" if report.state == "answered" else "yellow"
        return ReportLine(
            "GPUs",
            state,
            value,
            fix or (None if state == "green" else "without a GPU, only the smoke track and --dry run here"),
        )
    if not wanted.gpus:
        return ReportLine("GPUs", "green", f"{value}; the track {wanted.track.name} needs none")
    model, names = wanted.track.hardware.gpu_name, [gpu.name for gpu in report.gpus]
    if computer.gpus_instead(names, wanted.gpus, model) is None:
        return ReportLine("GPUs", "green", value)
    machine = f"{wanted.gpus}× {model or 'GPU'}"
    counts = [n for n in (wanted.gpus, 4, 2, 1) if n == wanted.gpus or wanted.fewer]
    fitting = next((n for n in counts if computer.gpus_instead(names, n, None) is None), None)
    if wanted.replayed and fitting is not None:
        flags = " --original" if wanted.subject is None else ""
        flags += f" --gpus {fitting}" if fitting != wanted.gpus else ""
        return ReportLine(
            "GPUs",
            "yellow",
            f"{value}; a time counts on {machine} only",
            f"`speedrun replay {wanted.name}{flags}` compares its loss",
        )
    asserts = wanted.needs is not None and wanted.subject is None and not wanted.fewer
    why = f"; the script asserts {wanted.gpus} ranks" if asserts else ""
    needs = f"use a machine with {machine}, or try the pipeline: ./run_record.sh {wanted.track.name} --dry"
    return ReportLine("GPUs", "red", value + why, f"{fix}; {needs}" if fix else needs)


def capability(report: nvidia.GpuReport) -> ReportLine:
    """Report the compute capability, which decides on number formats and kernels."""
    least = min((gpu.capability or 0.0) for gpu in report.gpus)
    if not least:
        return ReportLine("capability", "yellow", "not reported", "update the driver")
    if least >= 9.0:
        return ReportLine("capability", "green", f"{least:g}")
    lacks = "no FP8 and no kernels written for Hopper" if least >= 8.0 else "no bf16, which every script uses"
    return ReportLine(
        "capability", "yellow", f"{least:g}: {lacks}", "an H100 has 9.0; older records may run here, later ones not"
    )


def driver(report: nvidia.GpuReport, wanted: Wanted | None) -> ReportLine:
    """Compare the driver with the CUDA version of the torch that a run would use."""
    version = report.gpus[0].driver
    cuda, whose = cuda_of(computer.version("torch")), f"torch {computer.version('torch')}"
    if wanted is not None and wanted.replayed and wanted.build is not None and wanted.build.cuda:
        cuda, whose = _major(wanted.build.cuda), "the original's torch"
    major, least = _major(version), LEAST_DRIVER.get(cuda or 0)
    if major is not None and least is not None and major < least:
        fix = f"CUDA {cuda} needs driver {least} or newer: update the driver, or use a torch built for an older CUDA"
        return ReportLine("driver", "red", f"{version}, too old for {whose}", fix)
    return ReportLine("driver", "green", version if cuda is None else f"{version} ({whose} is built for CUDA {cuda})")


def cuda_of(torch_version: str | None) -> int | None:
    """Return the major CUDA version of the installed torch; None where torch has none or does not say."""
    if torch_version is None or "+cpu" in torch_version:
        return None
    local = torch_version.partition("+")[2]
    if local.startswith("cu") and local[2:4].isdecimal():
        return int(local[2:4])
    runtime = computer.version("nvidia-cuda-runtime")  # without a number in its name since CUDA 13
    return _major(runtime or "") or (12 if computer.version("nvidia-cuda-runtime-cu12") else None)


def _major(version: str) -> int | None:
    number = version.partition(".")[0]
    return int(number) if number.isdecimal() and len(number) < 10 else None


def links(report: nvidia.GpuReport) -> ReportLine:
    """Report whether NVLink connects all pairs; the time of every step depends on it."""
    if len(report.gpus) == 1:
        return ReportLine("NVLink", "green", "one GPU needs none")
    if report.links is None:
        return ReportLine("NVLink", "yellow", "not reported", "see `nvidia-smi topo -m`")
    kinds = Counter(report.links.values())
    value = ", ".join(f"{count} pairs by {kind}" for kind, count in kinds.most_common(4))
    if all(kind.startswith("NV") for kind in kinds):
        return ReportLine("NVLink", "green", value)
    (first, second), kind = next((pair, kind) for pair, kind in report.links.items() if not kind.startswith("NV"))
    fix = f"GPU{first} and GPU{second} are connected by {kind}: steps take longer; use a host with NVLink between all"
    return ReportLine("NVLink", "yellow", value, fix)


def power(report: nvidia.GpuReport) -> ReportLine:
    """Report power caps, which slow a GPU down without any message."""
    caps = [(gpu.power_cap_w, gpu.power_default_w) for gpu in report.gpus]
    known = sorted({cap for cap, _ in caps if cap is not None})
    if not known:
        return ReportLine(
            "power cap", "yellow", "not reported", "ask whoever owns the host; a lower cap means longer times"
        )
    value = " to ".join(f"{cap:.0f}" for cap in dict.fromkeys((known[0], known[-1]))) + " W"
    lowered = [full for cap, full in caps if cap is not None and full is not None and cap < 0.99 * full]
    if lowered:
        return ReportLine(
            "power cap", "yellow", f"{value} of {lowered[0]:.0f} W", f"sudo nvidia-smi -pl {lowered[0]:.0f}"
        )
    return ReportLine("power cap", "green", value)


def users(report: nvidia.GpuReport, strict: bool) -> ReportLine:
    """Report who else uses the GPUs: times on a shared GPU mean nothing, and its memory is taken."""
    others = [
        f"pid {user.pid} {user.program}{_owner(user.pid)}, {_mib(user.memory_mib)}" for user in report.users or ()
    ]
    if not others:
        busy = [gpu for gpu in report.gpus if (gpu.used_mib or 0) > SHARED_MIB]
        others = [f"GPU{gpu.index}: {_mib(gpu.used_mib)} used by a process that is not visible here" for gpu in busy]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        fix = "wait, or ask them to stop: a run needs the GPUs to itself"
        return ReportLine("GPU users", "red" if strict else "yellow", "; ".join(others[:3]) + more, fix)
    if report.users is None and all(gpu.used_mib is None for gpu in report.gpus):
        return ReportLine("GPU users", "yellow", "not reported", "see `nvidia-smi`")
    return ReportLine("GPU users", "green", "nobody else")


def _owner(pid: int) -> str:
    try:
        return f" of {pwd.getpwuid(os.stat(f'/proc/{pid}').st_uid).pw_name}"
    except (OSError, KeyError, OverflowError):
        return ""  # of another container


def _mib(value: int | None) -> str:
    return "memory not reported" if value is None else f"{value:,} MiB"


def hidden(report: nvidia.GpuReport, wanted: Wanted | None) -> Iterator[ReportLine]:
    """Report CUDA_VISIBLE_DEVICES, with which a script sees fewer GPUs than there are."""
    setting = os.environ.get("CUDA_VISIBLE_DEVICES")
    if setting is None:
        return
    visible = len([part for part in setting.split(",") if part.strip()])
    needed = wanted.gpus if wanted is not None else 0
    short = visible < min(needed, len(report.gpus))
    value = f"CUDA_VISIBLE_DEVICES={setting[:60]} shows a script {visible} of {len(report.gpus)} GPUs"
    yield ReportLine("visible", "red" if short else "green", value, "unset CUDA_VISIBLE_DEVICES" if short else None)
