"""records/<track>/<slug>/replays/<date>_<machine>/: what later runs of a record gave. Add-only; nothing is replaced.

replay.json   who, when, where, with which environment, and claimed against replayed
runs.csv      one row per run
curve.csv     the validation losses of the canonical run beside the record's own
"""

from __future__ import annotations

import csv
import dataclasses
import io
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness import jsonform
from harness.errors import StoreError
from harness.schema import Machine
from harness.store.files import disk_error, write_atomic

REPLAYS, REPLAY = "replays", "replay.json"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the replay ran with, beside what the record used."""

    label: str  # exact | substituted
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
    script: str  # original | reimplementation
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
    within_spread: str  # yes | no | unknown: the replayed mean loss within the spread of the record's own runs
    spread: str  # the sentence behind it
    runs: tuple[ReplayedRun, ...]
    curve: tuple[CurvePoint, ...]


def add_replay(record_folder: Path, result: ReplayResult) -> Path:
    """Store a replay beside its record, under a name that is free; the folder appears whole or not at all."""
    name = f"{result.date}_{result.machine.fingerprint[:8]}"
    parent = record_folder / REPLAYS
    aside = parent / f".{name}.new"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        write_atomic(aside / REPLAY, jsonform.to_text(result))
        write_atomic(aside / "runs.csv", _table(ReplayedRun, result.runs))
        write_atomic(aside / "curve.csv", _table(CurvePoint, result.curve))
        number = 1
        while True:
            target = parent / (name if number == 1 else f"{name}_{number}")
            if not target.exists():
                aside.rename(target)
                return target
            number += 1
    except OSError as error:
        raise disk_error(parent, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_replays(record_folder: Path) -> list[tuple[Path, ReplayResult]]:
    """All replays of a record, by date; raises StoreError naming the file that cannot be read."""
    found = []
    for path in sorted((record_folder / REPLAYS).glob(f"*/{REPLAY}")):
        result = jsonform.read(path, ReplayResult, name=f"{record_folder.name}/{REPLAYS}/{path.parent.name}/{REPLAY}")
        if result.schema != 1:
            raise StoreError.at(path, f"schema {result.schema} is unknown", "this harness reads schema 1")
        found.append((path.parent, result))
    return found


def _table(kind: type[ReplayedRun] | type[CurvePoint], rows: tuple[object, ...]) -> str:
    columns = [field.name for field in dataclasses.fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if (v := getattr(row, c)) is None else v for c in columns] for row in rows])
    return text.getvalue()
