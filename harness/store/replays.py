"""What later runs of a record gave: records/<track>/<slug>/replays/<date>_<machine>/replay.json.

Add-only; nothing is replaced. The files come by pull request, so they hold who, when, where and what was seen, and
every figure that a board shows is computed from that when it is read.
"""

import contextlib
import dataclasses
import errno
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from harness.core import stats
from harness.core.codec import Form, encode
from harness.core.constraints import Loss, Several, Text
from harness.core.errors import StoreError, read_all
from harness.core.measurement import Machine
from harness.core.record import Label, Replayed, Script, Spread
from harness.core.text import plural
from harness.store.files import disk_error, temporary_folder, write_atomic
from harness.store.scrub import own_names, scrub

REPLAYS, REPLAY = "replays", "replay.json"
SCHEMA = 2  # 1 held computed figures too
# What follows from the rest. Files of schema 1 held these too.
COMPUTED = (
    *("time_counts", "replayed_time_s", "replayed_loss"),
    *("time_ratio", "loss_difference", "within_spread", "spread"),
)


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
    val_loss: Loss | None
    train_time_s: float | None
    wall_time_s: float | None


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One validation step, claimed against replayed."""

    step: int
    claimed: float
    replayed: float | None

    @property
    def difference(self) -> float | None:
        return None if self.replayed is None else self.replayed - self.claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayResult:
    """Claimed against replayed: what was stored is what was seen, and what follows from it is computed here."""

    record: str  # "short/12"
    date: Annotated[str, Text("a date like 2026-07-17", r"\d{4}-\d{2}-\d{2}")]
    by: str
    machine: Machine
    gpus: str  # "8× NVIDIA H100 80GB HBM3", or "no GPU, 2 processes"
    script: Script
    script_sha256: str
    environment: Environment
    why_not: tuple[str, ...]  # reasons why the time says nothing of the record's
    claimed_time_s: float | None
    claimed_loss: float | None
    own_losses: tuple[Loss, ...]  # final losses of the record's own runs
    runs: Several[ReplayedRun]
    curve: tuple[CurvePoint, ...]

    @property
    def replayed_losses(self) -> list[float]:
        return [run.val_loss for run in self.runs if run.val_loss is not None]

    @property
    def replayed_loss(self) -> float | None:
        return stats.mean(self.replayed_losses) if self.replayed_losses else None

    @property
    def replayed_time_s(self) -> float | None:
        times = [run.train_time_s for run in self.runs if run.train_time_s is not None]
        return stats.mean(times) if times else None

    @property
    def time_ratio(self) -> float | None:
        """Replayed / claimed; None where the time does not count."""
        if self.script == "reimplementation" or self.why_not or self.replayed_time_s is None or not self.claimed_time_s:
            return None
        return self.replayed_time_s / self.claimed_time_s

    @property
    def loss_difference(self) -> float | None:
        """Replayed − claimed, nats per token."""
        loss = self.replayed_loss
        return None if loss is None or self.claimed_loss is None else loss - self.claimed_loss

    @property
    def time_counts(self) -> bool:
        return self.time_ratio is not None

    @property
    def within_spread(self) -> Spread:
        return within_spread(self.own_losses, self.replayed_losses)[0]

    @property
    def spread(self) -> str:
        """The sentence behind `within_spread`."""
        return within_spread(self.own_losses, self.replayed_losses)[1]

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

    def with_figures(self) -> dict[str, Any]:
        """Return all that is stored and all that follows from it, as plain JSON values."""
        return {"schema": SCHEMA, **encode(self), **{name: getattr(self, name) for name in COMPUTED}}


def within_spread(own: Sequence[float], replayed: Sequence[float]) -> tuple[Spread, str]:
    """Tell whether the mean of replayed losses is one that the record's own runs let expect, with a sentence on why.

    The rule is the 95 % prediction interval of the mean of so many further runs. Unknown where fewer than two own runs,
    or equal ones, have no spread, and where nothing was replayed.
    """
    n, m = len(own), len(replayed)
    if not m:
        return "unknown", "the replay printed no final loss"
    if n < 2:
        return "unknown", f"{plural(n, 'own run')} of the record, so its spread is not known"
    centre, spread = stats.mean(own), stats.sd(own)
    if spread == 0.0:
        return "unknown", f"its {n} own runs all end at {centre:.4f}, so its spread is not known"
    reach = stats.prediction_range(own, m)
    what = "1 further run" if m == 1 else f"the mean of {m} further runs"
    said = (
        f"its {n} own runs lie at {centre:.4f} ± {spread:.4f}, which lets expect {what} within ± {reach:.4f} "
        "(95 % prediction interval)"
    )
    return ("yes" if abs(stats.mean(replayed) - centre) <= reach else "no"), said


def _without_computed(data: dict[str, Any]) -> dict[str, Any]:
    """Return the plain values of a file of schema 1 without the figures that it held twice; they are not believed."""
    if data.get("schema") != 1:
        return data
    kept = {key: value for key, value in data.items() if key not in COMPUTED}
    points = data.get("curve")
    if isinstance(points, tuple) and all(isinstance(point, dict) for point in points):
        kept["curve"] = tuple({k: v for k, v in point.items() if k != "difference"} for point in points)
    return kept


REPLAY_FORM = Form(ReplayResult, "json", (1, SCHEMA), upgrade=_without_computed)


def add_replay(record_folder: Path, result: ReplayResult) -> Path:
    """Store a replay beside its record, under a name that is free; the folder appears whole or not at all.

    What names this machine or its user, other than the name in `by`, is taken out of the free texts.
    """
    result = scrubbed(result)
    name = f"{result.date}_{result.machine.fingerprint[:8]}"
    parent = record_folder / REPLAYS
    try:
        with temporary_folder(parent / name) as aside:
            write_atomic(aside / REPLAY, REPLAY_FORM.text(result))
            return take_free_name(aside, parent / name)
    except OSError as error:
        raise disk_error(parent, error) from error
    finally:
        with contextlib.suppress(OSError):
            parent.rmdir()  # only where it was made for nothing


def take_free_name(aside: Path, wanted: Path) -> Path:
    """Rename to the wanted name, or to it with _2, _3 …; the kernel refuses a name that is taken. Raises OSError."""
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
    """Return the result without homes, tokens, hosts and addresses in its free texts."""
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
    """Return all replays of a record, by date; raises StoreError with every problem of their files."""
    parent = record_folder / REPLAYS
    name = f"{record_folder.parent.name}/{record_folder.name}/{REPLAYS}"

    def read(folder: Path) -> tuple[Path, ReplayResult]:
        return folder, REPLAY_FORM.read(folder / REPLAY, name=f"{name}/{folder.name}/{REPLAY}")

    # A name with a dot is of a replay that is being stored, or was killed while it was.
    folders = (f for f in sorted(parent.iterdir()) if not f.name.startswith(".")) if parent.is_dir() else ()
    return read_all(read, folders, StoreError)
