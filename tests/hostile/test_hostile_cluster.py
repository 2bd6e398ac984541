"""What a task on a node said ends up on the terminal of whoever sent it: no control character of it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cluster.driver import Outcome
from harness.cluster.exchange import SAID, Result
from harness.cluster.tasks import Attempt, Task
from harness.core.errors import Problem
from harness.store.layout import Project
from harness.ui import cluster_report

NASTY = "\x1b[2J\x1b]0;title\x07 ‮::error::\r verdict: pass [bold]"


def test_what_a_broken_task_said_is_shown_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = Task(
        number=1,
        verb="run",
        subjects=(f"submissions/{NASTY}",),
        arguments=(),
        scripts=("a" * 64,),
        purpose="judged",
    )
    attempt = Attempt(tmp_path / "series" / "1.1", task, 1)
    attempt.folder.mkdir(parents=True)
    (attempt.folder / SAID).write_bytes(b"first\n" + NASTY.encode() + b"\xff\n\n")
    result = Result(status=3, seconds=1.0, problem=None)
    problems = (Problem(NASTY, NASTY, NASTY),)
    cluster_report.say_outcomes([Outcome(task, attempt, result, "broken", problems)], Project(tmp_path), None)
    said = capsys.readouterr().err
    assert "verdict: pass" in said and "see series/1.1/stderr.txt" in said
    assert all(char.isprintable() or char == "\n" for char in said)


def test_a_task_that_said_much_or_nothing_is_told_in_one_line(tmp_path: Path) -> None:
    task = Task(number=1, verb="run", subjects=("s",), arguments=(), scripts=("a" * 64,), purpose="judged")
    outcome = Outcome(task, Attempt(tmp_path, task, 1), Result(status=3, seconds=1.0), "broken")
    assert cluster_report.last_line(outcome) == "it said nothing"
    (tmp_path / SAID).write_text("x" * 100_000)
    assert len(cluster_report.last_line(outcome)) == 300
