"""A script that is tried prints what it likes and belongs to whoever wants a small count of tries: neither gets through."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.core.measurement import RunOutcome
from harness.replay import venv
from harness.run import execution
from harness.run.failure import explain
from harness.runlog import grammar
from harness.runlog.grammar import MetricLine
from harness.screening import attempting
from harness.store.layout import Project
from harness.store.ledger import Ledger
from tests.ledgers import SCRIPT, SUBJECT, ended, started

SUMMARY = """boom
Root Cause (first observed failure):
[0]:
  rank      : {rank} (local_rank: 0)
  exitcode  : {code} (pid: 1)
"""


@pytest.mark.parametrize("code", [-9, -99, 0, 10**30, -(10**30)])
@pytest.mark.parametrize("rank", [0, 3, 10**30])
def test_a_forged_summary_of_torchrun_explains_something(tmp_path: Path, rank: int, code: int) -> None:
    (tmp_path / "stderr.txt").write_text(SUMMARY.format(rank=rank, code=code))
    why, lines = explain(tmp_path, RunOutcome("failed", 1, 1.0, "exit code 1"))
    assert why.startswith("failed: ") and lines[0] == "boom"


@pytest.mark.parametrize("text", ["1e308", "-1e308", "1e200", "1e999", "9e9999"])
def test_a_loss_whose_sums_overflow_is_no_finite_loss(text: str) -> None:
    line = grammar.parse_line(f"step:5/5 val_loss:{text} train_time:1ms step_avg:1.0ms".encode())
    assert isinstance(line, MetricLine)
    assert line.val_loss is None and line.not_finite == ("val_loss",)


@pytest.mark.parametrize(
    "text",
    [
        "--index-url=http://127.0.0.1/",
        "-r/etc/passwd",
        "git+https://127.0.0.1/x",
        "./here",
        "x @ file:///x",
        "torch==1 -e",
        "",
    ],
)
def test_only_plain_packages_are_given_to_pip(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(StoreError, match=r"is no package, or package==version"):
        venv.make(("torch==2.9.1", text))
    assert not list(tmp_path.iterdir())


def test_a_damaged_ledger_counts_nothing_and_ends_no_try(tmp_path: Path) -> None:
    catalog = Catalog(Project(tmp_path))
    catalog.project.ledger.parent.mkdir()
    catalog.project.ledger.write_text("garbage\n")
    assert attempting.scripts_tried(catalog, of_track("smoke")) is None


def of_track(name: str) -> Subject:
    return cast("Subject", SimpleNamespace(chain=SCRIPT, slug=SUBJECT, track=SimpleNamespace(name=name)))


def test_a_script_that_was_tried_on_one_track_is_counted_on_another_too(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for track in ("smoke", "optimization", "smoke"):
        execution.note_trial(ledger, of_track(track))
        run = f"run-{len(ledger.read().starts)}"
        ledger.append(started(run, purpose="screening"))
        ledger.append(ended(run))
    chain = ledger.read()
    assert chain.tracks == {"smoke", "optimization"} and chain.breaks() == ()
    assert len(chain.entries) == 8, "noted once for each track"
