"""records/<track>/<slug>/replays/<date>_<machine>/: what later runs of a record gave. Add-only; nothing is replaced.

replay.json   who, when, where, with which environment, and claimed against replayed
runs.csv      one row per run
curve.csv     the validation losses of the canonical run beside the record's own
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import errno
import io
import itertools
import math
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.core import stats
from harness.core.codec import Form
from harness.core.errors import Problem, StoreError, raise_if
from harness.core.measurement import Machine
from harness.core.replayed import Label, Replayed, Script, Spread, within_spread
from harness.store.files import disk_error, write_atomic
from harness.store.scrub import own_names, scrub

REPLAYS, REPLAY = "replays", "replay.json"
MOST_LOSS = 1e6  # the square of a larger one might not be a number


@dataclass(frozen=True, slots=True)
class Environment:
    """What the replay ran with, beside what the record used."""

    label: Label
    torch: str | None
    python: str
    used_torch: str | None  # by the record
    differences: tuple[str, ...]  # "torch 2.10.0 for 2.10.0.dev20251210+cu126: a nightly build, …"
    tried: tuple[str, ...] = ()  # builds that could not be had, with pip's reason


@dataclass(frozen=True, slots=True)
class ReplayedRun:
    """One run of a replay."""

    id: str
    seed: int | None
    step: int | None
    val_loss: float | None
    train_time_s: float | None
    wall_time_s: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One validation step, claimed against replayed."""

    step: int
    claimed: float
    replayed: float | None
    difference: float | None


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """Claimed against replayed."""

    schema: int
    record: str  # "short/12"
    date: str
    by: str
    machine: Machine
    gpus: str  # "8× NVIDIA H100 80GB HBM3", or "no GPU, 2 processes"
    script: Script
    script_sha256: str
    environment: Environment
    time_counts: bool
    why_not: tuple[str, ...]  # reasons why the time says nothing of the record's
    claimed_time_s: float | None
    claimed_loss: float | None
    replayed_time_s: float | None
    replayed_loss: float | None
    time_ratio: float | None  # replayed / claimed; None where the time does not count
    loss_difference: float | None
    own_losses: tuple[float, ...]  # final losses of the record's own runs, which the next two rest on
    within_spread: Spread  # the replayed mean loss within the prediction interval of the record's own runs
    spread: str  # the sentence behind it
    runs: tuple[ReplayedRun, ...]
    curve: tuple[CurvePoint, ...]

    @property
    def mark(self) -> Replayed:
        """What a board says of it."""
        return Replayed(
            date=self.date,
            by=self.by,
            gpus=self.gpus,
            script=self.script,
            environment=self.environment.label,
            runs=len(self.runs),
            time_off=None if self.time_ratio is None else self.time_ratio - 1,
            loss_off=self.loss_difference,
            within_spread=self.within_spread,
        )


REPLAY_FORM = Form(ReplayResult, "json", (1,))


def add_replay(record_folder: Path, result: ReplayResult) -> Path:
    """Store a replay beside its record, under a name that is free; the folder appears whole or not at all.

    What names this machine or its user, other than the name in `by`, is taken out of the free texts.
    """
    result = scrubbed(result)
    name = f"{result.date}_{result.machine.fingerprint[:8]}"
    parent = record_folder / REPLAYS
    aside: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=parent))
        aside.chmod(0o755)
        write_atomic(aside / REPLAY, REPLAY_FORM.text(result))
        write_atomic(aside / "runs.csv", _table(ReplayedRun, result.runs))
        write_atomic(aside / "curve.csv", _table(CurvePoint, result.curve))
        return _take_free_name(aside, parent / name)
    except OSError as error:
        raise disk_error(parent, error) from error
    finally:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        with contextlib.suppress(OSError):
            parent.rmdir()  # only where it was made for nothing


def _take_free_name(aside: Path, wanted: Path) -> Path:
    """Rename to the wanted name, or to it with _2, _3 …; the kernel refuses a name that another replay has taken."""
    for number in itertools.count(1):
        target = wanted if number == 1 else wanted.with_name(f"{wanted.name}_{number}")
        try:
            aside.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return target
    raise AssertionError("counting never ends")


def scrubbed(result: ReplayResult) -> ReplayResult:
    """The result without homes, tokens, hosts and addresses in its free texts."""
    names = own_names()

    def clean(text: str) -> str:
        return scrub(text.encode(), names).decode()

    environment = dataclasses.replace(
        result.environment,
        differences=tuple(map(clean, result.environment.differences)),
        tried=tuple(map(clean, result.environment.tried)),
    )
    return dataclasses.replace(result, by=clean(result.by), environment=environment)


def read_replays(record_folder: Path) -> list[tuple[Path, ReplayResult]]:
    """All replays of a record, by date; raises StoreError with every problem of their files.

    They come by pull request, so the figures that a board shows must follow from the runs listed beside them.
    """
    if not (record_folder / REPLAYS).is_dir():
        return []
    found: list[tuple[Path, ReplayResult]] = []
    problems: list[Problem] = []
    for folder in sorted((record_folder / REPLAYS).iterdir()):
        if folder.name.startswith("."):
            continue  # of a replay that is being stored, or was killed while it was
        name = f"{record_folder.parent.name}/{record_folder.name}/{REPLAYS}/{folder.name}/{REPLAY}"
        try:
            result = REPLAY_FORM.read(folder / REPLAY, name=name)
        except StoreError as error:
            problems += error.problems
            continue
        problems += [Problem(name, what, "restore the file as speedrun wrote it") for what in contradictions(result)]
        found.append((folder, result))
    raise_if(problems, StoreError)
    return found


def contradictions(result: ReplayResult) -> list[str]:
    """What a result says of itself that cannot be."""
    found = []
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", result.date):
        found.append(f"{ascii(result.date)[:40]} is no date")
    if not result.runs:
        found.append("it has no runs")
    if result.time_counts and (result.script != "original" or result.why_not):
        found.append("its time counts, though it gives a reason why it does not")
    losses = [run.val_loss for run in result.runs if run.val_loss is not None]
    times = [run.train_time_s for run in result.runs if run.train_time_s is not None]
    loss, time = result.replayed_loss, result.replayed_time_s
    claimed_loss, claimed_time = result.claimed_loss, result.claimed_time_s
    ratio = time / claimed_time if result.time_counts and time is not None and claimed_time else None
    difference = None if loss is None or claimed_loss is None else loss - claimed_loss
    for what, told, follows in (
        ("the replayed loss", loss, stats.mean(losses) if losses else None),
        ("the replayed time", time, stats.mean(times) if times else None),
        ("the ratio of the times", result.time_ratio, ratio),
        ("the difference of the losses", result.loss_difference, difference),
    ):
        same = told == follows or (
            told is not None and follows is not None and math.isclose(told, follows, abs_tol=1e-9)
        )
        if not same:
            found.append(f"{what} is {told}, from its runs it is {follows}")
    if any(abs(value) > MOST_LOSS for value in (*result.own_losses, *losses)):
        return [*found, "it names a loss that no model has"]
    inside = within_spread(result.own_losses, losses)[0]
    if result.within_spread != inside:
        found.append(f"whether it lies within the spread is {result.within_spread!r}, from its runs it is {inside!r}")
    return found


def _table(kind: type[ReplayedRun] | type[CurvePoint], rows: tuple[object, ...]) -> str:
    columns = [field.name for field in dataclasses.fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if (v := getattr(row, c)) is None else v for c in columns] for row in rows])
    return text.getvalue()
