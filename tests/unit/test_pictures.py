"""The board's pictures: which records they name, that nothing in them meets or is cut, and the same bytes everywhere."""

from __future__ import annotations

import datetime
import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from harness.board import learning, milestones, plots, rows, svg, waterfall
from harness.board.rows import Row
from harness.board.scales import Scale, dates
from harness.catalog.differences import Difference
from harness.core.record import Claimed, Record
from tests.unit.test_board import HOSTILE, TRACKS, record

SHORT, STEPS = TRACKS["short"], TRACKS["optimization"]


def table(*times: float, **changes: object) -> list[Row]:
    held = [record(n, time_s, **changes) for n, time_s in enumerate(times, 1)]
    return rows.make_rows(SHORT, held)


def by_steps(*steps: int) -> list[Row]:
    held: list[Record] = [
        record(n, 0.0, track="optimization", claimed=Claimed(None, count, None, None))
        for n, count in enumerate(steps, 1)
    ]
    return rows.make_rows(STEPS, held)


def numbers(found: dict[str, float], among: list[Row]) -> dict[str, float]:
    return {row.number: found[row.slug] for row in among if row.slug in found}


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]


def test_a_milestone_took_2_percent_less_than_the_least_before() -> None:
    among = table(100, 98, 97, 110, 95, 94.9)
    assert numbers(milestones.milestones(SHORT, among), among) == {"2": 0.02, "5": pytest.approx(2 / 97)}
    steps = by_steps(3600, 5625, 3500, 3500)
    assert set(numbers(milestones.milestones(STEPS, steps), steps)) == {"3"}


def test_whether_a_record_is_a_milestone_does_not_depend_on_later_ones() -> None:
    times = (100, 90, 95, 80, 79.9, 60)
    whole = numbers(milestones.milestones(SHORT, table(*times)), table(*times))
    for count in range(1, len(times)):
        part = table(*times[:count])
        assert numbers(milestones.milestones(SHORT, part), part) == {n: g for n, g in whole.items() if int(n) <= count}


def test_a_withdrawn_record_and_a_re_timing_are_no_idea() -> None:
    held = [record(1, 100), record(2, 50, withdrawn="no"), record(3, 40, kind="retiming", retimes=1), record(4, 90)]
    among = rows.make_rows(SHORT, held)
    assert [(row.number, before.number) for row, before in milestones.ideas(SHORT, among)] == [("4", "1")]
    assert set(numbers(milestones.milestones(SHORT, among), among)) == {"4"}


def test_the_progress_names_the_greatest_gains_and_the_current_record() -> None:
    told = texts(plots.progress(SHORT, table(100, 60, 59.9, 40, 39)) or "")
    joined = " ".join(told)
    assert "#2 Idea 2 −40 %" in joined
    assert "#4 Idea 4 −33 %" in joined
    assert "#3 Idea" not in joined, "it gained too little"
    assert "#5: 39 s" in told
    steps = " ".join(texts(plots.progress(STEPS, by_steps(3600, 8000, 3000)) or ""))
    assert "#3: 2,690 steps" not in steps
    assert "#3: 3,000 steps" in steps


def test_a_track_of_one_date_or_one_record_has_no_picture_of_its_progress() -> None:
    assert plots.progress(SHORT, table(100)) is None
    assert plots.progress(SHORT, table(100, 90, date=datetime.date(2026, 1, 1))) is None
    assert waterfall.waterfall(SHORT, table(100, 90)) is None, "one gain is no row of them"


def labels(picture: str) -> list[plots._Label]:
    """Where the names of milestones stand, as the picture places them."""
    found = []
    for element in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text"):
        if element.get("class") == "ink small halo":
            left, level = float(element.get("x") or 0), float(element.get("y") or 0)
            found.append(plots._Label((element.text or "",), left, level, (0, 0)))
    return found


@pytest.mark.parametrize("size", [1, 6, 30])
def test_names_in_a_picture_never_meet_and_stay_inside(size: int) -> None:
    times = [1000 * 0.9**n for n in range(12)]
    among = [replace(row, title=("word " * size).strip()) for row in table(*times)]
    picture = plots.progress(SHORT, among)
    assert picture is not None
    found = labels(picture)
    assert found
    assert all(label.right <= svg.WIDTH and label.top >= 0 for label in found)
    assert not [pair for pair in itertools.combinations(found, 2) if pair[0].meets(pair[1])]


def test_a_waterfall_tells_what_was_measured_apart_from_claims() -> None:
    measured = Difference("a" * 64, "7", 1390, 4, 5, True, -1.25, -1.5, -1.0, 0.0, None, None, ("day",))
    among = [replace(row, baselines=(measured,)) if row.number == "3" else row for row in table(100, 99, 95)]
    told = texts(waterfall.waterfall(SHORT, among) or "")
    assert {"by claims (s)", "same host (s)", "−1.00", "−4.00", "−1.25 (#7, other day)"} <= set(told)
    told = texts(waterfall.waterfall(SHORT, table(100, 99, 95)) or "")
    assert "same host (s)" not in told
    told = texts(waterfall.waterfall(STEPS, by_steps(3600, 3500, 4000, 3000)) or "")
    assert {"steps", "−100", "−500"} <= set(told)


def curve(*points: tuple[int, float, float | None]) -> tuple[tuple[int, float, float | None], ...]:
    return points


def test_curves_are_of_the_first_the_greatest_gains_and_the_newest() -> None:
    among = table(100, 99.9, 80, 79.9, 60)
    held = {row.slug: curve((0, 10.8, 0.0), (50, 4.0, 30.0), (100, 3.27, 60.0)) for row in among}
    assert [row.number for row in learning.with_curves(SHORT, among, held)] == ["1", "3", "5"]
    assert {"#1", "#3", "#5"} <= set(texts(learning.curves(SHORT, among, held) or ""))
    one = {slug: held[slug] for slug in list(held)[:1]}
    assert learning.curves(SHORT, among, one) is None
    untimed = {slug: curve((0, 10.8, None), (100, 3.27, None)) for slug in held}
    assert learning.curves(SHORT, among, untimed) is None, "this track ranks time"


def test_a_curve_that_never_comes_near_the_target_is_not_drawn() -> None:
    first, second = table(100, 90)
    held = {row.slug: curve((0, 10.8, 0.0), (100, 9.0, 60.0)) for row in (first, second)}
    assert learning.beside(SHORT, second, first, held) is None


@pytest.mark.parametrize("title", [*HOSTILE, "x" * 200, "字" * 200, "$" * 9, "]]>", "\ud800"])
def test_no_title_breaks_a_picture(title: str) -> None:
    among = [replace(row, title=title) for row in table(100, 60, 30)]
    held = {row.slug: curve((0, 10.8, 0.1), (50, 4.0, 30.0), (100, 3.27, 60.0)) for row in among}
    for picture in (
        plots.progress(SHORT, among),
        waterfall.waterfall(SHORT, among),
        learning.curves(SHORT, among, held),
    ):
        assert picture is not None
        root = ET.fromstring(picture.encode())
        assert {element.tag.partition("}")[2] for element in root.iter()} <= {
            "svg", "title", "style", "rect", "text", "path", "line", "circle",
        }  # fmt: skip
        assert not set("\x1b\x07\u202e") & set(picture)
        assert not re.search(r"\bon\w+=|href|url\(", re.sub(r">[^<]*<", "><", picture))


def test_a_label_is_cut_only_where_it_must_and_says_so() -> None:
    assert svg.wrap("a b c", 1000, most=2) == ["a b c"]
    assert svg.wrap("word " * 3, svg.text_width("word word"), most=2, end=" −3") == ["word word", "word −3"]
    [line] = svg.wrap("word " * 9, svg.text_width("word word word"), most=1, end=" −3 %")
    assert re.fullmatch(r"wor.*… −3 %", line)
    assert svg.text_width(line) <= svg.text_width("word word word")
    assert svg.wrap("", 100, most=2, end="!") == ["!"]


@pytest.mark.parametrize("name", sorted(svg._COLOURS.keys() - {"back", "grid", "claim"}))
@pytest.mark.parametrize("scheme", [0, 1])
def test_text_can_be_told_from_its_background(name: str, scheme: int) -> None:
    """The contrast ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted(luminance(svg._COLOURS[one][scheme]) for one in (name, "back"))
    assert (high + 0.05) / (low + 0.05) >= 4.5


def test_an_axis_names_a_few_round_values() -> None:
    assert Scale(74, 2700, 0, 1, log=True).ticks(6) == [100, 200, 500, 1000, 2000]
    assert Scale(2690, 3600, 0, 1, log=True).ticks(6) == [2800, 3000, 3200, 3400, 3600]
    assert Scale(1e-3, 1e9, 0, 1, log=True).ticks(6)
    assert Scale(3.26, 4.9, 0, 1).ticks(6) == [3.5, 4, 4.5]
    assert [str(date) for date in dates(datetime.date(2024, 5, 28), datetime.date(2026, 7, 17), 5)] == [
        "2024-07-01", "2025-01-01", "2025-07-01", "2026-01-01", "2026-07-01",
    ]  # fmt: skip
    for days in (0, 1, 6, 61, 62, 400, 9000, 99999):
        first = datetime.date(2024, 5, 28)
        assert len(dates(first, first + datetime.timedelta(days=days), 5)) <= 5


def test_claims_of_any_size_can_be_drawn() -> None:
    for times in ((1e-300, 1e300), (1e300, 1e-300), (5.0, 5.0), (0.0, -1.0), (3e-9, 2e-9, 1e-9)):
        among = [replace(row, number=str(n)) for n, row in enumerate(table(*times))]
        for picture in (plots.progress(SHORT, among), waterfall.waterfall(SHORT, among)):
            assert picture is None or ET.fromstring(picture) is not None
    first, second = table(100, 50)
    for value in (-1e300, 1e300, 3.2):
        odd = curve((0, 10.8, 1e-300), (5, 4.0, 1.0), (10**18, value, 1e300), (9, value, 2.0), (9, 3.3, 2.0))
        picture = learning.beside(SHORT, second, first, {first.slug: odd, second.slug: odd})
        assert picture is not None
        assert not re.search(r"nan|inf|e\+", " ".join(re.findall(r'"([^"]*)"', picture)))
