"""Make the runs of a try within its budget and read what they measured."""

import dataclasses
import math
import secrets
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.core.measurement import Metrics, RunOutcome
from harness.core.text import plural
from harness.dataset import prepared
from harness.evidence.gather import with_source
from harness.evidence.metrics import read_run
from harness.launch.launcher import Launcher
from harness.run import execution
from harness.run.execution import Prepared
from harness.run.failure import explain
from harness.run.series import Watcher
from harness.screening.answer import Answer, Order, Status, TriedRun, figure, plain
from harness.screening.labels import label_of
from harness.store import run_files
from harness.store.layout import Project
from harness.verdict.distance import distant

LAST_LINES = 20


def make(project: Project, ready: Prepared, order: Order, launcher: Launcher, watcher: Watcher) -> Answer:
    """Make the runs of a try, one after the other, until one breaks or the budget is spent."""
    made: list[tuple[Path, RunOutcome]] = []
    name = secrets.token_hex(4)
    count = 1 if ready.dry else order.runs
    try:
        for number in range(1, count + 1):
            left = left_s(order, ready, made)
            if left is not None and left <= 0:
                break
            run_id = run_files.new_run_id(ready.subject.script_sha256)
            limited = dataclasses.replace(ready, limit_s=left)
            outcome = execution.execute(project, limited, run_id, name, launcher, watcher(run_id, number, count))
            made.append((run_files.run_folder(project, run_id), outcome))
            if outcome.state != "finished":
                break
    finally:
        prepared.discard(ready.fetched.folder)  # of a secret source; the track's own stay
    wall = sum(outcome.wall_time_s for _, outcome in made)
    return dataclasses.replace(
        answer_of(project, ready, order, made),
        wall_time_s=round(wall, 3),
        gpu_hours=round(wall * ready.processes / 3600, 6),
    )


def left_s(order: Order, ready: Prepared, made: list[tuple[Path, RunOutcome]]) -> float | None:
    """Return the seconds of wall time that the budget leaves for the next run; None without a budget."""
    if order.budget_gpu_hours is None:
        return None
    return order.budget_gpu_hours * 3600 / ready.processes - sum(outcome.wall_time_s for _, outcome in made)


def answer_of(project: Project, ready: Prepared, order: Order, made: list[tuple[Path, RunOutcome]]) -> Answer:
    """Say what became of the runs that were made."""
    subject = ready.subject
    runs = tuple(describe(project, subject, folder, outcome) for folder, outcome in made)

    def answer(status: Status, label: str | None, message: str) -> Answer:
        return dataclasses.replace(plain(subject.name, subject, order, status, label, message), runs=runs)

    folder, outcome = made[-1] if made else (None, None)
    spent_s = left_s(order, ready, made[:-1])
    if folder is not None and outcome is not None and outcome.state != "finished":
        why, lines = explain(folder, outcome)
        if outcome.state == "stopped" and spent_s is not None and outcome.wall_time_s >= spent_s:
            found = answer("over_budget", "budget", f"the run was ended when its budget was spent ({_budget(order)})")
        elif outcome.state == "hung" or outcome.state == "stopped":
            found = answer("timed_out", "hang" if outcome.state == "hung" else "time_limit", f"the run {why}")
        else:
            found = answer("crashed", label_of(outcome, lines), f"the run {why}")
        return dataclasses.replace(found, lines=lines[-LAST_LINES:])
    if not ready.dry and len(made) < order.runs:
        done = f"{len(made)} of {plural(order.runs, 'run')}"
        return answer("over_budget", "budget", f"the budget was spent after {done} ({_budget(order)})")
    if ready.dry:
        return answer("passed", None, "the run scaled down on synthetic data came to its end")
    return weigh(subject, [read(subject, folder) for folder, _ in made], answer("passed", None, ""))


def _budget(order: Order) -> str:
    return f"{order.budget_gpu_hours:g} GPU hours"


def weigh(subject: Subject, runs: list[Metrics], answer: Answer) -> Answer:
    """Compare what whole runs printed with the target."""
    losses = [run.val_loss for run in runs if run.val_loss is not None and math.isfinite(run.val_loss)]
    if len(losses) < len(runs):
        said = "a run ended without a finite loss at its last step"
        odd = any(problem.kind == "non-finite-loss" for run in runs for problem in run.log.problems)
        return dataclasses.replace(answer, status="failed", label="nan" if odd else "log", message=said)
    above = subject.ruleset.above_entropy is not None
    loss = figure("val_loss above the entropy of its source" if above else "val_loss", "nats per token", losses)
    answer = dataclasses.replace(answer, loss=loss)
    target = answer.target
    assert target is not None
    if loss.mean >= target:
        message = f"mean loss {loss.mean:.4f} of {plural(loss.n, 'run')}, not below {target:g}"
        return dataclasses.replace(answer, status="failed", label="target", message=message)
    by_steps = subject.track.metric == "steps"
    values = [run.step if by_steps else run.train_time_s for run in runs]
    known = [float(value) for value in values if value is not None]
    metric = (
        figure("steps" if by_steps else "train_time", "steps" if by_steps else "s", known)
        if len(known) == len(runs)
        else None
    )
    unit = "" if metric is None else f" in {metric.mean:g} {metric.unit}"
    message = f"mean loss {loss.mean:.4f} of {plural(loss.n, 'run')}, below {target:g}{unit}; never judged"
    return dataclasses.replace(answer, metric=metric, message=message)


def read(subject: Subject, folder: Path) -> Metrics:
    """Read a run of this machine; under a secret source its losses are distances to the entropy."""
    run = read_run(folder, subject.script, packed=False)
    return run if subject.ruleset.above_entropy is None else distant(with_source(subject, run))


def describe(project: Project, subject: Subject, folder: Path, outcome: RunOutcome) -> TriedRun:
    """Say what is known of one run, however it ended."""
    log = project.show(folder / run_files.LOG)
    try:
        run = read_run(folder, subject.script, packed=False)
    except HarnessError:  # a log that is none: the run broke before it printed
        return TriedRun(folder.name, outcome.state, None, None, None, None, outcome.wall_time_s, log)
    finite = run.val_loss if run.val_loss is not None and math.isfinite(run.val_loss) else None
    return TriedRun(run.run_id, outcome.state, run.seed, run.step, finite, run.train_time_s, outcome.wall_time_s, log)
