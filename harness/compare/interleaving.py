"""The story of a comparison: two scripts and a machine in, who is faster on it out.

    the same track? → the same machine? → coins → a run, its books, a look → … → decided, or the budget is spent

Every run is a real run in the ledger and counts there as any other; what a comparison adds is the order, drawn by
coin before the first run. After every run all that is known lies in one file, so the same command goes on where an
earlier start was ended, by whatever: a run that finished is taken into its place even if nobody was left to note it,
and one that did not is listed as discarded and its place is run again. So a `kill -9` after a bad time chooses
nothing, and runs that were broken off while somebody watched are there to be counted.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from harness.catalog.subjects import Subject
from harness.compare import arms, pairs
from harness.compare.arms import Contender, Ready
from harness.compare.cost import next_is_paid_for
from harness.core import stats
from harness.core.errors import MachineError, Problem, RunError, StatisticsError, TrackError
from harness.core.measurement import Machine, Metrics, RunOutcome
from harness.dataset.progress import Progress
from harness.evidence import metrics
from harness.evidence.contents import Evidence
from harness.machine import computer
from harness.replay.venv import Venv
from harness.run import earlier, ending, execution
from harness.run.failure import run_error
from harness.store import comparisons, run_files
from harness.store.comparisons import Arm, ComparedRun, Comparison, DiscardedRun, Side
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.verdict import checks, completeness, timing

DEFAULT_PAIRS = 16
# Mean losses are called alike where the 95 % interval of their difference lies within this: two runs of one script
# differ by 0.0013 as a standard deviation, so fewer than some 15 runs a side seldom say so.
LOSS_MARGIN = 0.002

Watcher = Callable[[str, str, int, int], Callable[[bytes], None]]  # run id, arm, its number, of how many


@dataclass(frozen=True, slots=True)
class Terms:
    """What the command line asks for."""

    pairs: int = DEFAULT_PAIRS
    fixed: bool = False  # one look at the end instead of one after every pair
    usd_per_hour: float | None = None
    budget_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """The runs of both scripts, each read once: a look wants all of them, and a log may have megabytes."""

    project: Project
    subjects: dict[Arm, Subject]
    read: dict[str, Metrics] = field(default_factory=dict)

    def of(self, run_id: str, arm: Arm) -> Metrics:
        """One run that ended."""
        if run_id not in self.read:
            folder = run_files.run_folder(self.project, run_id)
            self.read[run_id] = metrics.read_run(folder, self.subjects[arm].script, packed=False)
        return self.read[run_id]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is going to be done, and with what."""

    comparison: Comparison
    contenders: dict[Arm, Contender]
    readings: Readings
    asked_pairs: int  # the comparison that is there may be of another number
    resumed: bool
    drawn: bool  # False where only the plan was asked for: no coin is drawn for good
    usual_s: dict[Arm, float | None]  # wall time of a run, from earlier runs of this machine
    settled: tuple[tuple[str, str], ...] = ()

    @property
    def subjects(self) -> dict[Arm, Subject]:
        return self.readings.subjects


def plan(project: Project, a: Contender, b: Contender, terms: Terms, *, act: bool = True) -> Plan:
    """Go on with the comparison of these scripts that lies here, or lay out a new one.

    act: close the books of killed runs first, and take in what they left. Raises TrackError for scripts of two
    tracks, and MachineError, naming every field, where the comparison was begun on another machine.
    """
    if a.subject.track.name != b.subject.track.name:
        said = f"belong to {a.subject.track.name} and {b.subject.track.name}"
        raise TrackError.at(f"{a.subject.name} and {b.subject.name}", said, "compare two scripts of one track")
    here = computer.capture()
    settled = tuple(ending.settle(project)) if act else ()
    held = find_held(project, a.subject, b.subject, terms, here)
    comparison = lay_out(a.subject, b.subject, terms, here) if held is None else held
    comparison = dataclasses.replace(comparison, usd_per_hour=terms.usd_per_hour, budget_usd=terms.budget_usd)
    contenders: dict[Arm, Contender] = {"A": a, "B": b}
    readings = Readings(project, {arm: found.subject for arm, found in contenders.items()})
    if act and comparison.outcome == "undecided":
        comparison = catch_up(comparison, readings)
    usual: dict[Arm, float | None] = {
        arm: earlier.usual_wall_time_s(project, found.subject.chain, found.sees(here))
        for arm, found in contenders.items()
    }
    drawn = act or held is not None
    return Plan(comparison, contenders, readings, terms.pairs, held is not None, drawn, usual, settled)


def lay_out(a: Subject, b: Subject, terms: Terms, here: Machine) -> Comparison:
    """A comparison that has no run yet, its coins drawn."""
    return Comparison(
        schema=comparisons.SCHEMA,
        id=comparisons.new_id(a.chain, b.chain),
        track=a.track.name,
        a=Side(a.name, a.chain, a.ruleset.id),
        b=Side(b.name, b.chain, b.ruleset.id),
        machine=here,
        mode="fixed" if terms.fixed else "until-decided",
        max_pairs=terms.pairs,
        bound=None if terms.fixed else pairs.BOUNDS[terms.pairs],
        hiccup_limit=pairs.HICCUP if a.track.hardware.kind == "gpu" else pairs.SHARED_HICCUP,
        coins=comparisons.draw_coins(terms.pairs),
        started_at=run_files.now(),
    )


def find_held(project: Project, a: Subject, b: Subject, terms: Terms, here: Machine) -> Comparison | None:
    """The comparison of these scripts on this machine that a further start shows or goes on with; None: a new one.

    Who could begin anew with another number of pairs would choose the outcome by repetition. So two scripts have one
    until-decided comparison on a machine, whatever its pairs, and of the fixed ones an unfinished one goes first.
    Raises MachineError where one is unfinished that was begun on another machine: its times cannot be gone on with.
    """
    mode = "fixed" if terms.fixed else "until-decided"
    asked = (a.track.name, a.chain, b.chain, mode)
    same = [
        held
        for held in reversed(comparisons.read_comparisons(project))  # the first one first
        if (held.track, held.a.script_sha256, held.b.script_sha256, held.mode) == asked
    ]
    mine = [held for held in same if held.machine.fingerprint == here.fingerprint]
    for held in sorted(mine, key=lambda held: held.outcome != "undecided") if terms.fixed else mine:
        if not terms.fixed or held.outcome == "undecided" or held.max_pairs == terms.pairs:
            return held
    for held in same:
        if held not in mine and held.outcome == "undecided" and held.runs:
            same_machine(project, held, here)
    return None


def same_machine(project: Project, comparison: Comparison, here: Machine) -> None:
    """Raise MachineError, one problem per field, where this is not the machine that the comparison was begun on."""
    file = project.show(comparisons.comparison_file(project, comparison.id))
    where = "go on with it on its own machine, or move this file away to begin anew here"
    differs = computer.differences(comparison.machine, here)
    if differs:
        raise MachineError(*(Problem(file, f"was begun on another machine: {said}", where) for said in differs))


def catch_up(comparison: Comparison, readings: Readings) -> Comparison:
    """Take in the runs of an earlier start that the ledger knows and the comparison's file does not."""
    chain = Ledger(readings.project.ledger).read()
    known = {run.run for run in comparison.runs} | {run.run for run in comparison.discarded}
    for run_id, start in chain.starts.items():
        if start.series != comparison.id or run_id in known:
            continue
        if run_id not in chain.ends:
            raise MachineError.at(run_id, "is still going on", "wait until it has ended")
        comparison, _ = take(comparison, readings, run_id, None)
    return conclude(comparison, find_wrong(comparison, readings))


def check(project: Project, laid: Plan) -> None:
    """Raise MachineError, before anything is installed or fetched, where a script cannot run here or would be disturbed.

    Nothing is asked where nothing is left to run.
    """
    if laid.comparison.outcome != "undecided":
        return
    here = computer.capture()
    for found in laid.contenders.values():
        arms.check(found, here)
    busy = earlier.runs_in_progress(project)
    if busy:
        raise MachineError.at(busy[0], "is a run that is going on here", "wait until it has ended; it would cost time")


def make_environments(project: Project, laid: Plan) -> dict[Arm, Venv]:
    """Have the environments of originals that run in one of their own; none where nothing is left to run."""
    if laid.comparison.outcome != "undecided":
        return {}
    made = ((arm, arms.make_environment(project, found)) for arm, found in laid.contenders.items())
    return {arm: environment for arm, environment in made if environment is not None}


def prepare(
    laid: Plan, made: dict[Arm, Venv], *, allow_network: bool = True, progress: Progress | None = None
) -> dict[Arm, Ready]:
    """Have the tokens of both; nothing where nothing is left to run."""
    if laid.comparison.outcome != "undecided":
        return {}
    here = computer.capture()
    return {
        arm: arms.prepare(found, made.get(arm), here, allow_network=allow_network, progress=progress)
        for arm, found in laid.contenders.items()
    }


def note_torch(comparison: Comparison, ready: dict[Arm, Ready]) -> Comparison:
    """Keep which torch each side runs with; raises MachineError where that is not the one of its earlier runs."""
    sides: dict[str, Side] = {}
    for arm, side in (("A", comparison.a), ("B", comparison.b)):
        found = ready[cast(Arm, arm)].torch if ready else side.torch
        if side.torch not in (None, found):
            todo = "have that build again (SPEEDRUN_TORCH_INDEX adds an index)"
            raise MachineError.at(side.subject, f"ran with torch {side.torch}, now with {found}", todo)
        sides[arm.lower()] = dataclasses.replace(side, torch=found)
    return dataclasses.replace(comparison, a=sides["a"], b=sides["b"])


def run(
    project: Project,
    laid: Plan,
    ready: dict[Arm, Ready],
    watcher: Watcher,
    say: Callable[[Comparison], None],
) -> Comparison:
    """Make runs until the rule decides, the pairs are used up or the next run would exceed the budget.

    Raises RunError where a run broke, and MachineError where the machine changed meanwhile; what was made is kept.
    """
    comparison = note_torch(laid.comparison, ready)
    comparisons.write_comparison(project, comparison)  # the coins, before there is anything to choose by
    while comparison.outcome == "undecided" and next_is_paid_for(comparison, laid.usual_s):
        number = len(comparison.runs)
        arm = cast(Arm, comparison.arms[number])
        same_machine(project, comparison, computer.capture())
        run_id = run_files.new_run_id(laid.subjects[arm].script_sha256)
        began = time.monotonic()
        watch = watcher(run_id, arm, number + 1, len(comparison.arms))
        outcome = execution.execute(project, ready[arm].prepared, run_id, comparison.id, ready[arm].launcher, watch)
        elapsed = time.monotonic() - began
        comparison, taken = take(comparison, laid.readings, run_id, elapsed)
        if taken:
            comparison = conclude(comparison, find_wrong(comparison, laid.readings))
        comparisons.write_comparison(project, comparison)
        if not taken:
            raise broken(project, comparison.discarded[-1], outcome)
        say(comparison)
    return comparison


def take(comparison: Comparison, readings: Readings, run_id: str, elapsed_s: float | None) -> tuple[Comparison, bool]:
    """Put a run that ended into the next place, or among the discarded where it has no time; whether it counts."""
    arm = cast(Arm, comparison.arms[len(comparison.runs)])
    why = "its folder is gone"
    if (run_files.run_folder(readings.project, run_id) / run_files.RUN_FILE).is_file():
        seen = readings.of(run_id, arm)
        elapsed_s = elapsed_s if elapsed_s is not None else seen.outcome.wall_time_s if seen.outcome else 0.0
        if seen.outcome is None or seen.outcome.state != "finished":
            why = f"{seen.outcome.state}: {seen.outcome.reason}" if seen.outcome else "nobody saw it end"
        elif seen.train_time_s is None or seen.train_time_s <= 0:
            why = "it printed no train_time at its last step"
        else:
            counted = ComparedRun(
                run=run_id,
                arm=arm,
                order=len(comparison.runs),
                train_time_s=seen.train_time_s,
                wall_time_s=seen.outcome.wall_time_s,
                elapsed_s=elapsed_s,
                val_loss=seen.val_loss,
            )
            return dataclasses.replace(comparison, runs=(*comparison.runs, counted)), True
    discarded = DiscardedRun(run_id, arm, why, elapsed_s or 0.0)
    return dataclasses.replace(comparison, discarded=(*comparison.discarded, discarded)), False


def broken(project: Project, discarded: DiscardedRun, outcome: RunOutcome) -> RunError:
    """The error that a run which gave no time ends the command with."""
    folder = run_files.run_folder(project, discarded.run)
    if outcome.state == "finished":
        return RunError.at(project.show(folder), discarded.why, f"read {run_files.LOG} there")
    return run_error(project, folder, outcome, f"run of {discarded.arm}")


# ------------------------------------------------------------------------------------------ what it comes to


def find_wrong(comparison: Comparison, readings: Readings) -> str | None:
    """Why no time of these runs can be believed: the clock or the logs contradict them, or a GPU was slowed down."""
    for arm, found in readings.subjects.items():
        mine = tuple(readings.of(run.run, arm) for run in comparison.runs if run.arm == arm)
        if not mine:
            continue
        evidence = Evidence(found.name, found.track, found.ruleset, mine, found.script_sha256)
        for finding in checks.judge(evidence, (*completeness.CHECKS, *timing.CHECKS)).findings:
            if finding.outcome == "fail":
                return f"{arm} breaks {finding.rule}: {finding.text}"
        slowed = next(
            ((run, run.observed.throttling) for run in mine if run.observed and run.observed.throttling), None
        )
        if slowed is not None:
            return f"{slowed[0].run_id} ran on a GPU that was slowed down ({', '.join(slowed[1])})"
    return None


def conclude(comparison: Comparison, wrong: str | None = None) -> Comparison:
    """Compute everything that follows from the runs; `wrong` makes the comparison inconclusive."""
    rule = pairs.Rule(comparison.max_pairs, comparison.bound, comparison.hiccup_limit)
    outcome, seen = pairs.decide([run.train_time_s for run in comparison.runs], comparison.arms, rule)
    reason = wrong
    if outcome == "inconclusive":
        slow, of = sum(seen.hiccups), len(seen.hiccups)
        reason = wrong or f"{slow} of {of} runs are hiccups, and with more than 10 % of them a machine decides nothing"
    marked = tuple(
        dataclasses.replace(run, hiccup=hiccup, residual=residual if seen.pairs >= pairs.FIRST_LOOK else None)
        for run, hiccup, residual in zip(comparison.runs, seen.hiccups, seen.residuals, strict=False)
    )
    fit = seen.fit
    comparison = dataclasses.replace(
        comparison,
        runs=(*marked, *comparison.runs[len(marked) :]),
        pairs=seen.pairs,
        outcome="inconclusive" if wrong else outcome,
        reason=reason,
        gain=fit.gain if fit else None,
        interval=fit.gain_interval() if fit else None,
        p=min(fit.p_faster, fit.p_slower) if fit else None,
        pairs_needed=pairs.pairs_needed(fit, seen.pairs, rule) if fit and outcome in ("undecided", "tie") else None,
    )
    return compare_losses(comparison)


def compare_losses(comparison: Comparison) -> Comparison:
    """Say whether the losses are alike, by Welch's two-sided 95 % interval of the difference of the means.

    alike: it lies within ±0.002; different: it leaves out 0; else unclear. Hiccups count: they are about time only.
    """
    b, a = ([r.val_loss for r in comparison.runs if r.arm == arm and r.val_loss is not None] for arm in "BA")
    if len(a) < 2 or len(b) < 2:
        return comparison
    difference = stats.mean(b) - stats.mean(a)
    try:
        low, high = stats.difference_interval(b, a)
    except StatisticsError:  # no spread at all
        low = high = difference
    within = max(-low, high) <= LOSS_MARGIN
    alike: comparisons.Alike = "alike" if within else "different" if low > 0 or high < 0 else "unclear"
    return dataclasses.replace(comparison, losses_alike=alike, loss_difference=difference, loss_interval=(low, high))
