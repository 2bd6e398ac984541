"""The tables of the upstream READMEs: every form of a cell that they have, and what cannot be understood."""

from __future__ import annotations

import datetime

import pytest

from harness.maintain.claims import READMES, Claims, read_claims
from tests.flow.small_upstream import PULL, SHORT, STEPPED, STEPS, TIMED, row, step_row

MAIN = f"## World record history\n\n{TIMED}%s\n\n## Speedrun track 2\n\n{TIMED}%s---\n"


def read(short: str = "", medium: str = "", steps: str = "") -> Claims:
    return read_claims({READMES[0]: (MAIN % (short, medium)).encode(), READMES[1]: f"{STEPPED}{steps}".encode()})


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("45 minutes", 2700.0),
        ("5.8 hours", 20880.0),
        ("25.95 minutes*", 1557.0),
        ("29.3 minutes minutes", 1758.0),
        ("1.23 minutes", 73.8),
        ("74.5 seconds", 74.5),
    ],
)
def test_a_time_in_any_of_its_forms_is_read_as_seconds(cell: str, seconds: float) -> None:
    [found] = read(row(1, cell, "A title", "05/28/24", None, "@ann")).rows
    assert found.train_time_s == seconds


@pytest.mark.parametrize(
    "cell", ["24.84 minutes / 24.50 minutes", "~45 minutes", "soon", "0 minutes", "", "1e3 minutes"]
)
def test_a_cell_that_is_not_one_time_is_listed_with_its_line_and_left_out(cell: str) -> None:
    claims = read(
        "\n".join([row(1, cell, "A", "05/28/24", None, "@a"), row(2, "9 minutes", "B", "05/29/24", None, "@b")])
    )
    [problem] = claims.problems
    assert problem.where == "README.md:5"
    assert "is no time" in problem.what
    assert [found.number for found in claims.rows] == [2]


def test_a_second_time_in_the_description_is_part_of_the_title() -> None:
    title = "[A wider window (24.84 minutes)](https://x.com/a/status/1) [24.5min repro](https://x.com/b/status/2)"
    [found] = read(row(8, "24.50 minutes", title, "04/22/25", None, "@a")).rows
    assert found.train_time_s == 1470.0
    assert found.title == "A wider window (24.84 minutes) 24.5min repro"


@pytest.mark.parametrize("cell", ["07/17/26", "2026/07/17", "2026-07-17", "07/17/2026"])
def test_both_forms_of_dates_are_read(cell: str) -> None:
    [found] = read(row(1, "9 minutes", "A", cell, None, "@a")).rows
    assert found.date == datetime.date(2026, 7, 17)


def test_a_row_without_a_date_keeps_the_one_before_it_for_its_name() -> None:
    _, found = read(
        "\n".join([row(1, "9 minutes", "A", "09/11/25", None, "@a"), "2 | 8 minutes | New torch | - | - | -"])
    ).rows
    assert (found.date, found.before, found.contributors, found.logs) == (None, datetime.date(2025, 9, 11), (), ())


@pytest.mark.parametrize(
    ("cell", "people"),
    [
        ("@ann, first.c contributors", ("@ann", "first.c contributors")),
        ("@varun, feat. @larry", ("@varun", "@larry")),
        ("@dunn_ & AI System [Locus](https://www.example.com/a/b)", ("@dunn_", "AI System Locus")),
        ("@cong and AI System [Recursive](https://x.com/)", ("@cong", "AI System Recursive")),
        ("@k, @a; The Enigma project", ("@k", "@a", "The Enigma project")),
        ("-", ()),
        ("", ()),
        (f"[PR]({PULL}/302) by Nikita B [@nb](https://github.com/nb)", ("Nikita B (@nb)",)),
        (f"[PR]({PULL}/272) by [@kai](https://github.com/kai) (its author) and [@b](https://x.com/b)", ("@kai", "@b")),
    ],
)
def test_contributors_are_names_without_links_and_words_around_them(cell: str, people: tuple[str, ...]) -> None:
    [found] = read(row(1, "9 minutes", "A", "05/28/24", None, cell)).rows
    assert found.contributors == people


def test_a_row_may_lack_the_bar_in_front_and_blanks_around_bars() -> None:
    bare = f"45 | 2.248 minutes | Refined| 11/18/25 | [log]({SHORT}/a/b.txt),[PR]({PULL}/159) | @c"
    [found] = read(bare).rows
    [framed] = read(f"| {bare} |").rows
    assert found == framed
    assert (found.title, found.pull_request, found.logs) == ("Refined", "159", (f"{SHORT}/a/b.txt",))


@pytest.mark.parametrize(
    ("cell", "logs", "pull_request"),
    [
        ("none", (), None),
        ("-", (), None),
        (f"[PR]({PULL}/317)", (), "317"),
        (f"[log]({SHORT}/2026-05-27-Folder),[PR]({PULL}/315/) ", (f"{SHORT}/2026-05-27-Folder",), "315"),
        (f"[log]({SHORT}/a%20b/c.txt)", (f"{SHORT}/a b/c.txt",), None),
        (f"[log](https://github.com/a/b/blob/master/{SHORT}/x.txt)", (f"{SHORT}/x.txt",), None),
        ("[log](../../etc/passwd)", (), None),
        ("[log](https://example.com/log.txt)", (), None),
    ],
)
def test_a_log_cell_gives_the_paths_that_lie_inside_the_repository(
    cell: str, logs: tuple[str, ...], pull_request: str | None
) -> None:
    [found] = read(f"9 | 9 minutes | A | 05/28/24 | {cell} | @a").rows
    assert (found.logs, found.pull_request) == (logs, pull_request)


def test_a_number_that_comes_again_is_a_re_timing_if_the_row_says_so() -> None:
    rows = [
        row(21, "2.933 minutes", "A batch", "01/26/25", None, "@l"),
        row(
            21, "2.997 minutes", "21st record with new timing", "02/01/25", None, "not a new record, just re-timing #21"
        ),
        row(21, "3.014 minutes", "21st record, new torch", "05/24/25", None, "not a new record, just re-timing #21"),
        row(21, "2.9 minutes", "Another idea", "05/25/25", None, "@m"),
    ]
    claims = read("\n".join(rows))
    assert [(found.name, found.contributors) for found in claims.rows] == [
        ("short/21", ("@l",)),
        ("short/21.1", ()),
        ("short/21.2", ()),
    ]
    assert "gives the number 21 again" in claims.problems[0].what


def test_a_row_of_the_optimization_track_claims_steps_a_mean_loss_and_a_number_of_runs() -> None:
    line = step_row(
        46,
        "2690(!)",
        "3.2783 (n=8)✓",
        "A floor ‖u‖\\_F, [see](results/a/R.md)",
        "2026/06/19",
        "results/a/b.txt",
        "@y",
    )
    [found] = read(steps=line).rows
    assert (found.steps, found.val_loss, found.runs, found.train_time_s) == (2690, 3.2783, 8, None)
    assert (found.title, found.logs) == ("A floor ‖u‖_F, see", (f"{STEPS}/a/b.txt",))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("9 | 9 minutes | A | 05/28/24 | none", "has 5 cells"),
        ("nine | 9 minutes | A | 05/28/24 | none | @a", "is no number of a record"),
        ("9 | 9 minutes |   | 05/28/24 | none | @a", "has no description"),
        ("9 | 9 minutes | A | 31/31/24 | none | @a", "is no date"),
        (f"9 | 9 minutes | {'A' * 9000} | 05/28/24 | none | @a", "is too long"),
    ],
)
def test_a_broken_row_is_listed_and_the_rows_behind_it_are_read(line: str, words: str) -> None:
    claims = read("\n".join([line, "", row(10, "8 minutes", "B", "05/29/24", None, "@b")]))
    assert [words in problem.what for problem in claims.problems] == [True]
    assert [found.number for found in claims.rows] == [10]


def test_a_table_that_is_missing_or_changed_its_columns_is_a_problem_and_so_are_its_rows() -> None:
    text = MAIN.replace("Record time", "Time") % (row(1, "9 minutes", "A", "05/28/24", None, "@a"), "")
    claims = read_claims({READMES[0]: text.encode()})
    assert not claims.rows
    said = " ".join(problem.what for problem in claims.problems)
    assert "stands in no table" in said
    assert all(f"no table of the {track} track" in said for track in ("short", "medium", "optimization"))


def test_hostile_text_becomes_one_short_printable_line() -> None:
    title = "a\x1b[31m`b` <script>x</script> **c**\u202e " + "d" * 500
    [found] = read(row(1, "9 minutes", title, "05/28/24", None, "@a\x07" + "e" * 500)).rows
    assert len(found.title) <= 300
    assert len(found.contributors[0]) <= 100
    assert (found.title + found.contributors[0]).isprintable()
    assert not set("<>`*") & set(found.title)
