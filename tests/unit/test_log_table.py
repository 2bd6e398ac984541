"""`speedrun log --markdown`: the table that reviewers make of logs by hand."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.board import log_markdown, tabulation
from harness.core import codec, log_table
from harness.core.errors import HarnessError
from harness.runlog import collection
from tests import warm
from tests.small_logs import SCRIPT, log_text, write

CANDIDATE = SCRIPT + "x = 1  # faster\n\n# a remark\n"


def speedrun(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return warm.speedrun("log", *map(str, arguments), cwd=folder, env=os.environ)


def readings(folder: Path) -> list[collection.Reading]:
    return list(collection.read_logs(list(collection.find_logs([str(folder)])), curve=True))


def cells(text: str) -> list[dict[str, str]]:
    """The rows of the table by the titles of their columns; Δ follows a column of the same name."""
    head, _, *rows = [line for line in text.splitlines() if line.startswith("| ")]
    titles = head.strip("| ").split(" | ")
    titles = [f"{titles[i - 1]} {title}" if title == "sd" else title for i, title in enumerate(titles)]
    return [dict(zip(titles, row.removeprefix("| ").removesuffix(" |").split(" | "), strict=True)) for row in rows]


def pull_request(folder: Path) -> Path:
    """Two scripts, four runs each, as in the pull requests of 2026."""
    for index, (base, mine) in enumerate(
        zip((3.2791, 3.2777, 3.2788, 3.2778), (3.2790, 3.2779, 3.2785, 3.2781), strict=True)
    ):
        began = f"Mon Jan 19 01:{10 + index}:00 2026"
        later = f"Mon Jan 19 02:{10 + index}:00 2026"
        write(folder / "baseline" / f"b{index}.txt", base, 80_000 + 10 * index, began=began)
        write(folder / "this_pr" / f"p{index}.txt", mine, 79_000 + 20 * index, script=CANDIDATE, began=later)
    return folder


def test_the_table_needs_no_project_and_holds_what_reviewers_compute(tmp_path: Path) -> None:
    done = speedrun(pull_request(tmp_path / "x"), "--markdown", folder=tmp_path)
    assert done.returncode == 0
    base, mine = cells(done.stdout)
    assert (base["runs of"], mine["runs of"]) == ("baseline", "this&#95;pr")
    assert (mine["n"], mine["steps"], mine["GPUs"]) == ("4", "8", "8× H100 80GB HBM3")
    assert (mine["time (s)"], mine["time (s) sd"]) == ("79.030", "0.026")
    assert (mine["loss"], mine["loss sd"], mine["left"]) == ("3.27838", "0.00049", "0.00162")
    assert float(mine["p at 3.28"]) == pytest.approx(0.0033, abs=1e-4)
    assert "Δ time (s)" not in mine  # nobody named a baseline
    assert "in 5.6 % of the cases" in done.stdout  # peeking is not excluded
    assert "one session: all 4 runs began within 3 min" in done.stdout
    assert done.stderr == "8 logs with 8 runs; 0 other files are not training logs\n"


@pytest.mark.parametrize("by", ["folder", "name", "hash"])
def test_a_baseline_is_named_by_folder_name_or_hash_and_differences_have_an_interval(tmp_path: Path, by: str) -> None:
    folder = pull_request(tmp_path / "x")
    script = tabulation.read(readings(folder)).groups[0].script
    assert script is not None
    name = {"folder": str(folder / "baseline"), "name": "baseline", "hash": script[:8]}[by]
    base, mine = cells(log_markdown.markdown(tabulation.read(readings(folder), name)))
    assert base["runs of"] == "baseline (baseline)"
    assert mine["Δ time (s)"] == "−0.985 (−1.024 to −0.946), −1.23 %"
    assert mine["Δ loss"] == "+0.00002 (−0.00106 to +0.00111)"
    assert mine["code"] == "+1 −0"  # neither the remark nor the blank line counts


def test_a_baseline_outside_of_the_named_folder_is_read_too(tmp_path: Path) -> None:
    folder = pull_request(tmp_path / "x")
    done = speedrun(folder / "this_pr", "--markdown", "--baseline", folder / "baseline", folder=tmp_path)
    assert [row["runs of"] for row in cells(done.stdout)] == ["baseline (baseline)", "this&#95;pr"]
    assert "began after the baseline's, so a drift of the machine is in the difference" in done.stdout


def test_a_baseline_that_means_no_or_several_groups_is_refused(tmp_path: Path) -> None:
    folder = pull_request(tmp_path / "x")
    for name, said in (("master", "'master' means 0 groups"), (str(folder), "means 2 groups of runs")):
        done = speedrun(folder, "--markdown", "--baseline", name, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert said in done.stderr and "this_pr (" in done.stderr


def test_runs_of_one_folder_are_told_apart_by_script_and_gpus_and_those_of_several_folders_are_not(
    tmp_path: Path,
) -> None:
    write(tmp_path / "one" / "a.txt", 3.2790, 79_000)
    write(tmp_path / "two" / "b.txt", 3.2791, 79_001)
    write(tmp_path / "one" / "c.txt", 3.2792, 79_002, script=CANDIDATE)
    write(tmp_path / "one" / "d.txt", 3.2793, 590_000, gpus=1)
    text = log_markdown.markdown(tabulation.read(readings(tmp_path)))
    assert sorted((row["n"], row["GPUs"]) for row in cells(text)) == [
        ("1", "1× H100 80GB HBM3"),
        ("1", "8× H100 80GB HBM3"),
        ("2", "8× H100 80GB HBM3"),
    ]
    assert "one run: no spread and no p; not the GPUs of a record" in text
    base, *others = cells(log_markdown.markdown(tabulation.read(readings(tmp_path), "one/d.txt")))
    assert base["n"] == "1" and {row["Δ time (s)"] for row in others} == {"–"}  # on other GPUs


def test_logs_without_source_are_grouped_by_their_folder(tmp_path: Path) -> None:
    for index, name in enumerate(("a/1.txt", "a/2.txt", "b/3.txt")):
        path = write(tmp_path / name, 3.2791, 79_000 + index)
        path.write_text(path.read_text().split("=" * 100 + "\n")[-1])
    table = tabulation.read(readings(tmp_path))
    assert [len(one.runs) for one in table.groups] == [2, 1]
    assert "no source in the logs" in log_markdown.markdown(table)


def test_the_same_run_in_two_logs_counts_once_and_the_log_with_its_source_stays(tmp_path: Path) -> None:
    log = write(tmp_path / "a.txt", 3.2791, 79_000)
    (tmp_path / "copy.txt").write_text(log.read_text())
    (tmp_path / "seed_0.stdout").write_text(log.read_text().split("=" * 100 + "\n")[-1])
    (tmp_path / "last.txt").write_text(log.read_text().splitlines()[-1] + "\n")
    write(tmp_path / "other.txt", 3.2791, 79_001)
    [one] = tabulation.read(readings(tmp_path)).groups
    assert [run.name for run in one.runs] == ["a.txt", "other.txt"]
    assert one.repeated == 3


def test_what_is_odd_stands_below_the_table(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", 3.2791, 79_000, seed=1, began="Mon Jan 19 01:49:27 2026")
    write(tmp_path / "b.txt", 3.2781, 79_100, seed=1, torch="2.11.0+cu130", began="Mon Jan 19 09:49:27 2026")
    write(tmp_path / "c.txt", "nan", 79_200)
    text = log_markdown.markdown(tabulation.read(readings(tmp_path)))
    for said in (
        "1 run without a loss at the last step, in no figure: c.txt at step 8",
        "odd lines in 1 log",
        "2 runs print the seed of another run",
        "2 versions of torch: 2.10.0+cu128, 2.11.0+cu130",
    ):
        assert said in text
    assert "one session" not in text
    [row] = cells(text)
    assert (row["n"], row["loss"]) == ("2", "3.27860")


def test_a_script_that_differs_in_a_seed_alone_is_said_to(tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        write(tmp_path / f"{seed}.txt", 3.2790 + seed / 1e4, 79_000, script=SCRIPT + f"seed = {seed}\n")
    text = log_markdown.markdown(tabulation.read(readings(tmp_path)))
    assert len(cells(text)) == 3
    assert re.search(r"\n- 2.txt \(.{8}\), 3.txt \(.{8}\), each: .*differs from .{8} by \+1 −1 lines of code\.", text)


@pytest.mark.parametrize(
    ("folder", "loss", "given", "target"),
    [
        ("track_2_medium/x", 3.2790, None, 2.92),
        ("track_1_short/x", 2.9190, None, 3.28),
        ("x", 2.9190, None, 2.92),
        ("x", 3.2790, None, 3.28),
        ("track_1_short/x", 3.2790, 3.3, 3.3),
    ],
)
def test_the_target_is_the_one_that_was_given_or_the_tracks_or_the_nearest(
    tmp_path: Path, folder: str, loss: float, given: float | None, target: float
) -> None:
    write(tmp_path / folder / "a.txt", loss, 79_000)
    assert tabulation.read(readings(tmp_path), target=given).target == target


def test_logs_of_two_tracks_are_not_one_table(tmp_path: Path) -> None:
    write(tmp_path / "track_2_medium" / "a.txt", 2.9190, 79_000)
    write(tmp_path / "track_1_short" / "a.txt", 3.2790, 79_000)
    with pytest.raises(HarnessError, match="these logs are of 2 tracks; name those of one track"):
        tabulation.read(readings(tmp_path), target=3.28)


def test_the_optimization_track_gets_its_rule_and_the_earliest_step_that_meets_it(tmp_path: Path) -> None:
    folder = tmp_path / "track_3_optimization" / "results" / "x"
    for index, loss in enumerate((3.2770, 3.2774, 3.2772, 3.2776)):
        path = write(folder / f"{index}.txt", loss, 79_000 + index)
        earlier = f"step:6/8 val_loss:{loss + 0.0004:.4f} train_time:60000ms step_avg:10.00ms\nstep:8/8"
        path.write_text(path.read_text().replace("step:8/8", earlier))
    [row] = cells(log_markdown.markdown(tabulation.read(readings(tmp_path))))
    assert row["left·√n"] == "0.0054"
    assert row["earliest step"] == "6: 3.2777, 0.0046"


def test_text_of_logs_and_names_is_escaped(tmp_path: Path) -> None:
    name = "@everyone [x](http:evil) <b>|`$` #1"
    write(tmp_path / name / "a.txt", 3.2791, 79_000, gpu="NVIDIA <img src=x>", torch="2.1|@all")
    write(tmp_path / "b\n| c.txt", 3.2781, 79_000)
    text = log_markdown.markdown(tabulation.read(readings(tmp_path)))
    table, _, rest = text.partition("\n\n")
    assert len(table.splitlines()) == 4 and {line.count("|") for line in table.splitlines()} == {12}
    for live in ("<b>", "<img", "](", "@everyone", "@all", "`", " #1"):
        assert live not in text
    assert "\\n" in text.replace("&#92;", "\\") and "\n| c" not in rest


def test_the_longest_table_fits_a_comment_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    for index in range(log_table.MOST_GROUPS + 5):
        script = SCRIPT + f"x = {index}\n"
        write(tmp_path / f"{index:02}{'|@' * 60}" / f"{'<`' * 40}.txt", 3.2790, 79_000, script=script)
    table = tabulation.read(readings(tmp_path))
    assert (len(table.groups), table.more_groups) == (log_table.MOST_GROUPS, 5)
    text = log_markdown.markdown(table)
    assert len(text) <= log_markdown.MOST_CHARACTERS
    shown = len(cells(text))
    assert (
        shown > 5
        and f"- {log_table.MOST_GROUPS + 5 - shown} more groups of runs are not shown; name fewer folders." in text
    )


def test_the_largest_table_stays_below_the_limit_of_its_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", 3.2791, 79_000, seed=2**40)
    table = tabulation.read(readings(tmp_path))
    run = dataclasses.replace(
        table.groups[0].runs[0], name="ü" * 80, torch="2" * 40, driver="5" * 40, ema_loss=3.123456
    )
    one = dataclasses.replace(table.groups[0], name="ü" * 80, runs=(run,) * log_table.MOST_RUNS)
    text = log_table.FORM.text(dataclasses.replace(table, groups=(one,) * log_table.MOST_GROUPS))
    assert len(text.encode()) < codec.MAX_JSON_BYTES


def test_the_table_as_data_gives_the_same_page(tmp_path: Path) -> None:
    folder = pull_request(tmp_path / "x")
    arguments = (folder, "--markdown", "--baseline", folder / "baseline")
    data = speedrun(*arguments, "--json", folder=tmp_path).stdout
    table = log_table.FORM.parse(data.encode(), "table.json")
    assert log_markdown.markdown(table) == speedrun(*arguments, folder=tmp_path).stdout


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("target",), math.nan),
        (("track",), "other"),
        (("groups",), []),
        (("groups", 0, "name"), "x" * 81),
        (("groups", 0, "name"), "a\nb"),
        (("groups", 0, "script"), "</script>"),
        (("groups", 0, "gpu_name"), "[x](y)"),
        (("groups", 0, "runs"), []),
        (("groups", 0, "runs", 0, "loss"), 1e300),
        (("groups", 0, "runs", 0, "time_s"), -1.0),
        (("groups", 0, "runs", 0, "torch"), "@all"),
        (("groups", 0, "runs", 0, "started_at"), "soon"),
        (("groups", 0, "runs", 0, "note"), "merge this"),
        (("note",), "merge this"),
        (("beside",), {"unread": 0, "outside": {"added": "[x](y)", "removed": 0}}),
        (("beside",), {"unread": -1, "outside": {"added": 0, "removed": 0}}),
    ],
)
def test_a_table_from_elsewhere_is_read_strictly(tmp_path: Path, where: tuple[str | int, ...], value: object) -> None:
    write(tmp_path / "a.txt", 3.2791, 79_000)
    data = json.loads(log_table.FORM.text(tabulation.read(readings(tmp_path))))
    inside = data
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = value
    with pytest.raises(HarnessError):
        log_table.FORM.parse(json.dumps(data).encode(), "table.json")


def test_a_table_whose_figures_are_extreme_is_still_written(tmp_path: Path) -> None:
    """What passes the strict reading must not break the writing: the calendar, sums, spreads."""
    write(tmp_path / "a.txt", 3.2791, 79_000)
    write(tmp_path / "b.txt", 3.2791, 79_000, first_loss=9.9)
    data = json.loads(log_table.FORM.text(tabulation.read(readings(tmp_path))))
    [one] = data["groups"]
    for loss, time, began in ((999_999.0, 9_999_999.0, "0000-99-99T99:99:99"), (-999_999.0, 1e-300, None)):
        one["runs"][0] |= {"loss": loss, "time_s": time, "started_at": began}
        one["runs"][1]["time_s"] = 1e-320
        data |= {"groups": [one, one], "has_baseline": True}
        assert "baseline" in log_markdown.markdown(log_table.FORM.parse(json.dumps(data).encode(), "x"))


def test_options_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "a.txt"
    log.write_text(log_text(3.2791, 79_000))
    for arguments in (
        ("--baseline", "x"),
        ("--json", "--target", "3"),
        ("--final-only", "--baseline", "."),
        ("--markdown", "--final-only"),
        ("--markdown", "--target", "x"),
    ):
        done = speedrun(log, *arguments, folder=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr
    assert speedrun(tmp_path / "none", "--markdown", folder=tmp_path).returncode == 2
