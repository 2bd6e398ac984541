"""The site: every figure is the board's, nothing that somebody wrote is more than text, and a folder of others is left alone."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import frames
from harness.board import export, leaderboard, rows
from harness.board.code_changes import Change
from harness.board.site import building, chart_data, pending, site_folder, vendoring
from harness.board.site.building import Material
from harness.catalog.lookup import Catalog
from harness.core.errors import StoreError
from harness.store.layout import Project
from harness.submission import codediff
from harness.submission.inspection import Checked
from tests import sites
from tests.evals import test_stored
from tests.faults.projects import HONEST, make_project
from tests.unit.test_board import TRACKS, record, run

ROOT = Path(__file__).parents[2]
TAGS = set(
    re.findall(
        r"\w+",
        """html head meta title link script body a header nav main section div p span h1 h2 h3 ol ul li strong code footer
        figure table caption thead tbody tr th td form label select option input button output datalist dl dt dd details
        summary pre blockquote time img""",
    )
)
ATOM = "{http://www.w3.org/2005/Atom}"


@functools.cache
def real() -> dict[str, bytes | str]:
    """The site of this repository's records, with the board as it is stored."""
    catalog = Catalog(Project(ROOT))
    held = catalog.records()
    curves = frames.read_curves(catalog.project, held)
    return building.render(
        Material(TRACKS, held, curves, readmes=leaderboard.read_readmes(catalog.project, held), board=board())
    )


def board() -> dict[str, str]:
    paths = [path for path in (ROOT / "leaderboard").iterdir() if path.is_file()]
    return {f"leaderboard/{path.name}": path.read_text() for path in paths}


def text_of(name: str, site: dict[str, bytes | str] | None = None) -> str:
    content = (real() if site is None else site)[name]
    return content if isinstance(content, str) else content.decode()


def shown(text: str) -> float | None:
    """The number that a cell begins with; None for an empty cell."""
    found = re.match(r"(?:entropy \+ )?([−+]?[\d,.]+(?:e-\d+)?)", text)
    return float(found[1].replace(",", "").replace("−", "-")) if found else None


def cells(page: str) -> dict[str, dict[str, tuple[str, str]]]:
    """Text and value of each cell of a track's tables, by slug and column."""
    found = {}
    for row in re.findall(r'<tr role="row"[^>]* data-slug="([^"]+)".*?>\n(.*?)</tr>', page, re.S):
        parsed = sites.Page(row[1]).all("td")
        found[row[0]] = {(a["class"] or "").split()[-1]: (text, a.get("data-value") or "") for a, text in parsed}
    return found


@pytest.mark.parametrize("track", ["short", "medium", "optimization", "smoke"])
def test_every_figure_is_that_of_the_boards_data(track: str) -> None:
    data = [r for r in json.loads(board()["leaderboard/records.json"])["records"] if r["track"] == track]
    told = cells(text_of(f"tracks/{track}.html"))
    assert told.keys() == {one["slug"] for one in data}
    for one in data:
        mine = told[one["slug"]]
        claim = one["claimed_steps"] if one["claimed_time_s"] is None else one["claimed_time_s"]
        test = one["p"] if one["rule_value"] is None else one["rule_value"]
        assert mine["number"][0] == one["number"]
        for cell, value, within in (
            (mine["claim"], claim, 0.005),
            (mine["loss"], one["loss_mean"], 5.1e-5),
            (mine["test"], test, 5.1e-5 if one["p"] is None else 0.051 * (test or 0)),
        ):
            assert (shown(cell[0]) is None) == (cell[1] == "") == (value is None), one["slug"]
            if value is not None:
                assert shown(cell[0]) == pytest.approx(value, abs=within)
                assert float(cell[1]) == pytest.approx(value, rel=1e-11)
        assert ("" if one["loss_mean"] is None else f"({one['runs']})") in mine["loss"][0]
        assert (mine["date"][0], mine["idea"][0]) == (one["date"] or "", one["title"])
        assert mine["by"][0] == ", ".join(name.removeprefix("@") for name in one["contributors"])
        assert mine["evidence"][0].split() == " ".join([one["evidence"], *(f["name"] for f in one["flags"])]).split()


def test_the_page_of_a_record_says_what_the_data_says_of_it() -> None:
    for one in json.loads(board()["leaderboard/records.json"])["records"]:
        page = sites.Page(text_of(f"records/{one['track']}/{one['slug']}.html"))
        told = "\n".join(text for _, text in page.all("main"))
        assert all(flag["said"] in told for flag in one["flags"]), one["slug"]
        assert f"{one['evidence']}: " in told and one["title"] in told
        for value, form in ((one["time_mean_s"], ".2f"), (one["loss_mean"], ".4f"), (one["p"], ".2g")):
            assert value is None or f"{value:{form}}" in told, one["slug"]


def test_the_first_page_says_who_holds_each_record_on_what_evidence_and_what_the_last_ideas_brought() -> None:
    page = sites.Page(text_of("index.html"))
    ideas = [text for a, text in page.all("ol") if a.get("class") == "ideas"]
    assert ideas[0].count("#") >= 5
    heads = [" ".join(text.split()) for a, text in page.all("p") if a.get("class") == "holder"]
    catalog = Catalog(Project(ROOT))
    held = catalog.current(catalog.track("short"))
    assert held is not None and f"#{held.number} {held.title}, by {held.contributors[0].removeprefix('@')}" in heads[0]
    page = text_of("records/short/2026-07-17_fp8-down-projection.html")
    assert "1.04 s less than the script of #84, run beside it (13 and 13 runs)" in page


@functools.cache
def hostile() -> dict[str, bytes | str]:
    return sites.hostile_site()


def pages(site: dict[str, bytes | str]) -> list[tuple[str, str]]:
    return [(name, text_of(name, site)) for name in site if name.endswith(".html")]


def test_hostile_text_stays_text_on_every_page() -> None:
    found = pages(hostile())
    assert len(found) > len(sites.TITLES)
    for name, text in found:
        page = sites.Page(text)
        assert {tag for tag, _, _ in page.elements} <= TAGS, name
        scripts = [a for a, _ in page.all("script")]
        assert all(a.keys() == {"defer", "src"} for a in scripts)
        assert not [key for _, a, _ in page.elements for key in a if key.startswith("on") or key == "style"]
        for _, a, _ in page.elements:
            for key in ("href", "src"):
                assert re.fullmatch(r"(#|(\.\./)*[\w./%-]+$)", a.get(key) or "#") or a["href"], (name, a)
        for a, _ in page.all("a"):
            assert re.match(r"#main$|(\.\./)*(index|feed|records|tracks|assets)[\w./%-]*$", a["href"] or ""), a
        assert not set("\x1b\x07\x00‮\ufeff\ud800") & set(text)
        assert "window.hacked = 1" in text or name not in ("index.html", "tracks/short.html")


def test_every_page_allows_only_scripts_of_the_site_and_asks_no_other_host() -> None:
    for name, text in (*pages(real()), *pages(hostile())):
        [policy] = [a["content"] for a, _ in sites.Page(text).all("meta") if "http-equiv" in a]
        assert policy and "default-src 'none'; script-src 'self';" in policy and "http" not in policy
        loaded = re.findall(r'<(?:script|img|link)[^>]*(?:src|href)="([^"]*)"', text)
        assert loaded and not [one for one in loaded if ":" in one or one.startswith("/")], name
        top = Path(name).parent
        assert {os.path.normpath(top / one) for one in loaded} <= real().keys() | hostile().keys()


def test_every_link_inside_the_site_leads_to_a_file_of_it() -> None:
    for name, text in pages(real()):
        inside = [
            a["href"] or "" for a, _ in sites.Page(text).all("a") if not (a["href"] or "").startswith(("http", "#"))
        ]
        missing = {os.path.normpath(Path(name).parent / one) for one in inside} - real().keys()
        assert not missing, name


def test_a_page_with_what_it_loads_stays_below_a_megabyte() -> None:
    site = real()
    page = text_of("tracks/short.html")
    loaded = re.findall(r'(?:src|href)="\.\./((?:assets|data)/[^"]+)"', page)
    curves = sum(len(text) for name, text in site.items() if name.startswith("data/short/"))
    assert len(page) + sum(len(site[name]) for name in set(loaded)) + curves < 1 << 20


def test_any_order_of_the_records_gives_the_same_site() -> None:
    held = [record(n, 100.0 - n, run(3.279 - n / 1e4), run(3.278)) for n in range(1, 9)]
    first = building.render(sites.material(held))
    random.Random(1).shuffle(held)
    assert building.render(sites.material(held)) == first


def test_a_track_without_a_record_has_a_page_that_says_so() -> None:
    site = building.render(Material(TRACKS, [], {}))
    assert "No record yet." in text_of("tracks/short.html", site)
    assert text_of("index.html", site).count("No record yet.") == len(TRACKS)
    ET.fromstring(text_of("feed.xml", site))


def test_chart_data_is_data_and_curves_have_one_meaning_of_loss() -> None:
    for name, script in hostile().items():
        if name.startswith("data/"):
            sites.data_of(script)
    [data] = sites.data_of(real()["data/smoke.js"])
    assert (data["target"], data["loss"]) == (0.15, "loss above the entropy of its source")
    ends = {name: sites.data_of(text)[1][-1][1] for name, text in real().items() if name.startswith("data/smoke/")}
    assert len(ends) >= 4 and all(0 < loss < 0.2 for loss in ends.values()), "all reach the target"
    [data] = sites.data_of(real()["data/short.js"])
    assert data["target"] == 3.28 and sum(one["current"] for one in data["records"]) == 1
    assert chart_data.script("curve", "</script>\u2028é").isascii()


def test_the_page_of_a_record_shows_evaluations_and_what_changed_in_the_code_as_text() -> None:
    old, new = (record(n, 80.0 - n, run(3.278)) for n in (1, 2))
    found = codediff.diff({"a.txt": b"x"}, {"a.txt": f"{sites.SCRIPT}\n".encode()})
    told = {"short": {new.slug: Change(found, old, True)}}
    results = {"short": {new.slug: [test_stored.result(by=sites.SCRIPT)]}}
    page = text_of(
        f"records/short/{new.slug}.html", building.render(sites.material([old, new], changes=told, evals=results))
    )
    shown = "\n".join(text for _, text in sites.Page(page).all("section"))
    assert f"+{sites.SCRIPT}" in shown and "+1 −1 lines of code against #1" in shown
    assert "at least one is a reimplementation" in shown
    assert f"by {sites.SCRIPT}, on a GPU" in shown and "<script>window" not in page


def test_the_feed_announces_dated_records_newest_first() -> None:
    for site in (real(), hostile()):
        feed = ET.fromstring(text_of("feed.xml", site))
        entries = feed.findall(f"{ATOM}entry")
        dates = [entry.findtext(f"{ATOM}updated") or "" for entry in entries]
        assert entries and dates == sorted(dates, reverse=True) and feed.findtext(f"{ATOM}updated") == dates[0]
        assert len({entry.findtext(f"{ATOM}id") for entry in entries}) == len(entries)
        assert all(entry.findtext(f"{ATOM}author/{ATOM}name") for entry in entries)
        for entry in entries:
            link = entry.find(f"{ATOM}link")
            assert link is not None and link.get("href") in site
    titles = [entry.findtext(f"{ATOM}title") for entry in ET.fromstring(text_of("feed.xml")).findall(f"{ATOM}entry")]
    assert "short/89: FP8 MLP down-projection with delayed scaling" in titles


# ------------------------------------------------------------------------------------------------ open submissions


def test_open_submissions_stand_apart_with_what_check_says(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.submit(HONEST, "2026-11-20_honest")
    bad = project.submit(HONEST, "2026-11-21_bad")
    (bad / "manifest.yaml").write_text("title: <script>\n")
    held = pending.read_pending(Catalog(Project(tmp_path / "project")))
    assert [one.name for one in held] == ["submissions/2026-11-21_bad", "submissions/2026-11-20_honest"]
    assert held[0].outcome == "refused" and any("manifest.yaml" in said for said in held[0].said)
    page = text_of("index.html", building.render(Material(TRACKS, [], {}, pending=held)))
    assert "2026-11-21_bad" in page and "refused" in page


def test_a_folder_that_cannot_be_read_is_listed_with_the_reason() -> None:
    checked = Checked("submissions/2026-01-01_x", (StoreError.at("a", "is b", "do c").problems[0],), None, None, None)
    assert pending.describe(checked).said == ("a: is b; do c",)
    assert pending.describe(checked).track is None


# ------------------------------------------------------------------------------------------------ the folder


def test_a_site_replaces_the_one_before_whole(tmp_path: Path) -> None:
    site_folder.write_site(tmp_path / "site", {"index.html": "one", "a/b.html": "x"})
    site_folder.write_site(tmp_path / "site", {"index.html": "two"})
    assert {p.name for p in (tmp_path / "site").iterdir()} == {"index.html", site_folder.MARK}
    assert (tmp_path / "site" / "index.html").read_text() == "two"
    assert [p.name for p in tmp_path.iterdir()] == ["site"], "nothing is left over"


def test_an_empty_folder_and_a_link_to_one_are_filled(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "site").symlink_to("real")
    site_folder.write_site(tmp_path / "site", {"index.html": "one"})
    assert (tmp_path / "real" / "index.html").read_text() == "one" and (tmp_path / "site").is_symlink()


def test_without_an_exchange_of_folders_two_renames_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_folder, "_exchanged", lambda one, other: False)
    test_a_site_replaces_the_one_before_whole(tmp_path)


def with_mark(**held: Any) -> Callable[[Path], object]:
    return lambda site: (site / site_folder.MARK).write_text(json.dumps(held))


@pytest.mark.parametrize(
    "made",
    [
        lambda site: (site / "notes.txt").write_text("mine"),
        lambda site: (site / "deep").mkdir(),
        lambda site: (site / "link").symlink_to("/nowhere"),
        with_mark(),
        with_mark(made_by="another", files=["index.html"]),
        with_mark(made_by=site_folder.MADE_BY, files="index.html"),
        lambda site: (site / site_folder.MARK).write_bytes(b"\xff"),
        lambda site: (site / site_folder.MARK).write_text("[" * 100_000),
        lambda site: (site / site_folder.MARK).symlink_to("index.html"),
    ],
)
def test_a_folder_of_others_is_left_alone(tmp_path: Path, made: Callable[[Path], object]) -> None:
    site = tmp_path / "site"
    site.mkdir()
    made(site)
    before = sorted(path.name for path in site.iterdir())
    with pytest.raises(StoreError, match="something else than a site"):
        site_folder.write_site(site, {"index.html": "one"})
    assert sorted(path.name for path in site.iterdir()) == before


def test_what_others_added_to_a_site_is_not_lost(tmp_path: Path) -> None:
    site_folder.write_site(tmp_path / "site", {"index.html": "one"})
    for made in (lambda p: p.write_text("example.org"), lambda p: p.symlink_to("/etc")):
        made(tmp_path / "site" / "CNAME")
        with pytest.raises(StoreError, match="also holds CNAME"):
            site_folder.write_site(tmp_path / "site", {"index.html": "two"})
        (tmp_path / "site" / "CNAME").unlink()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="is no folder"):
        site_folder.write_site(tmp_path / "file", {})
    with pytest.raises(StoreError, match="lies in records"):
        site_folder.require_outside(Project(tmp_path), tmp_path / "records" / "short")


def test_a_failure_leaves_the_old_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site_folder.write_site(tmp_path / "site", {"index.html": "one"})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="the disk is full"):
        site_folder.write_site(tmp_path / "site", {"index.html": "two"})
    assert (tmp_path / "site" / "index.html").read_text() == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


# ------------------------------------------------------------------------------------------------ libraries


def test_the_libraries_are_what_the_pinned_packages_hold() -> None:
    """After a change of versions: python -m harness.board.site.vendoring prints the new hashes."""
    held = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in vendoring.FOLDER.iterdir()}
    assert held == {
        "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
        "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
        "LICENCES.txt": "75870cdab5af4f07b3215cd83debeb33fb072656954a97272c222dd66e59c82d",
    }
    licences = (vendoring.FOLDER / "LICENCES.txt").read_text()
    assert all(f"{package.name} {package.version}\n===" in licences for package in vendoring.PACKAGES)


def test_a_package_with_another_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho other > d3.tgz\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")
    with pytest.raises(StoreError, match="not what was pinned"):
        vendoring.vendor(tmp_path / "vendor")
    assert not (tmp_path / "vendor").exists()
    npm.write_text("#!/bin/sh\necho no network >&2; exit 1\n")
    with pytest.raises(StoreError, match="no network"):
        vendoring.vendor(tmp_path / "vendor")


def test_the_site_holds_the_boards_data() -> None:
    assert text_of("records.json") == board()["leaderboard/records.json"]
    made = export.to_json([row for track in TRACKS.values() for row in rows.make_rows(track, [])])
    assert json.loads(made)["records"] == []
