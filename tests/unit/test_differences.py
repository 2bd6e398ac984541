"""What a record gains over the baseline in its own folder, and what others measured: computed, attributed, never ranked."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest

from harness import frames
from harness.board import export, rows
from harness.catalog.differences import differences, scripts
from harness.catalog.tracks import load_tracks
from harness.core.errors import StoreError
from harness.core.record import Claimed, Elsewhere, Merged, Record, RecordRun
from harness.store.layout import Project
from harness.store.retimings import read_retimings

ROOT = Path(__file__).parents[2]
SHORT = load_tracks(ROOT / "tracks")["short"]
MINE, BEFORE, ABLATION = "a" * 64, "b" * 64, "c" * 64


def run(role: str, script: str | None, loss: float | None, time: float | None, **changed: object) -> RecordRun:
    made = RecordRun(
        id="x", role=role, step=1390, metric="val_loss", value=loss, train_time_s=time, gpu_name="NVIDIA H100 80GB HBM3",
        gpu_count=8, driver="580", torch="2.10.0", started_at="2026-07-17T12:00:00", script_sha256=script, note=None,
    )  # type: ignore[arg-type]  # fmt: skip
    return dataclasses.replace(made, **changed)  # type: ignore[arg-type]


def record(number: int, *runs: RecordRun) -> Record:
    return Record(
        track="short", ruleset="short@2", number=number, kind="record", retimes=None, date=None, title="x",
        contributors=(), pull_request=None, claimed=Claimed(80.0, None, None, None), notes=None, withdrawn=None,
        slug=f"2026-01-{number:02}_x", runs=runs,
    )  # fmt: skip


def own(*figures: tuple[float, float]) -> tuple[RecordRun, ...]:
    return tuple(run("own", MINE, loss, time) for loss, time in figures)


OWN = own((3.2781, 79.0), (3.2785, 79.2), (3.2789, 79.4))
THEIRS = tuple(run("baseline", BEFORE, loss, 80.0 + n / 10) for n, loss in enumerate((3.2780, 3.2784, 3.2791)))


def test_the_difference_has_its_interval_and_names_the_baseline_by_its_hash() -> None:
    [one] = differences(record(2, *OWN, *THEIRS), {}, 3.28)
    assert (one.script_sha256, one.record, one.runs, one.own_runs, one.unlike) == (BEFORE, None, 3, 3, ())
    assert one.time_s == pytest.approx(-0.9)
    # Welch: sd 0.2 and 0.1 over three runs each, 2.94 degrees of freedom.
    assert (one.time_low_s, one.time_high_s) == (pytest.approx(-1.3157, abs=1e-3), pytest.approx(-0.4843, abs=1e-3))
    assert one.loss == pytest.approx(0.0) and one.loss_low == pytest.approx(-one.loss_high)  # type: ignore[operator]


def test_losses_of_two_kinds_are_not_compared() -> None:
    distances = [dataclasses.replace(mine, metric="above_entropy", value=0.1) for mine in OWN]
    [one] = differences(record(2, *distances, *THEIRS), {}, 3.28)
    assert (one.loss, one.loss_low, one.loss_high, one.reaches_target) == (None, None, None, None)
    assert one.time_s == pytest.approx(-0.9)
    assert "no losses against 3 runs" in rows.baseline_text("short", one) and "target" not in rows.baseline_text(
        "short", one
    )


def test_a_hash_tells_the_record_whose_script_the_baseline_is() -> None:
    before, mine = record(1, run("own", BEFORE, 3.279, 81.0)), record(2, *OWN, *THEIRS)
    known = scripts([mine, before], {before.slug: "1", mine.slug: "2"})
    assert known == {BEFORE: "1", MINE: "2"}
    merged = Merged(repository="a/b", commit="0" * 40, files={}, script_sha256=ABLATION, torch=None, reason=None)
    assert scripts([dataclasses.replace(before, merged=merged)], {before.slug: "1"}) == {BEFORE: "1", ABLATION: "1"}
    [one] = differences(mine, known, 3.28)
    assert rows.baseline_text("short", one) == (
        "−0.900 s (−1.316 to −0.484), +0.00000 loss (−0.00114 to +0.00114) against 3 runs of script bbbbbbbb of short/1, "
        "1,390 steps"
    )


def test_of_several_baselines_the_one_that_reaches_the_target_comes_before_an_ablation_with_more_runs() -> None:
    cut = [run("baseline", ABLATION, 3.285 + n / 1e4, 78.0, step=1335) for n in range(9)]
    found = differences(record(2, *OWN, *cut, *THEIRS), {}, 3.28)
    assert [(one.script_sha256, one.reaches_target) for one in found] == [(BEFORE, True), (ABLATION, False)]
    assert "not below the target" in rows.baseline_text("short", found[1])
    [first, _] = differences(record(2, *OWN, *cut, *THEIRS), {ABLATION: "1"}, 3.28)
    assert first.record == "1"  # a script that a record was set with comes first of all


def test_other_gpus_are_not_compared_and_what_speaks_against_one_machine_is_said() -> None:
    assert differences(record(2, *OWN, run("baseline", BEFORE, 3.279, 590.0, gpu_count=1)), {}, 3.28) == ()
    assert differences(record(2, *OWN, run("baseline", BEFORE, 3.279, 80.0, gpu_name=None)), {}, 3.28) == ()
    assert differences(record(2, *OWN, run("baseline", BEFORE, None, 80.0)), {}, 3.28) == ()
    assert (
        differences(record(2, *OWN, run("other", BEFORE, 3.279, 80.0)), {}, 3.28) == ()
    )  # nobody called it a baseline
    later = {"driver": "570", "torch": "2.9.1", "started_at": "2026-05-27T12:00:00"}
    [one] = differences(record(2, *OWN, run("baseline", BEFORE, 3.279, 80.0, **later)), {}, 3.28)
    assert one.unlike == ("driver", "torch", "day")
    assert (one.time_low_s, one.loss_low) == (None, None)  # one run on a side
    assert rows.baseline_text("short", one).endswith("; another driver and torch and day")
    [bare] = differences(record(2, *own((3.279, 79.0)), run("baseline", None, 3.279, None, step=None)), {}, 3.28)
    assert rows.baseline_text("short", bare) == "no times, +0.00000 loss against 1 run of a script without a hash"


def test_the_23_records_with_baseline_runs_have_22_on_the_same_gpus_and_20_with_an_interval() -> None:
    """Figures of the imported history at f411b3d: #59's baseline is on one GPU, #9 and #79 have a single one."""
    board = json.loads((ROOT / "leaderboard" / "records.json").read_text())["records"]
    short = [row for row in board if row["track"] == "short" and int(row["number"].partition(".")[0]) <= 89]
    assert len([row for row in short if row["baseline_runs"]]) == 23
    assert len([row for row in short if row["baselines"]]) == 22
    assert len([row for row in short if row["baselines"] and row["baselines"][0]["time_low_s"] is not None]) == 20
    known = {row["number"]: row["baselines"][0]["record"] for row in short if row["baselines"]}
    assert {n: r for n, r in known.items() if r} == {
        "9": "8", "56": "55", "61": "60", "67": "66", "71": "66", "78": "77",
        "79": "78", "80": "78", "81": "80", "82": "80", "88": "84", "89": "84",
    }  # fmt: skip
    newest = next(row["baselines"][0] for row in short if row["number"] == "89")
    assert (round(newest["time_s"], 6), newest["script_sha256"][:8]) == (
        -1.043692,
        "491e8cef",
    )  # as its author computed


def test_what_others_measured_is_shown_with_its_source_and_what_they_do_not_say_is_missing() -> None:
    table = frames.records(Project(ROOT)).set_index(["track", "number"]).loc["short"]
    timed = table[table.elsewhere_against.notna()]
    assert list(timed.index) == [str(number) for number in range(29, 63)]
    assert timed.elsewhere_faster_s["62"] == 63.2192 and timed.elsewhere_faster_s["44"] == 26.4624
    assert math.isnan(timed.elsewhere_faster_s["48"])
    assert set(timed.elsewhere_against) == {29}
    assert all(source.startswith("IntologyAI/NanoGPT-Bench@8f94e9ff") for source in timed.elsewhere_source)
    for figure, text in ((26.4624, "26.46 s less than"), (-1.0, "1.00 s more than"), (None, "no figure")):
        said = rows.elsewhere_text("short", Elsewhere("NanoGPT-Bench", "x", "2026-06-10", 29, figure))
        assert said.startswith(text) and said.endswith("by NanoGPT-Bench of 2026-06-10")


def test_a_time_of_others_changes_neither_rank_nor_status() -> None:
    held = [record(1, *OWN), record(2, *OWN)]
    timings = {("short", 1): Elsewhere("x", "x", "2026-06-10", 1, 70.0)}
    plain, with_them = rows.make_rows(SHORT, held), rows.make_rows(SHORT, held, timings)
    assert [(row.number, row.evidence, row.current) for row in plain] == [
        (row.number, row.evidence, row.current) for row in with_them
    ]
    assert "70.00 s less than short/1, by x" in export.to_csv(with_them)


def test_a_wrong_file_of_retimings_is_refused_with_its_line(tmp_path: Path) -> None:
    project = Project(tmp_path)
    assert read_retimings(project) == {}
    text = (ROOT / "retimings.yaml").read_text().replace("faster_s: 1.1744", "faster_s: fast", 1)
    project.retimings.write_text(text.replace("against: 29", "against: 0"))
    with pytest.raises(StoreError, match=r"retimings.yaml:\d+: .*against") as error:
        read_retimings(project)
    assert len(error.value.problems) == 2
