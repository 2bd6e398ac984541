"""Make the table that reviewers make of logs by hand: runs by script, steps and GPUs, and the baseline's first."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.core import stats
from harness.core.constraints import Text
from harness.core.errors import HarnessError, LogError
from harness.core.log_table import (
    GPU,
    MOST_GROUPS,
    MOST_RUNS,
    NAME,
    START,
    VERSION,
    Change,
    Checkpoint,
    LogTable,
    Sibling,
    TableGroup,
    TableRun,
)
from harness.core.measurement import RunLog
from harness.core.text import plural
from harness.runlog.collection import Reading
from harness.runlog.groups import Group, group
from harness.runlog.log_files import read_data
from harness.runlog.source import embedded_files
from harness.submission import codediff

TARGETS = {"short": 3.28, "medium": 2.92, "optimization": 3.28}
MARGIN = 0.004  # (target − mean)·√n that the optimization track asks for
_FOLDERS = {"track_1_short": "short", "track_2_medium": "medium", "track_3_optimization": "optimization"}


def read(readings: Iterable[Reading], baseline: str | None = None, *, target: float | None = None) -> LogTable:
    """Make the table of logs that were read with their curves; at least one of them gave a run.

    baseline: the folder or file that holds its runs, or the name or the first digits of the hash of a group; target: of
    the loss, by default that of the track whose folder of modded-nanogpt the logs lie in, else the nearest one. Raises
    HarnessError where `baseline` does not mean one group, and for logs of several tracks.
    """
    groups = grouped(readings, baseline)
    base = groups[0] if groups[0].is_baseline else None
    track = _track(groups)
    if target is None:
        target = TARGETS[track] if track else _nearest(groups)
    listed = groups[:MOST_GROUPS]
    made = tuple(
        dataclasses.replace(_group(one, target, track, base), near=_near(listed[:index], one))
        for index, one in enumerate(listed)
    )
    return LogTable(track, target, base is not None, made, len(groups) - len(listed))


def grouped(readings: Iterable[Reading], baseline: str | None = None) -> list[Group]:
    """Sort runs into groups, those of the baseline first; raises HarnessError where `baseline` does not mean one group."""
    if baseline is None:
        return group(readings)
    if not os.path.exists(baseline):
        return _named(group(readings), baseline)
    whole = os.path.realpath(baseline)
    groups = group(readings, lambda path: _lies_in(path, whole))
    _require_one([one for one in groups if one.is_baseline], baseline)
    return groups


def _near(before: Sequence[Group], one: Group) -> Sibling | None:
    """Say what differs from the first group before that has the same folder, steps and GPUs: often a seed alone."""
    for other in before:
        alike = other.is_baseline == one.is_baseline and other.gpus == one.gpus
        if alike and _place(other) == _place(one) and other.script and (change := _change(other, one)):
            return Sibling(other.script, change)
    return None


def _place(one: Group) -> tuple[str, int | None]:
    return os.path.dirname(one.names[0]), one.logs[0].total_steps


def _lies_in(path: str, whole: str) -> bool:
    real = os.path.realpath(path)
    return real == whole or real.startswith(whole + os.sep)


def _named(groups: Sequence[Group], name: str) -> list[Group]:
    """Mark the group that `name` means as the baseline, and put it first."""
    found = [one for one in groups if name.rstrip("/") in (one.name, one.label)] or [
        one for one in groups if len(name) >= 6 and (one.script or "").startswith(name)
    ]
    _require_one(found, name, groups)
    base = dataclasses.replace(found[0], is_baseline=True)
    return [base, *(one for one in groups if one is not found[0])]


def _require_one(found: Sequence[Group], name: str, known: Sequence[Group] = ()) -> None:
    if len(found) != 1:
        listed = "; ".join(f"{one.label} ({(one.script or 'no source')[:8]})" for one in known or found)
        what = f"{name!r} means {plural(len(found), 'group')} of runs"
        raise HarnessError.at(
            "--baseline", what, f"name one by its folder, its heading or its hash: {listed or 'it holds no log'}"
        )


def _track(groups: Sequence[Group]) -> Any:
    """Tell the track by the folder of modded-nanogpt that the logs lie in; None where they lie in none.

    Raises HarnessError where they lie in several, whose targets and rules differ.
    """
    parts = {part for one in groups for log in one.logs for part in Path(os.path.abspath(log.path)).parts}
    found = [track for folder, track in _FOLDERS.items() if folder in parts]
    if len(found) > 1:
        raise HarnessError.at("log", f"these logs are of {len(found)} tracks", "name those of one track")
    return found[0] if found else None


def _nearest(groups: Sequence[Group]) -> float:
    """Choose the target that the losses are nearest to: those of the tracks are 0.36 nats apart."""
    losses = [log.final_val_loss for one in groups for log in one.logs if log.final_val_loss is not None]
    middle = stats.median(losses) if losses else TARGETS["short"]
    return min(sorted(set(TARGETS.values()), reverse=True), key=lambda target: abs(target - middle))


def _group(one: Group, target: float, track: str | None, base: Group | None) -> TableGroup:
    logs = one.logs[:MOST_RUNS]
    reached = [log.final_step for log in one.logs if log.has_final_val and log.final_step is not None]
    steps = max(reached, default=None)
    curves = Counter(tuple(loss for _, loss, _ in log.curve) for log in one.logs)
    count, gpu = one.gpus
    return TableGroup(
        name=_shown(one.label),
        script=one.script,
        steps=steps,
        gpu_count=count or None,
        gpu_name=_fitting(GPU, gpu),
        runs=tuple(_run(log, name) for log, name in zip(logs, one.names, strict=False)),
        more_runs=len(one.logs) - len(logs),
        repeated=one.repeated,
        alike=sum(count for curve, count in curves.items() if len(curve) > 1 and count > 1),
        earliest=_earliest(logs, steps, target) if track == "optimization" else None,
        code=None if base in (None, one) else _change(base, one),
        near=None,  # `read` knows the groups before
    )


def _run(log: RunLog, name: str) -> TableRun:
    time = log.final_train_time_s
    return TableRun(
        name=_shown(name),
        last_step=log.final_step,
        loss=_loss(log.final_val_loss),
        ema_loss=_loss(log.final_val_ema_loss),
        time_s=time if time is not None and 0 < time < 1e7 else None,
        started_at=_fitting(START, log.started_at and log.started_at[:19]),
        torch=_fitting(VERSION, log.torch),
        driver=_fitting(VERSION, log.driver),
        seed=log.seed if log.seed is not None and -(2**63) <= log.seed < 2**64 else None,
        problems=len(log.problems),
    )


def _loss(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 1e6 else None


def _earliest(logs: Sequence[RunLog], steps: int | None, target: float) -> Checkpoint | None:
    """Find the first step that all complete runs validated at and where (target − mean)·√n reaches the margin."""
    curves = [
        {step: loss for step, loss, _ in log.curve} for log in logs if log.has_final_val and log.final_step == steps
    ]
    for step in sorted(set.intersection(*(set(curve) for curve in curves)) if curves else ()):
        losses = tuple(curve[step] for curve in curves)
        if all(abs(loss) < 1e6 for loss in losses) and stats.closed_form(losses, target) >= MARGIN - 1e-12:
            return Checkpoint(step, losses)
    return None


def _change(base: Group | None, one: Group) -> Change | None:
    """Count the lines of code between the scripts that two groups log; None where a log holds none, or all are equal."""
    if base is None or base.script == one.script:
        return None
    try:
        old, new = (embedded_files(read_data(Path(log.path)), log.path) for log in (base.logs[0], one.logs[0]))
    except LogError:
        return None
    found = codediff.diff(old, new)
    return Change(found.added, found.removed)


def _fitting(text: Text, value: str | None) -> str | None:
    """Return a value if it is one that a table may hold; what a log says in another form counts as not said."""
    return None if value is None or text.fault(value) else value


def _shown(name: str) -> str:
    """Write a path in printable characters, its end if it is too long."""
    name = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in name)
    return name if len(name) <= NAME.max_length else f"…{name[-NAME.max_length + 1 :]}"
