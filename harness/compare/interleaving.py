"""Run two scripts in turns on one machine until their times decide which is faster.

    same track? → same machine? → coins → run, store, analyse → … → decided, or the budget is spent

Hard because any of it may be killed at any moment, and a kill must not give a choice. Every run is a real run in the
ledger and counts there as any other; a comparison adds the order, drawn by coin before the first run. State is saved
after each run, so the same command continues after any end: a run that finished takes its place even if nothing noted
it, and one that did not is listed as discarded and its place is run again. So a `kill -9` after a bad time chooses
nothing, and aborted runs are there to be counted.
"""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from harness.catalog.subjects import Subject
from harness.compare import arms, pairs, readiness, taking, warming
from harness.compare.arms import Contender, Ready
from harness.compare.cost import next_is_paid_for
from harness.compare.decision import Readings, conclude, find_wrong
from harness.compare.readiness import Start, Waiting
from harness.core.errors import MachineError, Problem, RunError
from harness.core.measurement import Machine
from harness.dataset.progress import Progress
from harness.machine import computer
from harness.replay import own_environment
from harness.replay.venv import Venv
from harness.run import ending, execution, priming
from harness.run.failure import run_error
from harness.store import comparisons, run_files
from harness.store.comparisons import Arm, ComparedRun, Comparison, DiscardedRun, Side
from harness.store.layout import Project
from harness.store.ledger import Ledger

DEFAULT_PAIRS = 16

Watcher = Callable[[str, str, int, int], Callable[[bytes], None]]  # run id, arm, its number, of how many


@dataclass(frozen=True, slots=True)
class Terms:
    """What the command line asks for."""

    pairs: int = DEFAULT_PAIRS
    fixed: bool = False  # one analysis at the end instead of one after every pair
    usd_per_hour: float | None = None
    budget_usd: float | None = None
    cold: bool = False  # every run starts from empty compile caches
    follows: str | None = None  # the comparison of these scripts on another machine that this one begins anew


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be done, and with what."""

    comparison: Comparison
    contenders: dict[Arm, Contender]
    readings: Readings
    asked_pairs: int  # a comparison that is continued may have another number
    resumed: bool
    drawn: bool  # whether the coins are final; False for a new comparison of which only the plan is asked for
    usual_s: dict[Arm, float | None]  # wall time of a run, from earlier runs on this machine, else by a record's claim
    settled: tuple[tuple[str, str], ...] = ()  # runs that an earlier start left open, and how each was recorded
    asked_cold: bool = False  # a comparison that is continued may have been begun the other way
    unprimed: int = 0  # scripts that have still to be primed
    by_claims: bool = False  # nothing has run here: usual_s rests on claims and on the field's logs

    @property
    def subjects(self) -> dict[Arm, Subject]:
        return self.readings.subjects

    @property
    def decided(self) -> bool:
        """Tell whether nothing is left to run."""
        return self.comparison.outcome != "undecided"


def plan(
    project: Project,
    a: Contender,
    b: Contender,
    terms: Terms,
    *,
    plan_only: bool = False,
    own: Comparison | None = None,
) -> Plan:
    """Continue the stored comparison of these scripts, or begin a new one; own: that of a session, whatever was before.

    plan_only: nothing will be run, so runs that an earlier start left open are not settled and taken in. Raises
    TrackError for scripts of two tracks, and MachineError, naming every field, where the comparison was begun on
    another machine.
    """
    arms.require_one_track((a.subject.name, a.subject.track), (b.subject.name, b.subject.track))
    here = computer.capture()
    settled = () if plan_only else tuple(ending.settle(project))
    stored = find_stored(project, a.subject, b.subject, terms, here) if own is None else own
    fresh = new_comparison(a.subject, b.subject, terms, here)
    comparison = fresh if stored is None else readiness.take_up(stored)
    comparison = dataclasses.replace(comparison, usd_per_hour=terms.usd_per_hour, budget_usd=terms.budget_usd)
    contenders: dict[Arm, Contender] = {"A": a, "B": b}
    readings = Readings(project, {arm: contender.subject for arm, contender in contenders.items()})
    if not plan_only and comparison.outcome == "undecided":
        comparison = add_earlier_runs(comparison, readings)
    usual, by_claims = warming.usual_run_s(project, contenders, comparison.caches, here)
    unprimed = warming.unprimed(project, contenders.values(), here) if comparison.caches == "warm" else 0
    resumed, drawn = stored is not None, stored is not None or not plan_only
    return Plan(
        comparison, contenders, readings, terms.pairs, resumed, drawn, usual, settled, terms.cold, unprimed, by_claims
    )


def new_comparison(a: Subject, b: Subject, terms: Terms, here: Machine) -> Comparison:
    """Return a comparison without runs, its coins drawn."""
    return Comparison(
        schema=comparisons.SCHEMA,
        id=f"compare-{run_files.new_run_id(a.chain, b.chain)}",
        track=a.track.name,
        a=Side(a.name, a.chain, a.ruleset.id),
        b=Side(b.name, b.chain, b.ruleset.id),
        machine=here,
        mode="fixed" if terms.fixed else "until-decided",
        max_pairs=terms.pairs,
        bound=None if terms.fixed else pairs.BOUNDS[terms.pairs],
        outlier_limit=pairs.OUTLIER_LIMIT if a.track.hardware.kind == "gpu" else pairs.SHARED_OUTLIER_LIMIT,
        method=pairs.METHOD,
        coins=comparisons.draw_coins(terms.pairs),
        started_at=run_files.now(),
        caches="cold" if terms.cold or not priming.is_primed(a.track) else "warm",
        follows=terms.follows,
        ends_early=True,
    )


def find_stored(project: Project, a: Subject, b: Subject, terms: Terms, here: Machine) -> Comparison | None:
    """Find the comparison of these scripts on this machine that a further start shows or continues; None: a new one.

    Restarting with other pair counts would allow cherry-picking. So two scripts have one until-decided comparison on a
    machine, whatever its pairs, and an unfinished fixed one is finished first. Raises MachineError where the unfinished
    one was begun on another machine: it cannot be continued here.
    """
    mode = "fixed" if terms.fixed else "until-decided"
    wanted = (a.track.name, a.chain, b.chain, mode)
    stored = reversed(comparisons.read_comparisons(project))  # the first one first
    same = [c for c in stored if (c.track, c.a.script_sha256, c.b.script_sha256, c.mode) == wanted]
    same = [c for c in same if c.follows == terms.follows or terms.follows is None]
    begun_here = [c for c in same if c.machine.fingerprint == here.fingerprint]
    if terms.fixed:
        unfinished_first = sorted(begun_here, key=lambda c: not c.unfinished)
        begun_here = [c for c in unfinished_first if c.unfinished or c.max_pairs == terms.pairs]
    if begun_here:
        return begun_here[0]
    for c in same:
        if c.machine.fingerprint != here.fingerprint and c.unfinished and c.runs:
            require_same_machine(project, c, here)
    return None


def require_same_machine(project: Project, comparison: Comparison, here: Machine) -> None:
    """Raise MachineError, one problem per field, where this is not the machine that the comparison was begun on."""
    file = project.show(comparisons.comparison_file(project, comparison.id))
    todo = f"continue it on its own machine, or begin anew here with --follows {comparison.id}"
    changes = computer.differences(comparison.machine, here)
    if changes:
        raise MachineError(*(Problem(file, f"was begun on another machine: {change}", todo) for change in changes))


def add_earlier_runs(comparison: Comparison, readings: Readings) -> Comparison:
    """Add the runs of an earlier start that the ledger has and the comparison's file has not."""
    chain = Ledger(readings.project.ledger).read()
    known = {run.run for run in comparison.runs} | {run.run for run in comparison.discarded}
    for run_id, start in chain.starts.items():
        if start.series != comparison.id or run_id in known:
            continue
        if run_id not in chain.ends:
            raise MachineError.at(run_id, "is still running", "wait until it has ended")
        comparison, _ = add_run(comparison, readings, run_id, None)
    return conclude(comparison, find_wrong(comparison, readings))


def check(project: Project, plan: Plan) -> None:
    """Raise MachineError, before anything is installed or fetched, where a script cannot run here or another run disturbs.

    Nothing is checked where nothing is left to run.
    """
    if plan.decided:
        return
    here = computer.capture()
    for contender in plan.contenders.values():
        arms.check(contender, here)
    busy = Ledger(project.ledger).read().open  # still, after `settle`: somebody is executing them right now
    if busy:
        raise MachineError.at(
            busy[0], "is still running here", "wait until it has ended; it would slow these runs down"
        )


def make_environments(project: Project, plan: Plan) -> dict[Arm, Venv]:
    """Make the environments of originals, a minute or more each, once; none where nothing is left to run."""
    if plan.decided:
        return {}
    replays = {arm: contender.replay for arm, contender in plan.contenders.items() if contender.replay is not None}
    return {arm: own_environment.make_environment(project, replay)[0] for arm, replay in replays.items()}


def prepare(
    plan: Plan, environments: dict[Arm, Venv], *, allow_network: bool = True, progress: Progress | None = None
) -> dict[Arm, Ready]:
    """Fetch the tokens of both scripts; nothing where nothing is left to run."""
    if plan.decided:
        return {}
    here = computer.capture()
    return {
        arm: arms.prepare(contender, environments.get(arm), here, allow_network=allow_network, progress=progress)
        for arm, contender in plan.contenders.items()
    }


def note_torch(comparison: Comparison, ready: dict[Arm, Ready]) -> Comparison:
    """Store which torch each script runs with; raises MachineError where its earlier runs had another one."""
    sides: dict[str, Side] = {}
    for arm, side in (("A", comparison.a), ("B", comparison.b)):
        torch = ready[cast(Arm, arm)].prepared.machine.torch if ready else side.torch
        if side.torch not in (None, torch):
            todo = "install that build again (SPEEDRUN_TORCH_INDEX adds an index)"
            raise MachineError.at(side.subject, f"ran with torch {side.torch}, now with {torch}", todo)
        sides[arm.lower()] = dataclasses.replace(side, torch=torch)
    return dataclasses.replace(comparison, a=sides["a"], b=sides["b"])


def run(
    project: Project,
    plan: Plan,
    ready: dict[Arm, Ready],
    watcher: Watcher,
    say: Callable[[Comparison], None],
    waiting: Waiting,
) -> Comparison:
    """Make runs until the rule decides, the pairs are used up, the next run would exceed the budget, or cannot start.

    Raises RunError where a run failed, and MachineError where the machine changed meanwhile; finished runs are kept.
    """
    comparison = note_torch(plan.comparison, ready)
    comparisons.write_comparison(project, comparison)  # the coins, before there is anything to choose by
    if comparison.outcome != "undecided" or not next_is_paid_for(comparison, plan.usual_s, plan.unprimed):
        return comparison
    comparison, ready = warming.warm(project, comparison, ready, watcher)
    while comparison.outcome == "undecided" and next_is_paid_for(comparison, plan.usual_s):
        start = readiness.wait(comparison.reference, comparison.machine, waiting)
        comparison = readiness.count(comparison, start)
        comparisons.write_comparison(project, comparison)
        if start.obstacles or (start.waited_s and not next_is_paid_for(comparison, plan.usual_s)):
            break
        comparison = make_run(project, plan, comparison, start, ready, watcher)
        say(comparison)
    return comparison


def make_run(
    project: Project, plan: Plan, comparison: Comparison, start: Start, ready: dict[Arm, Ready], watcher: Watcher
) -> Comparison:
    """Make the next run and analyse all; same errors as `run`."""
    number = len(comparison.runs)
    arm = cast(Arm, comparison.arms[number])
    require_same_machine(project, comparison, computer.capture())
    run_id = run_files.new_run_id(plan.subjects[arm].script_sha256)
    comparison = readiness.note(comparison, run_id, start)
    comparisons.write_comparison(project, comparison)  # a kill loses no state
    began = time.monotonic()
    watch = watcher(run_id, arm, number + 1, len(comparison.arms))
    outcome = execution.execute(project, ready[arm].prepared, run_id, comparison.id, ready[arm].launcher, watch)
    elapsed = time.monotonic() - began
    comparison, counts = add_run(comparison, plan.readings, run_id, elapsed)
    if counts:
        comparison = conclude(comparison, find_wrong(comparison, plan.readings))
    comparisons.write_comparison(project, comparison)
    if not counts:
        folder = run_files.run_folder(project, run_id)
        if outcome.state != "finished":
            raise run_error(project, folder, outcome, f"run of {arm}")
        raise RunError.at(project.show(folder), comparison.discarded[-1].why, f"read {run_files.LOG} there")
    return comparison


def add_run(
    comparison: Comparison, readings: Readings, run_id: str, elapsed_s: float | None
) -> tuple[Comparison, bool]:
    """Put a run that ended into the next place, or among the discarded where it has no time; tell whether it counts."""
    arm, order = cast(Arm, comparison.arms[len(comparison.runs)]), len(comparison.runs)
    taken = taking.take(readings, run_id, arm, elapsed_s)
    if taken.why_not is not None:
        discarded = DiscardedRun(run_id, arm, taken.why_not, taken.elapsed_s)
        return dataclasses.replace(comparison, discarded=(*comparison.discarded, discarded)), False
    figures = taken.train_time_s, taken.wall_time_s, taken.elapsed_s, taken.val_loss
    counted = ComparedRun(run_id, arm, order, *figures, steps=taken.steps)
    return dataclasses.replace(comparison, runs=(*comparison.runs, counted)), True
