"""Replay a record: run its script again and compare the result with the record's claim.

    the script, verified → the machine → its environment → the tokens → runs → claimed against replayed → replays/

Hard because it takes hours and may be interrupted at any point: what is certain to fail is refused first, and the runs
that had finished are compared and stored whatever ends it. A time counts only for the original on the track's own
hardware; everything else is compared in loss alone, and says why.
"""

from __future__ import annotations

import dataclasses
import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from harness.core import stats
from harness.core.errors import RunError
from harness.core.measurement import Machine, Metrics
from harness.core.replayed import within_spread
from harness.dataset.progress import Progress
from harness.evidence import gather
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import obstacles, venv
from harness.replay.outlook import check_machine, needed_hardware
from harness.replay.own_environment import make_environment
from harness.replay.plan import Plan
from harness.run import execution, failure
from harness.run.series import Watcher
from harness.store import records, replays, run_files
from harness.store.layout import Project
from harness.store.replays import CurvePoint, Environment, ReplayedRun, ReplayResult
from harness.submission.draft import author


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
        run(project, plan, TorchrunLauncher(str(made.python)), ready, watcher.watch, finished)
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
    return dataclasses.replace(ready, processes=plan.processes, bare=plan.upstream)


def run(
    project: Project,
    plan: Plan,
    launcher: Launcher,
    ready: execution.Prepared,
    watcher: Watcher,
    finished: list[Metrics],
) -> None:
    """Make the runs and put each that finished into `finished`; raises RunError where one failed.

    All of it is stored in `.runs/` and in the ledger.
    """
    series = secrets.token_hex(4)
    for number in range(1, plan.runs + 1):
        run_id = run_files.new_run_id(plan.subject.script_sha256)
        outcome = execution.execute(project, ready, run_id, series, launcher, watcher(run_id, number, plan.runs))
        folder = run_files.run_folder(project, run_id)
        if outcome.state != "finished":
            cause = failure.explain(folder, outcome)
            said = f"run {number} of {plan.runs} {cause.sentence}"
            again = "start the same command again: a record is run afresh each time"
            todo = again if outcome.state == "stopped" else execution.advice(outcome)
            error = RunError.at(project.show(folder), said, todo)
            error.lines = cause.last_lines
            raise error
        finished.append(gather.read_run(folder, plan.subject.script, packed=False))


def compare(
    plan: Plan, environment: Environment, here: Machine, made: tuple[Metrics, ...], by: str, curve: records.Curve
) -> ReplayResult:
    """Claimed against replayed."""
    held, why_not = plan.record, list(plan.loss_only)
    hardware = plan.subject.track.hardware
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
    processes = f"{plan.processes} process{'es' * (plan.processes != 1)}"
    within, spread = within_spread(own, losses)
    return ReplayResult(
        schema=1,
        record=plan.name,
        date=run_files.now()[:10],
        by=by,
        machine=here,
        gpus=f"{plan.processes}× {here.gpus[0].name}" if here.gpus else f"no GPU, {processes}",
        script="original" if plan.original else "reimplementation",
        script_sha256=plan.subject.script_sha256,
        environment=environment,
        time_counts=counts,
        why_not=tuple(why_not),
        claimed_time_s=claimed_time,
        claimed_loss=claimed_loss,
        replayed_time_s=time,
        replayed_loss=loss,
        time_ratio=time / claimed_time if counts and time is not None and claimed_time else None,
        loss_difference=None if loss is None or claimed_loss is None else loss - claimed_loss,
        own_losses=tuple(own),
        within_spread=within,
        spread=spread,
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
    rows = []
    for step, claimed, _ in curve:
        mean = stats.mean(seen[step]) if step in seen else None
        rows.append(CurvePoint(step, claimed, mean, None if mean is None else mean - claimed))
    return tuple(rows)
