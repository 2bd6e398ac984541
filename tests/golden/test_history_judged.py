"""The recorded past, judged by its figures and the rules of its time: what stands, what does not, and why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from harness.core.errors import StoreError
from harness.run import judging
from harness.store import records
from harness.store.layout import Project
from tests.named import is_past

PROJECT = Project(Path(__file__).parents[2])


def test_every_record_of_the_past_has_a_verdict_with_its_reason() -> None:
    outcomes: Counter[str] = Counter()
    failed: dict[str, tuple[str, str]] = {}
    for held in records.read_records(PROJECT):
        if not is_past(held):
            continue
        try:
            _, verdict = judging.verify_past(PROJECT, held)
        except StoreError:
            outcomes["no run known"] += 1
            continue
        outcomes[verdict.outcome] += 1
        for finding in verdict.findings:
            assert finding.outcome in ("pass", "not applicable") or finding.rule in ("S1", "H1")
            if finding.outcome == "fail":
                failed[f"{held.track}/{held.slug}"] = (finding.rule, finding.text)
    assert outcomes == {"pass": 97, "inconclusive": 35, "fail": 18, "no run known": 5}
    [(name, (_, text))] = [(name, found) for name, found in failed.items() if found[0] == "H1"]
    assert "H200" in text
    assert name.startswith("short/")
    assert sum(rule == "S1" for rule, _ in failed.values()) == 17
