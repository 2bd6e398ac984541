"""Record folders: the same record gives the same bytes, and whatever is wrong with a file is named with its line."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.errors import HarnessError, StoreError
from harness.core.record import RecordRun, Withdrawal
from harness.core.tables import read_table, table_text
from harness.store import records
from harness.store.layout import Project
from harness.store.records import CURVE, RECORD, RUNS, WITHDRAWN, CurvePoint

ROOT = Path(__file__).parents[2]
RUN = RecordRun("a, b", "own", 3, "val_loss", 3.28, None, 'H100 "x"', 8, None, None, None, None, "two\nlines")
POINT = CurvePoint(0, 10.8, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a record with all its tables."""
    [source] = ROOT.glob("records/medium/2025-01-18_*")
    return Path(shutil.copytree(source, tmp_path / "records" / "medium" / source.name))


def test_every_record_of_the_repository_is_written_as_it_stands() -> None:
    for folder in records.record_folders(Project(ROOT)):
        record = records.read_record(folder)
        assert records.RECORD_FORM.text(record) == (folder / RECORD).read_text("utf-8")
        assert records.write_record(folder, record, records.read_curve(folder)) == []


def test_a_table_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(table_text(RecordRun, [RUN, RUN]))
    assert read_table(path, RecordRun, name="t.csv") == (RUN, RUN)
    assert path.read_text().splitlines()[0] == (
        "id,role,step,metric,value,train_time_s,gpu_name,gpu_count,driver,torch,started_at,script_sha256,note"
    )
    path.write_text(table_text(CurvePoint, [POINT]))
    assert read_table(path, CurvePoint, name="t.csv") == (POINT,)
    assert path.read_text() == "step,val_loss,train_time_s\n0,10.8,\n"


# The row of a curve, and words of the message; the header is line 1.
CELLS: dict[str, tuple[str, str]] = {
    "text for a step": ("x,10.8,1.0", "t.csv:2: step is 'x'; it must be a whole number"),
    "a decimal step": ("1.0,10.8,1.0", "t.csv:2: step is '1.0'; it must be a whole number"),
    "a negative step": ("-1,10.8,1.0", "t.csv:2: step is '-1'; it must be a whole number"),
    "no step": (",10.8,1.0", "t.csv:2: step is ''; it must be a whole number"),
    "a step in other digits": ("\u0661,10.8,1.0", "it must be a whole number"),
    "a step of 5,000 digits": (f"{'9' * 5000},10.8,1.0", "it must be a whole number"),
    "no loss": ("1,,1.0", "t.csv:2: val_loss is ''; it must be a finite number"),
    "not a number": ("1,nan,1.0", "t.csv:2: val_loss is 'nan'; it must be a finite number"),
    "infinity": ("1,10.8,inf", "t.csv:2: train_time_s is 'inf'; it must be a finite number"),
    "an overflow": ("1,1e999,1.0", "it must be a finite number"),
    "a cell too many": ("1,10.8,1.0,2", "t.csv:2: has not 3 cells"),
    "a cell too few": ("1,10.8", "t.csv:2: has not 3 cells"),
    "an open quote": ('1,"10.8,1.0', "cannot be read"),
}


@pytest.mark.parametrize("case", CELLS)
def test_a_cell_that_is_none_is_named_with_its_line(tmp_path: Path, case: str) -> None:
    row, words = CELLS[case]
    path = tmp_path / "t.csv"
    path.write_text(f"step,val_loss,train_time_s\n{row}\n", encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        read_table(path, CurvePoint, name="t.csv")
    [problem] = caught.value.problems
    assert words in str(problem)
    assert str(problem).isascii() and len(str(problem)) < 200


def test_all_problems_of_a_table_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    text = table_text(RecordRun, [RUN, RUN])
    path.write_text(text.replace("own", "theirs").replace("3.28", "?").replace('"a, b"', "", 1))
    with pytest.raises(StoreError) as caught:
        read_table(path, RecordRun, name="t.csv")
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 5
    assert "t.csv:3: role is 'theirs'; it must be one of own, baseline, other" in said
    assert "t.csv:3: id is ''; it must be text" in said
    path.write_text(text.replace("id,role", "role,id"))
    with pytest.raises(StoreError, match=r"t\.csv:1: has other columns than it must"):
        read_table(path, RecordRun, name="t.csv")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


# What is done to a record's folder, and what is said.
DAMAGES: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "another track": (
        lambda f: edit(f / RECORD, "track: medium", "track: short"),
        ("record.yaml:2: `track` is 'short' in a folder of 'medium'; make them equal",),
    ),
    "many keys": (
        lambda f: [
            edit(f / RECORD, "kind: record", "kind: best"),
            edit(f / RECORD, "  steps: null", "  steps: 0"),
            edit(f / RECORD, "track: medium", "track: short"),
            edit(f / RECORD, "retimes: null\n", ""),
        ],
        (
            "`kind` is 'best'; it must be one of record, retiming",
            "`claimed.steps` is 0; it must be a whole number of at least 1",
            "`track` is 'short' in a folder",
            "the key `retimes` is missing",
        ),
    ),
    "a date in quotes": (
        lambda f: edit(f / RECORD, "date: 2025-01-18", "date: '2025-01-18'"),
        ("`date` is '2025-01-18'; it must be a date like 2026-07-17",),
    ),
    "a hash": (
        lambda f: edit(f / RECORD, "train_gpt.py: ", "train_gpt.py: x"),
        ("`original.files['train_gpt.py']` is 'x", "it must be 64 hexadecimal digits"),
    ),
    "a withdrawal without a reason": (
        lambda f: (f / WITHDRAWN).write_text("schema: 1\ndate: 2026-11-21\n"),
        ("withdrawn.yaml:1: the key `why` is missing; add `why: …` (text)",),
    ),
    "a run": (lambda f: edit(f / RUNS, "own", "our"), ("runs.csv:2: role is 'our'",)),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_what_is_wrong_with_a_record_is_said_at_once(folder: Path, case: str) -> None:
    damage, said = DAMAGES[case]
    damage(folder)
    with pytest.raises(HarnessError) as caught:
        records.read_record(folder)
    for words in said:
        assert words in str(caught.value)
    with pytest.raises(HarnessError):
        records.read_records(Project(folder.parents[2]))


def test_bad_records_are_all_named_malformed_ones_too(folder: Path) -> None:
    other = Path(shutil.copytree(folder, folder.with_name("2025-01-19_other")))
    (folder / RECORD).write_text("schema: 1\na: [\n")
    edit(other / RECORD, "kind: record", "kind: best")
    with pytest.raises(StoreError) as caught:
        records.read_records(Project(folder.parents[2]))
    assert len(caught.value.problems) == 2


def test_a_withdrawal_is_read_and_written_by_one_declaration(folder: Path) -> None:
    text = records.WITHDRAWAL_FORM.text(Withdrawal(datetime.date(2026, 11, 21), "it cannot be repeated"))
    assert text == "schema: 1\ndate: 2026-11-21\nwhy: it cannot be repeated\n"
    (folder / WITHDRAWN).write_text(text)
    assert records.read_record(folder).withdrawn == "it cannot be repeated"
    assert records.read_curve(folder)
    assert (folder / CURVE).is_file()
