"""The page of tricks says what the galleries play: every case with its rule and its stage, and no case that is not there."""

from __future__ import annotations

import re

from harness.verdict import CHECKS, probe_rules
from tests.cases import BEGIN, END, PAGE, STAGES, TESTS, read_cases, table


def test_the_table_of_tricks_is_that_of_the_galleries() -> None:
    assert PAGE.read_text().split(BEGIN)[1].split(END)[0] == table(), "run PYTHONPATH=. python -m tests.cases"


def test_every_case_names_a_rule_that_there_is_and_a_stage() -> None:
    rules = {check.rule for check in (*CHECKS, *probe_rules.CHECKS)}
    cases = read_cases()
    assert {case.rule for case in cases} <= rules
    assert {case.stage for case in cases} <= set(STAGES)
    assert all(case.what.endswith(".") for case in cases)
    for case in cases:  # what a rule needs decides when it can speak
        needs = "scored" if case.rule in {"S4", "S5", "S6"} else "probe" if case.rule.startswith("P") else "check"
        assert case.stage in (needs, "accept"), case


def test_every_case_and_test_that_the_page_names_is_there() -> None:
    prose = PAGE.read_text().replace(table(), "")
    named = re.findall(r"`((?:cheats|scoring|probes|unit|flow|hostile|confinement)/[\w.-]+)`", prose)
    assert len(named) > 10
    assert [name for name in named if not (TESTS / name).exists()] == []
