"""Make the tasks of a command: which scripts it runs, with which arguments, on how many nodes.

Everything that a node would refuse is refused here first, before anything is declared or sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.cluster.driver import Scripts
from harness.cluster.tasks import Series, Task, Verb, find_series, key_of, numbered, parts_of, split
from harness.compare import arms
from harness.core.errors import StoreError
from harness.core.measurement import Purpose
from harness.probe import probe_plan
from harness.replay import plan as replay_plan
from harness.run import series as run_series
from harness.store import run_files
from harness.submission import admissible, draft


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for, beside the names of scripts."""

    verb: Verb
    names: tuple[str, ...]
    arguments: tuple[str, ...] = ()  # that each task gets as they are
    runs: int | None = None
    purpose: Purpose = "judged"
    until_decided: bool = False
    is_stage: bool = False  # `run --stage`, which answers whatever became of the script
    original: bool = False
    checkout: Path | None = None
    gpus: int | None = None
    network: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """A series with the scripts of its tasks."""

    series: Series
    scripts: Scripts
    is_new: bool
    done: tuple[str, ...] = ()  # sentences on scripts that need no task
    subjects: tuple[Subject, ...] = ()  # whose verdicts or results the command is about


def make(catalog: Catalog, asked: Asked, nodes: int, *, anew: bool = False, plan_only: bool = False) -> Made:
    """Make the series of a command, or find the one that the same command began; anew: though that is complete.

    Raises HarnessError with what is wrong with a script.
    """
    makers = {"run": _run, "compare": _compare, "probe": _probe, "replay": _replay}
    tasks, scripts, done, subjects = makers[asked.verb](catalog, asked, nodes, plan_only)
    key = key_of(asked.verb, asked.names, (*asked.arguments, str(asked.runs), asked.purpose), scripts.subjects)
    known = None if anew else find_series(catalog.project, key)
    if known is not None:
        return Made(known, scripts, False, (), subjects)
    command = " ".join(("speedrun", asked.verb, *asked.names, *asked.arguments))[:300]
    series = Series(id=run_files.new_run_id(key), key=key, command=command, tasks=numbered(tasks))
    return Made(series, scripts, True, done, subjects)


_Parts = tuple[list[Task], Scripts, tuple[str, ...], tuple[Subject, ...]]


def _run(catalog: Catalog, asked: Asked, nodes: int, plan_only: bool) -> _Parts:
    tasks: list[Task] = []
    planned: dict[str, int | None] = {}
    subjects: dict[str, Subject] = {}
    done = []
    for name in dict.fromkeys(asked.names):
        judged = asked.purpose == "judged"
        if judged and not plan_only:
            draft.freeze_for_run(catalog, name)
        subject = catalog.subject(catalog.find(name), frozen=judged and not plan_only)
        admissible.refuse_run(catalog.project, subject)
        _require_inside(catalog, subject)
        plan = run_series.plan(
            catalog.project,
            subject,
            asked.runs,
            dry=asked.purpose == "dry",
            settle=not plan_only,
            until_decided=asked.until_decided,
            screening=asked.purpose == "screening",
        )
        subjects[subject.chain], planned[subject.chain] = subject, len(plan.done) + plan.runs
        if not plan.runs:
            done.append(f"{subject.name} has its {len(plan.done)} runs")
        elif asked.until_decided or asked.is_stage or asked.purpose == "dry":
            given = asked.runs is not None and (asked.until_decided or asked.is_stage)
            arguments = ("--runs", str(asked.runs)) if given else ()
            tasks.append(_task(asked, (subject.name,), (subject.chain,), arguments=arguments))
        else:
            parts = parts_of(len(set(asked.names)), nodes)
            shares = split(plan.runs, parts)
            tasks += [_task(asked, (subject.name,), (subject.chain,), runs=share) for share in shares]
    return tasks, Scripts(subjects, planned), tuple(done), tuple(subjects.values())


def _compare(catalog: Catalog, asked: Asked, nodes: int, plan_only: bool) -> _Parts:
    found = [(name, catalog.track_of(catalog.find(name))) for name in asked.names]
    for other in found[1:]:
        arms.require_one_track(found[0], other)
    contenders = [
        arms.find(
            catalog,
            catalog.find(name),
            original=asked.original,
            checkout=asked.checkout,
            allow_network=asked.network,
            plan_only=plan_only,
        )
        for name in asked.names
    ]
    for one in contenders:
        _require_inside(catalog, one.subject)
    subjects = {one.subject.chain: one.subject for one in contenders}
    names = [one.name if one.kind == "submission" else name for one, name in zip(contenders, asked.names, strict=True)]
    task = _task(asked, names, tuple(subjects))
    return [task], Scripts(subjects, {}), (), tuple(subjects.values())


def _probe(catalog: Catalog, asked: Asked, nodes: int, plan_only: bool) -> _Parts:
    tasks: list[Task] = []
    subjects: dict[str, Subject] = {}
    own = []
    for name in dict.fromkeys(asked.names):
        subject = catalog.subject(catalog.find(name))
        _require_inside(catalog, subject)
        plan = probe_plan.plan(catalog, subject, probe_plan.QUICK if "--quick" in asked.arguments else ())
        scripts = [subject] if plan.parent is None else [subject, plan.parent]
        subjects |= {script.chain: script for script in scripts}
        own.append(subject)
        tasks.append(_task(asked, (subject.name,), tuple(script.chain for script in scripts)))
    return tasks, Scripts(subjects, {}), (), tuple(own)


def _replay(catalog: Catalog, asked: Asked, nodes: int, plan_only: bool) -> _Parts:
    tasks: list[Task] = []
    subjects: dict[str, Subject] = {}
    for name in dict.fromkeys(asked.names):
        record = catalog.find_record(name)
        plan = replay_plan.plan(
            catalog,
            record,
            which="original" if asked.original else "usual",
            checkout=asked.checkout,
            gpus=asked.gpus,
            count=asked.runs,
            allow_network=asked.network,
            plan_only=plan_only,
        )
        arguments = () if asked.runs is None else ("--runs", str(asked.runs))
        subjects[plan.subject.chain] = plan.subject
        tasks.append(_task(asked, (plan.name,), (plan.subject.chain,), arguments=arguments))
    return tasks, Scripts(subjects, {}), (), tuple(subjects.values())


def _require_inside(catalog: Catalog, subject: Subject) -> None:
    """Raise StoreError for a submission that no checkout would hold."""
    where = catalog.project.submissions.resolve()
    if subject.manifest is not None and subject.folder.resolve().parent != where:
        todo = f"move the folder to {catalog.project.submissions.name}/, which each task gets a copy of"
        raise StoreError.at(subject.name, "lies outside the project", todo)


def _task(
    asked: Asked, names: Sequence[str], scripts: tuple[str, ...], *, runs: int = 0, arguments: Sequence[str] = ()
) -> Task:
    given = (*asked.arguments, *arguments)
    purpose: Purpose = "probe" if asked.verb == "probe" else asked.purpose
    return Task(
        number=1,
        verb=asked.verb,
        subjects=tuple(names),
        arguments=given,
        scripts=scripts,
        purpose=purpose,
        runs=runs,
    )
