"""Plan a replay: the verified script of a record, its ranks and the environments to try.

Hard because `--plan` must say the same without a download: of an original that is not here yet, all that its record and
environments.yaml say is printed, with the remark that its files were not read.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.catalog import originals
from harness.catalog.checkout import given, source_of
from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import stats
from harness.core.errors import MachineError, Problem, StoreError
from harness.core.record import Record, Script
from harness.core.text import plural
from harness.replay import environments
from harness.replay import obstacles as feasible
from harness.replay.environments import Build, Needs

Which = Literal["usual", "published", "original"]  # usual: in the record's folder, else the published one
TRAINING = ("torch==2.13.0", "numpy")  # what the scripts in records/ are tested with; numpy silences torch's warning


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is going to do."""

    subject: Subject
    record: Record
    name: str  # of the record, as people type it: "short/12", "short/21.1"
    processes: int
    runs: int
    requirement_sets: tuple[tuple[str, ...], ...]  # of its environment, the best first
    build: Build | None
    needs: Needs | None
    loss_only: tuple[str, ...]  # why the time will not count
    upstream: bool = False  # a published script of another repository, started without arguments
    obstacles: tuple[Problem, ...] = ()  # what is certain to stop it here
    here: bool = True  # its files are on this machine; False only where nothing may be downloaded for a plan

    @property
    def script(self) -> Script:
        """Say whether it is the record's own script, or another that stands for it."""
        return "reimplementation" if self.subject.reimplementation else "merged" if self.subject.merged else "original"

    @property
    def own_losses(self) -> tuple[float, ...]:
        """Return the losses of the record's own runs; of a merged script those of its runs alone."""
        metric, merged = self.subject.ruleset.loss_metric, self.record.merged if self.script == "merged" else None
        own = (run for run in self.record.runs if run.role == "own" and run.metric == metric)
        return tuple(r.value for r in own if r.value is not None and (not merged or merged.ran_as(r.script_sha256)))

    @property
    def claimed_loss(self) -> float | None:
        """Return what a replay's mean loss is compared with; None where no loss of this script is known."""
        own = self.own_losses
        return stats.mean(own) if own else self.record.claimed.val_loss

    @property
    def compared(self) -> str:
        """Say what of a replay is compared with the record, and why not more."""
        timeless = self.loss_only or (
            ("the record claims no time",) if self.record.claimed.train_time_s is None else ()
        )
        lossless = ("no loss of this script is known",) if self.claimed_loss is None else ()
        counted = "neither time nor loss" if timeless and lossless else "loss only" if timeless else "time only"
        reasons = "; ".join((*timeless, *lossless))
        return f"{counted}: {reasons}" if reasons else "time and loss"


def plan(
    catalog: Catalog,
    record: Record,
    *,
    which: Which = "usual",
    checkout: Path | None = None,
    gpus: int | None = None,
    count: int | None = None,
    allow_network: bool = True,
    plan_only: bool = False,
) -> Plan:
    """Find the script and what it needs. Raises HarnessError where there is none, or where it cannot run as asked.

    plan_only: nothing will be run, so nothing is downloaded, and the files of a published script may be missing.
    """
    name = catalog.name(record)
    published = record.original is not None and (which != "usual" or not catalog.has_script(record))
    if checkout is not None and not published:
        what = f"the script of {name} lies in its folder"
        raise StoreError.at("--checkout", what, "leave --checkout out; nothing is read from there")
    if published and (which == "original" or originals.published(record)):
        source, is_given = source_of(checkout, allow_network=allow_network and not plan_only), checkout is not None
        original = which == "original"
        subject = catalog.published_script(record, source, original=original, given=is_given, look=plan_only)
    else:
        subject, published = catalog.script_here(record), False
    here = not published or originals.is_whole(subject.files_folder, subject.files)
    build, needs = environment_of(catalog, record, subject, here=here) if published else (None, None)
    processes = ranks(subject, needs, gpus, here=here)
    return Plan(
        subject=subject,
        record=record,
        name=name,
        processes=processes,
        runs=count or (1 if published else subject.track.runs),
        requirement_sets=requirement_sets(build, needs),
        build=build,
        needs=needs,
        loss_only=loss_only(subject, processes),
        upstream=published,
        obstacles=tuple(feasible.obstacles(subject, needs)) if here else (),
        here=here,
    )


def environment_of(
    catalog: Catalog, record: Record, subject: Subject, *, here: bool
) -> tuple[Build | None, Needs | None]:
    """Return the torch build and the other needs of a published script, as far as they are known.

    Those of a merged one are those of the original and what it imports beside that; a known run may say another torch.
    """
    build, needs = environments.read_environments(catalog.project).of(catalog.name(record)) or (None, None)
    if needs is None or record.merged is None or not subject.merged:
        return build, needs
    more = environments.packages_of(sorted(feasible.imports(subject.script))) if here else ()
    needs = dataclasses.replace(needs, packages=tuple(dict.fromkeys((*needs.packages, *more))))
    return (build if record.merged.torch is None else environments.build_of(record.merged.torch)), needs


def loss_only(subject: Subject, processes: int) -> tuple[str, ...]:
    """Say why a time will not count, as far as that is known without this machine."""
    hardware = subject.track.hardware
    reasons = []
    if subject.reimplementation:
        reasons.append("the script is a reimplementation of the record's")
    elif subject.record is not None and subject.record.merged is not None and not subject.merged:
        known = subject.record.merged.program is not None and originals.program(subject.record, original=True)
        reasons += ["the claimed time is that of the merged script, which is another"] if known else []
    if hardware.kind == "gpu" and processes != hardware.processes:
        reasons.append(f"{plural(processes, 'GPU')}, not {hardware.processes}")
    if hardware.kind == "any":
        reasons.append("seconds of this track are never compared across machines")
    return tuple(reasons)


def ranks(subject: Subject, needs: Needs | None, gpus: int | None, *, here: bool = True) -> int:
    """Return the number of ranks; raises MachineError at once where the script cannot run with so many.

    here: False where the script is not here, so that it cannot be read.
    """
    hardware = subject.track.hardware
    if gpus is None or gpus == hardware.processes:
        return hardware.processes
    if hardware.kind != "gpu":
        raise MachineError.at("--gpus", f"the track {subject.track.name} uses no GPU", "leave --gpus out")
    size = needs.world_size if needs is not None else None
    what = None
    if size == f"== {hardware.processes}":
        what = f"the script asserts {hardware.processes} ranks"
    elif here and needs is not None and size is None and not feasible.accumulates(subject.script):
        what = "the script does not accumulate gradients, so with fewer ranks it would train on a smaller batch"
    if what is not None:
        raise MachineError.at(f"--gpus {gpus}", what, f"run it on {hardware.processes} GPUs; nothing was started")
    if hardware.processes % gpus:
        what = f"{gpus} ranks do not divide {hardware.processes}, the number that its batch is made for"
        raise MachineError.at(f"--gpus {gpus}", what, "use 1, 2, 4 or 8")
    return gpus


def requirement_sets(build: Build | None, needs: Needs | None) -> tuple[tuple[str, ...], ...]:
    """Return sets of requirements, the best first: with the record's own torch build, then with a release in its place."""
    if build is None or needs is None:
        return (TRAINING,)
    packages = ("numpy", "huggingface-hub", *needs.packages)
    exact = ((f"torch=={build.torch}", *packages),) if build.torch else ()
    release = build.substitute or TRAINING[0].partition("==")[2]
    return (*exact, (f"torch=={release}", *packages))


def resolve_all(catalog: Catalog, checkout: Path | None, *, allow_network: bool = True) -> list[originals.Resolved]:
    """Find and verify the original of every record.

    A clone that cannot be had, and a checkout that holds none of the originals, are one error each, not one per row.
    """
    source = source_of(checkout, allow_network=allow_network)
    past = sorted(
        (record for record in catalog.records() if record.original is not None),
        key=lambda record: (record.track, record.number, record.kind != "record", record.slug),
    )
    repositories = sorted({r.original.repository for r in past if r.original and r.original.repository})
    if checkout is None:
        for repository in repositories:
            source(repository)
    resolved = originals.resolve_all([(catalog.name(record), record) for record in past], source)
    published = [row for row in resolved if row.state not in ("none", "in git only")]
    if checkout is not None and published and all(row.foreign for row in published):
        kind = "clone" if given(checkout, "").has_git else "copy"
        what = f"this is not a {kind} of {', '.join(repositories)}: it holds none of the {len(published)} originals"
        raise StoreError.at(checkout, what, "name a clone of it, or a plain copy of its tree, with --checkout DIR")
    return resolved
