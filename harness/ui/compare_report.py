"""Print what `compare` tells a person: plan, time and price before, a line per interim analysis, the outcome after.

Hard because a plan is about to cost money and an outcome may make a record: every sentence says what is known and what
is not, with its number and unit.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from harness.compare import cost as compare_cost
from harness.compare import decision, interleaving, pairs
from harness.compare.analysis import FIRST_ANALYSIS
from harness.compare.arms import Contender
from harness.compare.interleaving import Plan
from harness.core import stats
from harness.core.text import plural
from harness.machine import computer
from harness.store.comparisons import Comparison, comparison_file, other_torch
from harness.store.layout import Project
from harness.ui import console, run_report, state_report


def say_plan(project: Project, plan: Plan, *, plan_only: bool = False) -> None:
    """Say what is compared, in which order, how long it takes and what it costs; plan_only: and what would stop it."""
    comparison = plan.comparison
    for run_id, how in plan.settled:
        console.say(f"{run_id}, left open by an earlier start, was {how}; what it printed is kept", style="yellow")
    for arm, contender in plan.contenders.items():
        console.say(f"{arm}: {script(contender)}, {contender.subject.ruleset.id}")
        console.say(f"     {environment(contender)}")
        replay = contender.replay
        if replay is not None and not replay.here:
            repository = replay.record.original and replay.record.original.repository
            how = f"without --plan they are fetched from {repository}, or read with --checkout DIR"
            console.say(f"     its files are not here (never cloned here): {how}", style="yellow")
        for problem in replay.obstacles if replay is not None else ():
            console.say(f"     cannot run: {problem.what}; {problem.todo}", style="red")
    for caution in _cautions(plan.contenders["A"], plan.contenders["B"]):
        console.say(f"  note     {caution}", style="yellow")
    console.say(f"  machine  {computer.describe(comparison.machine)}")
    if plan_only:
        run_report.say_refusal(computer.capture(), plan.subjects["A"].track)
    console.say(f"  runs     {_runs(plan)}")
    if plan.resumed:
        _say_resumed(project, plan)
    if not plan.decided:
        console.say(f"  time     {_time(plan)}")
        console.say(f"  price    {_price(plan)}")


def _say_resumed(project: Project, plan: Plan) -> None:
    comparison = plan.comparison
    file = project.show(comparison_file(project, comparison.id))
    if plan.decided:
        console.say(f"  finished {file}: {comparison.outcome}; nothing is run again")
    else:
        console.say(f"  continue {file}: {len(comparison.runs)} of {len(comparison.arms)} runs are made")
    if comparison.max_pairs != plan.asked_pairs:
        most = f"{'' if comparison.bound is None else 'at most '}{comparison.max_pairs}"
        asked = f"{plan.asked_pairs} pairs were asked for, but this comparison has {most} pairs"
        console.say(f"  note     {asked}; a second one would allow choosing the better outcome", style="yellow")


def script(contender: Contender) -> str:
    """Describe the script: its kind, its record or submission, its file."""
    kinds = {
        "submission": "the submission",
        "record": "the script of the record",
        "reimplementation": "a reimplementation of the record",
        "original": "the frozen original of the record",
        "merged": "the merged script of the record",
    }
    folder = "" if contender.name == contender.subject.name else f" ({contender.subject.name})"
    file = f"{contender.subject.entry} ({contender.subject.script_sha256[:12]})"
    return f"{kinds[contender.kind]} {contender.name}{folder}: {file}"


def environment(contender: Contender) -> str:
    """Describe the environment that a script runs in."""
    if not contender.requirement_sets:
        return f"in the harness's own environment, torch {contender.torch or 'not installed'}"
    made = contender.environment
    if made is not None:
        return f"in an environment of its own, torch {made.torch} ({', '.join(made.requirements)})"
    requirement_sets = [", ".join(requirements) for requirements in dict.fromkeys(contender.requirement_sets)]
    return f"in an environment of its own, made before the first run: {', or else '.join(requirement_sets)}"


def torches(a: str | None, b: str | None) -> str | None:
    """Say what a difference of torch means; None where there is none, or it is not known yet."""
    if not other_torch(a, b):
        return None
    return f"A runs with torch {a} and B with torch {b}: any difference is due to script and torch together"


def _cautions(first: Contender, second: Contender) -> list[str]:
    cautions = []
    a, b = first.subject, second.subject
    if a.chain == b.chain:
        cautions.append("both are the same script: this shows only how much the machine varies")
    if not a.track.times_alike(a.ruleset, b.ruleset):
        cautions.append(
            f"{a.ruleset.id} and {b.ruleset.id} do not time the same sections; choose scripts that are timed alike"
        )
    for arm, contender in (("A", first), ("B", second)):
        if contender.kind == "reimplementation":
            cautions.append(f"{arm} is a reimplementation: its times say nothing about the record's own program")
    torch = torches(first.torch, second.torch)
    return cautions if torch is None else [*cautions, torch]


def _runs(plan: Plan) -> str:
    comparison = plan.comparison
    count = f"{comparison.max_pairs} pairs ({len(comparison.arms)} runs)"
    blocks = " ".join(comparison.coins[:4]) + (" …" if len(comparison.coins) > 4 else "")
    order = f"in the order {blocks}, drawn by coin" if plan.drawn else "in blocks ABBA or BAAB, by coin"
    if comparison.bound is None:
        return f"{count}, {order}; one analysis at the end, p < {pairs.ALPHA:g}"
    rule = f"an interim analysis after every pair from the third, z·√pairs ≥ {comparison.bound:g}"
    return f"at most {count}, {order}; {rule}"


def _time(plan: Plan) -> str:
    comparison = plan.comparison
    rest = compare_cost.expected_rest_s(comparison, plan.usual_s)
    if rest is None:
        least = compare_cost.least_rest_s(comparison, plan.subjects.values())
        at_least = "" if least is None else f"; by the record's train time alone at least {span(least)} for all runs"
        return f"not known before the first runs: neither script has run on this machine{at_least}"
    a, b = (compare_cost.expected_run_s(comparison, plan.usual_s, arm) or 0.0 for arm in ("A", "B"))
    left = len(comparison.arms) - len(comparison.runs)
    return f"about {span(a)} for a run of A, {span(b)} for one of B; {span(rest)} for the {left} that remain"


def _price(plan: Plan) -> str:
    comparison = plan.comparison
    if comparison.usd_per_hour is None:
        return "not known: give --usd-per-hour, and --budget-usd to set a limit"
    rest = compare_cost.expected_rest_s(comparison, plan.usual_s)
    least = compare_cost.least_rest_s(comparison, plan.subjects.values()) if rest is None else rest
    cost = None if least is None else compare_cost.cost_usd(comparison, least)
    price = f"{comparison.usd_per_hour:g} USD an hour"
    if cost is not None:
        price += f": {'at least' if rest is None else 'about'} {cost:.2f} USD for all runs that remain"
    if comparison.budget_usd is not None:
        spent = compare_cost.cost_usd(comparison, comparison.elapsed_s) or 0.0
        price += f"; {spent:.2f} of {comparison.budget_usd:g} USD are spent"
    return price


def waiting(plan: Plan) -> AbstractContextManager[None]:
    """Say that environments are being made, where some are."""
    originals = [contender for contender in plan.contenders.values() if contender.requirement_sets]
    if plan.decided or all(contender.environment for contender in originals):
        return contextlib.nullcontext()
    return console.waiting("the environment of the published script (a minute or more, once)")


def watch(plan: Plan) -> interleaving.Watcher:
    """Return a watcher that shows the progress of every run."""

    def begin(run_id: str, arm: str, number: int, count: int) -> Callable[[bytes], None]:
        console.say(f"run {number}/{count}  {arm}  {run_id}")
        return console.LiveRun(f"run {number}/{count}  {arm}", plan.subjects["A"].track.target_loss).take

    return begin


def say_analysis(comparison: Comparison) -> None:
    """Print the time of the last run and, after a complete pair, the interim analysis."""
    last = comparison.runs[-1]
    console.say(f"  {last.arm}: train_time {last.train_time_s:.3f} s")
    complete = len(comparison.runs) == 2 * comparison.pairs and comparison.gain is not None
    if complete and comparison.outcome == "undecided":
        console.say(f"  so far: {difference(comparison)}")


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
    for line in (slow_sentence(comparison), loss_sentence(comparison), torches(comparison.a.torch, comparison.b.torch)):
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
        return f"neither is shown to be faster after all {comparison.pairs} pairs: {difference(comparison)}"
    if comparison.outcome == "undecided":
        return f"not decided: {difference(comparison)}"
    return f"{difference(comparison)}: decided"


def difference(comparison: Comparison) -> str:
    """B is 0.42 % faster than A (95 % interval 0.31 % to 0.53 %, 5 pairs)."""
    count = plural(comparison.pairs, "pair")
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


def outlook(comparison: Comparison) -> str:
    """Say how many more pairs are likely needed, and what stopped it."""
    if comparison.gain is None:
        return f"how many pairs are needed is known after {FIRST_ANALYSIS} pairs"
    if comparison.pairs_needed is None:
        return "more than 1000 pairs would likely be needed: the two are practically equal"
    more = comparison.pairs_needed - comparison.pairs
    running_s = comparison.elapsed_s - comparison.waited_s
    rest_s = more * running_s / max(1, len(comparison.runs)) * 2
    cost = f"{span(rest_s)}{_cost(comparison, rest_s)}"
    needed = f"about {more} more pairs are likely needed at this difference and spread ({cost})"
    if comparison.outcome == "tie":
        return f"{needed}; this comparison ends at {comparison.max_pairs}"
    if comparison.pairs_needed > comparison.max_pairs:
        return f"{needed}, but this comparison ends after {comparison.max_pairs - comparison.pairs} more"
    return f"{needed}; the same command continues"


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


def percent(share: float) -> str:
    """0.42 %"""
    return f"{100 * share:.2f} %"


def span(seconds: float) -> str:
    """12 s, 3.4 min or 1.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
