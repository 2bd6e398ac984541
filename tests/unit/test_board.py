"""The board: figures from runs, statuses with reasons, the same bytes in any order, and no title that breaks a table."""

from __future__ import annotations

import csv
import datetime
import html
import io
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.board import board_page, code_changes, export, leaderboard, learning, markdown, record_page, rows
from harness.catalog.differences import Difference
from harness.catalog.tracks import load_tracks
from harness.core.record import INCOMPLETE, Claimed, Merged, Original, Record, RecordRun, cpu_note
from harness.submission import codediff

ROOT = Path(__file__).parents[2]
TRACKS = load_tracks(ROOT / "tracks")
H100 = "NVIDIA H100 80GB HBM3"


def run(value: float | None, time_s: float | None = 80.0, gpu: str | None = H100, count: int | None = 8) -> RecordRun:
    return RecordRun("a log", "own", 1390, "val_loss", value, time_s, gpu, count, None, None, None, None, None)


def record(number: int, time_s: float, *runs: RecordRun, track: str = "short", **changes: object) -> Record:
    base = Record(
        track=track,
        slug=f"2026-01-{number:02}_idea-{number}",
        ruleset=f"{track}@2" if track != "optimization" else "optimization@1",
        number=number,
        kind="record",
        retimes=None,
        date=datetime.date(2026, 1, number),
        title=f"Idea {number}",
        contributors=("@a", "@b"),
        pull_request="7",
        claimed=Claimed(time_s, None, None, None),
        original=Original("owner/name", None, "none", None, {}, None, None),
        notes=None,
        withdrawn=None,
        runs=runs,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def flags(row: rows.Row) -> list[str]:
    return [flag.name for flag in row.flags]


@pytest.mark.parametrize(
    ("made", "word", "named"),
    [
        (record(1, 80.0), "claimed", ["no logs"]),
        (record(1, 80.0, run(3.275), run(3.2751)), "logged", []),
        (record(1, 79.3, run(3.275), run(3.2751)), "logged", []),
        (record(1, 75.0, run(3.275), run(3.2751)), "logged", ["other host (+6.7 %)"]),
        (record(1, 50.0, run(3.275), run(3.2751)), "logged", ["other host (+60.0 %)"]),
        (record(1, 80.0, run(3.275), run(3.2799)), "logged", ["loss open"]),
        (record(1, 80.0, run(3.278, gpu="NVIDIA H200")), "logged", ["other GPU", "one run"]),
        (record(1, 80.0, run(3.278, count=1)), "logged", ["other GPU", "one run"]),
        (record(1, 80.0, run(3.278, gpu=None, count=None)), "logged", ["GPU not known", "one run"]),
        (record(1, 80.0, run(3.278, None)), "logged", ["one run"]),
        (record(1, 80.0, run(None)), "claimed", ["no logs"]),
        (record(1, 70.0, run(3.3), run(3.31), has_evidence=True), "verified", []),
        (record(1, 80.0, has_evidence=True, scored=True, official=True), "verified", ["scored", "official"]),
        (record(1, 80.0, run(3.275), run(3.2751), official=True), "timed", ["official"]),
        (record(1, 80.0, run(3.275), run(3.2751), kind="retiming", retimes=1), "timed", ["retimed"]),
        (record(1, 80.0, withdrawn="broken"), "claimed", ["no logs", "withdrawn"]),
    ],
)
def test_evidence_and_flags_are_computed(made: Record, word: str, named: list[str]) -> None:
    [row] = rows.make_rows(TRACKS["short"], [made])
    assert (row.evidence, flags(row)) == (word, named)
    assert all(flag.said.endswith((".", "broken")) for flag in row.flags), "each has a sentence"


def merged_as(script: str | None) -> Merged:
    commit, files = (None, {}) if script is None else ("c" * 40, {"train_gpt.py": "0" * 64})
    reason = "nobody knows" if script is None else None
    return Merged(repository="owner/name", commit=commit, files=files, script_sha256=script, torch=None, reason=reason)


def test_only_the_same_script_on_the_same_hardware_contradicts_a_claim() -> None:
    runs = [replace(run(3.275), script_sha256="a" * 64), replace(run(3.2751), script_sha256="a" * 64)]
    for merged, claimed, word, flag in (
        (merged_as("b" * 64), 50.0, "claimed", "other script"),
        (merged_as("a" * 64), 50.0, "logged", "contradicted (+60.0 %)"),
        (merged_as("a" * 64), 75.0, "logged", "other host (+6.7 %)"),
        (merged_as("a" * 64), 100.0, "logged", "contradicted (−20.0 %)"),
        (merged_as(None), 50.0, "logged", "other host (+60.0 %)"),
    ):
        [row] = rows.make_rows(TRACKS["short"], [record(1, claimed, *runs, merged=merged)])
        assert (row.evidence, flags(row)) == (word, [flag])
    elsewhere = [replace(one, gpu_name="NVIDIA H200") for one in runs]
    [row] = rows.make_rows(TRACKS["short"], [record(1, 50.0, *elsewhere, merged=merged_as("a" * 64))])
    assert flags(row) == ["other GPU"]
    [row] = rows.make_rows(TRACKS["short"], [record(1, 80.0, *runs, merged=merged_as("b" * 64))])
    assert (row.evidence, flags(row), row.merged) == ("claimed", ["other script"], "c" * 40)
    assert "held by the script that was merged, at commit cccccccc." in board_page.current_line(TRACKS["short"], row)


def test_one_run_has_no_p_and_equal_runs_have_none_either() -> None:
    assert rows.make_rows(TRACKS["short"], [record(1, 80.0, run(3.278))])[0].p is None
    assert rows.make_rows(TRACKS["short"], [record(1, 80.0, run(3.278), run(3.278))])[0].p is None


def test_an_incomplete_run_gives_no_figure_and_a_run_without_gpus_names_its_processor() -> None:
    cut = replace(run(3.4, 70.0), note=INCOMPLETE)
    on_cpu = replace(run(2.9, gpu=None, count=None), note=f"run of smoke/a; {cpu_note(4, 'Xeon')}")
    [row] = rows.make_rows(TRACKS["smoke"], [record(1, 80.0, cut, on_cpu, track="smoke")])
    assert (row.runs, row.time_mean_s, row.machine) == (1, 80.0, "4 cores of Xeon")


def test_steps_follow_the_closed_form() -> None:
    def open_(*losses: float) -> bool:
        made = record(
            1, 0.0, *[run(v, None) for v in losses], track="optimization", claimed=Claimed(None, 3000, None, None)
        )
        return "loss open" in flags(rows.make_rows(TRACKS["optimization"], [made])[0])

    assert not open_(3.278, 3.278, 3.278, 3.278)  # 0.002 · 2 = 0.004
    assert open_(3.278, 3.278, 3.278)


def test_a_record_on_a_secret_source_ranks_by_its_steps_and_shows_a_distance() -> None:
    old = record(1, 0.0, run(2.85), run(2.86), track="smoke", claimed=Claimed(None, 100, 2.855, 2))
    old = replace(old, ruleset="smoke@1")
    values = [replace(run(value), metric="above_entropy") for value in (0.121, 0.122, 0.124)]
    new = record(2, 0.0, *values, track="smoke", claimed=Claimed(None, 90, None, 3))
    assert new.ruleset == "smoke@2"
    table = rows.make_rows(TRACKS["smoke"], [old, new])
    assert [(row.number, row.current, row.metric) for row in table] == [
        ("2", True, "above_entropy"),
        ("1", False, "val_loss"),
    ]
    assert [markdown.loss_text(row) for row in table] == ["entropy + 0.1223", "2.8550"]
    assert table[0].p is not None and table[0].p < 0.01, "against 0.15, not 2.95"
    # One picture of both: the distance of the older curve is known, because its source is.
    curves = {old.slug: ((0, 5.5491, 0.0), (100, 2.855, 3.0)), new.slug: ((0, 2.8, 0.0), (90, 0.122, 3.0))}
    alike, target = learning._alike(TRACKS["smoke"], table, curves)
    assert target == 0.15
    assert [[round(loss, 4) for _, loss, _ in curve] for curve in alike] == [[2.8, 0.122], [2.8124, 0.1183]]
    assert learning._alike(TRACKS["smoke"], table[1:], curves)[1] == 2.95


def test_the_current_record_stands_on_top_then_the_newest_and_nothing_is_hidden() -> None:
    held = [record(1, 80.0), record(2, 60.0), record(3, 90.0), record(4, 50.0, withdrawn="could not be run again")]
    table = rows.make_rows(TRACKS["short"], held)
    assert [row.number for row in table] == ["2", "4", "3", "1"]
    assert [row.current for row in table] == [True, False, False, False]
    assert "withdrawn" in markdown.evidence_text(table[1])
    assert table[1].flags[-1].said.endswith("could not be run again")


def difference(**changes: object) -> Difference:
    base = Difference("a" * 64, "7", 1390, 4, 5, True, -1.25, -1.5, -1.0, 0.0, None, None, ())
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("baselines", "said"),
    [
        ((), "claims 20.00 s less than #1 claims, maybe of another host"),
        ((difference(),), "1.25 s less than the script of #7, run beside it (5 and 4 runs)"),
        (
            (difference(record=None, unlike=("day",)),),
            "1.25 s less than its baseline, run beside it (5 and 4 runs; another day)",
        ),
        (
            (difference(reaches_target=False), difference(time_s=0.5)),
            "0.50 s more than the script of #7, run beside it (5 and 4 runs); claims 20.00 s less than #1 claims",
        ),
        ((difference(reaches_target=False),), "claims 20.00 s less"),
    ],
)
def test_a_gain_is_that_of_runs_beside_it_else_one_of_claims(baselines: tuple[Difference, ...], said: str) -> None:
    new, old = rows.make_rows(TRACKS["short"], [record(1, 80.0), record(2, 60.0)])
    assert markdown.gain_text(replace(new, baselines=baselines), old, {}).startswith(said)


def test_a_gain_in_the_table_says_what_was_not_alike() -> None:
    [row] = rows.make_rows(TRACKS["short"], [record(1, 80.0)])
    beside = difference(unlike=("torch", "day"))
    assert "| −1.25 (#7, other torch, other day) |" in board_page.time_row(replace(row, baselines=(beside,)))
    assert "| −1.25 |" in board_page.time_row(replace(row, baselines=(difference(record=None),)))
    assert "| **80** |  |" in board_page.time_row(replace(row, baselines=(difference(reaches_target=False),)))


def test_rows_that_take_no_fewer_steps_stand_apart() -> None:
    steps = {1: 3600, 2: 5625, 3: 3500, 4: 3500, 5: 3000, 6: 3400}
    held = [
        record(n, 0.0, track="optimization", claimed=Claimed(None, s, None, None), withdrawn="no" if n == 5 else None)
        for n, s in steps.items()
    ]
    table = rows.make_rows(TRACKS["optimization"], held)
    told = board_page.section(TRACKS["optimization"], table, [])
    first, apart = told.split("Baselines and rows")
    found = [re.findall(r"^\| \**(\d)\** \| \**([\d,]+)\** \| (\S*) ?\|", part, re.M) for part in (first, apart)]
    assert found == [
        [("6", "3,400", "−100"), ("3", "3,500", "−100"), ("1", "3,600", "")],
        [("5", "3,000", "−500"), ("4", "3,500", "0"), ("2", "5,625", "+2,025")],
    ]


def test_undated_rows_stand_by_their_number() -> None:
    held = [record(1, 80.0), record(2, 70.0, date=None), record(3, 60.0), record(4, 65.0)]
    assert [row.number for row in rows.make_rows(TRACKS["short"], held)] == ["3", "4", "2", "1"]


def test_the_address_of_a_log_is_quoted_and_only_a_log_has_one() -> None:
    log = Original("owner/name", "c" * 40, "log", "a b](x)|/<log>.txt", {}, None, None)
    [row] = rows.make_rows(TRACKS["short"], [record(1, 80.0, original=log)])
    assert row.log == f"https://github.com/owner/name/blob/{'c' * 40}/a%20b%5D%28x%29%7C/%3Clog%3E.txt"
    [row] = rows.make_rows(TRACKS["short"], [record(1, 80.0, original=replace(log, kind="file"))])
    assert row.log is None


def test_re_timings_are_numbered_below_their_record() -> None:
    first = record(1, 80.0)
    again = [replace(record(n, 81.0), number=1, kind="retiming", retimes=1) for n in (3, 2)]
    assert rows.numbers([*again, first]) == {first.slug: "1", again[1].slug: "1.1", again[0].slug: "1.2"}


def test_any_order_of_the_records_gives_the_same_bytes() -> None:
    held = [record(n, 100.0 - n, run(3.279 - n / 1e4), run(3.278)) for n in range(1, 9)]
    curves = {"short": {r.slug: ((0, 10.8, 0.0), (100, 3.3, 60.0)) for r in held}}
    first = leaderboard.render(TRACKS, held, curves)
    random.Random(1).shuffle(held)
    assert leaderboard.render(TRACKS, held, curves) == first


HOSTILE = [
    "a | b | c",
    "](https://example.org) [x",
    "<img src=x onerror=alert(1)>",
    "`code` *bold* _it_ ~~s~~ # head",
    "line\nbreak | x",
    "\x1b[2J\x07 bell",
    "right‮left",
    "::set-output name=x::y",
    "&lt;script&gt;",
    "=HYPERLINK(1)",
    "https://evil.example ftp://evil.example www.evil.example",
    "@org/team ada@evil.example #1 GH-1 WWW.evil.example",
]
# What GitHub would make a link or a mention of.
LIVE = re.compile(r"://|www\.|@\w|#\d|#</?\d|GH-\d", re.IGNORECASE)


@pytest.mark.parametrize("title", HOSTILE)
def test_no_title_can_break_the_table_or_become_something_else(title: str) -> None:
    hostile = record(1, 80.0, title=title, contributors=(title,), pull_request=title, withdrawn=title)
    table = rows.make_rows(TRACKS["short"], [hostile])
    [line] = [board_page.time_row(row) for row in table]
    assert line.count("|") == 11
    assert not set("\x1b\x07\n<>`‮") & set(line.replace("<!-- -->", ""))
    told = html.unescape(line.replace("https://github.com/KellerJordan", ""))
    assert not LIVE.search(told)
    assert line.count("](") == 2, "only the harness makes links"
    told = board_page.section(TRACKS["short"], rows.make_rows(TRACKS["short"], [replace(hostile, withdrawn=None)]), [])
    assert not set("\x1b\x07<`‮") & set(told.replace("<!-- -->", ""))
    assert told.count("](") == 3, "the record, and two in the table"
    assert json.loads(export.to_json(table))["records"][0]["title"] == title
    [_, cells] = list(csv.reader(io.StringIO(export.to_csv(table))))
    assert not cells[4].startswith("=")


def test_a_page_says_nothing_that_a_later_record_changes() -> None:
    beside = [replace(run(3.279, 81.0), role="baseline", script_sha256="b" * 64) for _ in range(2)]
    first = record(1, 90.0, *[replace(run(3.278, 90.0 + n), script_sha256="b" * 64) for n in (0, 1)])
    second = record(2, 80.0, run(3.278, 80.0), run(3.277, 80.5), *beside)
    later = record(3, 70.0, *[replace(run(3.278, 81.0 + n), script_sha256="b" * 64) for n in (0, 1)])
    curves = {"short": {r.slug: ((0, 10.8, 0.0), (100, 3.3, 60.0)) for r in (first, second, later)}}
    old, new = (leaderboard.render(TRACKS, held, curves) for held in ([first, second], [first, second, later]))
    before, after = (
        {path: text for path, text in files.items() if path.startswith("leaderboard/short/")} for files in (old, new)
    )
    added = {f"leaderboard/short/{later.slug}{suffix}" for suffix in (".md", ".svg")}
    assert after.keys() - before.keys() == added, "it is a milestone, so its page has a picture"
    assert {path: text for path, text in after.items() if path not in added} == before
    page = new[f"leaderboard/short/{second.slug}.md"]
    assert "0.75 s less than the script of #1, run beside it (2 and 2 runs)" in page
    assert "| 100 | 3.3000 | 60 | 3.3000 |" in page, "its curve beside that of the record before"
    assert f"](leaderboard/short/{second.slug}.md)" in new["leaderboard.md"]


def test_a_curve_of_the_original_is_called_so_where_another_script_was_merged() -> None:
    ran = [replace(run(3.278, 80.0 + n), script_sha256="a" * 64) for n in (0, 1)]
    told = "It is of a run of the original, not of the merged script."
    for merged, said in ((merged_as("b" * 64), True), (merged_as("a" * 64), False), (merged_as(None), False)):
        held = record(1, 80.0, *ran, merged=merged)
        [page] = record_page.pages(
            TRACKS["short"], [held], rows.make_rows(TRACKS["short"], [held]), {held.slug: ((100, 3.3, 60.0),)}, {}, {}
        ).values()
        assert "## Its curve" in page and (told in page) is said


@pytest.mark.parametrize("text", HOSTILE)
def test_a_page_quotes_its_submitter_escaped(text: str) -> None:
    noted = replace(run(3.278), note=text, script_sha256=text, torch=text, gpu_name=text)
    hostile = record(1, 80.0, noted, title=text, contributors=(text,), pull_request=text, notes=text, withdrawn=text)
    page = leaderboard.render(TRACKS, [hostile], {}, readmes={"short": {hostile.slug: f"{text}\n\n---\n{text}"}})[
        f"leaderboard/short/{hostile.slug}.md"
    ]
    ours = ("<!-- -->", "<!-- Generated", "it again. -->", "\n>", "<details><summary>", "</summary>", "</details>")
    told = re.sub("|".join(map(re.escape, ours)), "\n", page)
    assert not set("\x1b\x07<>‮") & set(told)
    assert told.count("](") == 2, "the board and its folder"
    assert not LIVE.search(html.unescape(page).split("## What its submitter wrote")[1])
    assert "What its submitter wrote\n\n> " in page
    assert all(line.startswith(">") for line in page.split("submitter wrote\n\n")[1].splitlines())


HOSTILE_CODE = ("```", "````` js", "</details><script>alert(1)</script>", "\x1b[2J", "x = '\u202e'", "y" * 3000)


def test_the_change_of_the_code_cannot_end_its_block() -> None:
    old, new = (
        "\n".join(f"x{n} = {n}\n" for n in range(9)),
        "".join(f"s{n} = {line!r}\n# {line}\n" for n, line in enumerate(HOSTILE_CODE)),
    )
    # Text files are compared line by line, so that each hostile line stands by itself, and as context too.
    files = {"a.txt": "\n".join([*HOSTILE_CODE, "1"]).encode()}, {"a.txt": "\n".join([*HOSTILE_CODE, "2"]).encode()}
    for before, after in (({"train_gpt.py": old.encode()}, {"train_gpt.py": new.encode()}), files):
        first, second = record(1, 90.0), record(2, 80.0)
        change = code_changes.Change(codediff.diff(before, after), first, reimplemented=False)
        page = leaderboard.render(TRACKS, [first, second], {}, changes={"short": {second.slug: change}})[
            f"leaderboard/short/{second.slug}.md"
        ]
        [fence] = re.findall(r"^(`+)diff$", page, re.M)
        inside = page.split(f"{fence}diff\n")[1].split(f"\n{fence}\n")[0]
        assert not re.search(rf"^ {{0,3}}{fence}", inside, re.M), "no line of it ends the block"
        assert len(inside.splitlines()) == len(change.diff.lines)
        assert max(map(len, inside.splitlines())) <= 201
        assert not set("\x1b\u202e") & set(page)
        outside = page.replace(inside, "")
        assert "<script" not in outside
        assert f"{change.diff.size} against 1." in outside
        assert "speedrun diff short/2 --against short/1" in outside


def test_a_long_change_is_cut_and_one_without_code_is_said() -> None:
    first, second = record(1, 90.0), record(2, 80.0)

    def page(old: str, new: str) -> str:
        diff = codediff.diff({"train_gpt.py": old.encode()}, {"train_gpt.py": new.encode()})
        change = code_changes.Change(diff, first, reimplemented=True)
        made = leaderboard.render(TRACKS, [first, second], {}, changes={"short": {second.slug: change}})
        return made[f"leaderboard/short/{second.slug}.md"]

    long = page("", "".join(f"x{n} = {n}\n" for n in range(400)))
    assert "+400 −0 lines of code against 1." in long
    assert "203 more lines: `speedrun diff short/2 --against short/1`" in long
    assert "reimplementation" in long
    assert "Nothing against 1." in page("x = 1\n", "x = 1  # one\n")
    assert "code" not in leaderboard.render(TRACKS, [first, second], {})[f"leaderboard/short/{second.slug}.md"]


def test_a_long_text_of_a_submitter_is_cut() -> None:
    held = record(1, 80.0)
    text = "word\n" * 500
    page = leaderboard.render(TRACKS, [held], {}, readmes={"short": {held.slug: text}})[
        f"leaderboard/short/{held.slug}.md"
    ]
    assert page.count("> word") == 120
    assert "380 more lines are in its README.md." in page


def test_a_track_without_records_has_a_section() -> None:
    page = board_page.leaderboard(TRACKS, {})
    assert page.count("No record yet.") == 4


def test_the_columns_of_the_exports_are_documented_and_complete() -> None:
    made = rows.make_rows(TRACKS["short"], [record(1, 80.0, run(3.278), run(3.279))])
    data = json.loads(export.to_json(made))
    assert data["schema"] == 1
    assert set(data["columns"]) == set(data["records"][0]) == set(rows.Row.__dataclass_fields__)
