"""Print what `compare` tells a person: plan, time and price before, a line per interim analysis, the outcome after.

Hard because a plan is about to cost money and an outcome may make a record: every sentence says what is known and what
is not, with its number and unit.
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from harness.catalog.lookup import Catalog
from harness.compare import cost as compare_cost
from harness.compare import decision, interleaving, noise, warming
from harness.compare.analysis import FIRST_ANALYSIS
from harness.compare.arms import Contender
from harness.compare.interleaving import Plan
from harness.compare.pairs import Rule
from harness.core import stats
from harness.core.task import Track
from harness.core.text import plural
from harness.machine import computer
from harness.run import priming
from harness.store.comparisons import Comparison, comparison_file
from harness.store.layout import Project
from harness.ui import compare_plan, compare_steps, console, run_report, state_report
from harness.ui.run_watch import RunWatch, Shown

span, percent = compare_plan.span, compare_steps.percent


def say_plan(project: Project, plan: Plan, *, plan_only: bool = False) -> None:
    """Say what is compared, in which order, how long it takes and what it costs; plan_only: and what would stop it."""
    comparison = plan.comparison
    for run_id, how in plan.settled:
        console.say(f"{run_id}, left open by an earlier start, was {how}; what it printed is kept", style="yellow")
    for arm, contender in plan.contenders.items():
        console.say(f"{arm}: {compare_plan.script(contender)}, {contender.subject.ruleset.id}")
        console.say(f"     {compare_plan.environment(contender)}")
        replay = contender.replay
        if replay is not None and not replay.here:
            repository = replay.record.original and replay.record.original.repository
            how = f"without --plan they are fetched from {repository}, or read with --checkout DIR"
            console.say(f"     its files are not here (never cloned here): {how}", style="yellow")
        for problem in replay.obstacles if replay is not None else ():
            console.say(f"     cannot run: {problem.what}; {problem.todo}", style="red")
    for caution in compare_plan.cautions(plan.contenders["A"], plan.contenders["B"]):
        console.say(f"  note     {caution}", style="yellow")
    by_steps = compare_steps.caution(plan.subjects["A"].track)
    if by_steps is not None:
        console.say(f"  note     {by_steps}")
    console.say(f"  machine  {computer.describe(comparison.machine)}")
    if plan_only:
        run_report.say_refusal(computer.capture(), plan.subjects["A"].track)
    console.say(f"  runs     {compare_plan.runs(plan)}")
    if plan.resumed:
        _say_resumed(project, plan)
    if not plan.decided:
        console.say(f"  caches   {compare_plan.caches(plan)}")
        console.say(f"  time     {compare_plan.time(plan)}")
        console.say(f"  price    {compare_plan.price(plan)}")
        usually = compare_plan.usually(plan)
        if usually is not None:
            console.say(f"  usually  {usually}")
        spread = noise.measured(project, plan.contenders.values(), computer.capture())
        say_noise(spread, plan.subjects["A"].track, decision.rule_of(comparison))


def say_noise(spread: noise.Spread | None, track: Track, rule: Rule) -> None:
    """Print which difference can be decided here, and whether the machine is too noisy for what records gain."""
    style = "yellow" if compare_plan.is_too_noisy(spread, rule) else None
    console.say(f"  noise    {compare_plan.varies(spread, track, rule)}", style=style)


def _say_resumed(project: Project, plan: Plan) -> None:
    comparison = plan.comparison
    file = project.show(comparison_file(project, comparison.id))
    if plan.decided:
        console.say(f"  finished {file}: {comparison.outcome}; nothing is run again")
    else:
        console.say(f"  continue {file}: {len(comparison.runs)} of {len(comparison.arms)} runs are made")
    if (
        not plan.decided
        and plan.asked_cold != (comparison.caches == "cold")
        and priming.is_primed(plan.subjects["A"].track)
    ):
        console.say(f"  note     {compare_plan.begun_otherwise(comparison.caches)}", style="yellow")
    if comparison.max_pairs != plan.asked_pairs:
        most = f"{'' if comparison.bound is None else 'at most '}{comparison.max_pairs}"
        asked = f"{plan.asked_pairs} pairs were asked for, but this comparison has {most} pairs"
        console.say(f"  note     {asked}; a second one would allow choosing the better outcome", style="yellow")


def waiting(plan: Plan) -> AbstractContextManager[None]:
    """Say that environments are being made, where some are."""
    return waiting_for([] if plan.decided else list(plan.contenders.values()))


def waiting_for(contenders: list[Contender]) -> AbstractContextManager[None]:
    """Say that environments of these are being made, where some are."""
    if all(contender.environment for contender in contenders if contender.requirement_sets):
        return contextlib.nullcontext()
    return console.waiting("the environment of the published script (a minute or more, once)")


def watch(project: Project, plan: Plan) -> interleaving.Watcher:
    """Return a watcher that shows how every run goes."""
    comparison = plan.comparison
    return watch_arms(
        project,
        plan.contenders,
        plan.usual_s.values(),
        at_most=comparison.bound is not None,
        usd_per_hour=comparison.usd_per_hour,
    )


def watch_arms(
    project: Project,
    contenders: Mapping[Any, Contender],
    usual_s: Iterable[float | None],
    *,
    at_most: bool,
    usd_per_hour: float | None,
) -> interleaving.Watcher:
    """Return a watcher that shows how every run of these scripts goes; usual_s: how long a run of each takes."""
    known = [time_s for time_s in usual_s if time_s is not None]
    usual = stats.mean(known) if known else None
    runs = RunWatch(Catalog(project), at_most=at_most, usd_per_hour=usd_per_hour, usual_s=usual)
    shown = {arm: Shown(contender.subject, contender.name) for arm, contender in contenders.items()}

    def begin(run_id: str, arm: str, number: int, count: int) -> Callable[[bytes], None]:
        if number == warming.PRIMING:
            say_priming(arm, run_id)
            return runs.begin(shown[arm], run_id, 0, 0, f"priming {arm}")
        most = "at most " if at_most else ""
        console.say(f"run {number} of {most}{count}  {arm}  {run_id}")
        return runs.begin(shown[arm], run_id, number, count, arm)

    return begin


def say_priming(arm: str, run_id: str) -> Callable[[bytes], None]:
    """Say that a script is being primed; return what takes the lines of its log, and shows none."""
    console.say(f"priming  {arm}  {run_id}: filling its compile cache on noise, untimed")
    return lambda line: None


def say_analysis(comparison: Comparison) -> None:
    """Print the time of the last run and, after a complete pair, the interim analysis."""
    last = comparison.runs[-1]
    console.say(f"  {last.arm}: train_time {last.train_time_s:.3f} s")
    complete = len(comparison.runs) == 2 * comparison.pairs and comparison.gain is not None
    if complete and comparison.outcome == "undecided":
        console.say(f"  so far: {difference(comparison)}")
        say_warnings(comparison)


def say_warnings(comparison: Comparison) -> None:
    """Print what an interim analysis that decided nothing foretells: how many pairs are needed, and what would end it."""
    console.say(f"  {outlook(comparison, goes_on=True)}")
    rule, outliers = decision.rule_of(comparison), sum(run.outlier for run in comparison.runs)
    if outliers:
        most = f"more than {rule.most_outliers} of all {rule.runs} would leave nothing to decide by"
        many = f"{outliers} of {len(comparison.runs)} runs {'is an outlier' if outliers == 1 else 'are outliers'}"
        ends = " and end the comparison" if rule.ends_early else ""
        console.say(f"  {many}; {most}{ends}", style="yellow")
    if comparison.pairs == FIRST_ANALYSIS:
        kept = [[run.train_time_s for run in comparison.runs if run.arm == arm and not run.outlier] for arm in "AB"]
        spread = noise.pooled(kept)
        if spread is not None and compare_plan.is_too_noisy(spread, rule):
            console.say(f"  {compare_plan.varies_here(spread, rule)}", style="yellow")


def say_outcome(project: Project, comparison: Comparison) -> None:
    """Print the table of runs and the outcome."""
    rows = []
    for run in comparison.runs:
        residual = "" if run.residual is None else f"{100 * run.residual:+z.2f} %"
        loss = console.figure(run.val_loss, ".4f")
        note = "outlier, left out" if run.outlier else ""
        rows.append((str(run.order + 1), run.arm, run.run, f"{run.train_time_s:.3f} s", residual, loss, note))
    console.say("")
    if rows:
        console.say_table(("k", "arm", "run", "train_time", "off the fit", "val_loss", ""), rows)
    for discarded in comparison.discarded:
        console.say(f"  discarded and run again: {discarded.run} of {discarded.arm}, {discarded.why}")
    console.say("")
    console.say(sentence(comparison), style="bold")
    if comparison.outcome in ("undecided", "tie"):
        console.say(f"  {outlook(comparison)}")
    for line in (
        compare_steps.sentence(project, comparison),
        slow_sentence(comparison),
        loss_sentence(comparison),
        compare_plan.torches(comparison.a.torch, comparison.b.torch),
        caches_sentence(comparison),
    ):
        if line is not None:
            console.say(f"  {line}")
    took = f"{span(comparison.elapsed_s)}{_cost(comparison, comparison.elapsed_s)}"
    console.say(f"  {len(comparison.runs)} runs took {took}")
    for line in state_report.lines(comparison):
        console.say(f"  {line}")
    console.say(f"  stored in {project.show(comparison_file(project, comparison.id))}")


def _cost(comparison: Comparison, seconds: float) -> str:
    cost = compare_cost.cost_usd(comparison, seconds)
    return "" if cost is None else f", {cost:.2f} USD"


def sentence(comparison: Comparison) -> str:
    """State the outcome in one sentence."""
    if comparison.outcome == "inconclusive":
        return f"inconclusive: {comparison.reason}"
    if comparison.outcome == "tie":
        unit = comparison.unit
        after = f"after all {comparison.pairs} {unit}s"
        if comparison.pairs < comparison.max_pairs:
            after = f"after {comparison.pairs} of {comparison.max_pairs} {unit}s, and the others could not change that"
        return f"neither is shown to be faster {after}: {difference(comparison)}"
    if comparison.outcome == "undecided":
        return f"not decided: {difference(comparison)}"
    return f"{difference(comparison)}: decided"


def difference(comparison: Comparison) -> str:
    """B is 0.42 % faster than A (95 % interval 0.31 % to 0.53 %, 5 pairs)."""
    count = plural(comparison.pairs, comparison.unit)
    if comparison.gain is None or comparison.interval is None:
        few = comparison.pairs < FIRST_ANALYSIS
        return (
            f"{count}, {f'an analysis needs {FIRST_ANALYSIS}' if few else 'from which no difference can be computed'}"
        )
    low, high = comparison.interval
    word = "faster" if comparison.gain >= 0 else "slower"
    if comparison.gain < 0:
        low, high = -high, -low
    gain = percent(abs(comparison.gain))
    return f"B is {gain} {word} than A (95 % interval {percent(low)} to {percent(high)}, {count})"


def outlook(comparison: Comparison, *, goes_on: bool = False) -> str:
    """Say how many more pairs are likely needed, and what stopped it; goes_on: nothing did, the next run begins now."""
    if comparison.gain is None:
        return f"how many {comparison.unit}s are needed is known after {FIRST_ANALYSIS} {comparison.unit}s"
    if comparison.pairs_needed is None:
        return f"more than 1000 {comparison.unit}s would likely be needed: the two are practically equal"
    more = comparison.pairs_needed - comparison.pairs
    running_s = comparison.elapsed_s - comparison.waited_s
    rest_s = more * running_s / max(1, len(comparison.runs)) * 2
    cost = f"{span(rest_s)}{_cost(comparison, rest_s)}"
    are = "is" if more == 1 else "are"
    needed = (
        f"about {plural(more, f'more {comparison.unit}')} {are} likely needed at this difference and spread ({cost})"
    )
    if comparison.outcome == "tie":
        return f"{needed}; this comparison ends at {comparison.max_pairs}"
    if comparison.pairs_needed > comparison.max_pairs:
        return f"{needed}, but this comparison ends after {comparison.max_pairs - comparison.pairs} more"
    return needed if goes_on else f"{needed}; the same command continues"


def loss_sentence(comparison: Comparison) -> str | None:
    """State whether the losses are alike, with the interval; None where there are too few losses."""
    if comparison.losses_alike is None or comparison.loss_interval is None or comparison.loss_difference is None:
        return None
    low, high = comparison.loss_interval
    answer = {
        "alike": f"the losses are alike within ±{decision.LOSS_MARGIN:g}",
        "different": f"the losses differ: B's mean is {'higher' if comparison.loss_difference > 0 else 'lower'}",
        "unclear": "the losses do not differ significantly, but there are too few runs to call them alike",
    }[comparison.losses_alike]
    return f"{answer}: B − A = {comparison.loss_difference:+.4f} (95 % interval by Welch {low:+.4f} to {high:+.4f})"


def slow_sentence(comparison: Comparison) -> str | None:
    """State how often a script that was found faster may still be slow; None where it was not."""
    if comparison.outcome != "faster":
        return None
    own = [run.outlier for run in comparison.runs if run.arm == "B"]
    most = f"up to {100 * stats.share_bound(sum(own), len(own)):.0f} % of its runs may be (95 %)"
    return f"{sum(own) or 'none'} of the {len(own)} runs of B was an outlier: {most}"


def caches_sentence(comparison: Comparison) -> str | None:
    """State from which stored caches the runs started; None where they started from empty ones."""
    if comparison.caches == "cold":
        return None
    caches = " and ".join(
        f"{arm}'s {(side.cache or '')[:12]}" for arm, side in (("A", comparison.a), ("B", comparison.b))
    )
    return (
        f"every run started from a copy of a filled compile cache ({caches}); priming took {span(comparison.primed_s)}"
    )
