"""Sort the runs of many logs into groups that can be averaged: one script, one number of steps, one kind of machine.

Folders do not decide it: authors keep two scripts in one folder, and one script in a folder per run. They only name a
group, and they tell apart the runs of a baseline and runs whose log holds no source.

Of a run of this harness, `run.json` lies beside the log. It says what the run was made for and which validation text it
was given: a loss on the text of another secret source is not averaged with the others, and each run of a probe stands
alone, because each is given tokens that were prepared otherwise.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import HarnessError
from harness.core.measurement import Purpose, RunLog
from harness.runlog.collection import Reading
from harness.store.run_files import LOG, RUN_FILE, read_run_file


@dataclass(frozen=True, slots=True)
class Group:
    """Runs of one script on one kind of machine, in the order of their paths."""

    name: str  # what the paths of its logs share, below what all logs share
    logs: tuple[RunLog, ...]
    names: tuple[str, ...]  # of each run: its path below what all logs share
    is_baseline: bool
    repeated: int  # logs left out because they hold a run that is here already
    given: str = ""  # what tells it from runs of the same script for another purpose, or on other text

    @property
    def label(self) -> str:
        """Its name, and what tells it from other runs of the script."""
        return f"{self.name}, {self.given}" if self.given else self.name

    @property
    def script(self) -> str | None:
        """The hash of the script that all its runs log."""
        return self.logs[0].script_sha256 or self.logs[0].source_sha256

    @property
    def gpus(self) -> tuple[int | None, str | None]:
        """How many GPUs of which name its runs were on, where their logs say it."""
        return _gpus(self.logs[0])


ALONE = ("prime", "probe", "dry")  # purposes of runs whose losses say nothing beside those of others
# What the logs tell; then by `run.json` beside them the purpose, and the hash of the validation text or of a run alone
# its path.
_Key = tuple[Hashable, Purpose | None, str | None]


def group(readings: Iterable[Reading], is_baseline: Callable[[str], bool] = lambda path: False) -> list[Group]:
    """Sort all runs that were read into groups, those of the baseline first; is_baseline: whether a path is one of it.

    The runs must have their curves: they tell whether two logs hold one run.
    """
    logs = [log for reading in readings for log in reading.runs]
    shared = _shared([log.path for log in logs])
    groups: dict[_Key, list[RunLog]] = {}
    repeated: Counter[_Key] = Counter()
    for base in (True, False):
        for log, copies in _once([log for log in logs if bool(is_baseline(log.path)) == base]):
            source = log.script_sha256 or log.source_sha256
            # Of a log without source nothing but its folder says what ran.
            where = None if source else os.path.dirname(os.path.abspath(log.path))
            steps = log.final_step if log.total_steps is None else log.total_steps
            key = (base, source, where, steps, _gpus(log)), *_given(log.path)
            groups.setdefault(key, []).append(log)
            repeated[key] += copies
    alike = Counter(key[0] for key in groups)
    made = [
        _made(mine, shared, bool(is_baseline(mine[0].path)), repeated[key], _said(*key[1:], several=alike[key[0]] > 1))
        for key, mine in groups.items()
    ]
    return sorted(made, key=lambda one: (not one.is_baseline, one.name, one.script or "", one.given))


def _given(path: str) -> tuple[Purpose | None, str | None]:
    """Read what a run of this harness was made for, and the hash of its validation text; nothing of other logs."""
    log = Path(path)
    if not log.name.startswith(LOG) or not (log.parent / RUN_FILE).is_file():
        return None, None
    try:
        run = read_run_file(log.parent)
    except HarnessError:
        return None, None
    if run.purpose in ALONE:
        return run.purpose, path
    text = run.data.shards[0].sha256 if run.data.shards else ""
    return run.purpose, text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def _said(purpose: Purpose | None, text: str | None, *, several: bool) -> str:
    """Say what sets a group apart; several: there is another one of the same script, steps and GPUs."""
    told = [] if purpose in (None, "judged") else [f"purpose {purpose}"]
    differs = several and text is not None and purpose not in ALONE
    return ", ".join([*told, *([f"validation text {text[:8]}"] if differs and text else [])])


def names(paths: Sequence[str]) -> list[str]:
    """Name each of some logs by its path below what they share."""
    shared = _shared(paths)
    return [os.path.relpath(path, shared) for path in paths]


def _once(logs: Sequence[RunLog]) -> list[tuple[RunLog, int]]:
    """Give each run once, with the number of further logs that hold it; of several logs the one that says most.

    Authors add the output of a run beside its log, or its last line alone, and copy folders.
    """
    kept: dict[Hashable, list[RunLog]] = {}
    copies: Counter[int] = Counter()
    for log in sorted(logs, key=lambda log: (log.source_sha256 is None, -len(log.curve))):
        figures = (log.final_step, log.final_val_loss, log.final_train_time_s)
        mine = kept.setdefault((log.path, log.run) if None in figures else figures, [])
        same = next((other for other in mine if _agree(log, other)), None)
        if same is None:
            mine.append(log)
        else:
            copies[id(same)] += 1
    there = {id(log) for mine in kept.values() for log in mine}
    return [(log, copies[id(log)]) for log in logs if id(log) in there]


def _agree(log: RunLog, other: RunLog) -> bool:
    """Whether nothing in two logs speaks against one run: their source, their start, the validations that both have."""
    points = {step: (loss, time) for step, loss, time in other.curve}
    said = ((log.source_sha256, other.source_sha256), (log.started_at, other.started_at))
    one_run = all(None in pair or pair[0] == pair[1] for pair in said)
    return one_run and all(points.get(step, (loss, time)) == (loss, time) for step, loss, time in log.curve)


def _made(logs: Sequence[RunLog], shared: str, is_baseline: bool, repeated: int, given: str) -> Group:
    paths = [log.path for log in logs]
    name = os.path.relpath(paths[0] if len(paths) == 1 else _shared(paths), shared)
    name = os.path.basename(shared) or shared if name == "." else name
    return Group(name, tuple(logs), tuple(_name(log, shared) for log in logs), is_baseline, repeated, given)


def _name(log: RunLog, shared: str) -> str:
    several = f" run {log.run}" if log.n_runs is not None and log.n_runs > 1 else ""
    return os.path.relpath(log.path, shared) + several


def _shared(paths: Sequence[str]) -> str:
    """Return the folder that all of these files lie below."""
    return os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths]) if paths else ""


def _gpus(log: RunLog) -> tuple[int | None, str | None]:
    return (log.world_size if log.gpu_count is None else log.gpu_count), log.gpu_name
