"""A small project, a series in it, and nodes that are folders of this machine: what a scheduler does, without one."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.cluster import commands, driver, exchange, task_folders
from harness.cluster.commands import Asked, Made
from harness.cluster.driver import Driver
from harness.cluster.exchange import Begun, Result
from harness.cluster.tasks import Attempt, attempt_of
from harness.store.clusters import Cluster
from harness.store.layout import Project
from harness.store.scrub import own_names
from tests import warm
from tests.faults import projects
from tests.faults.projects import Small, make_project

SUBJECT = "submissions/2026-11-21_test"
NODE = Begun(node="n1", home=(NAMES := own_names()).home, user=NAMES.user, host=NAMES.host)


def make_series(root: Path, *, runs: int = 2, nodes: int = 2, body: str = projects.HONEST) -> tuple[Small, Made]:
    """A project with a submission whose runs are shared among tasks, none of them declared yet."""
    small = make_project(root)
    small.submit(body)
    catalog = Catalog(Project(small.root))
    return small, commands.make(catalog, Asked("run", (str(small.root / SUBJECT),), ("--json",), runs), nodes)


def unbound(made: Made) -> Made:
    """The same series with tasks that may make any number of runs, none too."""
    tasks = tuple(dataclasses.replace(task, runs=0) for task in made.series.tasks)
    return dataclasses.replace(made, series=dataclasses.replace(made.series, tasks=tasks))


def begin(small: Small, made: Made) -> list[Attempt]:
    """Declare the tasks of a series, and make their checkouts."""
    project = Project(small.root)
    driver.declare(project, made.series, made.scripts)
    attempts = [attempt_of(project, made.series, task, 1) for task in made.series.tasks]
    sender = driver_of(small, made, Engine())
    for attempt in attempts:
        task_folders.make_checkout(project, attempt, sender.command(attempt))
    return attempts


def make_on_node(small: Small, attempt: Attempt) -> None:
    """Do what a node does: run the command of a task, and write down how it ended."""
    assert exchange.claim(attempt.folder, NODE)
    arguments = arguments_of(attempt)
    done = warm.speedrun(*arguments, cwd=attempt.checkout.root, env=small.env(), python=small.python)
    exchange.write_result(attempt.folder, Result(status=done.returncode, seconds=1.0))
    (attempt.folder / exchange.SAID).write_text(done.stderr)


def arguments_of(attempt: Attempt) -> list[str]:
    """The arguments of a task's command, behind `python -P -m harness`."""
    command: list[str] = json.loads((attempt.folder / "task.json").read_text())["command"]
    return command[command.index("harness") + 1 :]


class Engine:
    """A scheduler that starts each job at once, as a call: what it does is chosen by the test."""

    def __init__(self, node: Callable[[Attempt], None] = lambda attempt: None) -> None:
        self.node = node
        self.sent: list[str] = []
        self.attempts: dict[str, Attempt] = {}
        self.known: set[str] = set()  # jobs that a scheduler still knows after this process began

    def submit(self, name: str, command: Sequence[str]) -> str:
        self.sent.append(name)
        self.node(self.attempts[name])
        return str(len(self.sent))

    def adopt(self, job: str) -> bool:
        return job in self.known

    def ended(self, jobs: Sequence[str]) -> set[str]:
        return set(jobs) - self.known


class Watched(Driver):
    """A driver whose engine gets to know what it sends."""

    def worker(self, attempt: Attempt) -> list[str]:
        self.engine.attempts[f"speedrun-{attempt.folder.name}"] = attempt  # type: ignore[attr-defined]
        return super().worker(attempt)


def driver_of(small: Small, made: Made, engine: Engine, *, retries: int = 2, said: list[str] | None = None) -> Watched:
    cluster = Cluster(provider="local", nodes=2, retries=retries, poll_s=0.001)
    say = (said if said is not None else []).append
    return Watched(Project(small.root), cluster, made.series, made.scripts, engine, say)  # type: ignore[arg-type]


def ends_with(*statuses: int) -> Callable[[Attempt], None]:
    """Nodes on which the first task ends with the first exit status, and so on; all that follow with the last."""
    left = list(statuses)

    def node(attempt: Attempt) -> None:
        exchange.claim(attempt.folder, NODE)
        status = left.pop(0) if len(left) > 1 else left[0]
        exchange.write_result(attempt.folder, Result(status=status, seconds=3600.0))

    return node
