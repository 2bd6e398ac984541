"""The story of a replay: a record in, claimed against replayed out.

    the script, verified → the machine → its environment → the tokens → runs → what they say beside the claim → replays/

A time counts only for the original on the track's own hardware; everything else is compared in loss alone, and says why.
"""

from __future__ import annotations

import dataclasses
import platform
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from harness.core import stats
from harness.core.errors import HarnessError, MachineError, Problem, RunError, StoreError, raise_if
from harness.core.measurement import Machine, Metrics
from harness.core.record import Label, Record
from harness.core.task import Hardware
from harness.dataset import fetching, inventory
from harness.dataset.progress import Progress
from harness.evidence import gather
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import environments, obstacles, venv
from harness.replay.plan import Plan
from harness.run import execution, failure
from harness.run.series import Watcher
from harness.store import records, replays, run_files
from harness.store.files import free_bytes
from harness.store.layout import Project, cache_folder
from harness.store.replays import CurvePoint, Environment, ReplayedRun, ReplayResult
from harness.submission.draft import author


class Onlooker(Protocol):
    """Who is told how far a replay is."""

    def making(self) -> AbstractContextManager[None]: ...  # its environment
    def fetching(self) -> AbstractContextManager[Progress]: ...  # its tokens
    def watch(self, run_id: str, number: int, count: int) -> Callable[[bytes], None]: ...
    def result(self, result: ReplayResult, stored: Path) -> None: ...


def perform(project: Project, chosen: Plan, onlooker: Onlooker, *, allow_network: bool = True) -> None:
    """Replay a record, from the look at the machine to the stored result.

    Where Ctrl-C, a broken run or a full disk ends it, the runs that had finished are compared and stored all the same
    before the exception goes on. Raises HarnessError, before anything is made, where the machine cannot do it or git
    does not know who replays.
    """
    check_machine(chosen)
    by = author(project)
    with onlooker.making():
        made, environment = make_environment(project, chosen)
    with onlooker.fetching() as progress:
        ready = prepare(chosen, made, allow_network=allow_network, progress=progress)
    finished: list[Metrics] = []
    try:
        run(project, chosen, TorchrunLauncher(str(made.python)), ready, onlooker.watch, finished)
    finally:
        if finished:
            here = computer.capture(torch=environment.torch)
            curve = records.read_curve(chosen.subject.folder)
            result = compare(chosen, environment, here, tuple(finished), by, curve)
            onlooker.result(result, replays.add_replay(chosen.subject.folder, result))


# ------------------------------------------------------------------------------------------ before anything is made


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a replay would find on this machine; nothing was made, fetched or run to know it."""

    machine: Machine
    problems: tuple[Problem, ...]  # what would stop it
    environments: tuple[tuple[str, str], ...]  # the requirements of each that would be tried; whether made, what result
    free_bytes: int  # where environments and tokens go
    shards: int  # that the script reads
    missing: int
    missing_bytes: int


def look(chosen: Plan) -> Outlook:
    """Look at this machine for a plan: can it, what is made, what is fetched. Costs a stat per shard."""
    track, tokens = chosen.subject.track, chosen.subject.train_tokens
    here = computer.capture(torch="in an environment of its own")
    missing = inventory.missing_shards(track, tokens)
    wishes = tuple(dict.fromkeys(chosen.wishes))
    problems = list(machine_problems(chosen, here))
    made = venv.find(wishes[0])
    if made is not None and chosen.here:
        try:
            check_modules(chosen, made)
        except HarnessError as error:
            problems += error.problems
    return Outlook(
        machine=here,
        problems=tuple(problems),
        environments=tuple((", ".join(wish), expected(chosen, wish)) for wish in wishes),
        free_bytes=free_bytes(cache_folder()),
        shards=len(fetching.needed_shards(track, tokens)),
        missing=len(missing),
        missing_bytes=inventory.size_bytes(track, missing),
    )


def machine_problems(chosen: Plan, here: Machine) -> tuple[Problem, ...]:
    """Everything that is certain to stop a replay on this machine."""
    track = chosen.subject.track
    asked = _asked(chosen) if here.gpus else dataclasses.replace(track.hardware, processes=chosen.processes)
    try:
        computer.check(here, dataclasses.replace(track, hardware=asked))
    except MachineError as error:
        # A dry run overrides settings, which no original takes.
        todo = "use such a machine" + (", or fewer GPUs with --gpus where the script allows it" if here.gpus else "")
        found = [dataclasses.replace(p, todo=todo) if chosen.upstream else p for p in error.problems]
        return (*chosen.obstacles, *found)
    return chosen.obstacles


def check_machine(chosen: Plan) -> None:
    """Raise MachineError, before anything is fetched or installed, where this machine cannot do it."""
    raise_if(machine_problems(chosen, computer.capture(torch="in an environment of its own")), MachineError)


def expected(chosen: Plan, wish: tuple[str, ...]) -> str:
    """Whether an environment is made or to be made, and whether the result would be exact or substituted."""
    made = venv.find(wish)
    if made is not None:
        told = describe(chosen, made, ())
        return "; ".join((f"made already; the result is {told.label}", *told.differences))
    torch, used = wish[0].partition("==")[2], used_torch(chosen)
    room = f"to be made, up to {venv.ROOM_BYTES / 1e9:.0f} GB; where it can be had the result is"
    # The default index does not say in a version which CUDA a build is for; the build itself does.
    open_end = used is not None and "+" not in torch and used.partition("+")[0] == torch
    certain = differences(chosen, used if open_end else torch, None)
    if certain:
        return "; ".join((f"{room} substituted", *certain))
    return f"{room} exact" + (f" if the index gives torch {used}" if open_end else "")


# ------------------------------------------------------------------------------------------ its environment


def make_environment(project: Project, chosen: Plan) -> tuple[venv.Venv, Environment]:
    """Make the best environment that can be had, and note beside the record's build whether that was to be had.

    Raises StoreError, with every attempt, where none can be made.
    """
    tried: list[str] = []
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


def note_build(project: Project, chosen: Plan, wish: tuple[str, ...], found: Literal["installed", "not found"]) -> None:
    """Say in environments.yaml what became of the record's own build."""
    if chosen.build is not None and wish[0] == f"torch=={chosen.build.torch}":
        here = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
        environments.note_availability(project, chosen.build.name, found, here)


def check_modules(chosen: Plan, made: venv.Venv) -> None:
    """Raise StoreError, before any token is fetched, for modules that the script imports and nothing installed."""
    beside = {Path(name).stem for name in chosen.subject.files}
    lacking = venv.lacking(made, obstacles.imports(chosen.subject.script) - beside)
    todo = f"build it into its environment with {made.python} -m pip, then start again"
    raise_if(
        (Problem(chosen.name, f"its script imports {name}, which no package gives", todo) for name in lacking),
        StoreError,
    )


def describe(chosen: Plan, made: venv.Venv, tried: tuple[str, ...]) -> Environment:
    """How an environment differs from what the record ran with."""
    found = differences(chosen, made.torch, made.packages)
    label: Label = "substituted" if found else "exact"
    return Environment(label, made.torch, platform.python_version(), used_torch(chosen), found, tried)


def differences(chosen: Plan, torch: str | None, packages: dict[str, str] | None) -> tuple[str, ...]:
    """All ways in which an environment with this torch is not the record's; packages: None before it is made."""
    used, needs, python = used_torch(chosen), chosen.needs, platform.python_version()
    found = []
    if used is None:
        found.append("the record does not say which torch it used")
    elif torch != used:
        why = f": {chosen.build.why}" if chosen.build is not None else ""
        found.append(f"torch {torch} for {used}{why}")
    if needs is None:
        return tuple(found)
    if needs.python and needs.python.split(".")[:2] != python.split(".")[:2]:
        found.append(f"Python {python} for {needs.python}")
    if needs.triton and packages is not None and packages.get("triton") != needs.triton:
        found.append(f"triton {packages.get('triton', 'none')} for {needs.triton}")
    for kernel in needs.hub_kernels:
        if "@" not in kernel:
            found.append(f"hub kernel {kernel}: its revision is not recorded")
    if needs.missing:
        found.append(f"not from a package: {needs.missing}")
    return tuple(found)


def used_torch(chosen: Plan) -> str | None:
    """The torch build that the record ran with."""
    return chosen.build.torch if chosen.build is not None else _own_torch(chosen.held)


def _own_torch(held: Record) -> str | None:
    """The torch build that a record of this harness logged."""
    return next((run.torch for run in held.runs if run.torch), None)


# ------------------------------------------------------------------------------------------ running


def _asked(chosen: Plan) -> Hardware:
    """So many GPUs of any model: another model gives a loss to compare, if no time."""
    hardware = chosen.subject.track.hardware
    return dataclasses.replace(hardware, processes=chosen.processes, gpu_name=None)


def prepare(
    chosen: Plan, made: venv.Venv, *, allow_network: bool = True, progress: Progress | None = None
) -> execution.Prepared:
    """Check the machine for so many GPUs, then have the tokens; offered where the script looks for them."""
    here = computer.capture(torch=made.torch)
    track = chosen.subject.track
    computer.check(here, dataclasses.replace(track, hardware=_asked(chosen)))
    folder = chosen.needs.data if chosen.needs is not None else None
    found = chosen.subject
    if folder is not None and folder != track.data.folder and not obstacles.outside(folder):
        data = dataclasses.replace(track.data, folder=folder)
        found = dataclasses.replace(found, track=dataclasses.replace(track, data=data))
    ready = execution.prepare(found, here, allow_network=allow_network, progress=progress)
    return dataclasses.replace(ready, processes=chosen.processes, bare=chosen.upstream)


def run(
    project: Project,
    chosen: Plan,
    launcher: Launcher,
    ready: execution.Prepared,
    watcher: Watcher,
    finished: list[Metrics],
) -> None:
    """Make the runs and put each that finished into `finished`; raises RunError where one broke.

    What was made lies in `.runs/` and in the ledger.
    """
    sitting = secrets.token_hex(4)
    for number in range(1, chosen.runs + 1):
        run_id = run_files.new_run_id(chosen.subject.script_sha256)
        outcome = execution.execute(project, ready, run_id, sitting, launcher, watcher(run_id, number, chosen.runs))
        folder = run_files.run_folder(project, run_id)
        if outcome.state != "finished":
            cause = failure.explain(folder, outcome)
            said = f"run {number} of {chosen.runs} {cause.sentence}"
            again = "start the same command again: a record is run afresh each time"
            todo = again if outcome.state == "stopped" else execution.advice(outcome)
            error = RunError.at(project.show(folder), said, todo)
            error.lines = cause.last_lines
            raise error
        finished.append(gather.read_run(folder, chosen.subject.script, packed=False))


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
    own = [run.value for run in held.runs if run.role == "own" and run.metric == "val_loss" and run.value is not None]
    processes = f"{chosen.processes} process{'es' * (chosen.processes != 1)}"
    return ReplayResult(
        record=chosen.name,
        date=run_files.now()[:10],
        by=by,
        machine=here,
        gpus=f"{chosen.processes}× {here.gpus[0].name}" if here.gpus else f"no GPU, {processes}",
        script="original" if chosen.original else "reimplementation",
        script_sha256=chosen.subject.script_sha256,
        environment=environment,
        why_not=tuple(why_not),
        claimed_time_s=held.claimed.train_time_s,
        claimed_loss=stats.mean(own) if own else held.claimed.val_loss,
        own_losses=tuple(own),
        runs=tuple(
            ReplayedRun(run.run_id, run.seed, run.step, run.val_loss, run.train_time_s, run.wall_time_s) for run in made
        ),
        curve=points(curve, made),
    )


def points(curve: records.Curve, made: tuple[Metrics, ...]) -> tuple[CurvePoint, ...]:
    """The difference at every validation step of the record's curve, from the mean of the runs."""
    seen: dict[int, list[float]] = {}
    for run in made:
        for step, loss, _ in run.log.curve:
            seen.setdefault(step, []).append(loss)
    return tuple(
        CurvePoint(step, claimed, stats.mean(seen[step]) if step in seen else None) for step, claimed, _ in curve
    )
