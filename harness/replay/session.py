"""Replay a record: run its script again and compare the result with the record's claim.

    the script, verified → the machine → its environment → the tokens → runs → claimed against replayed → replays/

Hard because it takes hours and may be interrupted at any point: what is certain to fail is refused first, and the runs
that had finished are compared and stored whatever ends it. A time counts only for the original on the track's own
hardware; everything else is compared in loss alone, and says why.
"""

import dataclasses
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from harness.core import stats
from harness.core.measurement import Machine, Metrics
from harness.core.text import plural
from harness.dataset.progress import Progress
from harness.evidence.gather import with_source
from harness.evidence.metrics import read_run
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import obstacles, venv
from harness.replay.outlook import check_machine, needed_hardware
from harness.replay.own_environment import make_environment
from harness.replay.plan import Plan
from harness.run import execution
from harness.run.series import Watcher, make_runs
from harness.store import records, replays, run_files
from harness.store.layout import Project
from harness.store.replays import CurvePoint, Environment, ReplayedRun, ReplayResult
from harness.submission.people import author
from harness.verdict.distance import distant


class ReplayWatcher(Protocol):
    """What is told how far a replay is."""

    watch: Watcher  # its runs

    def making(self) -> AbstractContextManager[None]: ...  # its environment
    def fetching(self) -> AbstractContextManager[Progress]: ...  # its tokens
    def result(self, result: ReplayResult, stored: Path) -> None: ...


def perform(project: Project, plan: Plan, watcher: ReplayWatcher, *, allow_network: bool = True) -> None:
    """Replay a record, from the check of the machine to the stored result.

    Where Ctrl-C, a failed run or a full disk ends it, the runs that had finished are compared and stored all the same
    before the exception is raised again. Raises HarnessError, before anything is made, where the machine cannot do it or
    git has no user.name.
    """
    check_machine(plan)
    by = author(project)
    with watcher.making():
        made, environment = make_environment(project, plan)
    with watcher.fetching() as progress:
        ready = prepare(plan, made, allow_network=allow_network, progress=progress)
    finished: list[Metrics] = []
    try:
        launcher = TorchrunLauncher(str(made.python))
        for run_id in make_runs(project, ready, plan.runs, launcher, watcher.watch):
            run = read_run(run_files.run_folder(project, run_id), plan.subject.script, packed=False)
            finished.append(comparable(plan, run))
    finally:
        if finished:
            here = computer.capture(torch=environment.torch)
            curve = records.read_curve(plan.subject.folder)
            result = compare(plan, environment, here, tuple(finished), by, curve)
            watcher.result(result, replays.add_replay(plan.subject.folder, result))


def prepare(
    plan: Plan, made: venv.Venv, *, allow_network: bool = True, progress: Progress | None = None
) -> execution.Prepared:
    """Check the machine for the number of GPUs, then fetch the tokens and place them where the script looks for them."""
    here = computer.capture(torch=made.torch)
    track = plan.subject.track
    computer.check(here, dataclasses.replace(track, hardware=needed_hardware(plan)))
    folder = plan.needs.data if plan.needs is not None else None
    subject = plan.subject
    if folder is not None and folder != track.data.folder and not obstacles.outside(folder):
        data = dataclasses.replace(track.data, folder=folder)
        subject = dataclasses.replace(subject, track=dataclasses.replace(track, data=data))
    ready = execution.prepare(subject, here, allow_network=allow_network, progress=progress)
    return dataclasses.replace(ready, processes=plan.processes, bare=plan.upstream, python=str(made.python))


def compare(
    plan: Plan, environment: Environment, here: Machine, made: tuple[Metrics, ...], by: str, curve: records.Curve
) -> ReplayResult:
    """Claimed against replayed."""
    held, why_not = plan.record, list(plan.loss_only)
    hardware = plan.subject.track.hardware
    names = {gpu.name for gpu in here.gpus}
    if hardware.kind == "gpu" and names != {hardware.gpu_name}:
        why_not.append(f"{', '.join(sorted(names)) or 'no GPU'}, not {hardware.gpu_name}")
    own = plan.own_losses
    return ReplayResult(
        record=plan.name,
        date=run_files.now()[:10],
        by=by,
        machine=here,
        gpus=f"{plan.processes}× {here.gpus[0].name}" if here.gpus else f"no GPU, {plural(plan.processes, 'process')}",
        script=plan.script,
        script_sha256=plan.subject.script_sha256,
        environment=environment,
        why_not=tuple(why_not),
        claimed_time_s=held.claimed.train_time_s,
        claimed_loss=plan.claimed_loss,
        own_losses=own,
        runs=tuple(
            ReplayedRun(run.run_id, run.seed, run.step, run.val_loss, run.train_time_s, run.wall_time_s) for run in made
        ),
        # The record's curve is of its original, also where another script was merged.
        curve=points(curve if own or plan.script != "merged" else (), made),
    )


def comparable(plan: Plan, run: Metrics) -> Metrics:
    """Return a run with losses that can be compared with the record's: distances, where the source was drawn anew."""
    return run if plan.subject.ruleset.above_entropy is None else distant(with_source(plan.subject, run))


def points(curve: records.Curve, made: tuple[Metrics, ...]) -> tuple[CurvePoint, ...]:
    """Return the difference at every validation step of the record's curve, from the mean of the runs."""
    seen: dict[int, list[float]] = {}
    for run in made:
        for step, loss, _ in run.log.curve:
            seen.setdefault(step, []).append(loss)
    return tuple(
        CurvePoint(step, claimed, stats.mean(seen[step]) if step in seen else None) for step, claimed, _ in curve
    )
