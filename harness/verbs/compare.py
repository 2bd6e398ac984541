"""compare: two scripts, interleaved on this machine."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs import Verb, dollars, project_of, terminated

if TYPE_CHECKING:
    from harness.compare import Terms

SEQUENTIAL = (8, 12, 16)  # for these the bound is worked out (harness/pairs.py)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "a", metavar="A", help="submissions/<slug>, a record like smoke/2, or a track for its current record"
    )
    parser.add_argument("b", metavar="B", help="the script that may be faster or slower than A")
    parser.add_argument(
        "--pairs",
        type=_pairs,
        metavar="N",
        help="make N pairs and look once, at the end; with --until-decided, at most N",
    )
    parser.add_argument(
        "--until-decided",
        action="store_true",
        help="look after every pair and stop when it is decided (the default; at most 16 pairs)",
    )
    parser.add_argument("--budget-usd", type=dollars, metavar="X", help="stop before the run that would cost more")
    parser.add_argument("--usd-per-hour", type=dollars, metavar="Y", help="what an hour of this machine costs")
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="a clone or a copy of an original's repository")
    parser.add_argument("--no-fetch", action="store_true", help="refuse to download tokens or a repository")
    parser.add_argument("--plan", action="store_true", help="print the plan, its time and its price, and do nothing")
    parser.add_argument("--json", action="store_true", help="the comparison as JSON on stdout")


def _run(args: argparse.Namespace) -> int:
    from harness import compare, compare_report, console, contender, jsonform
    from harness.progress import file_progress
    from harness.store.comparisons import only_one

    terms = _terms(args)
    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    network = not args.no_fetch
    contender.need_one_track(project, args.a, args.b)
    a, b = (
        contender.find(project, name, checkout=args.checkout, allow_network=network, looking=args.plan)
        for name in (args.a, args.b)
    )
    if args.plan:
        compare_report.say_plan(project, compare.plan(project, a, b, terms, act=False), looking=True)
        return 0
    with only_one(project):
        laid = compare.plan(project, a, b, terms)
        compare_report.say_plan(project, laid)
        compare.check(project, laid)
        with compare_report.waiting(laid):
            environments = compare.make_environments(project, laid)
        with file_progress("fetching") as progress:
            ready = compare.prepare(laid, environments, allow_network=network, progress=progress)
        try:
            made = compare.run(project, laid, ready, compare_report.watch(laid), compare_report.say_look)
        except BaseException:
            console.say("the runs that were finished are kept; the same command goes on from there")
            raise
    compare_report.say_outcome(project, made)
    if made.outcome == "undecided":
        console.say("  stopped: the next run would exceed the budget; give a higher --budget-usd to go on")
    if args.json:
        sys.stdout.write(jsonform.to_text(made))
    return 0


def _terms(args: argparse.Namespace) -> Terms:
    from harness import compare
    from harness.errors import Problem, StatisticsError

    if (args.budget_usd is None) < (args.usd_per_hour is None):
        raise StatisticsError(Problem("--budget-usd", "needs a price", "give --usd-per-hour too"))
    fixed = args.pairs is not None and not args.until_decided
    if args.until_decided and args.pairs not in (None, *SEQUENTIAL):
        raise StatisticsError(
            Problem("--pairs", f"no bound is known for at most {args.pairs} pairs", "with --until-decided: 8, 12 or 16")
        )
    return compare.Terms(args.pairs or compare.DEFAULT_PAIRS, fixed, args.usd_per_hour, args.budget_usd)


def _pairs(text: str) -> int:
    if not text.isdigit() or not 3 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pairs; give 3 to 100")
    return int(text)


VERBS = (Verb("compare", "run two scripts in pairs on this machine and say which is faster", _arguments, _run),)
