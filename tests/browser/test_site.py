"""The site in a browser, opened from files: what scripts add, what stays without them, and that nothing else is asked."""

from __future__ import annotations

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import axe
from tests.browser.conftest import Open
from tests.sites import SCRIPT
from tests.unit.test_site import board

SHORT, OPTIMIZATION = "tracks/short.html", "tracks/optimization.html"
FLEX = "records/short/2024-11-19_flex-attention.html"


def data(track: str = "short") -> list[dict[str, Any]]:
    return [r for r in json.loads(board()["leaderboard/records.json"])["records"] if r["track"] == track]


def shown(page: Any) -> list[str]:
    """The slugs of the rows that are shown, in their order."""
    rows = page.eval_on_selector_all("table.board tbody tr:not([hidden])", "rows => rows.map(r => r.dataset.slug)")
    return list(rows)


def paths(page: Any) -> int:
    return int(page.locator("#curves svg g[aria-label=line] path").count())


def wait_for_curves(page: Any, slugs: list[str]) -> None:
    page.wait_for_selector(f'#curves[data-drawn="{" ".join(slugs)}"]', state="attached")


def address(page: Any) -> str:
    return str(page.url).partition("#")[2]


def test_a_heading_sorts_by_pointer_and_keyboard_and_unknown_values_stand_last(site: Path, open_page: Open) -> None:
    page = open_page(site / SHORT)
    first = shown(page)
    assert first == [one["slug"] for one in data()]
    page.click("th.claim button")
    claims = {one["slug"]: one["claimed_time_s"] for one in data()}
    assert [claims[slug] for slug in shown(page)] == sorted(claims.values())
    assert page.get_attribute("th.claim", "aria-sort") == "ascending" and address(page) == "sort=claim"
    page.keyboard.press("Enter")  # the heading still has the focus
    assert [claims[slug] for slug in shown(page)] == sorted(claims.values(), reverse=True)
    page.keyboard.press("Enter")
    assert shown(page) == first and address(page) == "" and page.get_attribute("th.claim", "aria-sort") is None
    page.select_option("select[name=sort]", "-loss")
    losses = [one["loss_mean"] for slug in shown(page) for one in data() if one["slug"] == slug]
    known = [loss for loss in losses if loss is not None]
    assert losses == [*sorted(known, reverse=True), *[None] * (len(losses) - len(known))] and None in losses
    page.select_option("select[name=sort]", "date")
    dates = [one["date"] for slug in shown(page) for one in data() if one["slug"] == slug]
    assert dates == sorted(filter(None, dates)) + [None] * dates.count(None)


def test_rows_are_filtered_by_author_date_evidence_and_hardware_and_the_count_says_so(
    site: Path, open_page: Open
) -> None:
    page = open_page(site / SHORT)
    page.fill("input[name=by]", "ClassicLarryD")
    expected = [one["slug"] for one in data() if any("classiclarryd" in name for name in one["contributors"])]
    assert shown(page) == expected and len(expected) > 3
    assert page.inner_text("#count") == f"{len(expected)} of {len(data())} rows"
    page.fill("input[name=from]", "2026-01-01")
    page.fill("input[name=to]", "2026-02-28")
    in_time = [o["slug"] for o in data() if o["slug"] in expected and "2026-01-01" <= (o["date"] or "") <= "2026-02-28"]
    assert shown(page) == in_time and 0 < len(in_time) < len(expected)
    page.click("text=Show all")
    assert len(shown(page)) == len(data()) and page.input_value("input[name=by]") == ""
    page.select_option("select[name=evidence]", "logged")
    assert shown(page) == [one["slug"] for one in data() if one["evidence"] == "logged"]
    page.click("text=Show all")
    page.select_option("select[name=machine]", "8× NVIDIA H100 80GB HBM3")
    assert shown(page) == [one["slug"] for one in data() if one["machine"] == "8× NVIDIA H100 80GB HBM3"]


def test_a_link_shows_what_its_sender_saw_and_going_back_undoes(site: Path, open_page: Open) -> None:
    curves = ["2024-10-11_muon", "2024-11-19_flex-attention"]
    view = f"#sort=-claim&evidence=logged&curves={','.join(curves)}&x=step&logx=1&x0=100&x1=2000"
    page = open_page(site / SHORT, view)
    wait_for_curves(page, curves)
    logged = [one for one in data() if one["evidence"] == "logged"]
    logged.sort(key=lambda one: -one["claimed_time_s"])
    assert shown(page) == [one["slug"] for one in logged]
    assert page.input_value("select[name=sort]") == "-claim" and page.input_value("select[name=evidence]") == "logged"
    assert page.input_value("select[name=x]") == "step" and page.is_checked("input[name=logx]")
    assert (page.input_value("input[name=x0]"), page.input_value("input[name=x1]")) == ("100", "2000")
    assert paths(page) == 2 and "step" in page.get_attribute("#curves [role=img]", "aria-label")
    page.evaluate("location.hash = '#sort=claim'")
    page.wait_for_function("document.querySelectorAll('tbody tr:not([hidden])').length > 80")
    assert page.input_value("select[name=evidence]") == ""
    page.evaluate("location.hash = '#sort=nonsense&curves=../../x&x0=abc&x=%FF&machine=%3Cb%3E&from=now'")
    page.wait_for_function("document.querySelector('th.claim').ariaSort === null")
    assert len(shown(page)) == len(data()) and page.input_value("select[name=machine]") == ""
    assert paths(page) > 1, "curves that are not known count as none asked for"


def test_curves_of_chosen_records_are_laid_over_one_another_and_loaded_on_demand(site: Path, open_page: Open) -> None:
    page = open_page(site / SHORT, "#curves=2024-11-19_flex-attention")
    wait_for_curves(page, ["2024-11-19_flex-attention"])
    assert paths(page) == 1
    assert page.eval_on_selector_all("script[src*='data/short/']", "all => all.length") == 1
    page.check("tr[data-slug='2024-10-11_muon'] input")
    wait_for_curves(page, ["2024-11-19_flex-attention", "2024-10-11_muon"])
    assert paths(page) == 2 and page.locator(".legend li").count() == 2
    assert "curves=2024-11-19_flex-attention,2024-10-11_muon" in address(page)
    assert page.locator("#curves svg", has_text="target 3.28").count() == 1
    page.select_option("#curves select[name=x]", "step")
    assert page.locator("#curves svg", has_text="step →").count() == 1
    page.check("input[name=logy]")
    assert "logy=1" in address(page)
    page.click("[aria-label='take away the curve of #12']")
    wait_for_curves(page, ["2024-10-11_muon"])
    assert paths(page) == 1 and not page.is_checked("tr[data-slug='2024-11-19_flex-attention'] input")
    page.click(".legend button")
    page.wait_for_selector("text=Choose a record.")
    assert "curves=none" in address(page)


def test_a_part_of_the_curves_is_enlarged_by_dragging_and_by_two_fields(site: Path, open_page: Open) -> None:
    page = open_page(site / SHORT, "#curves=2024-11-19_flex-attention&logx=0")
    page.locator("#curves svg").scroll_into_view_if_needed()
    box = page.locator("#curves svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + 160, steps=3)
    page.mouse.up()
    low, high = (float(page.input_value(f"input[name={name}]")) for name in ("x0", "x1"))
    assert 80 < low < 130 and 180 < high < 230, "of 302 seconds"
    page.fill("input[name=x1]", "150")
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('x1=150')")
    page.fill("input[name=x0]", "149.99")
    page.keyboard.press("Tab")
    page.wait_for_selector("text=There is no point in this range.")
    page.click("text=Whole range")
    assert paths(page) == 1 and page.input_value("input[name=x0]") == ""


def test_the_history_tells_the_record_that_is_pointed_at(site: Path, open_page: Open) -> None:
    page = open_page(site / SHORT)
    page.locator("#history svg").scroll_into_view_if_needed()
    box = page.locator("#history svg").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 16, box["y"] + box["height"] - 40)
    tip = page.locator("#history svg g[aria-label=tip]")
    assert "#89 FP8 MLP down-projection" in tip.text_content().replace("\n", " ")
    assert "73.8 s (1.23 min)" in tip.text_content() and "claimed" in tip.text_content()


def test_without_scripts_all_rows_and_pictures_are_there(site: Path, open_page: Open) -> None:
    page = open_page(site / SHORT, java_script_enabled=False)
    assert page.locator("table.board tbody tr").count() == len(data())
    assert page.locator("table.board tbody tr").first.is_visible()
    assert page.locator("#history img").is_visible() and page.locator("#filters").is_hidden()
    assert page.locator("th button").count() == 0


@pytest.mark.parametrize("name", ["index.html", SHORT, OPTIMIZATION, FLEX])
def test_nothing_is_cut_at_320_pixels(site: Path, hostile: Path, open_page: Open, name: str) -> None:
    for folder in (site, hostile):
        if (folder / name).exists():
            page = open_page(folder / name, width=320)
            assert page.evaluate("document.documentElement.scrollWidth") <= 320, folder


def test_hostile_text_does_nothing(hostile: Path, open_page: Open) -> None:
    pages = [hostile / "index.html", hostile / SHORT, *sorted((hostile / "records" / "short").iterdir())[-4::3]]
    for path in pages:
        page = open_page(path)
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0
    page = open_page(hostile / SHORT)
    assert page.locator("td.idea a", has_text=SCRIPT).count() == 1
    page.fill("input[name=by]", "<SCRIPT>")
    assert len(shown(page)) == 1


def test_it_works_below_a_path_of_a_server_and_asks_for_nothing_else(site: Path, open_page: Open, server: str) -> None:
    page = open_page(f"{server}/{site.name}/{SHORT}")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.wait_for_selector("#curves[data-drawn]", state="attached")
    assert paths(page) > 1 and len(asked) > 8
    assert all(url.startswith(f"{server}/{site.name}/") for url in asked)


@pytest.fixture
def server(site: Path) -> Iterator[str]:
    """A server of files, for the folder around the site."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(site.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


LOOKED_AT = {
    "light": (("site", "index.html", 1280), ("site", SHORT, 1280), ("hostile", "index.html", 320)),
    "dark": (("site", "index.html", 1280), ("site", OPTIMIZATION, 320), ("site", FLEX, 1280)),
}


@pytest.mark.parametrize("scheme", LOOKED_AT)
def test_axe_finds_nothing(site: Path, hostile: Path, open_page: Open, scheme: str) -> None:
    script, why = axe.text()
    if script is None:
        pytest.skip(why)
    for folder, name, width in LOOKED_AT[scheme]:
        page = open_page({"site": site, "hostile": hostile}[folder] / name, width=width, color_scheme=scheme)
        page.evaluate(script)
        found = page.evaluate(
            "axe.run({ preload: false }).then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 200))]))"
        )
        assert found == [], (folder, name)
