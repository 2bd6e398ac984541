"""Try a submission in stages, each dearer than the one before: read it, run it scaled down, run it whole.

    check   its files are read and its text is scanned; nothing of it is run
    dry     and one run scaled down, on synthetic data
    full    and whole runs, made as judged ones are, which never count

The answer has one form whatever happens. Ctrl-C and SIGTERM alone end a try without one.
"""

import dataclasses
from collections.abc import Callable

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError, MachineError
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher
from harness.run import refusal, series
from harness.run.series import Watcher
from harness.screening import tries
from harness.screening.answer import Answer, Order, plain
from harness.store.ledger import Ledger
from harness.submission import admissible

Watch = Callable[[Subject], Watcher]  # what is told how far the runs of a script are


def attempt(
    catalog: Catalog, target: str, order: Order, launcher: Launcher, watch: Watch, progress: Progress | None = None
) -> Answer:
    """Try a submission and say what became of it; `python` of the order is the interpreter of the launcher."""
    try:
        subject = catalog.subject(catalog.find(target), frozen=False)
    except HarnessError as error:
        return refused(target, None, order, error, "manifest")
    try:
        admissible.refuse_run(catalog.project, subject)
    except HarnessError as error:
        return refused(target, subject, order, error, "manifest")
    try:
        refusal.refuse_no_python(subject)
    except HarnessError as error:
        return refused(target, subject, order, error, "syntax")
    return dataclasses.replace(
        _beyond_reading(catalog, subject, order, launcher, watch, progress),
        scripts_tried=scripts_tried(catalog, subject),
    )


def _beyond_reading(
    catalog: Catalog, subject: Subject, order: Order, launcher: Launcher, watch: Watch, progress: Progress | None
) -> Answer:
    findings = admissible.objections(catalog, subject)
    said = tuple(str(found) for found in findings)
    broken = next((found for found in findings if found.outcome == "fail"), None)
    if broken is not None:
        answer = plain(subject.name, subject, order, "refused", f"rule:{broken.rule}", broken.text)
    elif order.stage == "check":
        answer = plain(subject.name, subject, order, "passed", None, "its files are in order; nothing of it was run")
    else:
        answer = _run(catalog, subject, order, launcher, watch, progress)
    return dataclasses.replace(answer, findings=said)


def _run(
    catalog: Catalog, subject: Subject, order: Order, launcher: Launcher, watch: Watch, progress: Progress | None
) -> Answer:
    dry = order.stage == "dry"
    try:
        plan = series.plan(catalog.project, subject, order.runs, dry=dry, screening=not dry)
        ready = series.prepare(
            plan, allow_network=order.allow_network, progress=progress, python=order.python, torch=order.torch
        )
        assert ready is not None, "a try makes at least one run"
        return tries.make(catalog.project, ready, order, launcher, watch(subject))
    except MachineError as error:
        return refused(subject.name, subject, order, error, "machine")
    except HarnessError as error:
        return refused(subject.name, subject, order, error, "data")


def refused(target: str, subject: Subject | None, order: Order, error: HarnessError, label: str) -> Answer:
    """Answer for what could not be run at all."""
    answer = plain(target, subject, order, "refused", label, "; ".join(str(problem) for problem in error.problems[:5]))
    return dataclasses.replace(answer, lines=error.lines[-tries.LAST_LINES :])


def scripts_tried(catalog: Catalog, subject: Subject) -> int | None:
    """Count the scripts that were run on a subject's track in this project; None where its ledger is damaged."""
    try:
        whole = Ledger(catalog.project.ledger).read()
    except HarnessError:  # a run says what is wrong with it
        return None
    return sum(subject.track.name in chain.tracks for chain in whole.scripts.values())
