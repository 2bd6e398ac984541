"""Say what is odd in a table of logs: what a reader would have to know before he believes one of its means.

Each is a sentence made here from the figures; no text of a log stands in it but versions and names of runs.
"""

import datetime
import itertools
from collections import Counter
from collections.abc import Callable, Sequence

from harness.core import stats
from harness.core.log_table import LogTable, TableGroup, TableRun
from harness.core.text import plural

RECORD_GPUS = (8, "NVIDIA H100 80GB HBM3")  # of both tracks that rank time
SESSION_GAP_S = 3 * 3600.0  # two runs that start so far apart are of two sessions; the longest runs take half an hour
_FEW = 3  # names that a sentence lists


def of_group(table: LogTable, one: TableGroup, name: Callable[[str], str]) -> list[str]:
    """Say what is odd in the runs of one group; `name` writes the name of a run or a version."""
    said = [*_lost(one, name), *_averaged(table, one), *_same(one), *_machine(table, one, name), *_sessions(one)]
    return said + (_against(table.groups[0], one, name) if table.has_baseline and one is not table.groups[0] else [])


def _lost(one: TableGroup, name: Callable[[str], str]) -> list[str]:
    said = []
    lost = [run for run in one.runs if not run.is_complete(one.steps)]
    if lost:
        ends = [f"{name(run.name)} at step {run.last_step}" for run in lost[:_FEW]]
        more = f" and {len(lost) - _FEW} more" if len(lost) > _FEW else ""
        said.append(
            f"{plural(len(lost), 'run')} without a loss at the last step, in no figure: {', '.join(ends)}{more}"
        )
    if one.more_runs:
        said.append(f"{plural(one.more_runs, 'further run')} in no figure, because a table holds {len(one.runs)}")
    if one.repeated:
        said.append(f"{plural(one.repeated, 'further log')} of the same runs left out")
    timeless = sum(run.time_s is None for run in one.complete)
    if timeless and timeless < len(one.complete):
        said.append(f"{plural(timeless, 'run')} without a time")
    damaged = sum(run.problems > 0 for run in one.runs)
    if damaged:
        said.append(f"odd lines in {plural(damaged, 'log')}, which `speedrun log` lists")
    return said


def _averaged(table: LogTable, one: TableGroup) -> list[str]:
    losses = [run.ema_loss for run in one.complete if run.ema_loss is not None]
    if not losses:
        return []
    mean = stats.mean(losses)
    return [f"val_ema_loss is printed too: mean {mean:.5f} of {len(losses)}, {table.target - mean:.5f} left"]


def _same(one: TableGroup) -> list[str]:
    """Find runs that are not independent: equal curves, or one seed."""
    said = ["one run: no spread and no p"] if len(one.complete) == 1 else []
    if one.script is None:
        said.append("no source in the logs, so whether they ran one script is not known")
    if one.near is not None:
        change = one.near.change
        by = f"by +{change.added} −{change.removed} lines" if change.added or change.removed else "in no line"
        said.append(f"its script differs from {one.near.script[:8]} {by} of code")
    if one.alike:
        said.append(f"{one.alike} runs have the validation curve of another run")
    seeds = Counter(run.seed for run in one.complete if run.seed is not None)
    twice = sum(count for count in seeds.values() if count > 1)
    if twice:
        said.append(f"{twice} runs print the seed of another run")
    return said


def _machine(table: LogTable, one: TableGroup, name: Callable[[str], str]) -> list[str]:
    said = []
    if table.track != "optimization" and (one.gpu_count is None or one.gpu_name is None):
        said.append("the logs do not say which GPUs")
    elif table.track != "optimization" and (one.gpu_count, one.gpu_name) != RECORD_GPUS:
        said.append("not the GPUs of a record (8× NVIDIA H100 80GB HBM3)")
    for what, found in (("torch", _all(one, "torch")), ("driver", _all(one, "driver"))):
        if len(found) > 1:
            said.append(f"{len(found)} versions of {what}: {', '.join(name(text) for text in found[:_FEW])}")
    return said


def _sessions(one: TableGroup) -> list[str]:
    """Say whether all runs are of one session, whose losses need not be independent."""
    starts = _starts(one.complete)
    if len(starts) < 2 or len(starts) < len(one.complete):
        return []
    gaps = [(b - a).total_seconds() for a, b in itertools.pairwise(starts)]
    if max(gaps) > SESSION_GAP_S:
        return []
    minutes = (starts[-1] - starts[0]).total_seconds() / 60
    return [f"one session: all {len(starts)} runs began within {minutes:.0f} min"]


def _against(base: TableGroup, one: TableGroup, name: Callable[[str], str]) -> list[str]:
    """Say why a difference to the baseline may be more, or other, than one of the scripts."""
    said = ["the baseline's script"] if one.script is not None and one.script == base.script else []
    if (one.gpu_count, one.gpu_name) != (base.gpu_count, base.gpu_name):
        return [*said, "other GPUs than the baseline's, so no difference in time"]
    for what in ("torch", "driver"):
        mine, its = _all(one, what), _all(base, what)
        if mine and its and mine != its:
            said.append(f"{what} {name(mine[0])}, the baseline {name(its[0])}")
    starts, others = _starts(one.complete), _starts(base.complete)
    if starts and others:
        apart = max((starts[0] - others[-1]).total_seconds(), (others[0] - starts[-1]).total_seconds())
        if apart > 24 * 3600:
            said.append(f"{apart / 86400:.0f} days from the baseline's runs, so perhaps on another machine")
        elif apart > 0:
            order = "after" if starts[0] > others[-1] else "before"
            said.append(f"all its runs began {order} the baseline's, so a drift of the machine is in the difference")
    return said


def _all(one: TableGroup, what: str) -> list[str]:
    return sorted({text for run in one.complete if (text := getattr(run, what)) is not None})


def _starts(runs: Sequence[TableRun]) -> list[datetime.datetime]:
    """Give when runs began, sorted; a time that no calendar has is left out."""
    starts = []
    for run in runs:
        try:
            starts.append(datetime.datetime.fromisoformat(run.started_at or ""))
        except ValueError:
            continue
    return sorted(starts)
