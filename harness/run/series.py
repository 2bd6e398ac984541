"""The main story: a subject in, a verdict out.

    find the subject → check the machine → have the data → launch each run → read its log → judge

Every run is in the ledger before it starts and after it ended; whatever happens in between, what was printed is kept.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from harness.catalog.subjects import Subject
from harness.core.errors import RunError
from harness.core.judgement import Verdict
from harness.core.record import Record
from harness.dataset.progress import Progress
from harness.evidence import gather
from harness.evidence.contents import Evidence
from harness.launch.launcher import Launcher
from harness.machine import computer
from harness.run import execution, failure
from harness.store import run_files
from harness.store.layout import Project
from harness.verdict import judge

Watcher = Callable[[str, int, int], Callable[[bytes], None]]  # run id, its number, of how many -> takes log lines


@dataclass(frozen=True, slots=True)
class Sitting:
    """What a command is going to do: printed by `--plan`, then done."""

    subject: Subject
    runs: int  # still to be made
    done: tuple[str, ...]  # finished runs of an earlier start that count
    dry: bool
    settled: tuple[tuple[str, str], ...] = ()  # runs of a killed harness, whose books were closed now
    until_decided: bool = False  # stop as soon as the ruleset's test on the loss has decided; `runs` is the most
    declared: int | None = None  # runs that a fixed-n test looks at, declared before the first run


def plan(
    project: Project,
    found: Subject,
    count: int | None,
    *,
    dry: bool = False,
    settle: bool = True,
    until_decided: bool = False,
) -> Sitting:
    """Decide how many runs are to be made.

    A submission's runs add up: what an earlier, interrupted start finished counts, and only the rest is made. A
    record is run afresh each time. With `settle`, the books of runs whose harness was killed are closed first.
    """
    settled = tuple(execution.settle(project)) if settle else ()
    bounds = found.ruleset.significance.bounds
    wanted = 1 if dry and count is None else count or found.track.runs
    if until_decided and count is None:
        wanted = bounds[-1][1] if bounds else max(found.track.runs, found.ruleset.significance.min_runs)
    if dry or found.manifest is None:
        return Sitting(found, wanted, (), dry, settled, until_decided)
    done = execution.finished_runs(project, found)
    fixed = execution.declared(project, found) if found.ruleset.significance.test == "t" else None
    return Sitting(found, max(0, wanted - len(done)), done, dry, settled, until_decided, fixed)


def is_decided(verdict: Verdict) -> bool:
    """Whether the ruleset's test on the loss has come to an end, one way or the other."""
    return all(finding.outcome in ("pass", "fail") for finding in verdict.findings if finding.rule == "S1")


def prepare(
    sitting: Sitting, *, allow_network: bool = True, progress: Progress | None = None
) -> execution.Prepared | None:
    """Check the machine, then have the tokens; None where there is nothing left to run.

    Raises MachineError before anything is fetched, and DatasetError before anything is launched.
    """
    if not sitting.runs:
        return None
    here = computer.capture()
    computer.check(here, sitting.subject.track, dry=sitting.dry)
    ready = execution.prepare(sitting.subject, here, dry=sitting.dry, allow_network=allow_network, progress=progress)
    return dataclasses.replace(ready, planned=len(sitting.done) + sitting.runs)


def run(
    project: Project, sitting: Sitting, ready: execution.Prepared | None, launcher: Launcher, watcher: Watcher
) -> tuple[Evidence, Verdict] | None:
    """Make the runs of the plan and judge them; None for a dry run, which is never judged.

    Raises RunError where a run broke: the runs that remain would break as well, at the price of eight GPUs.
    """
    found = sitting.subject
    name = secrets.token_hex(4)
    made: list[str] = []
    for number in range(1, sitting.runs + 1):
        assert ready is not None  # prepare gave one, because there are runs to make
        run_id = run_files.new_run_id(found.script_sha256)
        outcome = execution.execute(project, ready, run_id, name, launcher, watcher(run_id, number, sitting.runs))
        made.append(run_id)
        if outcome.state != "finished":
            folder = project.show(run_files.run_folder(project, run_id))
            cause = failure.explain(run_files.run_folder(project, run_id), outcome)
            error = RunError.at(folder, f"run {number} of {sitting.runs} {cause.sentence}", execution.advice(outcome))
            error.lines = cause.last_lines
            raise error
        looked_at = made if found.manifest is None else None
        if sitting.until_decided and not sitting.dry and is_decided(verify(project, found, looked_at, packed=False)[1]):
            break
    if sitting.dry:
        return None
    return verify(project, found, made if found.manifest is None else None, packed=False)


def verify(
    project: Project, found: Subject, run_ids: list[str] | None = None, *, packed: bool = True
) -> tuple[Evidence, Verdict]:
    """Judge a subject by its evidence: the given runs, else its pack, else every run of it in the ledger here."""
    gathered = gather.gather(project, found, run_ids, packed=packed)
    return gathered, judge(gathered)


def verify_past(project: Project, held: Record) -> tuple[Evidence, Verdict]:
    """Judge a record of the imported past by its figures and the rules of its time."""
    gathered = gather.from_figures(project, held)
    return gathered, judge(gathered)
