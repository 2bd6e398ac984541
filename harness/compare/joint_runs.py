"""Make the runs of several candidates and of the script that they share, until every candidate is decided.

    run, store → the round is whole: each candidate's own comparison is written and judged → who is decided drops out

State is saved after each run, and everything else follows from it: a kill chooses nothing, and the same command goes
on. What is judged is each candidate's own comparison, by the code that judges a comparison of two scripts.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Literal

from harness.compare import cost, decision, interleaving, joining, pairs, readiness, rounds, taking, warming
from harness.compare.arms import Ready
from harness.compare.decision import Readings
from harness.compare.interleaving import Watcher
from harness.compare.joining import JointPlan
from harness.compare.readiness import Waiting
from harness.compare.rounds import Place, Turn
from harness.core.errors import MachineError, RunError
from harness.machine import computer
from harness.run import execution
from harness.run.failure import run_error
from harness.store import comparisons, joint, run_files
from harness.store.comparisons import Arm, ComparedRun, Comparison, DiscardedRun
from harness.store.joint import Joint, JointDiscarded, JointRun
from harness.store.layout import Project
from harness.store.ledger import Ledger

METHOD: Literal[3] = pairs.JOINT_METHOD
MOST_BROKEN = 3  # runs of a candidate that gave no time, until it drops out


def run(
    project: Project,
    plan: JointPlan,
    ready: Mapping[str, Ready],
    watcher: Watcher,
    say: Callable[[Comparison, str], None],
    waiting: Waiting,
) -> dict[str, Comparison]:
    """Make runs until every candidate is decided, the rounds are used up, or the next run is not paid for or cannot start.

    say: takes a candidate's comparison after a whole round, and its letter. Returns the comparison of each candidate by
    its letter. Raises RunError where a run failed, and MachineError where the machine changed meanwhile; finished runs
    are kept.
    """
    assert plan.joint is not None
    readings = plan.readings(project)
    made = note_torch(plan.joint, ready)
    joint.write_joint(project, made)  # the orders, before there is anything to choose by
    made = add_earlier_runs(made, readings)
    made, judged = settle(project, made, readings, {})
    if next_turn(made) is None or not is_paid_for(plan, made, plan.unprimed):
        return judged
    made, ready = warm(project, made, ready, watcher)
    while (turn := next_turn(made)) is not None and is_paid_for(plan, made):
        start = readiness.wait(made.reference, made.machine, waiting)
        made = dataclasses.replace(made, waited_s=made.waited_s + start.waited_s, obstacles=start.obstacles)
        joint.write_joint(project, made)
        if start.obstacles or (start.waited_s and not is_paid_for(plan, made)):
            break
        made = make_run(project, made, turn, start, ready[turn.arm], readings, watcher)
        before = dict(judged)
        made, judged = settle(project, made, readings, judged)
        for letter, comparison in judged.items():
            if before.get(letter) != comparison:
                say(comparison, letter)
    return judged


def rule_of(made: Joint) -> pairs.Rule:
    """Return the rule that decides about every candidate."""
    return pairs.Rule(made.max_pairs, made.bound, made.outlier_limit, METHOD, ends_early=made.ends_early)


def order_of(made: Joint) -> list[Turn]:
    """Return whose turn it is, run by run, as far as is known now."""
    return rounds.turns(made.orders, made.candidates, made.dropped)


def next_turn(made: Joint) -> Turn | None:
    """Return the next run; None where nothing is left."""
    order = order_of(made)
    return order[len(made.runs)] if len(made.runs) < len(order) else None


def is_paid_for(plan: JointPlan, made: Joint, unprimed: int = 0) -> bool:
    """Tell whether the next run stays within the budget, all runs counted, and before it those that prime scripts."""
    turn = next_turn(made)
    if made.budget_usd is None or made.usd_per_hour is None or turn is None:
        return True
    expected_s = joining.next_run_s(made, plan.usual_s, turn.arm) or 0.0
    return cost.usd(made.elapsed_s + cost.priming_s(unprimed) + expected_s, made.usd_per_hour) <= made.budget_usd


def note_torch(made: Joint, ready: Mapping[str, Ready]) -> Joint:
    """Store which torch each script runs with; raises MachineError where its earlier runs had another one."""
    sides = dict(made.sides)
    for letter, one in ready.items():
        torch = one.prepared.machine.torch
        if sides[letter].torch not in (None, torch):
            what = f"ran with torch {sides[letter].torch}, now with {torch}"
            todo = "install that build again (SPEEDRUN_TORCH_INDEX adds an index)"
            raise MachineError.at(sides[letter].subject, what, todo)
        sides[letter] = dataclasses.replace(sides[letter], torch=torch)
    return dataclasses.replace(made, sides=sides)


def warm(
    project: Project, made: Joint, ready: Mapping[str, Ready], watcher: Watcher
) -> tuple[Joint, Mapping[str, Ready]]:
    """Have the stored cache of every script that takes part, where the runs start from filled ones."""
    if made.caches == "cold":
        return made, ready
    warmed = dict(ready)
    for letter, one in ready.items():
        if letter in made.dropped:
            continue
        began = time.monotonic()
        warmed[letter], primed = warming.prime(project, one, letter, watcher)
        side = dataclasses.replace(made.sides[letter], cache=warmed[letter].cache)
        spent_s = time.monotonic() - began if primed else 0.0
        made = dataclasses.replace(made, sides=made.sides | {letter: side}, primed_s=made.primed_s + spent_s)
        joint.write_joint(project, made)
    return made, warmed


def add_earlier_runs(made: Joint, readings: Mapping[str, Readings]) -> Joint:
    """Add the runs of an earlier start that the ledger has and the file has not."""
    project = next(iter(readings.values())).project
    chain = Ledger(project.ledger).read()
    known = {run.run for run in made.runs} | {run.run for run in made.discarded}
    for run_id, start in chain.starts.items():
        turn = next_turn(made)
        if start.series != made.id or run_id in known or turn is None:
            continue
        if run_id not in chain.ends:
            raise MachineError.at(run_id, "is still running", "wait until it has ended")
        made, _ = add_run(made, turn, readings, run_id, None)
    return made


def make_run(
    project: Project,
    made: Joint,
    turn: Turn,
    start: readiness.Start,
    ready: Ready,
    readings: Mapping[str, Readings],
    watcher: Watcher,
) -> Joint:
    """Make the next run and store it; same errors as `run`."""
    own = next(iter(made.comparisons))
    interleaving.require_same_machine(project, taken_from(made, own), computer.capture())
    run_id = run_files.new_run_id(ready.prepared.subject.script_sha256)
    reference = made.reference or start.state
    made = dataclasses.replace(made, reference=reference, states=made.states | {run_id: start.state})
    joint.write_joint(project, made)
    watch = watcher(run_id, turn.arm, len(made.runs) + 1, len(order_of(made)))
    began = time.monotonic()
    outcome = execution.execute(project, ready.prepared, run_id, made.id, ready.launcher, watch)
    made, why_not = add_run(made, turn, readings, run_id, time.monotonic() - began)
    joint.write_joint(project, made)
    if why_not is not None:
        folder = run_files.run_folder(project, run_id)
        if outcome.state != "finished":
            raise run_error(project, folder, outcome, f"run of {turn.arm}")
        raise RunError.at(project.show(folder), why_not, f"read {run_files.LOG} there")
    return made


def add_run(
    made: Joint, turn: Turn, readings: Mapping[str, Readings], run_id: str, elapsed_s: float | None
) -> tuple[Joint, str | None]:
    """Put a run that ended into the next place, or among the discarded; say why it does not count."""
    arm: Arm = "A" if turn.arm == rounds.A else "B"
    taken = taking.take(readings.get(turn.arm) or next(iter(readings.values())), run_id, arm, elapsed_s)
    if taken.why_not is not None:
        gone = JointDiscarded(run_id, turn.arm, taken.why_not, taken.elapsed_s)
        return dataclasses.replace(made, discarded=(*made.discarded, gone)), taken.why_not
    figures = taken.train_time_s, taken.wall_time_s, taken.elapsed_s, taken.val_loss, taken.steps
    counted = JointRun(run_id, turn.arm, *figures)
    return dataclasses.replace(made, runs=(*made.runs, counted)), None


def settle(
    project: Project, made: Joint, readings: Mapping[str, Readings], judged: Mapping[str, Comparison]
) -> tuple[Joint, dict[str, Comparison]]:
    """Judge every candidate that takes part after the whole rounds, store its comparison, and drop who is decided."""
    judged = dict(judged)
    whole = rounds.whole_rounds(order_of(made), len(made.runs))
    for letter in readings:
        if letter in judged and (letter in made.dropped or _rounds(judged[letter]) == whole):
            continue
        comparison = taken_from(made, letter)
        wrong = decision.find_wrong(comparison, readings[letter]) or too_often_broken(made, letter)
        comparison = decision.conclude(comparison, wrong)
        comparisons.write_comparison(project, comparison)
        judged[letter] = comparison
        if comparison.outcome != "undecided" and letter not in made.dropped:
            made = dataclasses.replace(made, dropped=made.dropped | {letter: whole})
    joint.write_joint(project, made)
    return made, judged


def too_often_broken(made: Joint, letter: str) -> str | None:
    """Say that a candidate's runs broke too often for the others to wait for it; what people stopped is no such run."""
    broken = [run for run in made.discarded if run.arm == letter and not run.why.startswith(("stopped", "lost"))]
    if len(broken) < MOST_BROKEN:
        return None
    return f"{len(broken)} of its runs gave no time, the last one: {broken[-1].why}"


def taken_from(made: Joint, letter: str) -> Comparison:
    """Return the comparison of one candidate with A, as it can be judged alone: not judged yet."""
    places = rounds.places_of(letter, order_of(made), len(made.runs), made.dropped)
    runs = tuple(_compared(made, place, order) for order, place in enumerate(places))
    own = {rounds.A: "A", letter: "B"}
    gone = [run for run in made.discarded if run.arm in own]
    return Comparison(
        schema=comparisons.SCHEMA,
        id=made.comparisons[letter],
        track=made.track,
        a=made.sides[rounds.A],
        b=made.sides[letter],
        machine=made.machine,
        mode=made.mode,
        max_pairs=made.max_pairs,
        bound=made.bound,
        outlier_limit=made.outlier_limit,
        coins=(),
        started_at=made.started_at,
        usd_per_hour=made.usd_per_hour,
        runs=runs,
        discarded=tuple(DiscardedRun(run.run, _arm(run.arm), run.why, run.elapsed_s) for run in gone),
        reference=made.reference,
        states={run.run: made.states[run.run] for run in runs if run.run in made.states},
        method=METHOD,
        caches=made.caches,
        joint=made.id,
        follows=made.follows,
        ends_early=made.ends_early,
    )


def _rounds(comparison: Comparison) -> int:
    """Count the rounds that a candidate's comparison holds; each holds one run of it."""
    return sum(run.arm == "B" for run in comparison.runs)


def _compared(made: Joint, place: Place, order: int) -> ComparedRun:
    run = made.runs[place.index]
    return ComparedRun(
        run.run,
        _arm(run.arm),
        order,
        run.train_time_s,
        run.wall_time_s,
        run.elapsed_s,
        run.val_loss,
        place=place.index,
        after=_arm(place.after),
        round=place.round,
        steps=run.steps,
    )


def _arm(letter: str) -> Arm:
    return "A" if letter == rounds.A else "B"
