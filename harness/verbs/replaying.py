"""replay: a record of the past, run again."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import Problem, StoreError, raise_if
from harness.verbs.verb import Verb, catalog_of, count_of_runs, next_step, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.core.record import Record

AGAIN = "the same command starts again: a record is run afresh each time; what was made, fetched or stored is kept"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", nargs="?", help="a record like short/12 or smoke/2; with --original --plan: all")
    parser.add_argument("--original", action="store_true", help="the frozen original, from its repository")
    parser.add_argument(
        "--runs", type=count_of_runs, metavar="N", help="how many runs (default: the track's; originals: 1)"
    )
    parser.add_argument("--gpus", type=_gpus, metavar="N", help="fewer GPUs, where the script allows it; loss only")
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="with --original: a clone or a copy of its repository"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print what would happen on this machine; download, install and run nothing"
    )
    parser.add_argument("--dry", action="store_true", help="one scaled-down run on synthetic data; never compared")
    parser.add_argument("--no-fetch", action="store_true", help="refuse to download tokens or a repository")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def _gpus(text: str) -> int:
    if text not in ("1", "2", "4", "8"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GPUs that a script can run on; give 1, 2, 4 or 8")
    return int(text)


def _replay(args: argparse.Namespace) -> int:
    from harness.replay import outlook, plan, session
    from harness.ui import replay_report

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    raise_if(_meaningless(args))
    if args.record is None:
        return _resolve_all(args, catalog)
    if args.dry:
        return _dry(args, catalog)
    chosen = plan.plan(
        catalog,
        _record(catalog, args.record),
        original=args.original,
        checkout=args.checkout,
        gpus=args.gpus,
        count=args.runs,
        allow_network=not args.no_fetch,
        look=args.plan,
    )
    replay_report.say_plan(chosen, outlook.look(chosen), only=args.plan)
    if not args.plan:
        with next_step(AGAIN):
            screen = replay_report.Screen(catalog.project, chosen, as_json=args.json)
            session.perform(catalog.project, chosen, screen, allow_network=not args.no_fetch)
    return 0


def _record(catalog: Catalog, name: str) -> Record:
    """Return the record that a name means, a track's current one; raises StoreError for a submission."""
    record = catalog.find(name).record
    if record is None:
        raise StoreError.at(name, "is a submission, no record", f"run it: speedrun run {name}")
    return record


def _meaningless(args: argparse.Namespace) -> Iterator[Problem]:
    """Flags that would change nothing beside the others, so that whoever gives them expects something else."""
    given = {
        "--gpus": args.gpus is not None,
        "--checkout": args.checkout is not None,
        "--no-fetch": args.no_fetch,
        "--json": args.json,
        "--original": args.original,
        "--runs": args.runs is not None,
        "--dry": args.dry,
    }
    if args.checkout is not None and not args.original:
        yield Problem("--checkout", "is where an original is read from, and none is asked for", "add --original")
    if args.record is None:
        if not (args.original and args.plan):
            yield Problem("replay", "no record was named", "name one like short/12, or add --original --plan")
        idle = [flag for flag in ("--gpus", "--runs", "--dry") if given[flag]]
        why, todo = "is about one record, and none was named", "name a record"
    elif args.dry:
        idle = [flag for flag in ("--original", "--gpus", "--checkout", "--no-fetch", "--json") if given[flag]]
        why = "means nothing with --dry, which is one scaled-down run on synthetic data that nobody compares"
        todo = "leave one of them out"
        if args.runs not in (None, 1):
            yield Problem("--runs", "with --dry there is one run", todo)
    else:
        idle = ["--json"] if args.plan and args.json else []
        why, todo = "a plan of one record is text only", "leave it out, or leave --plan out"
    for flag in idle:
        yield Problem(flag, why, todo)


def _dry(args: argparse.Namespace, catalog: Catalog) -> int:
    """The script in the record's folder, scaled down: shows whether the pipeline works here."""
    from harness.launch.torchrun import TorchrunLauncher
    from harness.run import series
    from harness.ui import run_report

    subject = catalog.script_here(_record(catalog, args.record))
    plan = series.plan(catalog.project, subject, None, dry=True, settle=not args.plan)
    run_report.say_plan(plan)
    if not args.plan:
        with next_step(run_report.after_a_stop(plan)):
            series.run(catalog, plan, series.prepare(plan), TorchrunLauncher(), run_report.watch(plan))
        run_report.say_dry_end(plan)
    return 0


def _resolve_all(args: argparse.Namespace, catalog: Catalog) -> int:
    from harness.replay import plan
    from harness.ui import console

    found = plan.resolve_all(catalog, args.checkout, allow_network=not args.no_fetch)
    if args.json:
        rows = [{"record": row.record, "state": row.state, "said": row.said} for row in found]
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        console.say_table(("record", "original", ""), [(row.record, row.state, row.said) for row in found])
    counts = {state: sum(row.state == state for row in found) for state in ("resolved", "none", "not here", "broken")}
    absent = f", {counts['not here']} not here" if counts["not here"] else ""
    told = (
        f"{counts['resolved']} resolved and verified, {counts['none']} without one{absent}, {counts['broken']} broken"
    )
    console.say(told)
    return 1 if counts["broken"] or counts["not here"] else 0


VERBS = (Verb("replay", "run a record of the past again and compare it with its claim", _arguments, _replay),)
