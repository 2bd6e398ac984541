"""Ledgers of other machines as branches of the chain: what an honest one gives, and what is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.store.entries import Branched, Chain, Tasked
from harness.store.ledger import Ledger, read_chain
from tests.ledgers import SCRIPT, declared, ended, started


def tasked(task: str, **changes: object) -> Tasked:
    told = {"series": "series", "purpose": "judged", "runs": 1, "instead": ""} | changes
    return Tasked(script=SCRIPT, task=task, **told)  # type: ignore[arg-type]


def on_node(here: Ledger, root: Path, task: str, run: str, state: str = "finished") -> tuple[bytes, ...]:
    """What the ledger of a node adds for a task; it begins with the entries here up to the task's."""
    lines = here.path.read_bytes().splitlines()
    kept = next(i for i, line in enumerate(lines, 1) if json.loads(line).get("task") == task)
    there = Ledger(root / f"{task}.jsonl")
    there.path.write_bytes(b"".join(line + b"\n" for line in lines[:kept]))
    there.append(Branched(script=SCRIPT, task=task))
    there.append(started(run, seed=len(run)))
    there.append(ended(run, state=state))
    assert there.read().breaks() == ()
    return tuple(there.path.read_bytes().splitlines()[kept:])


def take_in(here: Ledger, lines: tuple[bytes, ...], task: str, state: str = "complete") -> None:
    entries = read_chain(b"".join(line + b"\n" for line in lines), "node").entries
    here.take_in(entries, task, state)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three tasks, of which two were taken in, the second one first."""
    here = Ledger(tmp_path / "ledger.jsonl")
    here.append(declared(n_max=3))
    for task in ("t1", "t2", "t3"):
        here.append(tasked(task))
    branches = {task: on_node(here, tmp_path, task, f"run-{task}") for task in ("t1", "t2")}
    for task in ("t2", "t1"):
        take_in(here, branches[task], task)
    return here


def test_ledgers_of_several_machines_lie_beside_each_other(ledger: Ledger) -> None:
    chain = ledger.read()
    assert chain.breaks() == ()
    assert chain.finished == ("run-t2", "run-t1")
    assert chain.n_max == 3
    assert chain.tree.branches == {"run-t1": "t1", "run-t2": "t2"}


def test_a_task_that_did_not_come_back_is_absent_until_it_or_another_in_its_place_does(
    ledger: Ledger, tmp_path: Path
) -> None:
    assert ledger.read().absent == ("t3",)
    take_in(ledger, on_node(ledger, tmp_path, "t3", "run-t3", "lost"), "t3", "broken")
    assert ledger.read().absent == ("t3",)
    ledger.append(tasked("t4", instead="t3"))
    assert ledger.read().absent == ("t4",)
    take_in(ledger, on_node(ledger, tmp_path, "t4", "run-t4"), "t4")
    assert ledger.read().absent == () and ledger.read().breaks() == ()
    assert ledger.read().aborted == ("run-t3",)


def test_a_series_is_judged_by_its_own_tasks(ledger: Ledger) -> None:
    ledger.append(tasked("other", series="another"))
    chain = ledger.read()
    assert chain.absent_beside(None) == ("t3", "other")
    assert chain.absent_beside(["run-t1"]) == ("t3",)
    assert chain.absent_beside([]) == ()


def test_a_task_that_does_not_count_is_not_missed(ledger: Ledger) -> None:
    ledger.append(tasked("try", purpose="screening"))
    assert ledger.read().absent == ("t3",)


def test_runs_made_here_go_on_with_the_chain_and_not_with_a_branch(ledger: Ledger) -> None:
    ledger.append(started("here"))
    ledger.append(ended("here"))
    chain = ledger.read()
    assert chain.breaks() == () and chain.tree.branches["here"] == ""


def lines_of(chain: Chain) -> list[bytes]:
    return [entry.raw for entry in chain.entries]


def without(kind: str, task: str) -> Callable[[list[bytes]], list[bytes]]:
    def drop(lines: list[bytes]) -> list[bytes]:
        return [line for line in lines if not (f'"kind": "{kind}"'.encode() in line and task.encode() in line)]

    return drop


def without_branch(lines: list[bytes]) -> list[bytes]:
    return [line for line in lines if b"run-t1" not in line and not (b'"branch"' in line and b"t1" in line)]


def twice(lines: list[bytes]) -> list[bytes]:
    [branch] = [line for line in lines if b'"branch"' in line and b"t1" in line]
    return [*lines, branch]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (without("task", "t1"), {"gap", "no task"}),
        (without("branch", "t1"), {"gap", "no task"}),
        (without("start", "run-t1"), {"gap", "cut branch", "not open"}),
        (without("end", "run-t1"), {"cut branch", "no end"}),
        (without("taken", "t1"), set()),  # as if it had not come back: absent, and inconclusive
        (without_branch, {"no task"}),
        (twice, {"no task"}),
    ],
    ids=["task", "branch", "start", "end", "taken", "whole branch", "twice"],
)
def test_what_is_dropped_or_doubled_is_named(
    ledger: Ledger, change: Callable[[list[bytes]], list[bytes]], kinds: set[str]
) -> None:
    raw = b"".join(line + b"\n" for line in change(lines_of(ledger.read())))
    chain = read_chain(raw, "ledger.jsonl")
    found = {flaw.kind for flaw in chain.breaks()}
    assert found == kinds
    assert bool(kinds) or chain.absent == ("t1", "t3")
    for flaw in chain.breaks():
        assert flaw.sentence("ledger.jsonl").startswith("ledger.jsonl:")


def test_a_task_is_declared_once(ledger: Ledger) -> None:
    ledger.append(tasked("t1"))
    [flaw] = ledger.read().breaks()
    assert flaw.sentence("ledger.jsonl") == "ledger.jsonl:13 declares the task t1 again"


def test_a_judged_task_before_any_declaration_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(tasked("t1"))
    assert [flaw.kind for flaw in ledger.read().breaks()] == ["undeclared"]
