"""Report on disk, memory, processors, Python, torch, tokens and environment: everything but the GPUs."""

import os
import platform
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from harness.catalog.tracks import load_tracks
from harness.dataset import fetching
from harness.doctor.wanted import ReportLine, Wanted
from harness.machine import computer, nvidia
from harness.replay import venv
from harness.replay.environments import Build, Needs
from harness.replay.plan import requirement_sets
from harness.store.files import free_bytes
from harness.store.layout import Project, cache_folder

SPARE_BYTES = 10**9
LEAST_PYTHON = (3, 11)
# Host memory for a rank: CUDA context, torch and the compiler's workers; the smoke scripts need some 0.5 GiB. Estimates.
RANK_BYTES = {"gpu": 4 << 30, "any": 1 << 30}


def disk(project: Project, wanted: Wanted | None) -> ReportLine:
    """Compare the free space for tokens and environments with what is still to be fetched."""
    cache = cache_folder()
    free, free_here = free_bytes(cache), free_bytes(project.root)
    missing = 0
    value = f"{free / 1e9:,.1f} GB free in {cache}"
    if wanted is not None:
        # Partial shards are counted whole.
        missing = fetching.size_bytes(wanted.track, fetching.missing_shards(wanted.track, wanted.tokens))
        value += f"; {missing / 1e9:.1f} GB of tokens to fetch" if missing else "; all tokens are here"
    fix = "free some space, or set XDG_CACHE_HOME to a larger disk"
    if free < missing + SPARE_BYTES:
        return ReportLine("disk", "red", value, fix)
    if free_here < SPARE_BYTES:
        return ReportLine("disk", "red", f"{value}; {free_here / 1e9:.1f} GB in the project", "free some space")
    if wanted is not None and wanted.replayed and free < missing + SPARE_BYTES + venv.SIZE_BYTES:
        return ReportLine("disk", "yellow", f"{value}; an environment of its own takes up to 8 GB more", fix)
    return ReportLine("disk", "green", value)


def memory(wanted: Wanted | None) -> ReportLine:
    """Report the memory that is free now, inside the limit of a container."""
    free, total = available_memory()
    value = f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free"
    if wanted is None:
        return ReportLine("RAM", "green", value)
    ranks = wanted.track.hardware.processes
    each = RANK_BYTES[wanted.track.hardware.kind]
    if free >= ranks * each:
        return ReportLine("RAM", "green", value)
    fix = f"{ranks} ranks need about {ranks * each / 2**30:.0f} GiB"
    if total >= ranks * each:
        fix += "; stop other programs"
    else:
        fix += ", more than this machine has; the run may be killed: use a larger machine"
    return ReportLine("RAM", "red" if free < ranks * each / 8 else "yellow", value, fix)


def available_memory() -> tuple[int, int]:
    """Return free and total bytes, the smaller of the machine's and the container's."""
    lines = dict(line.split(":", 1) for line in _read("/proc/meminfo").splitlines() if ":" in line)

    def of(key: str) -> int:
        number = lines.get(key, "").split()[:1]
        return int(number[0]) << 10 if number and number[0].isdecimal() else 0

    total = of("MemTotal") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = of("MemAvailable") or total
    limit, used = (_read(f"/sys/fs/cgroup/memory.{name}").strip() for name in ("max", "current"))
    if limit.isdecimal() and used.isdecimal() and int(limit) < total:
        return min(free, max(0, int(limit) - int(used))), int(limit)
    return free, total


def processors(wanted: Wanted | None) -> ReportLine:
    """Report the cores and their load: a busy core delays all ranks that wait for it."""
    cores: float = len(os.sched_getaffinity(0))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdecimal() and period.isdecimal() and int(period):
        cores = min(cores, int(quota) / int(period))
    load = os.getloadavg()[0]
    value = f"{cores:g} cores, load {load:.1f}, {computer.cpu_model()}"
    ranks = wanted.track.hardware.processes if wanted is not None else 1
    if cores < ranks:
        return ReportLine("CPU", "yellow", value, f"{ranks} ranks share them: a run is slower, and its times mean less")
    if load > cores / 2:
        return ReportLine("CPU", "yellow", value, "stop other programs: they make times longer")
    return ReportLine("CPU", "green", value)


def python(wanted: Wanted | None) -> ReportLine:
    """Report the interpreter, from which the environment of a replay is made."""
    here = platform.python_version()
    used = wanted.needs.python if wanted is not None and wanted.needs is not None else None
    if used is None or used.split(".")[:2] == here.split(".")[:2]:
        return ReportLine("Python", "green", here)
    version = re.match(r"(\d+)\.(\d+)", used)
    if version is None or (int(version[1]), int(version[2])) < LEAST_PYTHON:
        fix = f"this program needs {LEAST_PYTHON[0]}.{LEAST_PYTHON[1]} or newer, so the result will name the difference"
    else:
        fix = f"SPEEDRUN_PYTHON=python{version[0]} ./run_record.sh … makes .venv anew with it, where it is installed"
    return ReportLine("Python", "yellow", f"{here}; the original ran with {used}", fix)


def torch(wanted: Wanted | None) -> ReportLine:
    """Report the torch in the harness's own environment, which `run` uses."""
    version = computer.version("torch")
    install = "pip install '.[train]'"
    if wanted is not None and wanted.replayed:
        return ReportLine("torch", "green", f"{version or 'none'} here; a replay makes an environment of its own")
    if version is None:
        return ReportLine("torch", "yellow" if wanted is None else "red", "not installed", install)
    if "+cpu" in version and wanted is not None and wanted.gpus:
        return ReportLine(
            "torch", "red", f"{version} is built without CUDA", f"{install}, from an index with CUDA builds"
        )
    return ReportLine("torch", "green", version)


def nccl(report: nvidia.GpuReport, wanted: Wanted | None) -> Iterator[ReportLine]:
    """Report the library by which ranks communicate; on a CPU that is gloo, a part of torch."""
    packages = ("nvidia-nccl-cu13", "nvidia-nccl-cu12", "nvidia-nccl-cu11")
    version = next((v for name in packages if (v := computer.version(name)) is not None), None)
    if version is not None:
        yield ReportLine("NCCL", "green", version)
    elif wanted is not None and wanted.replayed:
        return  # it comes with the environment
    elif report.state == "answered" or (wanted is not None and wanted.gpus):
        fix = "it comes with torch for CUDA: pip install '.[train]'"
        yield ReportLine("NCCL", "yellow", "not installed", fix)


def data(project: Project, wanted: Wanted | None) -> Iterator[ReportLine]:
    """Report the shards that a run reads, by their receipts and file status."""
    if wanted is None:
        counts = []
        for track in load_tracks(project.tracks).values():
            entries = fetching.what_is_there(track)[1]
            counts.append(f"{track.name} {sum(e.state == 'verified' for e in entries)} of {len(entries)}")
        yield ReportLine("data", "green", f"shards here: {', '.join(counts)}")
        return
    states = {entry.name: entry.state for entry in fetching.what_is_there(wanted.track)[1]}
    needed = [states.get(shard.name, "missing") for shard in fetching.needed_shards(wanted.track, wanted.tokens)]
    verified = needed.count("verified")
    value = f"{verified} of {len(needed)} shards verified"
    others = Counter(state for state in needed if state != "verified")
    if others:
        value += f" ({', '.join(f'{count} {state}' for state, count in others.items())})"
    if verified == len(needed) or wanted.track.data.source == "synthetic":
        yield ReportLine("data", "green", value if verified == len(needed) else f"{value}; made here in seconds")
    else:
        yield ReportLine("data", "yellow", value, f"speedrun fetch {wanted.name}, or the first run does it")


def environment(wanted: Wanted | None) -> Iterator[ReportLine]:
    """Compare what the record ran with to what is installed here or would be."""
    if wanted is None or wanted.record is None:
        return
    if not wanted.replayed:
        used, here = next((run.torch for run in wanted.record.runs if run.torch), None), computer.version("torch")
        if used is not None and here is not None:
            same = used == here
            value = f"the current record used torch {used}" + ("" if same else f"; torch {here} is installed here")
            fix = None if same else "losses may differ in the last digits, times more"
            yield ReportLine("environment", "green" if same else "yellow", value, fix)
        return
    if wanted.subject is not None:
        [requirements] = requirement_sets(None, None)
        made = venv.find(requirements) is not None
        fix = None if made else "the first replay makes it, which takes a minute or more and some GB"
        value = f"{requirements[0]} for the script in its folder, {'made' if made else 'not made yet'}"
        yield ReportLine("environment", "green" if made else "yellow", value, fix)
    if wanted.build is not None and wanted.needs is not None:
        # Where no script is in its folder, a replay is of the merged script or the original without being asked.
        yield original(wanted.build, wanted.needs, "replay" if wanted.subject is None else "replay --original")


def original(build: Build, needs: Needs, command: str) -> ReportLine:
    """Report what the frozen original ran with, and which environment for it was made here."""
    value = f"ran with torch {build.torch}" if build.torch else "does not name the torch that it ran with"
    candidates = requirement_sets(build, needs)
    made = next((requirements[0] for requirements in candidates if venv.find(requirements) is not None), None)
    if made is not None:
        exact = made == f"torch=={build.torch}"
        fix = None if exact else f"the result will be labelled substituted: {build.why}"
        return ReportLine(
            "original", "green" if exact else "yellow", f"{value}; an environment with {made} is made", fix
        )
    tried = ", then ".join(dict.fromkeys(requirements[0] for requirements in candidates))
    return ReportLine("original", "yellow", value, f"{command} tries {tried} ({build.why}); {build.found}")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
