"""docs/recipes.md is what the records, the scripts and the ideas say."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from harness.board.recipe_ideas import IDEAS
from harness.board.recipes import PAGE, brought, page, read_recipes
from harness.catalog.lookup import Catalog
from harness.store.layout import Project

ROOT = Path(__file__).parents[2]


def test_the_page_is_current() -> None:
    current = (ROOT / PAGE).read_text("utf-8") == page(Project(ROOT))
    assert current, "write it again: python -m harness.board.recipes"


def test_every_script_of_the_short_track_has_its_idea_and_each_idea_two_sentences() -> None:
    catalog = Catalog(Project(ROOT))
    with_script = {catalog.name(record) for record in catalog.records("short") if catalog.has_script(record)}
    assert with_script <= {f"short/{number}" for number in IDEAS}
    for number, (_, idea) in IDEAS.items():
        assert len(re.findall(r"[.](?= |$)", idea)) == 2, number


def test_every_idea_links_to_a_heading_and_to_files_that_are_there() -> None:
    text = page(Project(ROOT))
    headings = {
        re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in re.findall(r"^## .*", text, re.M)
    }
    assert set(re.findall(r"\(#([^)]+)\)", text)) == headings
    for target in re.findall(r"\((\.\./[^)#]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target


def test_figures_are_those_of_the_runs_and_what_is_missing_stays_blank() -> None:
    recipes = {one.number: one for one in read_recipes(Project(ROOT))}
    eleven = recipes["11"]
    assert (eleven.steps, eleven.minutes) == (3000, 7.2)
    assert eleven.step_ms is not None and abs(eleven.step_ms - 433_570 / 2990) < 0.01, "ten steps are untimed"
    retimed = recipes["21.1"]
    assert retimed.step_ms is not None and abs(retimed.step_ms - 179_828 / 1770) < 0.01, "none are"
    assert (recipes["1"].step_ms, recipes["3"].steps, recipes["3"].code) == (None, None, None)
    assert brought(dataclasses.replace(eleven, steps=3242, step_ms=None, minutes=7.8), eleven) == [
        "Against 11: −242 steps, −0.60 min"
    ]
