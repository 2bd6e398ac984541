"""Print what `replay` tells a person: the plan before, the progress of the runs, claimed against replayed after.

Hard because a plan must say on one screen what would be installed, downloaded and run, and which of it may fail.
"""

import contextlib
import sys
from contextlib import AbstractContextManager
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.core import codec
from harness.core.text import plural
from harness.dataset.progress import Progress
from harness.machine import computer
from harness.replay import venv
from harness.replay.outlook import Outlook
from harness.replay.plan import Plan
from harness.store.layout import Project, cache_folder
from harness.store.replays import ReplayResult
from harness.ui import console, run_watch
from harness.ui.bars import file_progress

CURVE_ROWS = 12


def say_plan(plan: Plan, outlook: Outlook, *, plan_only: bool) -> None:
    """Say what would be run, in which environment, on what, and what can be compared.

    plan_only: nothing is going to be run, so what would stop it is said here; else it is about to be raised.
    """
    subject, needs = plan.subject, plan.needs
    console.say(f"{plan.name}: {plan.record.title}")
    console.say(f"  script       {_script(plan)}")
    ranks = plural(plan.processes, "rank")
    how = "started as its author did, without arguments" if plan.upstream else "each with a seed drawn by the harness"
    console.say(f"  runs         {plan.runs} on {ranks}, {how}; each replay makes all its runs again")
    for number, (requirements, state) in enumerate(outlook.environments):
        console.say(f"  {'environment ' if number == 0 else 'or else     '} {requirements}")
        console.say(f"               {state}")
    if plan.build is not None and len(outlook.environments) > 1:
        console.say(f"               availability of torch {plan.build.torch}: {plan.build.found}")
    if needs is not None and needs.hub_kernels:
        console.say(f"  kernels      {', '.join(needs.hub_kernels)}, fetched by the script from the hub")
    if needs is not None and needs.missing:
        console.say(f"  missing      {needs.missing}; without it the script cannot run", style="yellow")
    folder = (needs.data if needs is not None else None) or subject.track.data.folder
    console.say(f"  data         {subject.train_tokens:,} training tokens under {folder}: {_tokens(plan, outlook)}")
    console.say(f"  disk         {_disk(plan, outlook)}")
    console.say(f"  machine      {computer.describe(outlook.machine)}")
    console.say(f"  compared     {plan.compared}")
    for problem in outlook.problems if plan_only else ():
        console.say(f"  cannot run   {problem}", style="red")


def _script(plan: Plan) -> str:
    subject = plan.subject
    kind = {
        "original": "the frozen original",
        "merged": "the merged script",
        "reimplementation": "a reimplementation of the original",
    }[plan.script]
    script = f"{kind}, {subject.entry} ({subject.script_sha256[:12]}), {plural(len(subject.files), 'file')}"
    if plan.here:
        return f"{script}, verified"
    repository = plan.record.original.repository if plan.record.original is not None else None
    return f"{script}: not here yet, so not read; {repository} is cloned first (20 MB or so), or give --checkout DIR"


def _tokens(plan: Plan, outlook: Outlook) -> str:
    if not outlook.missing:
        return f"all {outlook.shards} shards are here"
    how = "made here in seconds" if plan.subject.track.data.source == "synthetic" else "to be downloaded"
    return f"{outlook.missing} of {outlook.shards} shards are missing, {_size(outlook.missing_bytes)}, {how}"


def _disk(plan: Plan, outlook: Outlook) -> str:
    made_before = any(venv.find(requirements) is not None for requirements in plan.requirement_sets)
    needed = outlook.missing_bytes + (0 if made_before else venv.SIZE_BYTES)
    free = f"{_size(outlook.free_bytes)} free in {cache_folder()}"
    if not needed:
        return f"{free}; nothing more is needed there"
    text = f"{free}; up to {_size(needed)} needed"
    if outlook.free_bytes > needed:
        return text
    return f"{text}, which is not enough: free some, or set XDG_CACHE_HOME to a larger disk"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


class Screen:
    """The watcher of a replay at a terminal; with `as_json` the result goes to stdout as well."""

    def __init__(self, project: Project, plan: Plan, *, as_json: bool) -> None:
        self.project = project
        self.plan = plan
        self.as_json = as_json
        self.watch = run_watch.watch(Catalog(project), plan.subject, beside=plan.record)

    def making(self) -> AbstractContextManager[None]:
        """Say that its environment is being made, or that it was made before."""
        requirements = self.plan.requirement_sets[0]
        if venv.find(requirements) is None:
            return console.waiting(f"making its environment ({requirements[0]}; a minute or more, once)")
        console.say(f"its environment ({requirements[0]}) was made before")
        return contextlib.nullcontext()

    def fetching(self) -> AbstractContextManager[Progress]:
        """Show the progress of the download of its tokens."""
        return file_progress("fetching")

    def result(self, result: ReplayResult, stored: Path) -> None:
        """Print the result and where it is stored."""
        with console.product():
            say_result(result, by_distance=self.plan.subject.ruleset.above_entropy is not None)
        if len(result.runs) < self.plan.runs:
            finished = f"{len(result.runs)} of {self.plan.runs} runs had finished when it ended"
            console.say(f"{finished}; only those were compared", style="yellow")
        where = self.project.show(stored)
        console.say(f"stored in {where}; commit it, and `speedrun board` shows it beside the record")
        if self.as_json:
            sys.stdout.write(codec.to_text(result.with_figures()))
            sys.stdout.flush()


def say_result(result: ReplayResult, *, by_distance: bool = False) -> None:
    """Print claimed against replayed, with the label of the environment and what does not count.

    by_distance: its losses are distances to the entropy of a source that was drawn for it.
    """
    console.say("")
    if by_distance:
        console.say("each series has a source of its own: losses are distances to the entropy of the source")
    # A claim rests on all runs of the record, its curve below on one of them.
    losses = [console.figure(loss, ".4f", missing="-") for loss in (result.claimed_loss, result.replayed_loss)]
    rows = [("loss", *losses, console.figure(result.loss_difference, "+.4f"))]
    both = (result.claimed_time_s, result.replayed_time_s)
    if both != (None, None):
        ratio = "does not count" if result.time_ratio is None else f"{100 * (result.time_ratio - 1):+.1f} %"
        times = [console.figure(time_s, ".2f", " s", missing="-") for time_s in both]
        rows.append(("train_time", *times, ratio))
    console.say_table(("", "claimed", "replayed", "difference"), rows)
    answers = {"yes": "within the record's own spread", "no": "outside the record's own spread"}
    console.say(f"{answers.get(result.within_spread, 'no spread to compare with')}: {result.spread}")
    for reason in result.why_not:
        console.say(f"the time does not count: {reason}")
    console.say(f"environment: {result.environment.label}; script: {result.script}; {result.gpus}")
    for difference in result.environment.differences:
        console.say(f"  {difference}")
    for tried in result.environment.tried:
        console.say(f"  could not be installed: {tried}")
    points = [point for point in result.curve if point.replayed is not None]
    if points:
        every = max(1, len(points) // CURVE_ROWS)
        shown = [*points[:-1:every], points[-1]]
        console.say("")
        count = len(result.runs)
        mean = f"the mean of the {count} replayed runs" if count > 1 else "the replayed run"
        console.say(f"step by step, the curve of the record's canonical run beside {mean}:")
        console.say_table(
            ("step", "canonical run", "replayed", "difference"),
            [(f"{p.step}", f"{p.claimed:.4f}", f"{p.replayed:.4f}", f"{p.difference:+.4f}") for p in shown],
        )
