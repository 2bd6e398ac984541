"""Stored same-machine comparisons in, the one that a maintainer's decision rests on out.

Seconds of two machines cannot be compared, so on the tracks that rank by time a record is judged by runs of both
scripts on one machine: `.runs/comparisons/*.json`, written by `speedrun compare`. The newest decided one counts.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import subject
from harness.errors import StoreError
from harness.schema import Record
from harness.store import records
from harness.store.layout import Project
from harness.subject import Subject

DECIDED = ("faster", "tie", "slower")
MAX_COMPARISON_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One run of a comparison."""

    run: str
    arm: str  # A or B
    train_time_s: float
    val_loss: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `speedrun compare` stored, as far as accepting needs it; figures are of B against A."""

    path: Path
    track: str
    a: str  # subject, records/<track>/<slug>
    a_sha256: str
    b_sha256: str
    outcome: str
    gain: float | None  # the share of A's train time that B saves
    interval: tuple[float, float] | None
    pairs: int
    started_at: str  # UTC
    gpus: tuple[str, ...]
    cpu: str
    runs: tuple[ComparedRun, ...]

    def sentence(self, a: str) -> str:
        """The outcome in words; `a` is how people call the record that it was compared with."""
        machine = f"{len(self.gpus)}× {self.gpus[0]}" if self.gpus else self.cpu
        where = f"on one machine ({machine}, {self.started_at[:10]}, {self.pairs} pairs)"
        if self.gain is None or self.outcome == "tie":
            return f"{where}: a tie with {a}"
        between = (
            "" if self.interval is None else " (95 %: {:+.2f} to {:+.2f})".format(*(-100 * g for g in self.interval))
        )
        return f"{where}: {-100 * self.gain:+.2f} % of the time of {a}{between}"


def read_comparisons(project: Project) -> list[Comparison]:
    """All comparisons of this machine, the newest first; raises StoreError naming a file that is none."""
    found = []
    for path in (project.runs / "comparisons").glob("*.json"):
        try:
            if path.stat().st_size > MAX_COMPARISON_BYTES:
                raise ValueError("it is too large")
            found.append(_comparison(path, json.loads(path.read_bytes())))
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            why = f"is no comparison ({type(error).__name__}: {error})"
            raise StoreError.at(project.show(path), why, "restore it as `speedrun compare` wrote it") from None
    return sorted(found, key=lambda c: (c.started_at, c.path.name), reverse=True)


def _comparison(path: Path, data: dict[str, Any]) -> Comparison:
    return Comparison(
        path=path,
        track=data["track"],
        a=data["a"]["subject"],
        a_sha256=data["a"]["script_sha256"],
        b_sha256=data["b"]["script_sha256"],
        outcome=data["outcome"],
        gain=None if data["gain"] is None else float(data["gain"]),
        interval=None if data["interval"] is None else (float(data["interval"][0]), float(data["interval"][1])),
        pairs=int(data["pairs"]),
        started_at=datetime.datetime.fromisoformat(data["started_at"]).isoformat(),
        gpus=tuple(str(gpu["name"]) for gpu in data["machine"]["gpus"]),
        cpu=str(data["machine"]["cpu"]),
        runs=tuple(
            ComparedRun(
                run=str(run["run"]),
                arm=str(run["arm"]),
                train_time_s=float(run["train_time_s"]),
                val_loss=None if run["val_loss"] is None else float(run["val_loss"]),
            )
            for run in data["runs"]
        ),
    )


def called(record: Record, held: Sequence[Record]) -> str:
    """A record's name as people write it: short/12, or short/21.1."""
    return f"{record.track}/{records.display_number(record, held)}"


def find_comparison(project: Project, found: Subject, best: Record) -> Comparison:
    """The newest decided comparison of the current record (A) with `found` (B); raises StoreError where there is none."""
    held = records.read_records(project)
    twins = {
        f"{r.track}/{r.slug}"
        for r in held
        if r.track == best.track and (r.slug == best.slug or (best.retimes is not None and r.number == best.retimes))
    }
    name = called(best, held)
    asked = f"speedrun compare {name} {found.name}"
    mine = [c for c in read_comparisons(project) if c.b_sha256 == found.script_sha256 and c.track == best.track]
    against = [c for c in mine if c.a.removeprefix("records/") in twins and _is_script_of(project, c, best)]
    decided = [c for c in against if c.outcome in DECIDED]
    if decided:
        return decided[0]
    if against:
        why = f"its comparison with the current record {name} decided nothing"
    elif mine:
        why = f"it was compared with {mine[0].a[:100]}, and the current record is {name}"
    else:
        why = f"there is no same-machine comparison with the current record {name}"
    raise StoreError.at(found.name, why, f"make one: {asked}")


def _is_script_of(project: Project, comparison: Comparison, record: Record) -> bool:
    """Whether the comparison ran the script that the record's folder holds; true where it holds none."""
    folder = project.records / record.track / record.slug
    if not (folder / records.SCRIPT).is_dir():
        return True
    return subject.record(project, folder).script_sha256 == comparison.a_sha256
