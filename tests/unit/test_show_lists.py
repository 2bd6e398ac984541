"""`show` alone lists tracks and records, `show runs` the runs of this machine, each narrowed down by filters."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import get_args

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.standing import Evidence
from harness.cli import main
from harness.core import codec
from harness.run import past_runs
from harness.store import run_files
from harness.store.layout import Project
from harness.verbs import lists

ROOT = Path(__file__).parents[2]
RUNS = sorted((ROOT / "records" / "smoke" / "2026-11-21_muon" / "evidence" / "runs").iterdir())


def show(capsys: pytest.CaptureFixture[str], *words: str, root: Path = ROOT, status: int = 0) -> tuple[str, str]:
    assert main(["--root", str(root), "show", *words]) == status
    return capsys.readouterr()


def test_tracks_and_the_newest_records_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = show(capsys)
    tracks, records = out.split("\n\n")
    assert [line.split()[0] for line in tracks.splitlines()] == ["medium", "optimization", "short", "smoke"]
    assert f"{current('short')} is the current one" in tracks
    assert len(records.splitlines()) == 1 + lists.FEW
    assert "are not shown: add --all, or a filter" in err


def test_all_are_listed_as_data(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(show(capsys, "--json")[0])
    assert len(told["tracks"]) == 4
    assert len(told["records"]) >= 159
    names = [one["name"] for one in told["records"] if one["current"] and one["name"].startswith("short")]
    assert names == [current("short")]


def current(track: str) -> str:
    catalog = Catalog(Project(ROOT))
    record = catalog.current(catalog.track(track))
    assert record is not None
    return catalog.name(record)


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--track", "smoke", "--until", "2026-11-21"], ["smoke/2", "smoke/1"]),
        (["--track", "smoke", "--words", "MUON on the", "--until", "2026-11-27"], ["smoke/2"]),
        (["--track", "short", "--by", "jvarho", "--since", "2026-06-01", "--until", "2026-08-01"], ["short/88"]),
        (["--track", "short", "--evidence", "verified", "--until", "2026-11-27"], []),
    ],
)
def test_filters_narrow_it_down(flags: list[str], names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert [one["name"] for one in json.loads(show(capsys, *flags, "--json")[0])["records"]] == names
    out, _ = show(capsys, *flags)
    assert [line.split()[0] for line in out.split("\n\n")[1].splitlines()[1:]] == names


def test_a_list_fits_60_columns(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, show(capsys, "--track", "optimization", "--all")[0].splitlines())) <= 60


def test_a_filter_beside_a_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--track: narrows a list down" in show(capsys, "short/88", "--track", "short", status=2)[1]
    assert "--by: narrows records down, not runs" in show(capsys, "runs", "--by", "x", status=2)[1]


def test_the_evidence_that_can_be_asked_for_is_what_there_is() -> None:
    assert get_args(Evidence) == lists.EVIDENCE


# ------------------------------------------------------------------------------------------------ runs


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A project with three runs in it, one of them of a probe, which lies elsewhere."""
    shutil.copytree(ROOT / "tracks", tmp_path / "tracks")
    for run in RUNS:
        shutil.copytree(run, tmp_path / ".runs" / run.name)
    probes = tmp_path / ".runs" / "probes" / "20261121T000000Z-x"
    probes.mkdir(parents=True)
    (tmp_path / ".runs" / RUNS[0].name).rename(probes / f"01-own-known-{RUNS[0].name}")
    return tmp_path


def test_the_runs_of_this_machine_are_listed_with_what_they_gave(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = show(capsys, "runs", root=machine)
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == sorted((run.name for run in RUNS), reverse=True)
    assert {row[2] for row in rows} == {"finished"} and {row[3] for row in rows} == {"100"}
    assert err == "3 runs\n"
    told = json.loads(show(capsys, "runs", "--json", root=machine)[0])
    assert [one["id"] for one in told] == [row[0] for row in rows]
    assert all(2.8 < one["val_loss"] < 2.9 and one["wall_time_s"] > 0 for one in told)


def test_runs_are_narrowed_down(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(show(capsys, "runs", "--track", "short", "--json", root=machine)[0]) == []
    assert json.loads(show(capsys, "runs", "--since", "2026-11-23", "--json", root=machine)[0]) == []
    assert (
        "there is no track 'shrt'; did you mean short?"
        in show(capsys, "runs", "--track", "shrt", root=machine, status=2)[1]
    )


def test_a_run_that_says_hostile_things_or_nothing_is_one_line(
    machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = machine / ".runs" / RUNS[1].name
    run = run_files.read_run_file(folder)
    poison = dataclasses.replace(run, subject="submissions/\x1b[2J\x07\u202eevil", outcome=None)
    (folder / "run.json").write_text(json.dumps(codec.encode(poison)))
    (machine / ".runs" / RUNS[2].name / "run.json").write_text("[" * 9000)
    out, _ = show(capsys, "runs", root=machine)
    assert not {"\x1b", "\x07", "\u202e"} & set(out)
    assert "no end recorded" in out and "unreadable" in out
    assert len(out.splitlines()) == 4


def test_where_nothing_has_run_the_list_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tracks").mkdir()
    assert "no run was made here yet; make one: speedrun run smoke" in show(capsys, "runs", root=tmp_path)[0]
    assert "no run of this machine is like that" in show(capsys, "runs", "--words", "x", root=tmp_path)[0]
    assert past_runs.folders(Project(tmp_path)) == []


def test_losses_of_two_kinds_in_one_table_say_which(capsys: pytest.CaptureFixture[str]) -> None:
    lines = show(capsys, "smoke/4")[0].splitlines()
    assert all("(above_entropy)" in line for line in lines if "  own  " in line)
    assert all("(val_loss)" in line for line in lines if "  baseline  " in line)
    assert "(val_loss)" not in show(capsys, "short/88")[0], "one kind needs no word"
