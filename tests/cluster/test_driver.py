"""What is sent, tried again, skipped and gone on with, on nodes that end as each test says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.cluster import driver, exchange
from harness.cluster.commands import Made
from harness.cluster.driver import Outcome
from harness.cluster.exchange import JOB, NOBODY
from harness.cluster.tasks import Attempt, attempt_of
from harness.core.errors import MachineError, StoreError
from harness.store.layout import Project
from harness.store.ledger import Ledger
from tests import ledgers
from tests.cluster.small_series import NODE, Engine, begin, driver_of, ends_with, make_series, unbound
from tests.faults.projects import Small


def make_free_series(root: Path) -> tuple[Small, Made]:
    small, made = make_series(root)
    return small, unbound(made)


def drive(root: Path, engine: Engine, **changes: int) -> list[Outcome]:
    small, made = make_free_series(root)
    driver.declare(Project(small.root), made.series, made.scripts)
    return driver_of(small, made, engine, **changes).run()


def states(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.attempt.folder.name, outcome.state) for outcome in outcomes]


def test_a_verdict_that_is_not_pass_is_a_complete_task(tmp_path: Path) -> None:
    engine = Engine(ends_with(1))
    assert states(drive(tmp_path, engine)) == [("1.1", "complete"), ("2.1", "complete")]
    assert engine.sent == ["speedrun-1.1", "speedrun-2.1"]


def test_a_run_that_broke_is_tried_again_and_one_that_was_refused_is_not(tmp_path: Path) -> None:
    engine = Engine(ends_with(3, 2, 0))
    assert states(drive(tmp_path, engine)) == [("1.2", "complete"), ("2.1", "refused")]


def test_a_crash_is_an_answer_where_a_program_asked_for_one(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)
    tasks = tuple(dataclasses.replace(task, arguments=("--stage", "full", "--json")) for task in made.series.tasks)
    made = dataclasses.replace(made, series=dataclasses.replace(made.series, tasks=tasks))

    def node(attempt: Attempt) -> None:
        text = '{"schema": 1, "status": "crashed"}' if attempt.folder.name == "1.1" else '{"schema'
        (attempt.folder / exchange.ANSWER).write_text(text)
        ends_with(3)(attempt)

    driver.declare(Project(small.root), made.series, made.scripts)
    outcomes = driver_of(small, made, Engine(node), retries=1).run()
    assert states(outcomes) == [("1.1", "complete"), ("2.2", "broken")]  # torn: its node ended it while it printed


def test_a_task_is_not_tried_more_often_than_asked(tmp_path: Path) -> None:
    engine = Engine(ends_with(3))
    assert states(drive(tmp_path, engine, retries=1)) == [("1.2", "broken"), ("2.2", "broken")]
    assert len(engine.sent) == 4


def test_a_task_whose_node_vanished_is_lost_and_tried_again(tmp_path: Path) -> None:
    nodes = [lambda attempt: exchange.claim(attempt.folder, NODE), lambda attempt: None, ends_with(0)]
    engine = Engine(lambda attempt: (nodes.pop(0) if len(nodes) > 1 else nodes[0])(attempt))
    assert states(drive(tmp_path, engine)) == [("1.2", "complete"), ("2.2", "complete")]
    lost = exchange.read_result(next(tmp_path.glob(".runs/cluster/*/1.1")))
    assert lost is not None and lost.problem == "its node ended it, or vanished"


def test_an_attempt_names_the_one_that_it_replaces_in_the_chain(tmp_path: Path) -> None:
    drive(tmp_path, Engine(ends_with(3, 0)))
    [chain] = Ledger(tmp_path / ".runs/ledger.jsonl").read().scripts.values()
    declared = {task.task.partition(".")[2]: task.instead.partition(".")[2] for task in chain.tree.declared.values()}
    assert declared == {"1.1": "", "2.1": "", "1.2": "1.1"}
    assert chain.absent == () and chain.breaks() == ()


def test_the_same_command_sends_only_what_is_not_complete(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)
    driver.declare(Project(small.root), made.series, made.scripts)
    driver_of(small, made, Engine(ends_with(0, 3)), retries=0).run()
    again = Engine(ends_with(0))
    assert states(driver_of(small, made, again).run()) == [("1.1", "complete"), ("2.2", "complete")]
    assert again.sent == ["speedrun-2.2"]


def test_a_driver_that_was_killed_goes_on_with_jobs_that_the_scheduler_knows(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)
    first, second = begin(small, made)
    (first.folder / JOB).write_text("7")
    (second.folder / JOB).write_text("8")
    ends_with(0)(second)
    engine = Engine(ends_with(0))
    engine.known = {"7"}
    sender = driver_of(small, made, engine)
    sender.go_on(first.task, {})
    assert list(sender.active) == [first.id] and not sender.waiting
    ends_with(1)(first)
    assert states(driver_of(small, made, engine).run()) == [("1.1", "complete"), ("2.1", "complete")]
    assert engine.sent == []


def test_a_job_that_the_scheduler_forgot_is_sent_again_and_does_nothing_when_it_starts_late(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)
    first, _ = begin(small, made)
    (first.folder / JOB).write_text("7")
    said: list[str] = []
    outcomes = driver_of(small, made, Engine(ends_with(0)), said=said).run()
    assert states(outcomes) == [("1.2", "complete"), ("2.1", "complete")]
    assert "task 1.1: the scheduler has forgotten its job 7; it is sent again" in said
    assert exchange.begun(first.folder) == NOBODY
    assert not exchange.claim(first.folder, NODE)


def test_a_task_that_contradicts_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    def node(attempt: Attempt) -> None:
        if attempt.folder.name == "1.1":
            attempt.checkout.ledger.write_text("garbage\n")
        ends_with(0)(attempt)

    outcomes = drive(tmp_path, Engine(node))
    assert states(outcomes) == [("1.1", "contradicts"), ("2.1", "complete")]
    assert "is not a ledger entry" in str(outcomes[0].problems[0])


def test_a_task_whose_folder_was_moved_away_is_made_again(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)
    [first, _] = begin(small, made)
    ends_with(0)(first)
    first.checkout.ledger.write_text("garbage\n")
    assert states(driver_of(small, made, Engine(ends_with(0))).run())[0] == ("1.1", "contradicts")
    first.folder.rename(tmp_path / "aside")
    engine = Engine(ends_with(0))
    assert states(driver_of(small, made, engine).run())[0] == ("1.1", "complete")
    assert engine.sent == ["speedrun-1.1"]


def test_a_scheduler_that_is_away_is_asked_again_while_other_tasks_go_on(tmp_path: Path) -> None:
    engine = Engine(ends_with(0))
    submit, refusals = engine.submit, [MachineError.at("sbatch", "gave no answer", "wait")]

    def refusing(name: str, command: Sequence[str]) -> str:
        if name == "speedrun-2.1" and refusals:
            raise refusals.pop()
        return submit(name, command)

    engine.submit = refusing  # type: ignore[method-assign]
    assert states(drive(tmp_path, engine)) == [("1.1", "complete"), ("2.1", "complete")]


def test_one_command_at_a_time_waits_for_a_series(tmp_path: Path) -> None:
    small, made = make_free_series(tmp_path)

    def drive() -> None:
        sender = driver_of(small, made, engine)
        driver.drive(sender.project, sender.cluster, made.series, made.scripts, engine, print)  # type: ignore[arg-type]

    def node(attempt: Attempt) -> None:
        with pytest.raises(StoreError, match="is waited for by another command"):
            drive()
        raise KeyboardInterrupt

    engine = Engine(node)
    engine.attempts = dict.fromkeys(("speedrun-1.1", "speedrun-2.1"), begin(small, made)[0])
    with pytest.raises(KeyboardInterrupt):
        drive()


def test_what_broke_leaves_less_to_do_for_the_next_attempt(tmp_path: Path) -> None:
    small, made = make_series(tmp_path, runs=5)
    assert [task.runs for task in made.series.tasks] == [3, 2]

    def node(attempt: Attempt) -> None:
        runs = {"1.1": ["finished", "failed"], "1.2": ["finished"] * 2, "2.1": ["finished"] * 2}[attempt.folder.name]
        for number, state in enumerate(runs):
            run, ledger = f"run-{attempt.folder.name}-{number}".replace(".", "-"), Ledger(attempt.checkout.ledger)
            ledger.append(ledgers.started(run, attempt.task.scripts[0]))
            ledger.append(ledgers.ended(run, attempt.task.scripts[0], state=state, log_sha256=None))
        ends_with(0 if set(runs) == {"finished"} else 3)(attempt)

    driver.declare(Project(small.root), made.series, made.scripts)
    outcomes = driver_of(small, made, Engine(node)).run()
    assert states(outcomes) == [("1.2", "complete"), ("2.1", "complete")]
    chain = Ledger(small.root / ".runs/ledger.jsonl").read()
    assert [task.runs for task in chain.tree.declared.values()] == [3, 2, 2]
    assert (len(chain.finished), len(chain.aborted), chain.n_max) == (5, 1, 5)
    command = json.loads((outcomes[0].attempt.folder / "task.json").read_text())["command"]
    assert command[-2:] == ["--runs", "3"]  # the one that had finished when it was declared, and two more


def test_a_record_is_run_afresh_by_the_next_attempt(tmp_path: Path) -> None:
    small, made = make_series(tmp_path, runs=5)
    script = made.series.tasks[0].scripts[0]
    record = dataclasses.replace(made.scripts.subjects[script], manifest=None)
    scripts = driver.Scripts({script: record}, {})
    second = attempt_of(Project(small.root), made.series, made.series.tasks[0], 2)
    assert driver.remaining(Project(small.root), made.series, second, scripts) == 3
