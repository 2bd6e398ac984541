"""The story of a replay: a record in, claimed against replayed out.

    the script, verified → its environment → the machine → the tokens → runs → what they say beside the claim → replays/

A time counts only for the original on the track's own hardware; everything else is compared in loss alone, and says why.
"""

from __future__ import annotations

import dataclasses
import platform
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from harness import environments, evidence, execution, failure, feasible, machine, originals, stats, venv
from harness.checkout import Checkout, cloned, given
from harness.dataset.progress import Progress
from harness.environments import Build, Needs
from harness.errors import MachineError, Problem, RunError, StoreError, raise_if
from harness.launch.torchrun import TorchrunLauncher
from harness.pipeline import Watcher
from harness.replayed import Spread
from harness.schema import Hardware, Machine, Metrics, Record
from harness.store import records, replays, runs
from harness.store.layout import Project
from harness.store.replays import CurvePoint, Environment, ReplayedRun, ReplayResult
from harness.subject import Subject, record

TRAINING = ("torch==2.13.0", "numpy")  # what the scripts in records/ are tested with; numpy silences torch's warning


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay is going to do: printed by `--plan`, then done."""

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

    @property
    def name(self) -> str:
        """The record, as people type it."""
        return f"{self.held.track}/{self.number}"


def source_of(checkout: Path | None, *, allow_network: bool = True) -> originals.Source:
    """Where originals come from: the checkout that the user gave, else a clone in the cache, made on first use."""
    if checkout is not None:
        at = given(checkout)
        return lambda repository: at
    clones: dict[str, Checkout] = {}

    def clone(repository: str) -> Checkout:
        if repository not in clones:
            clones[repository] = cloned(repository, allow_network=allow_network)
        return clones[repository]

    return clone


def plan(
    project: Project,
    name: str,
    *,
    original: bool = False,
    checkout: Path | None = None,
    gpus: int | None = None,
    count: int | None = None,
    allow_network: bool = True,
) -> Plan:
    """Find the script and what it needs. Raises HarnessError where there is none, or where it cannot run as asked."""
    folder = records.find_record(project, name)
    held = records.read_record(folder)
    number = records.display_number(held, [r for r in records.read_records(project) if r.track == held.track])
    if original and held.original is None:
        original = False  # this harness measured it: the script in its folder is the original
    if original:
        source = source_of(checkout, allow_network=allow_network)
        found = originals.as_subject(project, folder, held, number, source, given=checkout is not None)
    else:
        found = record(project, folder)
    told = environments.read_environments(project).of(f"{held.track}/{number}") if original else None
    build, needs = told if told is not None else (None, None)
    processes = _processes(found, needs, gpus)
    hardware = found.track.hardware
    loss_only = []
    if found.reimplementation:
        loss_only.append("the script is a reimplementation of the record's")
    if hardware.kind == "gpu" and processes != hardware.processes:
        loss_only.append(f"{processes} GPUs, not {hardware.processes}")
    if hardware.kind == "any":
        loss_only.append("seconds of this track are never compared across machines")
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
        loss_only=tuple(loss_only),
        upstream=original,
        obstacles=tuple(feasible.obstacles(found, needs)),
    )


def _processes(found: Subject, needs: Needs | None, gpus: int | None) -> int:
    """The ranks to start; raises MachineError at once where the script cannot run with so many."""
    hardware = found.track.hardware
    if gpus is None or gpus == hardware.processes:
        return hardware.processes
    if hardware.kind != "gpu":
        raise MachineError.at("--gpus", f"the track {found.track.name} uses no GPU", "leave --gpus out")
    size = needs.world_size if needs is not None else None
    if size == f"== {hardware.processes}":
        said = f"the script asserts {hardware.processes} ranks"
        raise MachineError.at(f"--gpus {gpus}", said, f"run it on {hardware.processes} GPUs; nothing was started")
    if needs is not None and size is None and not feasible.accumulates(found.script):
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


def make_environment(project: Project, chosen: Plan) -> tuple[venv.Venv, Environment]:
    """Make the best environment that can be had, and note beside the record's build whether that was to be had.

    Raises StoreError, with every attempt, where none can be made.
    """
    tried = []
    for wish in dict.fromkeys(chosen.wishes):
        try:
            made = venv.make(wish)
        except StoreError as error:
            tried.append(f"{wish[0]}: {error.problems[0].what}")
            if "disk is full" in tried[-1]:
                raise
            # pip lists what the index has instead; an index that was not reached lists nothing and proves nothing.
            if re.search(rf"requirement {re.escape(wish[0])} \(from versions: (?!none)", tried[-1]):
                note_build(project, chosen, wish, "not found")
            continue
        note_build(project, chosen, wish, "installed")
        check_modules(chosen, made)
        return made, describe(chosen, made, tuple(tried))
    raise StoreError.at(chosen.name, f"no environment can be had ({'; '.join(tried)})", "check pip's settings")


def note_build(project: Project, chosen: Plan, wish: tuple[str, ...], found: str) -> None:
    """Say in environments.yaml what became of the record's own build."""
    if chosen.build is not None and wish[0] == f"torch=={chosen.build.torch}":
        here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        environments.note_availability(project, chosen.build.name, f"{found} on {runs.now()[:10]} ({here})")


def check_modules(chosen: Plan, made: venv.Venv) -> None:
    """Raise StoreError, before any token is fetched, for modules that the script imports and nothing installed."""
    beside = {Path(name).stem for name in chosen.subject.files}
    lacking = venv.lacking(made, feasible.imports(chosen.subject.script) - beside)
    todo = f"build it into its environment with {made.python} -m pip, then start again"
    raise_if(
        (Problem(chosen.name, f"its script imports {name}, which no package gives", todo) for name in lacking),
        StoreError,
    )


def describe(chosen: Plan, made: venv.Venv, tried: tuple[str, ...]) -> Environment:
    """How an environment differs from what the record ran with."""
    torch = made.torch
    used = chosen.build.torch if chosen.build is not None else _own_torch(chosen.held)
    differences = []
    if used is None:
        differences.append("the record does not say which torch it used")
    elif torch != used:
        why = f": {chosen.build.why}" if chosen.build is not None else ""
        differences.append(f"torch {torch} for {used}{why}")
    python = platform.python_version()
    needs = chosen.needs
    if needs is not None and needs.python and needs.python.split(".")[:2] != python.split(".")[:2]:
        differences.append(f"Python {python} for {needs.python}")
    if needs is not None and needs.triton and made.packages.get("triton") != needs.triton:
        differences.append(f"triton {made.packages.get('triton', 'none')} for {needs.triton}")
    for kernel in needs.hub_kernels if needs is not None else ():
        if "@" not in kernel:
            differences.append(f"hub kernel {kernel}: its revision is not recorded")
    if needs is not None and needs.missing:
        differences.append(f"not from a package: {needs.missing}")
    return Environment("substituted" if differences else "exact", torch, python, used, tuple(differences), tuple(tried))


def _own_torch(held: Record) -> str | None:
    """The torch build that a record of this harness logged."""
    return next((run.torch for run in held.runs if run.torch), None)


def check_machine(chosen: Plan) -> Machine:
    """Raise MachineError, before anything is fetched or installed, where this machine lacks the GPUs."""
    raise_if(chosen.obstacles, MachineError)
    here = machine.capture(torch="in an environment of its own")
    track = chosen.subject.track
    asked = _asked(chosen) if here.gpus else dataclasses.replace(track.hardware, processes=chosen.processes)
    machine.check(here, dataclasses.replace(track, hardware=asked))
    return here


def _asked(chosen: Plan) -> Hardware:
    """So many GPUs of any model: another model gives a loss to compare, if no time."""
    hardware = chosen.subject.track.hardware
    return dataclasses.replace(hardware, processes=chosen.processes, gpu_name=None)


def prepare(
    chosen: Plan, made: venv.Venv, *, allow_network: bool = True, progress: Progress | None = None
) -> execution.Prepared:
    """Check the machine for so many GPUs, then have the tokens; offered where the script looks for them."""
    here = machine.capture(torch=made.torch)
    track = chosen.subject.track
    machine.check(here, dataclasses.replace(track, hardware=_asked(chosen)))
    folder = chosen.needs.data if chosen.needs is not None else None
    found = chosen.subject
    if folder is not None and folder != track.data.folder and not feasible.outside(folder):
        data = dataclasses.replace(track.data, folder=folder)
        found = dataclasses.replace(found, track=dataclasses.replace(track, data=data))
    ready = execution.prepare(found, here, allow_network=allow_network, progress=progress)
    return dataclasses.replace(ready, processes=chosen.processes, bare=chosen.upstream)


def run(
    project: Project, chosen: Plan, made: venv.Venv, ready: execution.Prepared, watcher: Watcher
) -> tuple[Metrics, ...]:
    """Make the runs; raises RunError where one broke. What was made lies in `.runs/` and in the ledger."""
    sitting = secrets.token_hex(4)
    launcher = TorchrunLauncher(str(made.python))
    finished = []
    for number in range(1, chosen.runs + 1):
        run_id = runs.new_run_id(chosen.subject.script_sha256)
        outcome = execution.execute(project, ready, run_id, sitting, launcher, watcher(run_id, number, chosen.runs))
        folder = runs.run_folder(project, run_id)
        if outcome.state != "finished":
            cause = failure.explain(folder, outcome)
            said = f"run {number} of {chosen.runs} {cause.sentence}"
            error = RunError.at(project.show(folder), said, execution.advice(outcome))
            error.lines = cause.last_lines
            raise error
        finished.append(evidence.read_run(folder, chosen.subject.script, packed=False))
    return tuple(finished)


# ------------------------------------------------------------------------------------------ what it comes to


def compare(
    chosen: Plan, environment: Environment, here: Machine, made: tuple[Metrics, ...], by: str, curve: records.Curve
) -> ReplayResult:
    """Claimed against replayed."""
    held, why_not = chosen.held, list(chosen.loss_only)
    hardware = chosen.subject.track.hardware
    names = {gpu.name for gpu in here.gpus}
    if hardware.kind == "gpu" and names != {hardware.gpu_name}:
        why_not.append(f"{', '.join(sorted(names)) or 'no GPU'}, not {hardware.gpu_name}")
    losses = [run.val_loss for run in made if run.val_loss is not None]
    times = [run.train_time_s for run in made if run.train_time_s is not None]
    own = [run.value for run in held.runs if run.role == "own" and run.metric == "val_loss" and run.value is not None]
    claimed_loss = stats.mean(own) if own else held.claimed.val_loss
    loss = stats.mean(losses) if losses else None
    time = stats.mean(times) if times else None
    claimed_time = held.claimed.train_time_s
    counts = not why_not and claimed_time is not None and time is not None
    within, spread = within_spread(own, loss)
    return ReplayResult(
        schema=1,
        record=chosen.name,
        date=runs.now()[:10],
        by=by,
        machine=here,
        gpus=f"{chosen.processes}× {here.gpus[0].name}" if here.gpus else f"no GPU, {chosen.processes} processes",
        script="original" if chosen.original else "reimplementation",
        script_sha256=chosen.subject.script_sha256,
        environment=environment,
        time_counts=counts,
        why_not=tuple(why_not),
        claimed_time_s=claimed_time,
        claimed_loss=claimed_loss,
        replayed_time_s=time,
        replayed_loss=loss,
        time_ratio=time / claimed_time if counts and time is not None and claimed_time else None,
        loss_difference=None if loss is None or claimed_loss is None else loss - claimed_loss,
        within_spread=within,
        spread=spread,
        runs=tuple(
            ReplayedRun(run.run_id, run.seed, run.step, run.val_loss, run.train_time_s, run.wall_time_s) for run in made
        ),
        curve=points(curve, made),
    )


def within_spread(own: list[float], loss: float | None) -> tuple[Spread, str]:
    """Whether a replayed mean loss lies where the record's own runs lie, and the sentence that says so."""
    if loss is None:
        return "unknown", "the replay printed no final loss"
    if len(own) < 2:
        return "unknown", f"{len(own)} own run{'' if len(own) == 1 else 's'} of the record, so its spread is not known"
    low, high = min(own), max(own)
    room = 2 * stats.sd(own)  # few runs reach their own extremes seldom
    centre = stats.mean(own)
    inside = centre - max(room, centre - low) <= loss <= centre + max(room, high - centre)
    said = f"its {len(own)} own runs lie at {centre:.4f} ± {stats.sd(own):.4f} ({low:.4f} to {high:.4f})"
    return ("yes" if inside else "no"), said


def points(curve: records.Curve, made: tuple[Metrics, ...]) -> tuple[CurvePoint, ...]:
    """The difference at every validation step of the record's curve, from the mean of the runs."""
    seen: dict[int, list[float]] = {}
    for run in made:
        for step, loss, _ in run.log.curve:
            seen.setdefault(step, []).append(loss)
    rows = []
    for step, claimed, _ in curve:
        mean = stats.mean(seen[step]) if step in seen else None
        rows.append(CurvePoint(step, claimed, mean, None if mean is None else mean - claimed))
    return tuple(rows)


def store(chosen: Plan, result: ReplayResult) -> Path:
    """Keep a replay beside its record."""
    return replays.add_replay(chosen.subject.folder, result)


def resolve_all(project: Project, checkout: Path | None, *, allow_network: bool = True) -> list[originals.Resolved]:
    """What becomes of the original of every record; a missing clone is one error, not one for every row."""
    source = source_of(checkout, allow_network=allow_network)
    if checkout is None:
        held = [r for r in records.read_records(project) if r.original is not None and r.original.repository]
        for repository in sorted({r.original.repository for r in held if r.original and r.original.repository}):
            source(repository)
    return originals.resolve_all(project, source)
