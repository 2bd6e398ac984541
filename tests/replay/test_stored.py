"""A stored replay: whole or not there, without names of machines, believed only where its runs bear it out, and shown."""

from __future__ import annotations

import csv
import dataclasses
import getpass
import io
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from harness.board import board_page, export, rows
from harness.catalog.tracks import load_tracks
from harness.core import codec
from harness.core.errors import StoreError
from harness.core.record import Replayed
from harness.replay import session
from harness.store import records
from harness.store.layout import Project
from harness.store.replays import REPLAY, CurvePoint, Environment, ReplayResult, add_replay, read_replays
from harness.store.scrub import own_names
from tests import warm
from tests.named import record_folder
from tests.replay.test_results import EXACT, h100, made, plan_of

ROOT = Path(__file__).parents[2]
SHORT = load_tracks(ROOT / "tracks")["short"]


def result(*, original: bool = True, slower: float = 1.02, shift: float = 0.0002) -> ReplayResult:
    plan = plan_of("short/88", original=original, loss_only=() if original else ("a reimplementation",))
    curve = records.read_curve(plan.subject.folder)
    return session.compare(plan, EXACT, h100(), made("short/88", slower=slower, shift=shift), "Somebody", curve)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with one record of the short track, the smoke records and their board."""
    shutil.copytree(ROOT / "tracks", tmp_path / "tracks")
    shutil.copytree(ROOT / "records" / "smoke", tmp_path / "records" / "smoke")
    held = record_folder(Project(ROOT), "short/88")
    shutil.copytree(held, tmp_path / "records" / "short" / held.name, ignore=shutil.ignore_patterns("replays"))
    return Project(tmp_path)


def speedrun(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.speedrun("--root", str(project.root), *arguments, cwd=ROOT, env=os.environ)


def folder_of(project: Project) -> Path:
    return record_folder(project, "short/88")


# ------------------------------------------------------------------------------------------------ shown


def test_a_stored_replay_is_a_flag_a_line_of_its_page_and_a_line_of_show(project: Project) -> None:
    assert speedrun(project, "board").returncode == 0
    add_replay(folder_of(project), result())
    add_replay(folder_of(project), result(original=False))
    stale = speedrun(project, "board", "--check")
    assert stale.returncode == 1
    assert "leaderboard.md is not what the records say" in stale.stdout
    assert speedrun(project, "board").returncode == 0
    assert speedrun(project, "board", "--check").returncode == 0

    [line] = [line for line in project.leaderboard.read_text().splitlines() if line.startswith("| **88**")]
    assert ", replayed ×2 |" in line
    times = [run.train_time_s or 0.0 for run in records.read_record(folder_of(project)).runs if run.role == "own"]
    claimed = records.read_record(folder_of(project)).claimed.train_time_s or 0.0
    off = 100 * (1.02 * sum(times) / len(times) / claimed - 1)
    page = (project.leaderboard_data / "short" / f"{folder_of(project).name}.md").read_text()
    assert f"| replayed | original ×1: {off:+.1f} % time, +0.0002 loss, 1 of 1 within its spread |" in page
    assert "| replayed | reimplementation ×1: +0.0002 loss," in page

    shown = speedrun(project, "show", "short/88").stdout
    table = shown[shown.index("replayed  ") :].splitlines()
    assert table[1].split()[1] == "Somebody"
    assert f"{off:+.1f} %" in table[1] and "original" in table[1]
    assert "%" not in table[2] and "reimplementation" in table[2]

    data = json.loads((project.leaderboard_data / "records.json").read_text())
    [row] = [row for row in data["records"] if row["slug"] == folder_of(project).name]
    assert row["replays"] == 2
    assert [mark["script"] for mark in row["replayed"]] == ["original", "reimplementation"]
    assert [mark["time_off"] is None for mark in row["replayed"]] == [False, True]


def test_a_range_is_shown_where_replays_differ_and_the_csv_says_it_in_short() -> None:
    held = records.read_record(record_folder(Project(ROOT), "short/88"))
    mark = Replayed("2026-11-21", "=HYPERLINK(1)|", "8× H100", "original", "exact", 3, -0.012, -0.0004, "yes")
    marks = (mark, dataclasses.replace(mark, time_off=0.019, loss_off=0.0, within_spread="no"))
    [row] = rows.make_rows(SHORT, [dataclasses.replace(held, replays=marks)])
    said = "original ×2: −1.2 to +1.9 % time, −0.0004 to +0.0000 loss, 1 of 2 within its spread"
    assert rows.replayed_texts(row.replayed) == [said]
    assert ", replayed ×2 |" in board_page.time_row(row)
    [cells] = csv.DictReader(io.StringIO(export.to_csv([row])))
    assert (cells["replays"], cells["replayed"]) == ("2", said)


def test_a_record_that_nobody_replayed_has_no_flag_and_an_empty_cell() -> None:
    held = records.read_record(record_folder(Project(ROOT), "short/88"))
    [row] = rows.make_rows(SHORT, [dataclasses.replace(held, replays=())])
    assert "replayed" not in board_page.time_row(row)
    [cells] = csv.DictReader(io.StringIO(export.to_csv([row])))
    assert (cells["replays"], cells["replayed"]) == ("0", "")


# ------------------------------------------------------------------------------------------------ stored


def test_replays_that_end_at_the_same_moment_each_get_a_folder(project: Project) -> None:
    folder, told = folder_of(project), result()
    with ThreadPoolExecutor(8) as pool:
        stored = list(pool.map(lambda _: add_replay(folder, told), range(16)))
    assert len(set(stored)) == 16
    assert len(records.read_record(folder).replays) == 16
    assert sorted(path.name for path in (folder / "replays").iterdir()) == sorted(path.name for path in stored)


def test_what_was_stored_never_changes(project: Project) -> None:
    first = add_replay(folder_of(project), result())
    before = {path.name: path.read_bytes() for path in first.iterdir()}
    second = add_replay(folder_of(project), result(slower=1.5))
    assert second != first
    assert {path.name: path.read_bytes() for path in first.iterdir()} == before


def test_a_replay_that_cannot_be_written_leaves_nothing(project: Project) -> None:
    folder = folder_of(project)
    program = (
        "import resource, sys, pickle, signal\n"
        "from pathlib import Path\n"
        "from harness.store.replays import add_replay\n"
        "told = pickle.load(sys.stdin.buffer)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "add_replay(Path(sys.argv[1]), told)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        input=pickle.dumps(result()),
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert b"StoreError" in done.stderr
    assert not (folder / "replays").exists()


def test_what_a_killed_replay_left_is_no_replay(project: Project) -> None:
    folder = folder_of(project)
    stored = add_replay(folder, result())
    left = stored.with_name(".2026-11-21_ab12.x8k")
    left.mkdir()
    (left / REPLAY).write_text('{"schema": 1, "rec')
    assert [path for path, _ in read_replays(folder)] == [stored]


def test_names_of_the_machine_are_taken_out_and_the_name_of_the_person_stays(project: Project) -> None:
    names = own_names()
    tried = (f"torch==2.6.0: cannot be written to {names.home}/.cache by 10.20.30.40 with hf_{'a' * 30}",)
    environment = Environment("substituted", "2.13.0", "3.11.7", "2.6.0", ("torch 2.13.0 for 2.6.0",), tried)
    told = dataclasses.replace(result(), by="Jane Doe <jane@example.org>", environment=environment)
    text = (add_replay(folder_of(project), told) / REPLAY).read_text()
    assert names.home == "/" or f"{names.home}/.cache" not in text
    assert "10.20.30.40" not in text and "hf_a" not in text and "jane@" not in text
    assert "Jane Doe" in text and "torch 2.13.0 for 2.6.0" in text
    assert socket.gethostname() not in text or len(socket.gethostname()) < 5
    assert f"/{getpass.getuser()}/" not in text
    assert read_replays(folder_of(project))[0][1].mark.environment == "substituted"


# ------------------------------------------------------------------------------------------------ believed


def change(path: tuple[str | int, ...], value: object) -> Callable[[dict[str, Any]], None]:
    def apply(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return apply


def curved() -> ReplayResult:
    return dataclasses.replace(result(), curve=(CurvePoint(0, 10.8, 10.7), CurvePoint(125, 4.5, None)))


def stored_with(project: Project, forge: Callable[[dict[str, Any]], None]) -> Path:
    """The folder of a replay whose file somebody changed."""
    stored = add_replay(folder_of(project), curved())
    data = json.loads((stored / REPLAY).read_text())
    forge(data)
    (stored / REPLAY).write_text(json.dumps(data))
    return stored


FORGED = [
    (change(("runs",), []), "`runs` is a list of 0; it must be a list with at least 1"),
    (change(("script",), "authentic"), "it must be one of original, merged, reimplementation"),
    (change(("environment", "label"), "best"), "it must be one of exact, substituted"),
    (
        change(("own_losses",), [1e200, 3.28]),
        "`own_losses[0]` is 1e+200; it must be a finite number above -1e+06 below",
    ),
    (change(("runs", 0, "val_loss"), -1e7), "`runs[0].val_loss` is -10000000.0; it must be a finite number above"),
    (change(("runs", 0, "val_loss"), "3.2"), "`runs[0].val_loss` is '3.2'; it must be a finite number"),
    (change(("schema",), 3), "schema 3 is unknown"),
    (change(("date",), "../../x"), "`date` is '../../x'; it must be a date"),
    (change(("surprise",), 1), "the key `surprise` is unknown"),
    (change(("time_ratio",), 0.9), "the key `time_ratio` is unknown"),
    (change(("within_spread",), "| yes |"), "the key `within_spread` is unknown"),
    (change(("curve", 0, "difference"), 0.1), "the key `curve[0].difference` is unknown"),
]


@pytest.mark.parametrize(("forge", "said"), FORGED, ids=[said[:40] for _, said in FORGED])
def test_what_nobody_saw_in_a_replay_is_named(
    project: Project, forge: Callable[[dict[str, Any]], None], said: str
) -> None:
    stored = stored_with(project, forge)
    with pytest.raises(StoreError) as raised:
        records.read_record(folder_of(project))
    assert said in str(raised.value)
    assert f"replays/{stored.name}/{REPLAY}" in str(raised.value)


def test_what_a_board_says_follows_from_the_runs(project: Project) -> None:
    folder, honest = folder_of(project), result().mark
    assert honest.within_spread == "yes"
    assert honest.time_off is not None
    for forge, mark in (
        (change(("script",), "reimplementation"), {"script": "reimplementation", "time_off": None}),
        (change(("why_not",), ["4 GPUs, not 8"]), {"time_off": None}),
        (change(("own_losses",), [3.28, 3.28]), {"within_spread": "unknown"}),
        (change(("claimed_time_s",), 0.0), {"time_off": None}),
        (change(("claimed_loss",), None), {"loss_off": None}),
    ):
        stored = stored_with(project, forge)
        assert records.read_record(folder).replays == (dataclasses.replace(honest, **mark),)
        shutil.rmtree(stored)


DERIVED = {
    "time_counts": True,
    "replayed_time_s": 60.0,
    "replayed_loss": 3.2,
    "time_ratio": 0.9,
    "loss_difference": -0.1,
    "within_spread": "| yes |",
    "spread": "as its author wants it",
}


def test_derived_figures_of_an_older_file_are_not_believed(project: Project) -> None:
    """Files of schema 1 held what follows from the runs a second time."""

    def as_schema_1(data: dict[str, Any]) -> None:
        data |= DERIVED | {"schema": 1}
        data["curve"] = [point | {"difference": -1.0} for point in data["curve"]]

    stored_with(project, as_schema_1)
    assert [told for _, told in read_replays(folder_of(project))] == [curved()]
    assert records.read_record(folder_of(project)).replays == (result().mark,)


def test_an_older_file_is_read_as_strictly(project: Project) -> None:
    def forged(data: dict[str, Any]) -> None:
        data |= DERIVED | {"schema": 1, "surprise": 1, "curve": [7], "script": "authentic"}

    stored_with(project, forged)
    with pytest.raises(StoreError) as raised:
        records.read_record(folder_of(project))
    assert len(raised.value.problems) == 3


def test_what_replay_prints_for_programs_holds_what_is_stored_and_what_follows() -> None:
    told, figures = result(), result().with_figures()
    assert figures.keys() == {"schema", *codec.encode(told), *DERIVED}
    assert figures["time_ratio"] == told.time_ratio == pytest.approx((told.replayed_time_s or 0) / told.claimed_time_s)
    assert figures["runs"][0]["val_loss"] == told.runs[0].val_loss
    assert json.loads(json.dumps(figures)) == figures


def test_every_bad_replay_of_a_record_is_named_at_once(project: Project) -> None:
    folder = folder_of(project)
    for number in range(2):
        stored = add_replay(folder, result())
        (stored / REPLAY).write_text("{" if number else "[]")
    (folder / "replays" / "2026-11-21_empty").mkdir()
    done = speedrun(project, "board")
    assert done.returncode == 2
    assert len([line for line in done.stderr.splitlines() if REPLAY in line]) == 3
