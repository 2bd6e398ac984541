"""Record folders in, `Record`s out, and back: record.yaml, runs.csv and curve.csv of records/<track>/<slug>/.

record.yaml and the two CSV files are written once, by `import` or `accept`; `script/`, `evidence/` and `replays/`
beside them belong to others and are never touched here. Reading is strict: an unknown key or a value of the wrong
kind is named with its line, all problems of a file at once.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from harness.core import yamlfile
from harness.core.errors import Problem, StoreError
from harness.core.record import Claimed, Original, Record, RecordRun
from harness.store.files import write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import LEDGER, PACK
from harness.store.replays import read_replays

RECORD, RUNS, CURVE, SCRIPT = "record.yaml", "runs.csv", "curve.csv", "script"
WITHDRAWN, COMPARISON = "withdrawn.yaml", "comparison.json"  # added by `accept`
CURVE_COLUMNS = ("step", "val_loss", "train_time_s")
RUN_COLUMNS = (
    "id",
    "role",
    "step",
    "metric",
    "value",
    "train_time_s",
    "gpu_name",
    "gpu_count",
    "driver",
    "torch",
    "started_at",
    "script_sha256",
    "note",
)
Curve = tuple[tuple[int, float, float | None], ...]


# ------------------------------------------------------------------------------------------------ finding


def record_folders(project: Project) -> list[Path]:
    """All folders that hold a record.yaml, sorted by track and slug."""
    found = (path.parent for path in project.records.glob(f"*/*/{RECORD}"))
    return sorted(folder for folder in found if not folder.name.startswith("."))  # .…: one that is being written


def read_records(project: Project) -> list[Record]:
    """Read all records; problems of all files come in one StoreError."""
    records: list[Record] = []
    problems: list[Problem] = []
    for folder in record_folders(project):
        try:
            records.append(read_record(folder, name=project.show(folder)))
        except StoreError as error:
            problems.extend(error.problems)
    if problems:
        raise StoreError(*problems)
    return records


def script_files(folder: Path) -> list[Path]:
    """The frozen files in a record's script folder: all but the script.yaml that describes them."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "script.yaml")


def find_record(project: Project, name: str) -> Path:
    """The folder of the record that `short/12`, `short/21.1` (a re-timing), a slug, a path or a prefix of one means.

    Raises StoreError where nothing or more than one record is meant.
    """
    asked = name.strip("/").removeprefix("./").removeprefix(f"{project.records.name}/")
    track, _, rest = asked.rpartition("/")
    folders = [f for f in record_folders(project) if not track or f.parent.name == track]
    if re.fullmatch(r"\d+(\.\d+)?", rest):
        found = _with_number(folders, rest) if track else []
    else:
        found = [f for f in folders if f.name == rest] or [f for f in folders if rest and f.name.startswith(rest)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise StoreError.at(
            name[:100], "there is no such record", "name it like short/12 or by its folder; leaderboard.md lists all"
        )
    few = ", ".join(f"{f.parent.name}/{f.name}" for f in found[:3])
    raise StoreError.at(name[:100], f"means {len(found)} records ({few} …)", "write more of the name")


def display_number(record: Record, records: Iterable[Record]) -> str:
    """A record's number as people write it: 12, or 21.1 for the first re-timing of 21."""
    if record.kind == "record":
        return str(record.number)
    timings = sorted(
        (r for r in records if r.track == record.track and r.kind == "retiming" and r.retimes == record.retimes),
        key=lambda r: (str(r.date), r.slug),
    )
    return f"{record.retimes}.{[r.slug for r in timings].index(record.slug) + 1}"


def _with_number(folders: list[Path], number: str) -> list[Path]:
    """Those of the folders of one track whose record is called by this number."""
    held = {folder: read_record(folder) for folder in folders}
    return [folder for folder, record in held.items() if display_number(record, held.values()) == number]


# ------------------------------------------------------------------------------------------------ reading


def read_record(folder: Path, *, name: str | None = None) -> Record:
    """Read one record's folder; raises StoreError with every problem of its files."""
    name = name or f"{folder.parent.name}/{folder.name}"
    fields = yamlfile.Fields.of(yamlfile.load(folder / RECORD, name=f"{name}/{RECORD}"))
    version = fields.integer("schema", minimum=1)
    if version != 1:
        fields.problem("schema", f"schema {version} is unknown", "this harness reads schema 1")
    runs = read_runs(folder / RUNS, name=f"{name}/{RUNS}") if (folder / RUNS).is_file() else ()
    record = Record(
        track=fields.text("track"),
        slug=folder.name,
        ruleset=fields.text("ruleset", pattern=r"[a-z][a-z0-9-]*@[1-9]\d*", what="a ruleset like short@2"),
        number=fields.integer("number", minimum=1),
        kind=cast(Literal["record", "retiming"], fields.choice("kind", ("record", "retiming"))),
        retimes=fields.integer_or_none("retimes", minimum=1),
        date=fields.date_or_none("date"),
        title=fields.text("title"),
        contributors=fields.strings("contributors"),
        pull_request=fields.text_or_none("pull_request"),
        claimed=_claimed(fields.mapping("claimed")),
        original=_original(fields.mapping("original", optional=True)),
        notes=fields.text_or_none("notes"),
        withdrawn=fields.text_or_none("withdrawn") or read_withdrawal(folder, name),
        runs=runs,
        has_evidence=(folder / PACK / LEDGER).is_file(),
        replays=tuple(result.mark for _, result in read_replays(folder)),
        faster_than=fields.text_or_none(
            "faster_than", pattern=r"[a-z][a-z0-9-]*/\S+", what="a record like short/<slug>"
        ),
        official=(folder / COMPARISON).is_file(),
    )
    if record.track and record.track != folder.parent.name.removeprefix("."):
        fields.problem("track", f"`track` is {record.track!r} in a folder of {folder.parent.name!r}", "make them equal")
    fields.done(StoreError)
    return record


def read_withdrawal(folder: Path, name: str) -> str | None:
    """Why a record was withdrawn: its own file, because record.yaml never changes; None where it was not."""
    if not (folder / WITHDRAWN).exists():
        return None
    fields = yamlfile.Fields.of(yamlfile.load(folder / WITHDRAWN, name=f"{name}/{WITHDRAWN}"))
    fields.integer("schema", minimum=1)
    fields.date_or_none("date")
    why = fields.text("why")
    fields.done(StoreError)
    return why


def _claimed(fields: yamlfile.Fields | None) -> Claimed:
    if fields is None:
        return Claimed(None, None, None, None)
    claimed = Claimed(
        train_time_s=fields.number_or_none("train_time_s"),
        steps=fields.integer_or_none("steps", minimum=1),
        val_loss=fields.number_or_none("val_loss"),
        runs=fields.integer_or_none("runs", minimum=1),
    )
    fields.unknown_keys()
    return claimed


def _original(fields: yamlfile.Fields | None) -> Original | None:
    if fields is None:
        return None
    files = fields.mapping("files", optional=True)
    kinds = ("file", "log", "git", "none")
    original = Original(
        repository=fields.text_or_none("repository"),
        commit=fields.text_or_none("commit", pattern=r"[0-9a-f]{40}", what="a commit of 40 hexadecimal digits"),
        kind=cast(Literal["file", "log", "git", "none"], fields.choice("kind", kinds)),
        path=fields.text_or_none("path"),
        files=() if files is None else tuple((name, files.text(name, pattern=r"[0-9a-f]{64}")) for name in files.data),
        torch=fields.text_or_none("torch"),
        reason=fields.text_or_none("reason"),
    )
    fields.unknown_keys()
    return original


def read_runs(path: Path, *, name: str) -> tuple[RecordRun, ...]:
    """Read runs.csv; raises StoreError with every problem."""
    problems: list[Problem] = []
    runs = []
    for line, row in _rows(path, RUN_COLUMNS, name):
        cells = _Cells(f"{name}:{line}", row, problems)
        if row["role"] not in ("own", "baseline") or not row["id"]:
            problems.append(Problem(f"{name}:{line}", "needs an id and the role own or baseline", "restore the file"))
        runs.append(
            RecordRun(
                id=row["id"],
                role=cast(Literal["own", "baseline"], row["role"]),
                step=cells.whole("step"),
                metric=row["metric"],
                value=cells.decimal("value"),
                train_time_s=cells.decimal("train_time_s"),
                gpu_name=row["gpu_name"] or None,
                gpu_count=cells.whole("gpu_count"),
                driver=row["driver"] or None,
                torch=row["torch"] or None,
                started_at=row["started_at"] or None,
                script_sha256=row["script_sha256"] or None,
                note=row["note"] or None,
            )
        )
    if problems:
        raise StoreError(*problems)
    return tuple(runs)


def read_curve(folder: Path) -> Curve:
    """The curve of a record's canonical run; empty where none is known."""
    path = folder / CURVE
    if not path.is_file():
        return ()
    name = f"{folder.parent.name}/{folder.name}/{CURVE}"
    problems: list[Problem] = []
    points = []
    for line, row in _rows(path, CURVE_COLUMNS, name):
        cells = _Cells(f"{name}:{line}", row, problems)
        step, loss = cells.whole("step"), cells.decimal("val_loss")
        if step is None or loss is None:
            problems.append(Problem(f"{name}:{line}", "needs a step and a val_loss", "restore the file"))
            continue
        points.append((step, loss, cells.decimal("train_time_s")))
    if problems:
        raise StoreError(*problems)
    return tuple(points)


class _Cells:
    """Reads the numbers of one CSV row, noting what is none."""

    def __init__(self, where: str, row: dict[str, str], problems: list[Problem]) -> None:
        self.where, self.row, self.problems = where, row, problems

    def whole(self, key: str) -> int | None:
        text = self.row[key]
        if re.fullmatch(r"[0-9]{0,19}", text):
            return int(text) if text else None
        self.problems.append(Problem(self.where, f"{key} is {ascii(text)[:40]}", "it must be a whole number"))
        return None

    def decimal(self, key: str) -> float | None:
        text = self.row[key]
        if text == "":
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value):
            return value
        self.problems.append(Problem(self.where, f"{key} is {ascii(text)[:40]}", "it must be a finite number"))
        return None


def _rows(path: Path, columns: Sequence[str], name: str) -> list[tuple[int, dict[str, str]]]:
    try:
        reader = csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError.at(name, f"cannot be read ({error})", "restore the file") from None
    if header != list(columns):
        raise StoreError.at(f"{name}:1", "has other columns than it must", f"they are {','.join(columns)}")
    bad = [line for line, row in rows if len(row) != len(columns)]
    if bad:
        raise StoreError.at(f"{name}:{bad[0]}", f"has not {len(columns)} cells", "restore the file")
    return [(line, dict(zip(columns, row, strict=True))) for line, row in rows]


# ------------------------------------------------------------------------------------------------ writing


def write_record(folder: Path, record: Record, curve: Curve = ()) -> list[Path]:
    """Write record.yaml, runs.csv and curve.csv of one record where they differ; the files that were written.

    The same record gives the same bytes everywhere. Raises StoreError on a bad slug or a full disk.
    """
    if not is_slug(record.slug) and record.date is not None:
        raise StoreError.at(record.slug, "is no YYYY-MM-DD_kebab-name", "correct the slug")
    texts = {RECORD: record_yaml(record)}
    if record.runs:
        texts[RUNS] = runs_csv(record.runs)
    if curve:
        texts[CURVE] = _csv(CURVE_COLUMNS, ([step, loss, _cell(time)] for step, loss, time in curve))
    written = []
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            write_atomic(path, text)
            written.append(path)
    return written


def record_yaml(record: Record) -> str:
    """The text of record.yaml."""
    data: dict[str, Any] = {
        "schema": 1,
        "track": record.track,
        "ruleset": record.ruleset,
        "number": record.number,
        "kind": record.kind,
        "retimes": record.retimes,
        "date": record.date,
        "title": record.title,
        "contributors": list(record.contributors),
        "pull_request": record.pull_request,
        "claimed": {
            "train_time_s": record.claimed.train_time_s,
            "steps": record.claimed.steps,
            "val_loss": record.claimed.val_loss,
            "runs": record.claimed.runs,
        },
    }
    if record.original is not None:
        original = record.original
        data["original"] = {
            "repository": original.repository,
            "commit": original.commit,
            "kind": original.kind,
            "path": original.path,
            "files": dict(original.files),
            "torch": original.torch,
            "reason": original.reason,
        }
    data |= {"notes": record.notes, "withdrawn": record.withdrawn}
    if record.faster_than is not None:
        data["faster_than"] = record.faster_than
    return yamlfile.dump(data)


def runs_csv(runs: Iterable[RecordRun]) -> str:
    """The text of runs.csv."""
    return _csv(RUN_COLUMNS, ([_cell(getattr(run, column)) for column in RUN_COLUMNS] for run in runs))


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
