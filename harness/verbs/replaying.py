"""replay: run a record again."""

from __future__ import annotations

import argparse
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import Problem, raise_if
from harness.verbs import clustering
from harness.verbs.verb import Verb, catalog_of, count_of_runs, next_step, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog

AGAIN = "the same command starts again with the first run; environments, tokens and stored results are kept"


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", nargs="?", help="a record like short/12 or smoke/2; all with --original --plan")
    clustering.arguments(parser, several=True)
    parser.add_argument(
        "--original", action="store_true", help="run the original that its log proves, from its repository"
    )
    parser.add_argument(
        "--runs",
        type=count_of_runs,
        metavar="N",
        help="number of runs (default: that of the track; 1 for a published script)",
    )
    parser.add_argument(
        "--gpus", type=_gpus, metavar="N", help="use fewer GPUs if the script allows it; compares the loss only"
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="read a published script from a clone or a copy of its repository"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print what would be run on this machine; install and run nothing"
    )
    parser.add_argument("--dry", action="store_true", help="make one scaled-down run on synthetic data; never compared")
    parser.add_argument(
        "--no-fetch", action="store_true", help="download no tokens and no repository; fail where they are missing"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result, or with --plan the plan, as JSON on stdout"
    )


def _gpus(text: str) -> int:
    if text not in ("1", "2", "4", "8"):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of GPUs that a script can run on; give 1, 2, 4 or 8"
        )
    return int(text)


def _replay(args: argparse.Namespace) -> int:
    from harness.replay import outlook, plan, session
    from harness.ui import plan_data, replay_report

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    raise_if(_useless_flags(args))
    if args.record is None:
        return _resolve_all(args, catalog)
    if args.dry:
        return _dry(args, catalog)
    replay = plan.plan(
        catalog,
        catalog.find_record(args.record),
        which="original" if args.original else "usual",
        checkout=args.checkout,
        gpus=args.gpus,
        count=args.runs,
        allow_network=not args.no_fetch,
        plan_only=args.plan,
    )
    found = outlook.inspect_machine(replay)
    replay_report.say_plan(replay, found, plan_only=args.plan)
    if args.plan and args.json:
        print_json(plan_data.of_replay(replay, found))
    if not args.plan:
        with next_step(AGAIN):
            screen = replay_report.Screen(catalog.project, replay, as_json=args.json)
            session.perform(catalog.project, replay, screen, allow_network=not args.no_fetch)
    return 0


def _useless_flags(args: argparse.Namespace) -> Iterator[Problem]:
    """Find flags that would have no effect here: whoever gives one expects something else."""
    given = {
        "--gpus": args.gpus is not None,
        "--checkout": args.checkout is not None,
        "--no-fetch": args.no_fetch,
        "--json": args.json,
        "--original": args.original,
        "--runs": args.runs is not None,
        "--dry": args.dry,
    }
    if args.record is None:
        if not (args.original and args.plan):
            yield Problem("replay", "no record was named", "name one like short/12, or add --original --plan")
        idle = [flag for flag in ("--gpus", "--runs", "--dry") if given[flag]]
        why, todo = "concerns one record, and none was named", "name a record"
    elif args.dry:
        idle = [flag for flag in ("--original", "--gpus", "--checkout", "--no-fetch") if given[flag]]
        idle += ["--json"] if args.json and not args.plan else []
        why = "has no effect with --dry, which is one scaled-down run on synthetic data and is never compared"
        todo = "leave one of them out"
        if args.runs not in (None, 1):
            yield Problem("--runs", "--dry makes one run", todo)
    else:
        return
    for flag in idle:
        yield Problem(flag, why, todo)


def _dry(args: argparse.Namespace, catalog: Catalog) -> int:
    """Run the script in the record's folder, scaled down, to show whether everything works here."""
    from harness.launch.torchrun import TorchrunLauncher
    from harness.run import refusal, series
    from harness.ui import console, plan_data, run_report, run_watch

    subject = catalog.script_here(catalog.find_record(args.record))
    series_plan = series.plan(catalog.project, subject, None, dry=True, settle=not args.plan)
    launcher = TorchrunLauncher()
    stops = refusal.problems(catalog.project, series_plan, launcher) if args.plan else ()
    run_report.say_plan(series_plan, stops)
    if args.plan and args.json:
        print_json(plan_data.of_run(series_plan, stops))
    if not args.plan:
        with next_step(run_report.after_a_stop(series_plan)):
            ready = series.prepare(series_plan)
            series.run(catalog, series_plan, ready, launcher, run_watch.watch(catalog, subject))
        with console.product():
            run_report.say_dry_end(series_plan)
    return 0


def _resolve_all(args: argparse.Namespace, catalog: Catalog) -> int:
    from harness.replay import plan
    from harness.ui import console

    originals = plan.resolve_all(catalog, args.checkout, allow_network=not args.no_fetch)
    if args.json:
        print_json([{"record": row.record, "state": row.state, "said": row.said} for row in originals])
    else:
        console.say_table(("record", "original", ""), [(row.record, row.state, row.said) for row in originals])
    counts = Counter(row.state for row in originals)
    others = "".join(f", {counts[state]} {state}" for state in ("in git only", "not here") if counts[state])
    none = f"{counts['none']} never published"
    console.say(f"{counts['resolved']} found and verified, {none}{others}, {counts['broken']} broken")
    return 1 if counts["broken"] or counts["not here"] else 0


VERBS = (
    Verb(
        "replay",
        "run a record again and compare the result with its claim",
        _arguments,
        clustering.or_here(clustering.replay, _replay),
    ),
)
