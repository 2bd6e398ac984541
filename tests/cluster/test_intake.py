"""What a node brings is judged as if it had been made here, and nothing of it is taken in where it contradicts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.cluster import exchange, intake
from harness.cluster.commands import Made
from harness.cluster.tasks import Attempt
from harness.core.errors import StoreError
from harness.run import judging
from harness.store.entries import Chain
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.scrub import Names, scrub_log
from tests import ledgers
from tests.cluster.small_series import SUBJECT, begin, make_on_node, make_series
from tests.faults.projects import HONEST, Small

Series = tuple[Small, Made, list[Attempt]]
NODE_SAYS = 'log("made on a-node-of-a-cluster in /home/somebody/project")\n'


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A series of two tasks; a node made the first."""
    small, made = make_series(tmp_path_factory.mktemp("series"), body=NODE_SAYS + HONEST)
    attempts = begin(small, made)
    make_on_node(small, attempts[0])
    assert attempts[0].checkout.ledger.read_text().count('"kind": "end"') == 1
    return small, made, attempts


@pytest.fixture
def series(made_once: Series, tmp_path: Path) -> Series:
    """The same series in a copy of its own."""
    small, made, attempts = made_once
    root = tmp_path / "project"
    shutil.copytree(small.root, root, symlinks=True)
    moved = [Attempt(root / one.folder.relative_to(small.root), one.task, one.number) for one in attempts]
    return Small(root, python=small.python), made, moved


def take_in(series: Series, number: int = 0) -> None:
    small, made, attempts = series
    intake.take_in(Project(small.root), attempts[number], "complete", made.scripts.texts)


def run_of(attempt: Attempt) -> Path:
    [folder] = attempt.checkout.runs.glob("2*")
    return folder


def here(small: Small) -> dict[str, str]:
    """Everything outside of the series that a project keeps of runs."""
    files = (path for path in (small.root / ".runs").rglob("*") if "cluster" not in path.parts and path.is_file())
    return {str(path.relative_to(small.root)): sha256_file(path) for path in files}


def test_a_run_of_a_node_counts_here_and_an_absent_task_is_inconclusive(series: Series) -> None:
    small, _, attempts = series
    take_in(series)
    catalog = Catalog(Project(small.root))
    subject = catalog.subject(catalog.find(str(small.root / SUBJECT)))
    evidence, verdict = judging.verify(catalog, subject)
    assert [run.run_id for run in evidence.runs] == [run_of(attempts[0]).name]
    findings = {finding.rule: finding for finding in verdict.findings}
    assert findings["G2"].outcome == "pass"
    assert findings["G1"].outcome == "inconclusive"
    assert findings["G1"].text.startswith(
        f"of the tasks that were declared, {attempts[1].id} did not come back complete"
    )


def test_a_log_loses_the_names_of_its_node_and_is_still_the_one_that_was_hashed(
    made_once: Series, tmp_path: Path
) -> None:
    _, _, attempts = made_once
    raw = (run_of(attempts[0]) / "log.txt").read_bytes()
    assert b"a-node-of-a-cluster" in raw
    names = Names("/home/somebody", "somebody", "a-node-of-a-cluster")
    digest = hashlib.sha256(scrub_log(raw, b"", names)).hexdigest()
    end = ledgers.ended(run_of(attempts[0]).name, log_sha256=digest)
    assert intake._other_log(run_of(attempts[0]), end, names, {}) == []
    assert intake._other_log(run_of(attempts[0]), end, Names("", "", "another"), {}) != []
    intake._copy(run_of(attempts[0]), tmp_path / "copy", Chain((end,)), names, {})
    assert b"a-node-of-a-cluster" not in (tmp_path / "copy" / "log.txt").read_bytes()
    assert not (tmp_path / "copy" / "work").exists()


def test_what_was_taken_in_is_taken_in_once(series: Series) -> None:
    small, _, attempts = series
    take_in(series)
    before = here(small)
    take_in(series)
    assert here(small) == before
    shutil.rmtree(Project(small.root).runs / run_of(attempts[0]).name)
    take_in(series)
    assert Ledger(small.root / ".runs/ledger.jsonl").read().breaks() == ()


def test_a_taking_in_that_was_killed_before_the_ledger_is_repeated(series: Series) -> None:
    small, _, attempts = series
    run = run_of(attempts[0])
    names, chain = exchange.NOBODY.names, Ledger(attempts[0].checkout.ledger).read()
    intake._copy(run, Project(small.root).runs / run.name, chain, names, {})
    take_in(series)
    assert Ledger(small.root / ".runs/ledger.jsonl").read().finished == (run.name,)


def edit_log(small: Small, attempt: Attempt) -> None:
    log = run_of(attempt) / "log.txt"
    log.write_bytes(log.read_bytes().replace(b"val_loss:2.4", b"val_loss:2.3"))


def edit_stamps(small: Small, attempt: Attempt) -> None:
    (run_of(attempt) / "clock.csv").write_text("1,1\n")


def drop_folder(small: Small, attempt: Attempt) -> None:
    shutil.rmtree(run_of(attempt))


def add_folder(small: Small, attempt: Attempt) -> None:
    shutil.copytree(run_of(attempt), attempt.checkout.runs / "20260101T000000Z-00000000-0000", symlinks=True)


def link_out(small: Small, attempt: Attempt) -> None:
    (run_of(attempt) / "more.txt").symlink_to("/etc/hostname")


def edit_entry(small: Small, attempt: Attempt) -> None:
    ledger = attempt.checkout.ledger
    ledger.write_text(ledger.read_text().replace('"exit_code": 0', '"exit_code": 1'))


def drop_entry(small: Small, attempt: Attempt) -> None:
    lines = attempt.checkout.ledger.read_text().splitlines()
    attempt.checkout.ledger.write_text("".join(f"{line}\n" for line in lines if '"kind": "start"' not in line))


def cut_off(small: Small, attempt: Attempt) -> None:
    lines = attempt.checkout.ledger.read_text().splitlines()
    kept = [line for line in lines if '"run": "' not in line]
    attempt.checkout.ledger.write_text("".join(f"{line}\n" for line in kept))
    shutil.rmtree(run_of(attempt))


def begin_elsewhere(small: Small, attempt: Attempt) -> None:
    lines = attempt.checkout.ledger.read_text().splitlines()
    first = json.loads(lines[0]) | {"n_max": 40}
    attempt.checkout.ledger.write_text("\n".join([json.dumps(first, sort_keys=True), *lines[1:], ""]))


def another_script(small: Small, attempt: Attempt) -> None:
    Ledger(attempt.checkout.ledger).append(ledgers.started("20260101T000000Z-00000000-0000"))


def more_runs(small: Small, attempt: Attempt) -> None:
    ledger = Ledger(attempt.checkout.ledger)
    script = attempt.task.scripts[0]
    ledger.append(ledgers.started("20260101T000000Z-00000000-0000", script))
    ledger.append(ledgers.ended("20260101T000000Z-00000000-0000", script, files={}, log_sha256=None))


def left_open(small: Small, attempt: Attempt) -> None:
    Ledger(attempt.checkout.ledger).append(ledgers.started("20260101T000000Z-00000000-0000", attempt.task.scripts[0]))


def another_task(small: Small, attempt: Attempt) -> None:
    ledger = attempt.checkout.ledger
    ledger.write_text(ledger.read_text().replace(attempt.id, f"{attempt.id}9"))


def another_run_of_that_name(small: Small, attempt: Attempt) -> None:
    folder = small.root / ".runs" / run_of(attempt).name
    folder.mkdir()
    (folder / "run.json").write_text("{}")


def no_ledger(small: Small, attempt: Attempt) -> None:
    attempt.checkout.ledger.write_text("")


CONTRADICTIONS: dict[Callable[[Small, Attempt], None], str] = {
    edit_log: "log.txt is not the one that the ledger hashed",
    edit_stamps: "clock.csv of",
    drop_folder: "is gone, and the ledger holds hashes of its files",
    add_folder: "is in no entry of its ledger",
    link_out: "more.txt: is a link",
    edit_entry: "run.json names another end than the ledger",
    cut_off: "ends 0 judged runs, and the command made all 1 that were declared",
    drop_entry: "does not follow the entry before it",
    begin_elsewhere: "does not begin with what was declared here",
    another_script: "holds the script aaaaaaaaaaaa, which was not declared for it",
    more_runs: "starts 2 judged runs; 1 were declared",
    left_open: "was started and has no end",
    another_task: "does not begin with what was declared here",
    another_run_of_that_name: "is here already, and another one than",
    no_ledger: "has lost the script",
}


@pytest.mark.parametrize("contradict", CONTRADICTIONS, ids=lambda function: function.__name__)
def test_nothing_is_taken_in_that_contradicts(series: Series, contradict: Callable[[Small, Attempt], None]) -> None:
    small, _, attempts = series
    contradict(small, attempts[0])
    before = here(small)
    with pytest.raises(StoreError, match=CONTRADICTIONS[contradict]):
        take_in(series)
    assert here(small) == before


def test_a_task_that_was_taken_in_cannot_become_another_one(series: Series) -> None:
    small, _, attempts = series
    take_in(series)
    before = here(small)
    edit_entry(small, attempts[0])
    with pytest.raises(StoreError):
        take_in(series)
    assert here(small) == before
    assert os.listdir(attempts[0].folder)


def test_a_branch_that_is_cut_after_it_was_taken_in_is_named(series: Series) -> None:
    small, _, _ = series
    take_in(series)
    ledger = small.root / ".runs/ledger.jsonl"
    lines = ledger.read_text().splitlines()
    kept = [line for line in lines if '"kind": "start"' not in line and '"kind": "end"' not in line]
    ledger.write_text("".join(f"{line}\n" for line in kept))
    [flaw] = Ledger(ledger).read().breaks()
    assert "takes in the task" in flaw.sentence("ledger.jsonl") and flaw.kind == "cut branch"
