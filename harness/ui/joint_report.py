"""Print what `compare` tells a person of several candidates: plan, time and price before, the outcome of each after."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from harness.compare import cost as compare_cost
from harness.compare import joining, joint_runs, noise, pairs, rounds
from harness.compare.interleaving import Watcher
from harness.compare.joining import JointPlan
from harness.machine import computer
from harness.run import priming
from harness.store.comparisons import Comparison
from harness.store.joint import Joint, joint_file
from harness.store.layout import Project
from harness.ui import compare_plan, compare_report, compare_steps, console, plan_data, run_report
from harness.ui.compare_plan import span


def say_plan(project: Project, plan: JointPlan, *, plan_only: bool = False) -> None:
    """Say who is compared, in which order, how long it takes and what it costs; plan_only: and what would stop it."""
    for run_id, how in plan.settled:
        console.say(f"{run_id}, left open by an earlier start, was {how}; what it printed is kept", style="yellow")
    for letter, contender in plan.contenders.items():
        console.say(f"{letter}: {compare_plan.script(contender)}, {contender.subject.ruleset.id}")
        console.say(f"     {compare_plan.environment(contender)}")
        if letter != rounds.A:
            for caution in compare_plan.cautions(plan.contenders[rounds.A], contender):
                console.say(f"  note     {caution}", style="yellow")
    for name, comparison in plan.decided.items():
        console.say(f"{name}: compared before, {comparison.outcome}; nothing of it is run again")
    if plan.joint is None:
        return
    track = plan.contenders[rounds.A].subject.track
    by_steps = compare_steps.caution(track)
    if by_steps is not None:
        console.say(f"  note     {by_steps}")
    console.say(f"  machine  {computer.describe(plan.joint.machine)}")
    if plan_only:
        run_report.say_refusal(computer.capture(), track)
    console.say(f"  runs     {_runs(plan.joint, drawn=plan.drawn)}")
    if plan.resumed:
        file = project.show(joint_file(project, plan.joint.id))
        console.say(f"  continue {file}: {len(plan.joint.runs)} runs are made")
        for note in _begun_otherwise(plan, plan.joint):
            console.say(f"  note     {note}", style="yellow")
    console.say(f"  caches   {compare_plan.caches_of(plan.joint.caches, plan.unprimed)}")
    console.say(f"  time     {_time(plan)}")
    console.say(f"  price    {_price(plan)}")
    spread = noise.measured(project, plan.contenders.values(), computer.capture())
    compare_report.say_noise(spread, track, joint_runs.rule_of(plan.joint))


def data_of(project: Project, plan: JointPlan) -> dict[str, Any]:
    """Return what `--plan --json` prints of a comparison of several candidates."""
    told = plan_data.of_several(plan)
    if plan.joint is None:
        return told
    return told | compare_plan.noise_data(project, plan.contenders.values(), joint_runs.rule_of(plan.joint))


def _begun_otherwise(plan: JointPlan, made: Joint) -> list[str]:
    """Say in what a comparison that is continued differs from what is asked for."""
    notes = []
    if made.max_pairs != plan.asked_pairs:
        notes.append(f"{plan.asked_pairs} rounds were asked for, but this comparison has {made.max_pairs} rounds")
    if plan.asked_cold != (made.caches == "cold") and priming.is_primed(plan.contenders[rounds.A].subject.track):
        notes.append(compare_plan.begun_otherwise(made.caches))
    return notes


def _runs(made: Joint, *, drawn: bool) -> str:
    most = sum(map(len, made.orders))
    first = " ".join(made.orders[:2]) + (" …" if len(made.orders) > 2 else "")
    order = f"in the order {first}, drawn by coin" if drawn else "in rounds by coin, each candidate after a run of A"
    if made.bound is None:
        return f"{made.max_pairs} rounds ({most} runs), {order}; one analysis at the end, p < {pairs.ALPHA:g}"
    rule = f"an interim analysis after every round from the third, z·√rounds ≥ {made.bound:g}"
    return f"at most {made.max_pairs} rounds ({most} runs), {order}; {rule}; who is decided drops out"


def _time(plan: JointPlan) -> str:
    rest = joining.rest_s(plan)
    if rest is None or plan.joint is None:
        return "not known before the first runs: no script has run on this machine"
    a = joining.next_run_s(plan.joint, plan.usual_s, rounds.A) or 0.0
    by_claims = compare_plan.BY_CLAIMS if plan.by_claims else ""
    return f"about {span(a)} for a run of A; {span(rest)} for all that remain, if nobody is decided before{by_claims}"


def _price(plan: JointPlan) -> str:
    made, rest = plan.joint, joining.rest_s(plan)
    if made is None or made.usd_per_hour is None:
        return "not known: give --usd-per-hour, and --budget-usd to set a limit"
    price = f"{made.usd_per_hour:g} USD an hour"
    if rest is not None:
        price += f": about {compare_cost.usd(rest, made.usd_per_hour):.2f} USD for all runs that remain"
    if made.budget_usd is not None:
        spent = compare_cost.usd(made.elapsed_s, made.usd_per_hour)
        price += f"; {spent:.2f} of {made.budget_usd:g} USD are spent"
    return price


def waiting(plan: JointPlan) -> AbstractContextManager[None]:
    """Say that environments are being made, where some are."""
    return compare_report.waiting_for(list(plan.contenders.values()) if plan.joint is not None else [])


def watch(project: Project, plan: JointPlan) -> Watcher:
    """Return a watcher that shows how every run goes."""
    usd_per_hour = None if plan.joint is None else plan.joint.usd_per_hour
    return compare_report.watch_arms(
        project, plan.contenders, plan.usual_s.values(), at_most=True, usd_per_hour=usd_per_hour
    )


def say_analysis(comparison: Comparison, letter: str) -> None:
    """Print what a whole round says about one candidate."""
    if comparison.runs:
        named = letter if letter == "B" else f"{letter}, called B here"
        console.say(f"  {named}: {compare_report.sentence(comparison)}")
    if comparison.outcome == "undecided":
        compare_report.say_warnings(comparison)


def say_outcome(project: Project, plan: JointPlan, judged: Mapping[str, Comparison]) -> None:
    """Print the table of runs and the outcome of every candidate, those that were decided before too."""
    named = {plan.contenders[letter].name: comparison for letter, comparison in judged.items()}
    for name, comparison in (plan.decided | named).items():
        console.say("")
        console.say(f"B: {name} against A: {plan.contenders[rounds.A].name}", style="bold")
        compare_report.say_outcome(project, comparison)
