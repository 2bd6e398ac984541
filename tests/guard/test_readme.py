"""The pages say what is true: links lead somewhere, maps are the tree, the table of rules is the judge's."""

from __future__ import annotations

import ast
import csv
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import build_parser
from harness.verdict import CHECKS, rules_table

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"
README, CONTRIBUTING = ROOT / "README.md", ROOT / "CONTRIBUTING.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [README, CONTRIBUTING, *DOCS]
MOST_LINES = 150  # of a README that a newcomer reads to its end

_FENCE = re.compile(r"^```.*?^```[ ]*$", re.M | re.S)
# [text](target), ![text](target) and reference-free links over two lines; the target has no blank in it.
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(page: Path) -> str:
    """A page without its blocks of code, where brackets are no links and a `#` starts no heading."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them: lower case, no punctuation, blanks as hyphens."""
    found: dict[str, int] = {}
    made = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        count = found.get(slug, 0)
        found[slug] = count + 1
        made.add(f"{slug}-{count}" if count else slug)
    return made


def fenced(page: Path, first: str) -> list[str]:
    """The lines of the one block of code that begins with the word `first`."""
    blocks = [block.split("\n")[1:-1] for block in _FENCE.findall(page.read_text())]
    [lines] = [lines for lines in blocks if lines and lines[0].startswith(first)]
    return lines


def architecture() -> list[str]:
    """The names in the map of the packages, in its order."""
    return [line.split()[0].rstrip("/") for line in fenced(ROOT / "docs" / "architecture.md", "core/")]


def top_level() -> list[str]:
    """The names in the map of the repository."""
    return [line.split()[0].rstrip("/") for line in fenced(ROOT / "docs" / "architecture.md", "README.md")]


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    return listed.stdout.splitlines()


# ------------------------------------------------------------------------------------------------ pages and links


def test_the_readme_is_short_and_names_what_it_is_about_first() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= MOST_LINES
    first = "\n".join(lines[1:]).strip().split(". ")[0]
    assert "[modded-nanogpt](https://github.com/KellerJordan/modded-nanogpt)" in first


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    targets = [target for target in _LINK.findall(prose(page)) if not target.startswith(("http://", "https://"))]
    wrong = []
    for target in targets:
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        if not path.exists() or not path.is_relative_to(ROOT):
            wrong.append(f"{target}: there is no such file")
        elif anchor and (path.suffix != ".md" or anchor not in anchors(path)):
            wrong.append(f"{target}: there is no such heading")
    assert not wrong


def test_every_page_of_the_docs_can_be_reached_from_the_index_and_the_index_from_the_readme() -> None:
    linked = {target.partition("#")[0] for target in _LINK.findall(prose(ROOT / "docs" / "README.md"))}
    assert {page.name for page in DOCS} - {"README.md"} <= linked
    assert "docs/README.md" in _LINK.findall(prose(README))


def test_the_rows_in_the_readme_are_rows_of_the_board() -> None:
    with (ROOT / "leaderboard" / "records.csv").open(newline="") as file:
        board = {row["number"]: row for row in csv.DictReader(file) if row["track"] == "short"}
    shown = re.findall(r"^\| (\d+) \| (\S+) min \| (\S*) ?\| (\S+) \| (.+) \|$", README.read_text(), re.M)
    assert len(shown) == 5
    for number, minutes, loss, date, title in shown:
        row = board[number]
        assert float(minutes) == pytest.approx(float(row["claimed_time_s"]) / 60, abs=1e-9)
        assert loss == (f"{float(row['loss_mean']):.4f}" if row["loss_mean"] else "")
        assert (date, title) == (row["date"], row["title"])


def test_every_command_is_named_in_the_docs() -> None:
    [commands] = [action for action in build_parser()._actions if action.dest == "verb"]
    text = "\n".join(page.read_text() for page in DOCS)
    index = (ROOT / "docs" / "README.md").read_text()
    assert commands.choices
    for verb in commands.choices:
        assert re.search(rf"^\| `speedrun {verb}` \|", index, re.M), f"docs/README.md does not list {verb}"
    named = set(re.findall(r"`speedrun ([a-z]+)", text))
    assert named <= set(commands.choices), "the docs name commands that do not exist"


# ------------------------------------------------------------------------------------------------ maps


def imported_by(path: Path) -> Iterator[str]:
    """The packages and modules at the top of harness/ that a file imports, at any depth of its code, types apart."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for child in block.body
        for node in ast.walk(child)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "harness":
            names = [f"harness.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("harness."))


def test_the_map_of_the_packages_is_the_tree() -> None:
    there = {path.name for path in HARNESS.glob("*.py")} - {"__init__.py", "__main__.py"}
    there |= {path.parent.name for path in HARNESS.glob("*/__init__.py")}
    named = architecture()
    assert len(named) == len(set(named))
    assert set(named) == there


def test_the_map_of_the_packages_is_in_the_order_of_the_imports() -> None:
    place = {name.removesuffix(".py"): number for number, name in enumerate(architecture())}
    wrong = []
    for path in sorted(HARNESS.rglob("*.py")):
        own = path.relative_to(HARNESS).parts[0].removesuffix(".py")
        if own.startswith("__"):
            continue
        wrong += [
            f"{name_of(path)} imports {other}, which the map does not list before {own}"
            for other in imported_by(path)
            if other != own and place.get(other, len(place)) >= place.get(own, -1)
        ]
    assert not wrong


def test_every_line_of_the_maps_says_what_a_thing_is() -> None:
    page = ROOT / "docs" / "architecture.md"
    for line in (*fenced(page, "core/"), *fenced(page, "README.md")):
        assert re.fullmatch(r"\S+ {2,}\S.+", line), line


def test_the_map_of_the_repository_is_the_tree() -> None:
    named = top_level()
    assert len(named) == len(set(named))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing, "the map names what is not there"
    assert not {line.split("/")[0] for line in tracked()} - set(named), "missing in the map"


def test_the_map_names_every_kind_of_tests() -> None:
    [line] = [line for line in fenced(ROOT / "docs" / "architecture.md", "README.md") if line.startswith("tests/")]
    kinds = {line.split("/")[1] for line in tracked() if line.startswith("tests/") and line.count("/") > 1}
    assert set(line.removeprefix("tests/").replace(",", "").split()) == kinds


# ------------------------------------------------------------------------------------------------ rules


def test_the_table_of_rules_is_the_judges() -> None:
    begin, end = "<!-- rules: generated -->\n", "<!-- rules: end -->"
    page = (ROOT / "docs" / "judging.md").read_text()
    assert page.split(begin)[1].split(end)[0] == rules_table(), "paste harness.verdict.rules_table() between the marks"


def test_rule_ids_are_unique_and_every_rule_demands_something() -> None:
    ids = [check.rule for check in CHECKS]
    assert len(ids) == len(set(ids))
    assert all(check.demands.endswith(".") for check in CHECKS)
