"""What `compare` tells a person: the plan with time and price before, a line per look, and what it came to."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager

from harness.compare import cost as compare_cost
from harness.compare import interleaving, pairs
from harness.compare.arms import Contender
from harness.compare.interleaving import Plan
from harness.machine import computer
from harness.store.comparisons import Comparison, comparison_file, other_torch
from harness.store.layout import Project
from harness.ui import console, run_report


def say_plan(project: Project, laid: Plan, *, looking: bool = False) -> None:
    """Say what is compared, in which order, how long it takes and what it costs; `looking`: and what would stop it."""
    comparison = laid.comparison
    for run_id, how in laid.settled:
        console.say(f"{run_id}, left open by an earlier start, was {how}; what it printed is kept", style="yellow")
    for arm, found in laid.contenders.items():
        console.say(f"{arm}: {script(found)}, {found.subject.ruleset.id}")
        console.say(f"     {environment(found)}")
        if found.away is not None:
            console.say(f"     its files are not here ({found.away}): {how_to_get(found)}", style="yellow")
        for problem in found.replay.obstacles if found.replay is not None else ():
            console.say(f"     cannot run: {problem.what}; {problem.todo}", style="red")
    for line in _cautions(laid.contenders["A"], laid.contenders["B"]):
        console.say(f"  note     {line}", style="yellow")
    console.say(f"  machine  {computer.describe(comparison.machine)}")
    if looking:
        run_report.say_refusal(computer.capture(), laid.subjects["A"].track)
    console.say(f"  runs     {_runs(laid)}")
    if laid.resumed:
        file = project.show(comparison_file(project, comparison.id))
        made, state = len(comparison.runs), comparison.outcome
        if state == "undecided":
            console.say(f"  goes on  {file}: {made} of {len(comparison.arms)} runs made")
        else:
            console.say(f"  finished {file}: {state}; nothing is run again")
        if comparison.max_pairs != laid.asked_pairs:
            said = f"{laid.asked_pairs} pairs were asked for, and this one is of {_most(comparison)} pairs"
            console.say(f"  note     {said}; a second one would choose by repetition", style="yellow")
    if comparison.outcome == "undecided":
        console.say(f"  time     {_time(laid)}")
        console.say(f"  price    {_price(laid)}")


def script(found: Contender) -> str:
    """Whose script it is, and of what kind."""
    kinds = {
        "submission": "the submission",
        "record": "the script of the record",
        "reimplementation": "a reimplementation of the record",
        "original": "the frozen original of the record",
    }
    under = "" if found.called == found.subject.name else f" ({found.subject.name})"
    file = f"{found.subject.entry} ({found.subject.script_sha256[:12]})"
    return f"{kinds[found.kind]} {found.called}{under}: {file}"


def environment(found: Contender) -> str:
    """What it runs in."""
    if not found.wishes:
        return f"in the harness's own environment, torch {found.torch or 'not installed'}"
    made = found.made
    if made is not None:
        return f"in an environment of its own, torch {made.torch} ({', '.join(made.requirements)})"
    wishes = [", ".join(wish) for wish in dict.fromkeys(found.wishes)]
    return f"in an environment of its own, made before the first run: {', or else '.join(wishes)}"


def how_to_get(found: Contender) -> str:
    """Where the files of an original come from."""
    held = found.subject.record
    repository = held.original.repository if held is not None and held.original is not None else None
    return f"without --plan they are fetched from {repository}, or read with --checkout DIR"


def torches(a: str | None, b: str | None) -> str | None:
    """What a difference of torch means; None where there is none, or it is not known yet."""
    if not other_torch(a, b):
        return None
    return f"A runs with torch {a} and B with torch {b}: what differs is script and torch together"


def _cautions(first: Contender, second: Contender) -> list[str]:
    said = []
    a, b = first.subject, second.subject
    if a.chain == b.chain:
        said.append("both are the same script: this shows what the machine alone does")
    if not a.track.times_alike(a.ruleset, b.ruleset):
        said.append(f"{a.ruleset.id} and {b.ruleset.id} do not time the same sections; compare scripts of one timer")
    for arm, found in (("A", first), ("B", second)):
        if found.kind == "reimplementation":
            said.append(f"{arm} is a reimplementation: its times say nothing about the record's own program")
    changed = torches(first.torch, second.torch)
    return said if changed is None else [*said, changed]


def _most(comparison: Comparison) -> str:
    return f"{'' if comparison.bound is None else 'at most '}{comparison.max_pairs}"


def _runs(laid: Plan) -> str:
    comparison = laid.comparison
    count = f"{comparison.max_pairs} pairs ({len(comparison.arms)} runs)"
    blocks = " ".join(comparison.coins[:4]) + (" …" if len(comparison.coins) > 4 else "")
    order = f"in the order {blocks}, drawn by coin" if laid.drawn else "in blocks ABBA or BAAB, by coin"
    if comparison.bound is None:
        return f"{count}, {order}; one look at the end, p < {pairs.ALPHA:g}"
    return f"at most {count}, {order}; a look after every pair from the third, z·√pairs ≥ {comparison.bound:g}"


def _time(laid: Plan) -> str:
    comparison = laid.comparison
    rest = compare_cost.expected_rest_s(comparison, laid.usual_s)
    if rest is None:
        least = compare_cost.least_rest_s(comparison, laid.subjects.values())
        floor = "" if least is None else f"; by the record's train time alone at least {span(least)} for all runs"
        return f"not known before the first runs: neither script has run on this machine{floor}"
    a, b = (compare_cost.expected_run_s(comparison, laid.usual_s, arm) or 0.0 for arm in ("A", "B"))
    left = len(comparison.arms) - len(comparison.runs)
    return f"about {span(a)} for a run of A, {span(b)} of B; {span(rest)} for the {left} that remain"


def _price(laid: Plan) -> str:
    comparison = laid.comparison
    if comparison.usd_per_hour is None:
        return "not known: give --usd-per-hour, and --budget-usd to stop in time"
    rest = compare_cost.expected_rest_s(comparison, laid.usual_s)
    least = compare_cost.least_rest_s(comparison, laid.subjects.values()) if rest is None else rest
    cost = None if least is None else compare_cost.cost_usd(comparison, least)
    word = "at least" if rest is None else "about"
    said = f"{comparison.usd_per_hour:g} USD an hour" + (
        "" if cost is None else f": {word} {cost:.2f} USD for all runs"
    )
    if comparison.budget_usd is not None:
        spent = compare_cost.cost_usd(comparison, comparison.elapsed_s) or 0.0
        said += f"; {spent:.2f} of {comparison.budget_usd:g} USD are spent"
    return said


def waiting(laid: Plan) -> AbstractContextManager[None]:
    """Say that environments are being made, where some are."""
    if laid.comparison.outcome != "undecided" or all(found.made for found in laid.contenders.values() if found.wishes):
        return contextlib.nullcontext()
    return console.waiting("the environment of the original (a minute or more, once)")


def watch(laid: Plan) -> interleaving.Watcher:
    """A watcher that shows every run while it goes."""

    def begin(run_id: str, arm: str, number: int, count: int) -> Callable[[bytes], None]:
        found = laid.subjects["A" if arm == "A" else "B"]
        console.say(f"run {number}/{count}  {arm}  {run_id}")
        return run_report.follow(f"run {number}/{count}  {arm}", found.track.target_loss)

    return begin


def say_look(comparison: Comparison) -> None:
    """After a complete pair, one line: what the runs say so far."""
    last = comparison.runs[-1]
    console.say(f"  {last.arm}: train_time {last.train_time_s:.3f} s")
    whole = len(comparison.runs) == 2 * comparison.pairs and comparison.gain is not None
    if whole and comparison.outcome == "undecided":
        console.say(f"  {difference(comparison)} …")


def say_outcome(project: Project, comparison: Comparison) -> None:
    """The table of runs, and what they come to."""
    rows = []
    for run in comparison.runs:
        above = "" if run.residual is None else f"{100 * run.residual:+z.2f} %"
        loss = "" if run.val_loss is None else f"{run.val_loss:.4f}"
        note = "hiccup, left out" if run.hiccup else ""
        rows.append((str(run.order + 1), run.arm, run.run, f"{run.train_time_s:.3f} s", above, loss, note))
    console.say("")
    if rows:
        console.say_table(("k", "arm", "run", "train_time", "off the fit", "val_loss", ""), rows)
    for gone in comparison.discarded:
        console.say(f"  discarded and run again: {gone.run} of {gone.arm}, {gone.why}")
    console.say("")
    console.say(sentence(comparison), style="bold")
    if comparison.outcome in ("undecided", "tie"):
        console.say(f"  {outlook(comparison)}")
    for said in (loss_sentence(comparison), torches(comparison.a.torch, comparison.b.torch)):
        if said is not None:
            console.say(f"  {said}")
    cost = compare_cost.cost_usd(comparison, comparison.elapsed_s)
    price = "" if cost is None else f", {cost:.2f} USD"
    console.say(f"  {len(comparison.runs)} runs took {span(comparison.elapsed_s)}{price}")
    console.say(f"  kept in {project.show(comparison_file(project, comparison.id))}")


def sentence(comparison: Comparison) -> str:
    """What it came to, in one sentence."""
    if comparison.outcome == "inconclusive":
        return f"inconclusive: {comparison.reason}"
    if comparison.outcome == "tie":
        return f"neither is shown to be faster with all {comparison.pairs} pairs: {difference(comparison)}"
    if comparison.outcome == "undecided":
        return f"not decided: {difference(comparison)}"
    return f"{difference(comparison)}: decided"


def difference(comparison: Comparison) -> str:
    """B is 0.42 % faster than A (95 % interval 0.31 % to 0.53 %, 5 pairs)."""
    count = f"{comparison.pairs} pair{'' if comparison.pairs == 1 else 's'}"
    if comparison.gain is None or comparison.interval is None:
        few = comparison.pairs < pairs.FIRST_LOOK
        why = f"a look needs {pairs.FIRST_LOOK}" if few else "their times have no spread to judge by"
        return f"{count}, {why}"
    low, high = comparison.interval
    word = "faster" if comparison.gain >= 0 else "slower"
    if comparison.gain < 0:
        low, high = -high, -low
    return (
        f"B is {percent(abs(comparison.gain))} {word} than A (95 % interval {percent(low)} to {percent(high)}, {count})"
    )


def outlook(comparison: Comparison) -> str:
    """How many more pairs are likely needed, and what stopped it."""
    if comparison.gain is None:
        return "how many pairs are needed shows after the third"
    if comparison.pairs_needed is None:
        return "more than 1000 pairs would likely be needed: the two are as good as equal"
    more = comparison.pairs_needed - comparison.pairs
    each = comparison.elapsed_s / max(1, len(comparison.runs)) * 2
    cost = compare_cost.cost_usd(comparison, more * each)
    price = "" if cost is None else f", {cost:.2f} USD"
    said = f"about {more} more pairs are likely needed at this difference and spread ({span(more * each)}{price})"
    if comparison.outcome == "tie":
        return f"{said}; this rule ends at {comparison.max_pairs}"
    if comparison.pairs_needed > comparison.max_pairs:
        return f"{said}, and this rule ends after {comparison.max_pairs - comparison.pairs}"
    return f"{said}; the same command goes on"


def loss_sentence(comparison: Comparison) -> str | None:
    """Whether the losses are alike, and by what; None where too few losses are there."""
    if comparison.losses_alike is None or comparison.loss_interval is None or comparison.loss_difference is None:
        return None
    low, high = comparison.loss_interval
    said = {
        "alike": f"the losses are alike within ±{interleaving.LOSS_MARGIN:g}",
        "different": f"the losses differ: B's mean is {'higher' if comparison.loss_difference > 0 else 'lower'}",
        "unclear": "the losses do not differ significantly, but too few runs are there to call them alike",
    }[comparison.losses_alike]
    return f"{said}: B − A = {comparison.loss_difference:+.4f} (95 % interval by Welch {low:+.4f} to {high:+.4f})"


def percent(share: float) -> str:
    """0.42 %"""
    return f"{100 * share:.2f} %"


def span(seconds: float) -> str:
    """12 s, 3.4 min or 1.2 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
