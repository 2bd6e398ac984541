"""Read and write record folders: record.yaml, runs.csv and curve.csv of records/<track>/<slug>/.

record.yaml and the two CSV files are written once, by `import` or `accept`; `script/`, `evidence/` and `replays/`
beside them belong to others and are never touched here. Reading is strict: an unknown key or a value of the wrong
kind is named with its line, all problems of a file at once.
"""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.constraints import show
from harness.core.errors import HarnessError, Problem, StoreError, raise_if
from harness.core.record import Record, RecordFile, RecordRun, Withdrawal
from harness.core.tables import read_table, table_text
from harness.store.files import write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import LEDGER, PACK
from harness.store.replays import read_replays

RECORD, RUNS, CURVE, SCRIPT = "record.yaml", "runs.csv", "curve.csv", "script"
WITHDRAWN, COMPARISON = "withdrawn.yaml", "comparison.json"  # added by `accept`


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One row of curve.csv."""

    step: int
    val_loss: float
    train_time_s: float | None


Curve = tuple[tuple[int, float, float | None], ...]
RECORD_FORM = Form(RecordFile, "yaml", (1,))
WITHDRAWAL_FORM = Form(Withdrawal, "yaml", (1,))


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
        except HarnessError as error:
            problems.extend(error.problems)
    raise_if(problems, StoreError)
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
    reading = RECORD_FORM.open(folder / RECORD, name=f"{name}/{RECORD}")
    match reading.data:
        case {"track": str(track)} if track != folder.parent.name.removeprefix("."):
            what = f"`track` is {show(track)} in a folder of {folder.parent.name!r}"
            reading.problem(("track",), what, "make them equal")
    stored = reading.done()
    fields = {field.name: getattr(stored, field.name) for field in dataclasses.fields(RecordFile)}
    return Record(
        **fields | {"withdrawn": stored.withdrawn or read_withdrawal(folder, name)},
        slug=folder.name,
        runs=read_runs(folder / RUNS, name=f"{name}/{RUNS}") if (folder / RUNS).is_file() else (),
        has_evidence=(folder / PACK / LEDGER).is_file(),
        replays=tuple(result.mark for _, result in read_replays(folder)),
        official=(folder / COMPARISON).is_file(),
    )


def read_withdrawal(folder: Path, name: str) -> str | None:
    """Why a record was withdrawn; None where it was not."""
    if not (folder / WITHDRAWN).exists():
        return None
    return WITHDRAWAL_FORM.read(folder / WITHDRAWN, name=f"{name}/{WITHDRAWN}").why


def read_runs(path: Path, *, name: str) -> tuple[RecordRun, ...]:
    """Read runs.csv; raises StoreError with every problem."""
    return read_table(path, RecordRun, name=name)


def read_curve(folder: Path) -> Curve:
    """The curve of a record's canonical run; empty where none is known."""
    path = folder / CURVE
    if not path.is_file():
        return ()
    points = read_table(path, CurvePoint, name=f"{folder.parent.name}/{folder.name}/{CURVE}")
    return tuple((point.step, point.val_loss, point.train_time_s) for point in points)


# ------------------------------------------------------------------------------------------------ writing


def write_record(folder: Path, record: Record, curve: Curve = ()) -> list[Path]:
    """Write record.yaml, runs.csv and curve.csv of one record where they differ; the files that were written.

    The same record gives the same bytes everywhere. Raises StoreError on a bad slug or a full disk.
    """
    if not is_slug(record.slug) and record.date is not None:
        raise StoreError.at(record.slug, "is no YYYY-MM-DD_kebab-name", "correct the slug")
    texts = {RECORD: RECORD_FORM.text(record)}
    if record.runs:
        texts[RUNS] = table_text(RecordRun, record.runs)
    if curve:
        texts[CURVE] = table_text(CurvePoint, (CurvePoint(*point) for point in curve))
    written = []
    for name, text in texts.items():
        path = folder / name
        if not path.is_file() or path.read_text("utf-8") != text:
            write_atomic(path, text)
            written.append(path)
    return written
