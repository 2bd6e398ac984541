"""Read and write record folders: record.yaml, runs.csv and curve.csv of records/<track>/<slug>/.

record.yaml and the two CSV files are written once, by `import` or `accept`; `script/`, `evidence/` and `replays/`
beside them belong to others and are never touched here. Reading is strict: an unknown key or a value of the wrong
kind is named with its line, all problems of a file at once.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.constraints import show
from harness.core.errors import StoreError, read_all
from harness.core.record import Merged, Record, RecordFile, RecordRun, Withdrawal
from harness.core.tables import read_table, table_text
from harness.store.files import write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import LEDGER, PACK
from harness.store.replays import read_replays
from harness.store.sessions import SESSION

RECORD, RUNS, CURVE, SCRIPT = "record.yaml", "runs.csv", "curve.csv", "script"
WITHDRAWN, COMPARISON = "withdrawn.yaml", "comparison.json"  # added by `accept`
MERGED = "merged.yaml"  # added by `import`


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One row of curve.csv."""

    step: int
    val_loss: float
    train_time_s: float | None


Curve = tuple[tuple[int, float, float | None], ...]
RECORD_FORM = Form(RecordFile, "yaml", (1,))
WITHDRAWAL_FORM = Form(Withdrawal, "yaml", (1,))
MERGED_FORM = Form(Merged, "yaml", (1,))


# ------------------------------------------------------------------------------------------------ finding


def record_folders(project: Project) -> list[Path]:
    """Return all folders that hold a record.yaml, sorted by track and slug."""
    found = (path.parent for path in project.records.glob(f"*/*/{RECORD}"))
    return sorted(folder for folder in found if not folder.name.startswith("."))  # .…: one that is being written


def read_records(project: Project) -> list[Record]:
    """Read all records; problems of all files come in one StoreError."""
    return read_all(lambda folder: read_record(folder, name=project.show(folder)), record_folders(project), StoreError)


def script_files(folder: Path) -> list[Path]:
    """Return the frozen files in a record's script folder: all but the script.yaml that describes them."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.name != "script.yaml")


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
    if stored.withdrawn is None and (folder / WITHDRAWN).exists():
        fields["withdrawn"] = WITHDRAWAL_FORM.read(folder / WITHDRAWN, name=f"{name}/{WITHDRAWN}").why
    return Record(
        **fields,
        slug=folder.name,
        runs=read_table(folder / RUNS, RecordRun, name=f"{name}/{RUNS}") if (folder / RUNS).is_file() else (),
        has_evidence=(folder / PACK / LEDGER).is_file(),
        scored=any((folder / PACK / "runs").glob("*/score.json")),
        replays=tuple(result.mark for _, result in read_replays(folder)),
        official=any((folder / name).is_file() for name in (COMPARISON, SESSION)),
        merged=_read_merged(folder / MERGED, f"{name}/{MERGED}") if (folder / MERGED).exists() else None,
    )


def _read_merged(path: Path, name: str) -> Merged:
    reading = MERGED_FORM.open(path, name=name)
    match reading.data:
        case {"commit": None, "reason": None}:
            reading.problem(("reason",), "there is neither a commit nor a reason", "say why no commit can be told")
        case {"commit": str(_), "files": {}, "script_sha256": str(_)}:
            if not reading.data["files"]:
                reading.problem(("files",), "a commit is named and no file", "list the files of the program")
        case {"commit": str(_)}:
            reading.problem(("script_sha256",), "a commit is named and no hash", "give that of what a log embeds")
    return reading.done()


def read_curve(folder: Path) -> Curve:
    """Return the curve of a record's canonical run; empty where none is known."""
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


def add_merged(folder: Path, merged: Merged) -> bool:
    """Write merged.yaml beside record.yaml; False where there is one already, which never changes."""
    if (folder / MERGED).exists() or (folder / MERGED).is_symlink():
        return False
    write_atomic(folder / MERGED, MERGED_FORM.text(merged))
    return True
