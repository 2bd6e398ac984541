"""The DataFrames of a project hold what its files hold, and their documentation says what they hold."""

from __future__ import annotations

import csv
import doctest
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness import frames
from harness.catalog.lookup import Catalog
from harness.core.errors import StoreError
from harness.store.layout import Project

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)


def stored(name: str) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The rows of every runs.csv or curve.csv, read without the harness."""
    tables = {}
    for path in (ROOT / "records").glob(f"*/*/{name}"):
        with path.open(newline="") as file:
            tables[path.parent.parent.name, path.parent.name] = list(csv.DictReader(file))
    return tables


def documented(function: Callable[..., pd.DataFrame]) -> dict[str, str]:
    """Column -> dtype as the table in a docstring has them; every row must say what its column means."""
    text = (function.__doc__ or "").partition("--\n")[2]
    rows = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()]
    assert all(len(row[-1]) > 8 for row in rows)
    return {row[0]: row[1] for row in rows}


@pytest.mark.parametrize("function", [frames.records, frames.runs, frames.curves])
def test_columns_and_their_documentation_agree(function: Callable[..., pd.DataFrame], tmp_path: Path) -> None:
    table = function(PROJECT)
    assert documented(function) == {name: str(dtype) for name, dtype in table.dtypes.items()}
    (tmp_path / "tracks").mkdir()
    empty = function(Project(tmp_path))
    assert empty.empty
    assert dict(empty.dtypes) == dict(table.dtypes)


def test_a_column_that_says_nothing_of_missing_values_has_none() -> None:
    for function in (frames.records, frames.runs, frames.curves):
        table = function(PROJECT)
        told = {line.split()[0] for line in (function.__doc__ or "").splitlines() if "; missing where" in line}
        assert set(table.columns[table.isna().any()]) <= told


def test_records_hold_what_record_yaml_holds() -> None:
    table = frames.records(PROJECT).set_index(["track", "slug"])
    files = list((ROOT / "records").glob("*/*/record.yaml"))
    assert len(files) == len(table)
    for path in files:
        data, row = yaml.safe_load(path.read_text()), table.loc[(path.parent.parent.name, path.parent.name)]
        for column, value in {
            **{key: data[key] for key in ("kind", "date", "title", "pull_request", "ruleset", "notes")},
            "claimed_time_s": data["claimed"]["train_time_s"],
            "claimed_steps": data["claimed"]["steps"],
            "claimed_loss": data["claimed"]["val_loss"],
            "claimed_runs": data["claimed"]["runs"],
        }.items():
            if column == "date" and value is not None:
                assert row[column] == pd.Timestamp(value)
            elif value is None:
                assert pd.isna(row[column]), (path, column)
            else:
                assert row[column] == value, (path, column)
        assert row.contributors == tuple(data["contributors"])


def test_runs_hold_what_runs_csv_holds() -> None:
    table = frames.runs(PROJECT)
    files = stored("runs.csv")
    assert len(table) == sum(map(len, files.values()))
    for key, rows in table.groupby(["track", "slug"], sort=False):
        for line, row in zip(files.pop(key), rows.to_dict("records"), strict=True):
            for column, text in line.items():
                assert pd.isna(row[column]) if text == "" else row[column] == type(row[column])(text), (key, column)
    assert not files, "every runs.csv is in the table"


def test_a_run_says_whether_it_is_complete_and_which_processor_it_had() -> None:
    table = frames.runs(PROJECT)
    assert list(table[~table.complete].note.unique()) == ["incomplete: no validation at the last step"]
    assert table[table.cpu.notna()].track.unique().tolist() == ["smoke"]
    assert table[table.cpu.notna()].gpu_name.isna().all()


def test_curves_hold_what_curve_csv_holds() -> None:
    table = frames.curves(PROJECT)
    files = stored("curve.csv")
    for key, rows in table.groupby(["track", "slug"], sort=False):
        lines = files.pop(key)
        assert rows.step.tolist() == [int(line["step"]) for line in lines]
        assert rows.val_loss.tolist() == [float(line["val_loss"]) for line in lines]
        times = [float(line["train_time_s"]) if line["train_time_s"] else None for line in lines]
        assert [None if pd.isna(time) else time for time in rows.train_time_s] == times
    assert not files, "every curve.csv is in the table"


def test_numbers_are_as_people_write_them_and_join_the_tables() -> None:
    table = frames.records(PROJECT)
    short = table[table.track == "short"].number.tolist()
    assert short[:3] == ["1", "2", "3"]
    assert short[short.index("21") :][:3] == ["21", "21.1", "21.2"]
    assert not table.duplicated(["track", "number"]).any()
    catalog = Catalog(PROJECT)
    best = [catalog.current(catalog.track(name)) for name in catalog.track_names()]
    assert sorted(table[table.current].slug) == sorted(record.slug for record in best if record is not None)
    assert table.groupby("track").current.sum().tolist() == [1] * table.track.nunique()
    runs = frames.runs(PROJECT)
    own = runs[runs.complete & (runs.role == "own")].groupby(["track", "number"]).size()
    joined = table.set_index(["track", "number"]).runs
    assert joined[joined > 0].to_dict() == own.to_dict()


def test_a_project_is_named_by_its_path_or_found_around_the_current_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    named = frames.records(str(ROOT))
    monkeypatch.chdir(ROOT / "tests" / "unit")
    pd.testing.assert_frame_equal(frames.records(), named)
    monkeypatch.setenv("SPEEDRUN_ROOT", "/nowhere")
    pd.testing.assert_frame_equal(frames.records(ROOT), named)
    with pytest.raises(StoreError, match="holds no tracks"):
        frames.records(ROOT / "tests")


def test_the_example_of_the_documentation_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(frames)
    assert (result.failed, result.attempted) == (0, 10)
