"""What `replay` tells a person: the plan before, the runs while they go, claimed against replayed after."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from harness.core import codec
from harness.dataset.progress import Progress
from harness.machine import computer
from harness.replay import venv
from harness.replay.plan import Plan
from harness.replay.session import Outlook
from harness.store.layout import Project, cache_folder
from harness.store.replays import ReplayResult
from harness.ui import console, run_report
from harness.ui.bars import file_progress

CURVE_ROWS = 12


def say_plan(chosen: Plan, seen: Outlook, *, only: bool) -> None:
    """Say what would be run, in which environment, on what, and what may be compared.

    only: nothing is going to be run, so what would stop it is said here; else it is about to be raised.
    """
    found, needs = chosen.subject, chosen.needs
    console.say(f"{chosen.name}: {chosen.held.title}")
    console.say(f"  script       {_script(chosen)}")
    ranks = f"{chosen.processes} rank{'s' * (chosen.processes != 1)}"
    how = "started as its author did, without arguments" if chosen.upstream else "each with a seed drawn by the harness"
    console.say(f"  runs         {chosen.runs} on {ranks}, {how}; a record is run afresh each time")
    for number, (requirements, told) in enumerate(seen.environments):
        console.say(f"  {'environment ' if number == 0 else 'or else     '} {requirements}")
        console.say(f"               {told}")
    if chosen.build is not None and len(seen.environments) > 1:
        console.say(f"               availability of torch {chosen.build.torch}: {chosen.build.found}")
    if needs is not None and needs.hub_kernels:
        console.say(f"  kernels      {', '.join(needs.hub_kernels)}, fetched by the script from the hub")
    if needs is not None and needs.missing:
        console.say(f"  missing      {needs.missing}; without it nothing is started", style="yellow")
    folder = (needs.data if needs is not None else None) or found.track.data.folder
    console.say(f"  data         {found.train_tokens:,} training tokens under {folder}: {_tokens(chosen, seen)}")
    console.say(f"  disk         {_disk(chosen, seen)}")
    console.say(f"  machine      {computer.describe(seen.machine)}")
    if chosen.loss_only:
        console.say(f"  compared     loss only: {'; '.join(chosen.loss_only)}")
    else:
        console.say("  compared     time and loss")
    for problem in seen.problems if only else ():
        console.say(f"  cannot run   {problem}", style="red")


def _script(chosen: Plan) -> str:
    found = chosen.subject
    kind = "the frozen original" if chosen.original else "a reimplementation of the original"
    count = len(found.files)
    said = f"{kind}, {found.entry} ({found.script_sha256[:12]}), {count} file{'s' * (count != 1)}"
    if chosen.here:
        return f"{said}, verified"
    repository = chosen.held.original.repository if chosen.held.original is not None else None
    fetched = f"{repository} is cloned first (20 MB or so), or give --checkout DIR"
    return f"{said}: not here yet, so not looked at; {fetched}"


def _tokens(chosen: Plan, seen: Outlook) -> str:
    if not seen.missing:
        return f"all {seen.shards} shards are here"
    made = "made here in seconds" if chosen.subject.track.data.source == "synthetic" else "to be fetched"
    return f"{seen.missing} of {seen.shards} shards are missing, {_size(seen.missing_bytes)}, {made}"


def _disk(chosen: Plan, seen: Outlook) -> str:
    making = venv.ROOM_BYTES if all(venv.find(wish) is None for wish in chosen.wishes) else 0
    wanted = making + seen.missing_bytes
    said = f"{_size(seen.free_bytes)} free in {cache_folder()}"
    if not wanted:
        return f"{said}; nothing more is needed there"
    enough = "" if seen.free_bytes > wanted else ": free some, or set XDG_CACHE_HOME to a larger disk"
    return f"{said}, and up to {_size(wanted)} are needed{enough}"


def _size(count: int) -> str:
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


class Screen:
    """The onlooker of a replay at a terminal; with `as_json` the result goes to stdout as well."""

    def __init__(self, project: Project, chosen: Plan, *, as_json: bool) -> None:
        self.project = project
        self.chosen = chosen
        self.as_json = as_json
        self.begin = run_report.watch_runs(chosen.subject.track.target_loss)

    def making(self) -> AbstractContextManager[None]:
        """While its environment is made; where it is there already nothing has to be waited for."""
        wish = self.chosen.wishes[0]
        if venv.find(wish) is None:
            return console.waiting(f"making its environment ({wish[0]}; a minute or more, once)")
        console.say(f"its environment ({wish[0]}) was made before")
        return contextlib.nullcontext()

    def fetching(self) -> AbstractContextManager[Progress]:
        """While its tokens are fetched."""
        return file_progress("fetching")

    def watch(self, run_id: str, number: int, count: int) -> Callable[[bytes], None]:
        """Takes the log lines of one run."""
        return self.begin(run_id, number, count)

    def result(self, result: ReplayResult, stored: Path) -> None:
        """Show what came out, and where it is kept."""
        say_result(result)
        if len(result.runs) < self.chosen.runs:
            told = (
                f"{len(result.runs)} of {self.chosen.runs} runs had finished when it ended; that is what was compared"
            )
            console.say(told, style="yellow")
        where = self.project.show(stored)
        console.say(f"stored in {where}; commit it, and `speedrun board` shows it beside the record")
        if self.as_json:
            sys.stdout.write(codec.to_text(result.with_figures()))
            sys.stdout.flush()


def say_result(result: ReplayResult) -> None:
    """Claimed against replayed, with the label of the environment and what does not count."""
    console.say("")
    # A claim rests on all runs of the record, its curve below on one of them.
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
        count = len(result.runs)
        mean = f"the mean of the {count} replayed runs" if count > 1 else "the replayed run"
        console.say(f"step by step, the curve of the record's canonical run beside {mean}:")
        console.say_table(
            ("step", "canonical run", "replayed", "difference"),
            [(str(p.step), _number(p.claimed), _number(p.replayed), _signed(p.difference)) for p in chosen],
        )


def _number(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:.4f}{unit}" if not unit else f"{value:.2f}{unit}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
