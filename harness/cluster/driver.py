"""Send the tasks of a series to their nodes, wait, try again what broke, and take in what comes back.

Hard because this process may be killed at any moment and nodes may vanish. Everything that it knows lies on disk: the
series before its declaration, the declaration of all tasks before the first is sent, each task's job, beginning and
end. So the same command goes on where the one before was killed, whatever the scheduler did meanwhile.
"""

import fcntl
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.catalog.subjects import Subject
from harness.cluster import exchange, intake, task_folders
from harness.cluster.engine import Engine
from harness.cluster.exchange import JOB, NOBODY, RESULT, Result
from harness.cluster.tasks import SERIES, SERIES_FORM, Attempt, Series, Task, attempt_of, attempts_of, series_folder
from harness.core.errors import HarnessError, MachineError, Problem, StoreError
from harness.run import ending, execution
from harness.store.clusters import Cluster
from harness.store.comparisons import read_comparisons
from harness.store.entries import Taken, Tasked
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger

COMPLETE = (0, 1)  # exit statuses of a command that did what it was asked; 1 is a verdict that is not pass
REFUSED = 2  # a node that cannot do it, or input that none can
TICK_S = 1.0  # how often the files of tasks are looked at
LOOKS = 3  # at a job that is over, until its missing result is believed: files of other nodes show late
LOST = "its node ended it, or vanished"

State = Literal["complete", "refused", "broken", "contradicts"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task stands when nothing more is going to be tried."""

    task: Task
    attempt: Attempt
    result: Result
    state: State
    problems: tuple[Problem, ...] = ()  # why its evidence was not taken in


@dataclass(frozen=True, slots=True)
class Scripts:
    """The scripts of a series: by their chains, and how many runs a test with a fixed number looks at."""

    subjects: Mapping[str, Subject]
    planned: Mapping[str, int | None]

    @property
    def texts(self) -> dict[str, bytes]:
        """The bytes of each entry script, by their sha256."""
        return {subject.script_sha256: subject.script for subject in self.subjects.values()}


def declare(project: Project, series: Series, scripts: Scripts) -> None:
    """Write a series down and declare all its tasks in the ledger, before the first of them is sent."""
    folder = series_folder(project, series)
    if not (folder / SERIES).exists():
        write_atomic(folder / SERIES, SERIES_FORM.text(series))
    task_folders.copy_project(project, folder)
    known = {script: Ledger(project.ledger).chain(script).tree.declared for script in scripts.subjects}
    for task in series.tasks:
        if any(attempt_of(project, series, task, 1).id not in known[script] for script in task.scripts):
            declare_task(project, attempt_of(project, series, task, 1), series, scripts)


def declare_task(project: Project, attempt: Attempt, series: Series, scripts: Scripts) -> None:
    """Declare one attempt in the chain of each of its scripts, unless that was done."""
    ledger, task = Ledger(project.ledger), attempt.task
    for script in task.scripts:
        declared = ledger.chain(script).tree.declared
        if attempt.id in declared:
            continue
        if task.purpose == "judged":
            execution.declare(ledger, scripts.subjects[script], scripts.planned.get(script))
        elif task.purpose == "screening":
            execution.note_trial(ledger, scripts.subjects[script])
        before = attempt_of(project, series, task, attempt.number - 1).id
        tasked = Tasked(
            script=script,
            task=attempt.id,
            series=series.id,
            purpose=task.purpose,
            runs=remaining(project, series, attempt, scripts),
            instead=before if before in declared else "",
        )
        ledger.append(tasked)


def remaining(project: Project, series: Series, attempt: Attempt, scripts: Scripts) -> int:
    """Count the runs of a submission that earlier attempts did not finish; those of a record are made afresh."""
    task = attempt.task
    if attempt.number == 1 or scripts.subjects[task.scripts[0]].manifest is None:
        return task.runs
    own = {earlier.id for earlier in attempts_of(project, series, task)}
    chain = Ledger(project.ledger).chain(task.scripts[0])
    made = [run for run, end in chain.ends.items() if end.state == "finished" and chain.tree.branches.get(run) in own]
    return max(0, task.runs - sum(chain.starts[run].purpose == task.purpose for run in made if run in chain.starts))


def drive(
    project: Project, cluster: Cluster, series: Series, scripts: Scripts, engine: Engine, say: Callable[[str], None]
) -> list[Outcome]:
    """Declare a series and bring its tasks to an end; raises StoreError where another command does that right now."""
    folder = series_folder(project, series)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "driver").open("w")
    except OSError as error:
        raise disk_error(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            what = "is waited for by another command"
            raise StoreError.at(project.show(folder), what, "wait until that has ended") from None
        declare(project, series, scripts)
        return Driver(project, cluster, series, scripts, engine, say).run()


@dataclass
class Driver:
    """The tasks of one series, on the way."""

    project: Project
    cluster: Cluster
    series: Series
    scripts: Scripts
    engine: Engine
    say: Callable[[str], None]
    active: dict[str, tuple[Attempt, str]] = field(default_factory=dict)  # id -> attempt, job
    waiting: list[Attempt] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    looks: dict[str, int] = field(default_factory=dict)
    tries: dict[int, int] = field(default_factory=dict)  # task -> attempts that broke since this command was started

    def run(self) -> list[Outcome]:
        """Bring every task to an end, as far as the retries go; the outcomes in the order of the tasks."""
        taken = {e.task: e.state for e in Ledger(self.project.ledger).read().entries if isinstance(e, Taken)}
        for task in self.series.tasks:
            self.go_on(task, taken)
        asked = 0.0
        while self.active or self.waiting:
            self.send()
            over: set[str] = set()
            if time.monotonic() - asked >= self.cluster.poll_s:
                over, asked = self.engine.ended([job for _, job in self.active.values()]), time.monotonic()
            for attempt, job in list(self.active.values()):
                if self.has_ended(attempt, is_over=job in over):
                    del self.active[attempt.id]
                    self.end(attempt)
            if self.active:
                time.sleep(min(TICK_S, self.cluster.poll_s))
        return sorted(self.outcomes, key=lambda outcome: outcome.task.number)

    def go_on(self, task: Task, taken: Mapping[str, str]) -> None:
        """Take a task up where an earlier start of this command left it; taken: attempts -> how they were taken in."""
        made = attempts_of(self.project, self.series, task)
        latest = made[-1] if made else attempt_of(self.project, self.series, task, 1)
        result = exchange.read_result(latest.folder)
        if latest.id in taken and result is not None:
            if taken[latest.id] == "complete":
                self.outcomes.append(Outcome(task, latest, result, "complete"))
            else:
                self.again(latest)
        elif result is not None and self.has_ended(latest, is_over=True):
            self.end(latest)
        elif (latest.folder / JOB).exists():
            job = (latest.folder / JOB).read_text()
            is_known = self.engine.adopt(job) or exchange.is_held(latest.folder)
            if not is_known and exchange.claim(latest.folder, NOBODY):
                self.say(f"task {latest.folder.name}: the scheduler has forgotten its job {job}; it is sent again")
            self.active[latest.id] = (latest, job)
        else:
            self.waiting.append(latest)

    def send(self) -> None:
        """Submit tasks, as many as nodes may be used at once."""
        while self.waiting and len(self.active) < self.cluster.nodes:
            attempt = self.waiting.pop(0)
            if not attempt.folder.exists():
                task_folders.make_checkout(self.project, attempt, self.command(attempt))
            try:
                job = self.engine.submit(f"speedrun-{attempt.folder.name}", self.worker(attempt))
            except MachineError as error:
                if not self.active:
                    raise
                self.waiting.insert(0, attempt)  # a scheduler may be away for a while, and other tasks go on
                self.say(str(error.problems[0]))
                return
            # Killed right here, the next start sends it again: of two jobs the second finds the task begun, and ends.
            write_atomic(attempt.folder / JOB, job)
            self.active[attempt.id] = (attempt, job)
            self.say(f"task {attempt.folder.name}: {attempt.task.title}: sent as job {job}")

    def worker(self, attempt: Attempt) -> list[str]:
        """What the scheduler starts on a node."""
        return [sys.executable, "-P", "-m", "harness.cluster.worker", str(attempt.folder)]

    def command(self, attempt: Attempt) -> list[str]:
        """Write down what a node is to run."""
        task = attempt.task
        arguments = [task.verb, *task.subjects, *task.arguments]
        if task.runs:
            arguments += [
                "--runs",
                str(self.already_made(attempt) + remaining(self.project, self.series, attempt, self.scripts)),
            ]
        if task.verb == "compare" and (before := self.earlier_comparison(task)) is not None:
            arguments += ["--follows", before]
        return [sys.executable, "-P", "-m", "harness", "--root", str(attempt.checkout.root), *arguments]

    def already_made(self, attempt: Attempt) -> int:
        """Count the finished runs that a task's command finds in its ledger and counts: those of submissions add up."""
        script = attempt.task.scripts[0]
        if not attempt.task.judged or self.scripts.subjects[script].manifest is None:
            return 0
        return len(task_folders.until(Ledger(self.project.ledger).chain(script), attempt.id).finished)

    def earlier_comparison(self, task: Task) -> str | None:
        """Find the newest comparison of the same scripts that is here: a further one names it."""
        for known in read_comparisons(self.project):
            if known.a.script_sha256 == task.scripts[0] and known.b.script_sha256 in task.scripts[1:]:
                return known.id
        return None

    def has_ended(self, attempt: Attempt, *, is_over: bool) -> bool:
        """Whether nothing of a task goes on; is_over: the scheduler says that its job is.

        A task that ended without a word is given one, after a few looks.
        """
        has_result = (attempt.folder / RESULT).exists()
        if (not has_result and not is_over) or exchange.is_held(attempt.folder):
            return False
        if not has_result:
            self.looks[attempt.id] = self.looks.get(attempt.id, 0) + 1
            if self.looks[attempt.id] < LOOKS:
                return False
            exchange.claim(attempt.folder, NOBODY)  # whatever starts it now finds that nobody wants it any more
            if not (attempt.folder / RESULT).exists():
                exchange.write_result(attempt.folder, Result(status=-9, seconds=0.0, problem=LOST))
        try:
            ending.settle(attempt.checkout)
            return not Ledger(attempt.checkout.ledger).read().open  # processes of a run may outlive its command
        except HarnessError:
            return True  # what is wrong there is said when it is taken in

    def end(self, attempt: Attempt) -> None:
        """Take in what came back, and try again what broke."""
        result = exchange.read_result(attempt.folder)
        assert result is not None
        is_complete = result.status in COMPLETE or (attempt.task.answers and exchange.has_answer(attempt.folder))
        said = result.problem or f"exit status {result.status}"
        self.say(f"task {attempt.folder.name}: {'complete' if is_complete else f'broken ({said})'}")
        try:
            intake.take_in(self.project, attempt, intake.COMPLETE if is_complete else "broken", self.scripts.texts)
        except HarnessError as error:
            self.outcomes.append(Outcome(attempt.task, attempt, result, "contradicts", error.problems))
            return
        if is_complete or result.status == REFUSED:
            state: State = "complete" if is_complete else "refused"
            self.outcomes.append(Outcome(attempt.task, attempt, result, state))
            return
        self.tries[attempt.task.number] = self.tries.get(attempt.task.number, 0) + 1
        if self.tries[attempt.task.number] > self.cluster.retries:
            self.outcomes.append(Outcome(attempt.task, attempt, result, "broken"))
        else:
            self.again(attempt)

    def again(self, attempt: Attempt) -> None:
        """Declare another attempt of a task in place of one that broke."""
        attempt = attempt_of(self.project, self.series, attempt.task, attempt.number + 1)
        declare_task(self.project, attempt, self.series, self.scripts)
        self.waiting.append(attempt)
