"""Find what a series brought: its judged runs, comparisons, probes and replays, as they lie here now."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.catalog.lookup import Catalog
from harness.cluster.driver import Outcome
from harness.cluster.exchange import ANSWER
from harness.cluster.intake import COMPLETE
from harness.cluster.tasks import SOURCE, Series, series_folder
from harness.core import codec
from harness.core.errors import HarnessError
from harness.core.judgement import Verdict
from harness.probe import stored
from harness.screening.answer import ANSWER_FORM, Answer
from harness.store import comparisons, run_files
from harness.store.comparisons import COMPARISON_FORM, Comparison
from harness.store.entries import MAIN, Taken
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.replays import REPLAY_FORM, REPLAYS, ReplayResult, add_replay, read_replays


def finished_runs(project: Project, series: Series, script: str) -> list[str]:
    """Name the finished runs of a script that complete tasks of a series made for what they were declared as."""
    chain = Ledger(project.ledger).chain(script)
    tree = chain.tree
    complete = {entry.task for entry in chain.entries if isinstance(entry, Taken) and entry.state == COMPLETE}
    own = {name: task.purpose for name, task in tree.declared.items() if task.series == series.id and name in complete}
    ended = [run for run, end in chain.ends.items() if end.state == "finished"]
    return [run for run in ended if own.get(tree.branches.get(run, MAIN)) == chain.starts[run].purpose]


def compared(project: Project, outcomes: Sequence[Outcome]) -> Iterator[Comparison]:
    """Yield the comparisons that the last attempts made, from what was taken in."""
    for outcome in outcomes:
        if outcome.state != "contradicts":
            for file in sorted((outcome.attempt.checkout.runs / comparisons.FOLDER).glob("*.json")):
                path = project.runs / comparisons.FOLDER / file.name
                yield COMPARISON_FORM.read(path, name=project.show(path))


def probed(catalog: Catalog, outcomes: Sequence[Outcome]) -> Iterator[Verdict]:
    """Yield the verdicts of the probes that are whole, judged from what was taken in."""
    for outcome in outcomes:
        subject = catalog.subject(catalog.find(outcome.task.subjects[0]))
        probes = outcome.attempt.checkout.runs / run_files.PROBES
        for folder in sorted(probes.iterdir()) if outcome.state == "complete" and probes.is_dir() else ():
            path = catalog.project.runs / run_files.PROBES / folder.name / stored.EVIDENCE
            if path.is_file():
                yield stored.judge_stored(stored.read_stored(path, name=catalog.project.show(path)), subject.track)


def bring_replays(project: Project, series: Series) -> list[tuple[Path, ReplayResult]]:
    """Put the replays of a series beside their records, each once; return those that were not here before."""
    brought = []
    source = Project(series_folder(project, series) / SOURCE)
    for folder in sorted({path.parent for path in source.records.glob(f"*/*/{REPLAYS}")}):
        target = project.records / folder.relative_to(source.records)
        known = {REPLAY_FORM.text(result) for _, result in read_replays(target)}
        for _, result in read_replays(folder):
            if REPLAY_FORM.text(result) not in known:
                brought.append((add_replay(target, result), result))
    return brought


def stage_answer(catalog: Catalog, outcome: Outcome) -> Answer | None:
    """Return the answer of a task with `--stage`; None where it gave none.

    A node knows its own script alone, so how many were tried is counted here.
    """
    try:
        said = ANSWER_FORM.read(outcome.attempt.folder / ANSWER, name=f"{outcome.attempt.id}: {ANSWER}")
    except HarnessError:
        return None
    chains = Ledger(catalog.project.ledger).read().scripts.values()
    return dataclasses.replace(said, scripts_tried=sum(chain.track == said.track for chain in chains))


def answer(catalog: Catalog, outcome: Outcome) -> Any:
    """Return what the command of a task printed as JSON; None where it printed none."""
    if outcome.task.answers and (said := stage_answer(catalog, outcome)) is not None:
        return {"schema": 1} | codec.encode(said)
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return json.loads((outcome.attempt.folder / ANSWER).read_text())
    return None
