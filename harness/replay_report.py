"""What `replay` tells a person: the plan before, claimed against replayed after."""

from __future__ import annotations

from harness import console, machine
from harness.replay import Plan
from harness.store.layout import Project
from harness.store.replays import ReplayResult

CURVE_ROWS = 12


def say_plan(project: Project, chosen: Plan) -> None:
    """Say what would be run, in which environment, on what, and what may be compared."""
    found = chosen.subject
    kind = "the frozen original" if chosen.original else "a reimplementation of the original"
    console.say(f"{chosen.name}: {chosen.held.title}")
    console.say(
        f"  script       {kind}, {found.entry} ({found.script_sha256[:12]}), {len(found.files)} file(s), verified"
    )
    how = "started as its author did, without arguments" if chosen.upstream else "each with a seed drawn by the harness"
    console.say(f"  runs         {chosen.runs} on {chosen.processes} ranks, {how}")
    for number, wish in enumerate(dict.fromkeys(chosen.wishes)):
        console.say(f"  {'environment ' if number == 0 else 'or else      '} {', '.join(wish)}")
    if chosen.build is not None and len(set(chosen.wishes)) > 1:
        console.say(f"               {chosen.build.why}; availability: {chosen.build.availability}")
    needs = chosen.needs
    if needs is not None and needs.hub_kernels:
        console.say(f"  kernels      {', '.join(needs.hub_kernels)}, fetched by the script from the hub")
    if needs is not None and needs.missing:
        console.say(f"  missing      {needs.missing}; without it nothing is started", style="yellow")
    folder = (needs.data if needs is not None else None) or found.track.data.folder
    console.say(f"  data         {found.train_tokens:,} training tokens under {folder}")
    console.say(f"  machine      {machine.describe(machine.capture())}")
    if chosen.loss_only:
        console.say(f"  compared     loss only: {'; '.join(chosen.loss_only)}")
    else:
        console.say("  compared     time and loss")
    for problem in chosen.obstacles:
        console.say(f"  cannot run   {problem.what}; {problem.todo}", style="red")


def say_result(result: ReplayResult) -> None:
    """Claimed against replayed, with the label of the environment and what does not count."""
    console.say("")
    rows = [("loss", _number(result.claimed_loss), _number(result.replayed_loss), _signed(result.loss_difference))]
    if result.claimed_time_s is not None or result.replayed_time_s is not None:
        ratio = "does not count" if result.time_ratio is None else f"{100 * (result.time_ratio - 1):+.1f} %"
        rows.append(("train_time", _number(result.claimed_time_s, " s"), _number(result.replayed_time_s, " s"), ratio))
    console.say_table(("", "claimed", "replayed", "difference"), rows)
    told = {"yes": "within the record's own spread", "no": "outside the record's own spread"}
    console.say(f"{told.get(result.within_spread, 'no spread to compare with')}: {result.spread}")
    for reason in result.why_not:
        console.say(f"the time does not count: {reason}")
    console.say(f"environment: {result.environment.label}; script: {result.script}; {result.gpus}")
    for difference in result.environment.differences:
        console.say(f"  {difference}")
    for tried in result.environment.tried:
        console.say(f"  could not be had: {tried}")
    shown = [point for point in result.curve if point.replayed is not None]
    if shown:
        every = max(1, len(shown) // CURVE_ROWS)
        chosen = [*shown[:-1:every], shown[-1]]
        console.say("")
        console.say_table(
            ("step", "claimed", "replayed", "difference"),
            [(str(p.step), _number(p.claimed), _number(p.replayed), _signed(p.difference)) for p in chosen],
        )


def _number(value: float | None, unit: str = "") -> str:
    return "none" if value is None else f"{value:.4f}{unit}" if not unit else f"{value:.2f}{unit}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
