"""compare, probe: a script beside another one on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs.verb import Verb, dollars, next_step, project_of, terminated

if TYPE_CHECKING:
    from harness.compare.interleaving import Terms
    from harness.probe.probing import Plan


SEQUENTIAL = (8, 12, 16)  # for these the bound is worked out (harness/compare/pairs.py)


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
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


def _compare(args: argparse.Namespace) -> int:
    from harness.compare import arms, interleaving
    from harness.core import codec
    from harness.store.comparisons import only_one
    from harness.ui import compare_report, console
    from harness.ui.bars import file_progress

    terms = _terms(args)
    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    network = not args.no_fetch
    arms.need_one_track(project, args.a, args.b)
    a, b = (
        arms.find(project, name, checkout=args.checkout, allow_network=network, looking=args.plan)
        for name in (args.a, args.b)
    )
    if args.plan:
        compare_report.say_plan(project, interleaving.plan(project, a, b, terms, act=False), looking=True)
        return 0
    with only_one(project):
        laid = interleaving.plan(project, a, b, terms)
        compare_report.say_plan(project, laid)
        interleaving.check(project, laid)
        with compare_report.waiting(laid):
            environments = interleaving.make_environments(project, laid)
        with file_progress("fetching") as progress:
            ready = interleaving.prepare(laid, environments, allow_network=network, progress=progress)
        try:
            made = interleaving.run(project, laid, ready, compare_report.watch(laid), compare_report.say_look)
        except BaseException:
            console.say("the runs that were finished are kept; the same command goes on from there")
            raise
    compare_report.say_outcome(project, made)
    if made.outcome == "undecided":
        console.say("  stopped: the next run would exceed the budget; give a higher --budget-usd to go on")
    if args.json:
        sys.stdout.write(codec.to_text(made))
    return 0


def _terms(args: argparse.Namespace) -> Terms:
    from harness.compare import interleaving
    from harness.core.errors import Problem, StatisticsError

    if (args.budget_usd is None) < (args.usd_per_hour is None):
        raise StatisticsError(Problem("--budget-usd", "needs a price", "give --usd-per-hour too"))
    fixed = args.pairs is not None and not args.until_decided
    if args.until_decided and args.pairs not in (None, *SEQUENTIAL):
        raise StatisticsError(
            Problem("--pairs", f"no bound is known for at most {args.pairs} pairs", "with --until-decided: 8, 12 or 16")
        )
    return interleaving.Terms(args.pairs or interleaving.DEFAULT_PAIRS, fixed, args.usd_per_hour, args.budget_usd)


def _pairs(text: str) -> int:
    if not text.isdigit() or not 3 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of pairs; give 3 to 100")
    return int(text)


NAMES = ("known-entropy", "relabelling", "other-text", "warm-up")  # a test holds them equal to the judge's


def _probe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>, a record like smoke/2, or a track's current record")
    parser.add_argument(
        "--probe",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"only this one (repeatable): {', '.join(NAMES)}",
    )
    parser.add_argument("--plan", action="store_true", help="print what would happen and do nothing")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _probe(args: argparse.Namespace) -> int:
    from harness.catalog import subjects
    from harness.core import codec
    from harness.launch.torchrun import TorchrunLauncher
    from harness.probe import probing
    from harness.ui import console, run_report
    from harness.ui.bars import file_progress

    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    chosen = probing.plan(project, subjects.find_subject(project, args.submission), tuple(args.probe or NAMES))
    _say_probe_plan(chosen)
    if args.plan:
        return 0
    watch = run_report.watch_runs(chosen.subject.track.target_loss)
    with next_step("a probe is judged as a whole: the same command starts it again, with other tokens"):
        with file_progress("fetching") as progress:
            tokens = probing.prepare(chosen, progress=progress)
        folder, verdict = probing.run(project, chosen, tokens, TorchrunLauncher(), watch)
    console.say("")
    console.say_verdict(verdict)
    console.say(f"  logs and verdict.json are in {project.show(folder)}; no run of a probe counts for a record")
    if args.json:
        json.dump(codec.encode(verdict), sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    return 0 if verdict.outcome == "pass" else 1


def _say_probe_plan(chosen: Plan) -> None:
    from harness.ui import console
    from harness.verdict.probe_rules import NAMES as MATERIAL

    found, parent = chosen.subject, chosen.parent
    console.say(f"probing {found.name} ({found.script_sha256[:12]}): {', '.join(chosen.probes)}")
    console.say(f"  beside   {f'{parent.name}, on this machine' if parent else 'nothing'}")
    console.say(f"  runs     {len(chosen.runs)} on {found.track.hardware.processes} processes; none enters the ledger")
    for role, variant in chosen.runs:
        console.say(f"           {'the script' if role == 'own' else 'its parent'} on {MATERIAL[variant]}")


VERBS = (
    Verb("compare", "run two scripts in pairs on this machine and say which is faster", _compare_arguments, _compare),
    Verb("probe", "run a script on prepared tokens that a cheat trips over", _probe_arguments, _probe),
)
