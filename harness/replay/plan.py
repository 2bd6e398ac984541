"""What a replay is going to do: a record in, its verified script, its ranks and the environments to try out.

`--plan` prints it, and a replay does it. With `look` nothing is downloaded: an original that is not here yet is said
to be so, and all that is known without it is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.catalog import originals
from harness.catalog.checkout import given
from harness.catalog.subjects import Subject, record
from harness.core.errors import MachineError, ManifestError, Problem, StoreError
from harness.core.record import Record
from harness.replay import environments
from harness.replay import obstacles as feasible
from harness.replay.environments import Build, Needs
from harness.store import records
from harness.store.layout import Project

TRAINING = ("torch==2.13.0", "numpy")  # what the scripts in records/ are tested with; numpy silences torch's warning


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is going to do."""

    subject: Subject
    held: Record
    number: str  # "12", "21.1"
    original: bool  # the record's own script, not a reimplementation
    processes: int
    runs: int
    wishes: tuple[tuple[str, ...], ...]  # sets of requirements, the most wanted first
    build: Build | None
    needs: Needs | None
    loss_only: tuple[str, ...]  # why the time will not count
    upstream: bool = False  # the frozen original of another repository, started without arguments
    obstacles: tuple[Problem, ...] = ()  # what is certain to stop it here
    here: bool = True  # its files are on this machine; False only for a look that downloads nothing

    @property
    def name(self) -> str:
        """The record, as people type it."""
        return f"{self.held.track}/{self.number}"


def plan(
    project: Project,
    name: str,
    *,
    original: bool = False,
    checkout: Path | None = None,
    gpus: int | None = None,
    count: int | None = None,
    allow_network: bool = True,
    look: bool = False,
) -> Plan:
    """Find the script and what it needs. Raises HarnessError where there is none, or where it cannot run as asked.

    look: only to be told; nothing is downloaded, so an original may be missing.
    """
    folder = records.find_record(project, name)
    held = records.read_record(folder)
    number = records.display_number(held, [r for r in records.read_records(project) if r.track == held.track])
    if held.original is None:
        original = False  # this harness measured it: the script in its folder is the original
    if checkout is not None and not original:
        said = f"{held.track}/{number} was measured here, and its script lies in its folder"
        raise StoreError.at("--checkout", said, "leave --checkout out; nothing is read from there")
    if original:
        source = originals.source_of(checkout, allow_network=allow_network and not look)
        is_given = checkout is not None
        found = originals.as_subject(project, folder, held, number, source, given=is_given, look=look)
    else:
        found = with_script(project, folder)
    here = not original or originals.is_whole(found.files_folder, found.files)
    told = environments.read_environments(project).of(f"{held.track}/{number}") if original else None
    build, needs = told if told is not None else (None, None)
    processes = ranks(found, needs, gpus, here=here)
    return Plan(
        subject=found,
        held=held,
        number=number,
        original=not found.reimplementation,
        processes=processes,
        runs=count or (found.track.runs if not original else 1),
        wishes=wishes_of(build, needs),
        build=build,
        needs=needs,
        loss_only=loss_only(found, processes),
        upstream=original,
        obstacles=tuple(feasible.obstacles(found, needs)) if here else (),
        here=here,
    )


def with_script(project: Project, folder: Path) -> Subject:
    """A record by the script in its folder; where it has none, raises ManifestError that names ways to go on."""
    if (folder / records.SCRIPT / "script.yaml").is_file():
        return record(project, folder)
    held = records.read_record(folder)
    all_held = [r for r in records.read_records(project) if r.track == held.track]
    name = f"{held.track}/{records.display_number(held, all_held)}"
    published = held.original is not None and held.original.kind != "none"
    ways = [f"`speedrun replay {name} --original` runs its frozen original"] if published else []
    having = [r for r in all_held if (project.records / r.track / r.slug / records.SCRIPT / "script.yaml").is_file()]
    if having:
        numbers = ", /".join(records.display_number(r, all_held) for r in having)
        ways.append(f"in their folders {held.track}/{numbers} have a script")
    said = "there is no script in its folder" + ("" if published else ", and its original was never published")
    raise ManifestError.at(name, said, "; ".join(ways) or f"no record of the track {held.track} has one")


def loss_only(found: Subject, processes: int) -> tuple[str, ...]:
    """Why a time will not count, as far as it is known before the machine is looked at."""
    hardware = found.track.hardware
    reasons = []
    if found.reimplementation:
        reasons.append("the script is a reimplementation of the record's")
    if hardware.kind == "gpu" and processes != hardware.processes:
        reasons.append(f"{processes} GPU{'s' * (processes != 1)}, not {hardware.processes}")
    if hardware.kind == "any":
        reasons.append("seconds of this track are never compared across machines")
    return tuple(reasons)


def ranks(found: Subject, needs: Needs | None, gpus: int | None, *, here: bool = True) -> int:
    """The ranks to start; raises MachineError at once where the script cannot run with so many.

    here: False where the script is not here to be asked.
    """
    hardware = found.track.hardware
    if gpus is None or gpus == hardware.processes:
        return hardware.processes
    if hardware.kind != "gpu":
        raise MachineError.at("--gpus", f"the track {found.track.name} uses no GPU", "leave --gpus out")
    size = needs.world_size if needs is not None else None
    if size == f"== {hardware.processes}":
        said = f"the script asserts {hardware.processes} ranks"
        raise MachineError.at(f"--gpus {gpus}", said, f"run it on {hardware.processes} GPUs; nothing was started")
    if here and needs is not None and size is None and not feasible.accumulates(found.script):
        said = "the script accumulates nothing, so with fewer ranks it would train on a smaller batch"
        raise MachineError.at(f"--gpus {gpus}", said, f"run it on {hardware.processes} GPUs; nothing was started")
    if hardware.processes % gpus:
        said = f"{gpus} ranks do not divide the {hardware.processes} that its batch is made for"
        raise MachineError.at(f"--gpus {gpus}", said, "use 1, 2, 4 or 8")
    return gpus


def wishes_of(build: Build | None, needs: Needs | None) -> tuple[tuple[str, ...], ...]:
    """Sets of requirements, the most wanted first: the record's own build, then the release that stands in for it."""
    if build is None or needs is None:
        return (TRAINING,)
    packages = ("numpy", "huggingface-hub", *needs.packages)
    exact = ((f"torch=={build.torch}", *packages),) if build.torch else ()
    release = build.substitute or TRAINING[0].partition("==")[2]
    return (*exact, (f"torch=={release}", *packages))


def resolve_all(project: Project, checkout: Path | None, *, allow_network: bool = True) -> list[originals.Resolved]:
    """What becomes of the original of every record.

    A clone that cannot be had, and a checkout that holds nothing of what is looked for, are one error each, not one
    for every row.
    """
    source = originals.source_of(checkout, allow_network=allow_network)
    held = [r.original for r in records.read_records(project) if r.original is not None]
    repositories = sorted({original.repository for original in held if original.repository})
    if checkout is None:
        for repository in repositories:
            source(repository)
    found = originals.resolve_all(project, source)
    sought = [row for row in found if row.state != "none"]
    if checkout is not None and sought and all(row.foreign for row in sought):
        kind = "clone" if given(checkout, "").has_git else "copy"
        said = f"this is not a {kind} of {', '.join(repositories)}: not one of {len(sought)} originals lies in it"
        raise StoreError.at(checkout, said, "name a clone of it, or a plain copy of its tree, with --checkout DIR")
    return found
