"""Print the runs that `log` read: by script, steps and GPUs, as the table of reviewers does, with a line for each run."""

from collections.abc import Sequence

from harness.board.log_markdown import difference
from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.measurement import RunLog
from harness.core.text import plural
from harness.runlog import groups
from harness.runlog.collection import Reading
from harness.runlog.groups import Group
from harness.ui import console

COLUMNS = ("log", "step", "val_loss", "train_time", "step_avg", "problems")


def say_groups(found: Sequence[Group], target: float | None) -> None:
    """Print groups of runs; target: of the loss, where the user named one."""
    base = next((one for one in found if one.is_baseline), None)
    for number, one in enumerate(found):
        if number:
            console.say("")
        console.say(_heading(one), style="bold")
        console.say_table(COLUMNS, [_row(name, run) for name, run in zip(one.names, one.logs, strict=True)])
        for line in _sums(one, base, target):
            console.say(f"  {line}")
    for one in found:
        for run in one.logs:
            _say_problems(run)


def say_ends(readings: Sequence[Reading]) -> None:
    """Print one line for the last run of each log, of which nothing but the end was read."""
    runs = [run for reading in readings for run in reading.runs]
    names = groups.names([run.path for run in runs])
    console.say_table(COLUMNS, [_row(name, run) for name, run in zip(names, runs, strict=True)])
    for run in runs:
        _say_problems(run)


def _say_problems(run: RunLog) -> None:
    for problem in run.problems:
        console.say(f"{run.path}:{problem.line}: {problem.kind}: {problem.text}")


def _heading(one: Group) -> str:
    run, (count, gpu) = one.logs[0], one.gpus
    steps = run.final_step if run.total_steps is None else run.total_steps
    parts = [
        one.label + (" (baseline)" if one.is_baseline else ""),
        f"script {one.script[:8]}" if one.script else "no source in its logs",
        "no step" if steps is None else f"{steps:,} steps",
        _hardware(count, gpu),
        f"torch {run.torch}" if run.torch else None,
    ]
    return ", ".join(part for part in parts if part)


def _hardware(count: int | None, gpu: str | None) -> str | None:
    """Name the GPUs of a group; a log that names none may be that of a run on CPUs."""
    if gpu is None:
        return None if count is None else f"{plural(count, 'process')}, no GPU named"
    return gpu if count is None else f"{count}× {gpu}"


def _sums(one: Group, base: Group | None, target: float | None) -> list[str]:
    """Sum up the complete runs of a group, and what it is held against."""
    lines = [f"{plural(one.repeated, 'further log')} of the same runs left out"] if one.repeated else []
    times, losses = _times(one), _losses(one)
    if len(one.logs) > 1 and losses:
        said = f"{plural(len(losses), 'complete run')}: val_loss {_mean(losses, '.5f')}{_p(losses, target)}"
        lines.append(said + (f", train_time {_mean(times, '.3f', ' s')}" if times else ""))
    if base is not None and base is not one and losses and _losses(base):
        alike = one.gpus == base.gpus and times and _times(base)
        time = f"train_time {difference(times, _times(base), '.3f', share=True)}, " if alike else ""
        lines.append(f"to the baseline: {time}val_loss {difference(losses, _losses(base), '.5f', share=False)}")
    return lines


def _p(losses: Sequence[float], target: float | None) -> str:
    if target is None:
        return ""
    try:
        return f" (p = {stats.t_below(losses, target):.2g} at {target:g})"
    except StatisticsError:
        return f" (no p at {target:g})"


def _mean(values: Sequence[float], form: str, unit: str = "") -> str:
    return f"{stats.mean(values):{form}}{unit}" + (f" ± {stats.sd(values):{form}}" if len(values) > 1 else "")


def _losses(one: Group) -> list[float]:
    return [run.final_val_loss for run in one.logs if run.has_final_val and run.final_val_loss is not None]


def _times(one: Group) -> list[float]:
    return [run.final_train_time_s for run in one.logs if run.has_final_val and run.final_train_time_s is not None]


def _row(name: str, run: RunLog) -> tuple[str, ...]:
    """Format one line of the table; a value that the log lacks is a dash, and a loss has the decimals of the log."""

    def show(value: object, form: str = "{}") -> str:
        return "-" if value is None else form.format(value)

    loss = show(run.final_val_loss if run.final_val_text is None else run.final_val_text)
    if run.final_val_ema_loss is not None:
        places = len(loss.partition(".")[2]) or 4
        loss += f" (ema {run.final_val_ema_loss:.{places}f})"
    problems = [f"{len(run.problems)}"] if run.problems else []
    problems += _unfinished(run)
    return (
        name,
        f"{show(run.final_step)}/{show(run.total_steps)}",
        loss,
        show(run.final_train_time_s, "{:.3f} s"),
        show(run.step_avg_ms, "{:.2f} ms"),
        ", ".join(problems) or "none",
    )


def _unfinished(run: RunLog) -> list[str]:
    """Say how a run ended early: aborted, or on purpose, as in the optimization track at the target."""
    ends = []
    if run.reached_last_step is False:
        ends.append(f"ends at step {run.final_step} of {run.total_steps}")
    if not run.has_final_val:
        ends.append("no loss at its last step")
    return ends
