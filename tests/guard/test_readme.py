"""The README says what is true: its file map is the tree, its table of rules is the judge's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from harness.verdict import CHECKS, rules_table

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def file_map() -> list[tuple[int, list[str]]]:
    """The lines of the file map: indentation and the names before the description."""
    block = README.split("## File map")[1].split("```")[1]
    lines = [line for line in block.splitlines() if line.strip()]
    return [(len(line) - len(line.lstrip()), re.split(r"\s{2,}", line.strip())[0].split()) for line in lines]


def test_every_entry_of_the_file_map_exists() -> None:
    folder = ROOT
    for indent, names in file_map():
        for name in names:
            path = (folder if indent else ROOT) / name
            assert path.exists(), f"the file map names {path.relative_to(ROOT)}"
        if indent == 0:
            folder = ROOT / names[0]


def test_everything_that_is_there_is_in_the_file_map() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("no git checkout")
    named = {name.rstrip("/") for _, names in file_map() for name in names}
    tracked = listed.stdout.splitlines()
    top = {line.split("/")[0] for line in tracked} - {".gitignore", ".ci"}
    rooms = {line.split("/")[1] for line in tracked if line.startswith("harness/")} - {"__init__.py"}
    assert not (top | rooms) - named, "missing in the file map"


def test_the_table_of_rules_is_the_judges() -> None:
    begin, end = "<!-- rules: generated -->\n", "<!-- rules: end -->"
    assert README.split(begin)[1].split(end)[0] == rules_table(), (
        "paste harness.verdict.rules_table() between the marks"
    )


def test_rule_ids_are_unique_and_every_rule_demands_something() -> None:
    ids = [check.rule for check in CHECKS]
    assert len(ids) == len(set(ids))
    assert all(check.demands.endswith(".") for check in CHECKS)
