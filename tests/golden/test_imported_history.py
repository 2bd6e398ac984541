"""The imported past: 155 records, their runs and their evidence."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from harness.core.constraints import FILE_NAME
from harness.store.layout import Project
from harness.store.records import read_curve, read_records
from tests.named import is_past, record_folder

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)
ROWS = {
    (r["track"], r["number"]): r for r in json.loads((ROOT / "leaderboard" / "records.json").read_text())["records"]
}


def test_every_row_of_the_past_is_a_record() -> None:
    assert Counter(r.track for r in read_records(PROJECT) if is_past(r)) == {
        "short": 91,
        "medium": 18,
        "optimization": 46,
    }


@pytest.mark.parametrize(
    ("row", "word", "flags"),
    [
        (("short", "3"), "claimed", ["no logs"]),
        (("short", "66"), "claimed", ["no logs"]),
        (("short", "82"), "claimed", ["other script", "other GPU"]),
        (("short", "80"), "claimed", ["other script"]),
        (("short", "89"), "claimed", ["other script"]),
        (("short", "85"), "claimed", ["other script"]),
        (("short", "78"), "logged", []),
        (("short", "21.1"), "timed", ["one run", "retimed"]),
        (("medium", "11"), "claimed", ["no logs"]),
        (("optimization", "1"), "logged", ["one run", "loss open"]),
        (("optimization", "36"), "logged", []),
        (("smoke", "2"), "verified", []),
        (("smoke", "4"), "verified", ["scored", "official"]),
    ],
)
def test_known_rows_have_the_evidence_that_their_runs_give(row: tuple[str, str], word: str, flags: list[str]) -> None:
    assert (ROWS[row]["evidence"], [flag["name"] for flag in ROWS[row]["flags"]]) == (word, flags)


def test_no_row_of_the_past_is_called_contradicted() -> None:
    assert not [row for row in ROWS.values() if any("contradicted" in flag["name"] for flag in row["flags"])]


def test_known_figures_are_those_of_the_logs() -> None:
    assert ROWS["short", "12"]["claimed_time_s"] == 301.8
    assert ROWS["short", "88"]["runs"] == 10, "the eight-GPU runs, not the linked one"
    assert "not one of its own runs" in ROWS["short", "88"]["notes"]
    assert (ROWS["short", "21.1"]["kind"], ROWS["short", "21.2"]["kind"]) == ("retiming", "retiming")


def test_the_best_of_the_past_is_current_until_something_newer_is() -> None:
    past = {(r.track, r.slug) for r in read_records(PROJECT) if is_past(r)}
    for track, best in {"short": "89", "medium": "18", "optimization": "46"}.items():
        [current] = [row for row in ROWS.values() if row["track"] == track and row["current"]]
        assert current["number"] == best or (track, current["slug"]) not in past


def test_the_merged_script_stands_beside_a_record_only_where_it_is_known_to_be_another() -> None:
    merged = {f"{r.track}/{r.number}": r.merged for r in read_records(PROJECT) if r.merged is not None and is_past(r)}
    told = {name: said.program for name, said in merged.items() if said.program is not None}
    assert (len(told), len(merged) - len(told)) == (57, 25)
    assert not any(name.startswith("optimization") for name in merged)
    assert told["short/89"].path == "75d6867a4adb4eaea071352444e8e1d37e308855:train_gpt.py"
    assert list(told["short/89"].files) == ["train_gpt.py", "triton_kernels.py", "dc_triton_kernels.py"]
    assert "short/60" not in merged, "its original is what was merged"
    assert "medium/11" in (merged["medium/10"].reason or "")


def test_the_curves_start_and_end_where_the_records_did() -> None:
    curve = read_curve(record_folder(PROJECT, "short/12"))
    assert curve[0][:2] == (0, 10.8258)
    assert curve[-1] == (1875, 3.2783, 301.825)


def test_every_original_names_plain_files_only() -> None:
    for record in read_records(PROJECT):
        for name in record.original.files if record.original else ():
            assert re.fullmatch(FILE_NAME, name), f"{record.slug}: {name}"
