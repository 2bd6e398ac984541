"""Make a series of runs of one script and judge them.

    find the subject → check the machine → fetch the data → launch each run → score its model → read its log → judge

Every run is in the ledger before it starts and after it ended, with its purpose; whatever happens in between, what was
printed is kept. A judged run counts from its launch on, so a script is tried by screening and dry runs, which never do.
"""

import dataclasses
import secrets
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.judgement import Verdict
from harness.core.measurement import Metrics, Purpose
from harness.core.task import Track
from harness.dataset import prepared
from harness.dataset.progress import Progress
from harness.evidence.contents import Evidence
from harness.evidence.metrics import read_run
from harness.launch.launcher import Launcher
from harness.machine import computer
from harness.model_score import scoring
from harness.run import ending, execution
from harness.run.failure import GOES_ON, STARTS_OVER, run_error
from harness.run.judging import verify
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger

Scorer = Callable[[str, Track], object]  # of the run with this id, on the track whose tokens it was given


class Watcher(Protocol):
    """Is told of each run that begins, and returns what takes the lines of its log."""

    def __call__(self, run_id: str, number: int, count: int, what: str | None = None, /) -> Callable[[bytes], None]:
        """Watch a run: its number (0: before those that are counted), of how many, and which it is, in words."""
        ...


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """What a command is going to do: printed by `--plan`, then done."""

    subject: Subject
    runs: int  # still to be made
    done: tuple[str, ...]  # finished runs of an earlier start that count
    dry: bool
    settled: tuple[tuple[str, str], ...] = ()  # runs of a killed harness, whose end was recorded now
    until_decided: bool = False  # stop as soon as the ruleset's test on the loss has decided; `runs` is the most
    declared: int | None = None  # runs that a fixed-n test looks at, declared before the first run
    screening: bool = False  # runs that only try the script
    counting: bool = False  # a run that never counts comes first: it tells how many steps the script takes
    scoring_s: float | None = None  # what scoring a run of this script took here; None where none was scored


def plan(
    project: Project,
    subject: Subject,
    count: int | None,
    *,
    dry: bool = False,
    settle: bool = True,
    until_decided: bool = False,
    screening: bool = False,
) -> SeriesPlan:
    """Decide how many runs are to be made.

    A submission's runs add up: what an earlier, interrupted start finished counts, and only the rest is made. A
    record is run afresh each time. With `settle`, the end of runs whose harness was killed is recorded first.
    """
    settled = tuple(ending.settle(project)) if settle else ()
    rule = subject.ruleset.significance
    wanted = 1 if (dry or screening) and count is None else count or subject.track.runs
    if screening:
        return SeriesPlan(subject, wanted, (), False, settled, screening=True)
    if until_decided and count is None:
        wanted = rule.bounds[-1][1] if rule.bounds else max(subject.track.runs, rule.min_runs)
    stepwise = subject.ruleset.tokens_per_step is not None and not dry
    counting = stepwise and execution.steps_of(project, subject) is None
    if dry or subject.manifest is None:
        return SeriesPlan(subject, wanted, (), dry, settled, until_decided, counting=counting)
    chain = Ledger(project.ledger).chain(subject.chain)
    declared = chain.n_max if rule.fixed_n else None
    runs = max(0, wanted - len(chain.finished))
    scoring_s = scoring.usual_wall_time_s(project, chain)
    counting = counting and runs > 0
    return SeriesPlan(
        subject, runs, chain.finished, dry, settled, until_decided, declared, counting=counting, scoring_s=scoring_s
    )


def prepare(
    plan: SeriesPlan,
    *,
    allow_network: bool = True,
    progress: Progress | None = None,
    python: str = sys.executable,
    torch: str | None = None,
) -> execution.Prepared | None:
    """Check the machine, then fetch the tokens; None where there is nothing left to run.

    python, torch: the interpreter of an environment of its own and the version in it; else the harness's. Raises
    MachineError before anything is fetched, and DatasetError before anything is launched.
    """
    if not plan.runs:
        return None
    here = computer.capture(torch=torch)
    computer.check(here, plan.subject.track, dry=plan.dry)
    ready = execution.prepare(plan.subject, here, dry=plan.dry, allow_network=allow_network, progress=progress)
    purpose: Purpose = "screening" if plan.screening else "judged"
    planned = len(plan.done) + plan.runs
    return dataclasses.replace(ready, planned=planned, purpose=purpose, scored=not plan.dry, python=python)


def make_runs(
    project: Project,
    ready: execution.Prepared,
    count: int,
    launcher: Launcher,
    watcher: Watcher,
    series: str | None = None,
) -> Iterator[str]:
    """Make runs of one series, one when the next is asked for, and yield the id of each that finished.

    series: its name in the ledger; None: a new one. Raises RunError where a run did not finish: those that remain would
    fail as well, at the price of eight GPUs.
    """
    series = series or secrets.token_hex(4)
    again = STARTS_OVER if ready.subject.manifest is None else GOES_ON
    try:
        for number in range(1, count + 1):
            run_id = run_files.new_run_id(ready.subject.script_sha256)
            outcome = execution.execute(project, ready, run_id, series, launcher, watcher(run_id, number, count))
            if outcome.state != "finished":
                folder = run_files.run_folder(project, run_id)
                raise run_error(project, folder, outcome, f"run {number} of {count}", again=again)
            yield run_id
    finally:
        prepared.discard(ready.fetched.folder)  # of a secret source; the track's own stay


def count_steps(project: Project, ready: execution.Prepared, count: int, launcher: Launcher, watcher: Watcher) -> None:
    """Make one run that tells how many steps a script takes and never counts; those that follow are offered so many tokens.

    Raises RunError where it did not finish.
    """
    run_id = run_files.new_run_id(ready.subject.script_sha256)
    ready = dataclasses.replace(ready, purpose="screening")
    outcome = execution.execute(project, ready, run_id, secrets.token_hex(4), launcher, watcher(run_id, 0, count))
    if outcome.state != "finished":
        prepared.discard(ready.fetched.folder)
        raise run_error(project, run_files.run_folder(project, run_id), outcome, "the run that tells the steps")


def run(
    catalog: Catalog,
    plan: SeriesPlan,
    ready: execution.Prepared | None,
    launcher: Launcher,
    watcher: Watcher,
    scorer: Scorer | None = None,
) -> tuple[Evidence, Verdict] | None:
    """Make the runs of the plan, score their models and judge them; None for a dry run, which is never judged.

    scorer: what scores a run that saved its weights; runs of an earlier start that were not scored come first. Raises
    RunError where a run did not finish, or a scorer was killed.
    """
    subject = plan.subject
    if plan.counting and ready is not None:
        count_steps(catalog.project, ready, plan.runs, launcher, watcher)
    made: list[str] = []
    judged = made if subject.manifest is None else None  # of a submission all that count
    track = ready.track if ready is not None else subject.track
    if scorer is not None and judged is None:
        for run_id in scoring.pending(catalog.project, subject):
            scorer(run_id, track)
    for run_id in make_runs(catalog.project, ready, plan.runs, launcher, watcher) if ready is not None else ():
        made.append(run_id)
        if scorer is not None and not plan.dry:
            scorer(run_id, track)
        if plan.until_decided and not plan.dry and is_decided(verify(catalog, subject, judged, packed=False)[1]):
            break
    return None if plan.dry else verify(catalog, subject, judged, packed=False)


def screen(
    catalog: Catalog, plan: SeriesPlan, ready: execution.Prepared, launcher: Launcher, watcher: Watcher
) -> tuple[Metrics, ...]:
    """Make runs that only try a script, and read what they measured; raises RunError where one did not finish."""
    project, script = catalog.project, plan.subject.script
    made = list(make_runs(project, ready, plan.runs, launcher, watcher))
    return tuple(read_run(run_files.run_folder(project, run_id), script, packed=False) for run_id in made)


def is_decided(verdict: Verdict) -> bool:
    """Whether the ruleset's test on the loss has come to an end, one way or the other."""
    return all(finding.outcome in ("pass", "fail") for finding in verdict.findings if finding.rule == "S1")
