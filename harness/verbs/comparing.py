"""compare, probe: run a script beside another one on this machine."""

from __future__ import annotations

import argparse
import contextlib
import re
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs import clustering
from harness.verbs.verb import Verb, catalog_of, dollars, next_step, number_of, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.compare.arms import Contender
    from harness.compare.interleaving import Terms
    from harness.probe.probe_plan import ProbePlan
    from harness.store.layout import Project

STOPPED = "  stopped: the next run would exceed the budget; give a higher --budget-usd to continue"


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "a", metavar="A", help="submissions/<slug>, a record like smoke/2, or a track for its current record"
    )
    parser.add_argument(
        "b", metavar="B", nargs="+", help="the script that may be faster or slower than A; several share the runs of A"
    )
    parser.add_argument(
        "--pairs",
        type=number_of("pairs", 3, 100),
        metavar="N",
        help="make N pairs, one analysis at the end; with --until-decided: at most N (8, 12 or 16)",
    )
    parser.add_argument(
        "--until-decided",
        action="store_true",
        help="interim analysis after every pair; stop when decided (the default, at most 16 pairs)",
    )
    parser.add_argument(
        "--budget-usd", type=dollars, metavar="X", help="stop before a run that would exceed X US dollars in all"
    )
    parser.add_argument("--usd-per-hour", type=dollars, metavar="Y", help="price of this machine")
    parser.add_argument(
        "--cold", action="store_true", help="start every run from empty compile caches, on tracks that need a GPU"
    )
    parser.add_argument(
        "--original", action="store_true", help="of a record, take what its log proves, not what was merged"
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="read published scripts from a clone or a copy of their repository"
    )
    parser.add_argument(
        "--no-fetch", action="store_true", help="download no tokens and no repository; fail where they are missing"
    )
    parser.add_argument(
        "--follows",
        type=_comparison_id,
        metavar="COMPARISON",
        help="begin anew what was begun on another machine: the new comparison names that one",
    )
    parser.add_argument("--plan", action="store_true", help="print the plan with its time and price; do nothing")
    parser.add_argument(
        "--json", action="store_true", help="print the comparison, or with --plan the plan, as JSON on stdout"
    )
    clustering.arguments(parser)


def _comparison_id(text: str) -> str:
    if re.fullmatch(r"(compare|joint)-[0-9A-Za-z-]{1,60}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no comparison; give its id, as .runs/comparisons/ has it")
    return text


def _contenders(args: argparse.Namespace, catalog: Catalog) -> list[Contender]:
    """Find the scripts that were named, the one that all others are compared with first."""
    from harness.compare import arms

    names = args.a, *args.b
    found = [catalog.find(name) for name in names]
    for name, other in zip(args.b, found[1:], strict=True):
        arms.require_one_track((args.a, catalog.track_of(found[0])), (name, catalog.track_of(other)))
    return [
        arms.find(
            catalog,
            name,
            original=args.original,
            checkout=args.checkout,
            allow_network=not args.no_fetch,
            plan_only=args.plan,
        )
        for name in found
    ]


def _compare(args: argparse.Namespace) -> int:
    from harness.compare import interleaving, readiness
    from harness.store.comparisons import only_one
    from harness.ui import compare_plan, compare_report, console
    from harness.ui.bars import file_progress

    terms = _terms(args)
    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    project = catalog.project
    network = not args.no_fetch
    contenders = _contenders(args, catalog)
    if len(contenders) > 2:
        return _compare_several(args, project, contenders, terms)
    a, b = contenders
    if args.plan:
        plan = interleaving.plan(project, a, b, terms, plan_only=True)
        compare_report.say_plan(project, plan, plan_only=True)
        if args.json:
            print_json(compare_plan.data_of(project, plan))
        return 0
    with only_one(project):
        plan = interleaving.plan(project, a, b, terms)
        compare_report.say_plan(project, plan)
        interleaving.check(project, plan)
        with compare_report.waiting(plan):
            environments = interleaving.make_environments(project, plan)
        with file_progress("fetching") as progress:
            ready = interleaving.prepare(plan, environments, allow_network=network, progress=progress)
        watcher = compare_report.watch(project, plan)
        with _kept():
            waiting = readiness.Waiting(console.say)
            comparison = interleaving.run(project, plan, ready, watcher, compare_report.say_analysis, waiting)
    with console.product():
        compare_report.say_outcome(project, comparison)
    if comparison.outcome == "undecided":
        console.note(STOPPED)
    if args.json:
        print_json(comparison)
    return 0


@contextlib.contextmanager
def _kept() -> Iterator[None]:
    """Say, whatever ends what is inside, that the same command continues."""
    from harness.ui import console

    try:
        yield
    except BaseException:
        console.note("finished runs are kept; the same command continues")
        raise


def _compare_several(args: argparse.Namespace, project: Project, contenders: list[Contender], terms: Terms) -> int:
    from harness.compare import joining, joint_runs, readiness
    from harness.store.comparisons import Comparison, only_one
    from harness.ui import console, joint_report
    from harness.ui.bars import file_progress

    if args.pairs is None:
        terms = replace(terms, pairs=joining.DEFAULT_ROUNDS)
    a, *candidates = contenders
    if args.plan:
        plan = joining.plan(project, a, candidates, terms, plan_only=True)
        joint_report.say_plan(project, plan, plan_only=True)
        if args.json:
            print_json(joint_report.data_of(project, plan))
        return 0
    judged: dict[str, Comparison] = {}
    with only_one(project):
        plan = joining.plan(project, a, candidates, terms)
        joint_report.say_plan(project, plan)
        joining.check(project, plan)
        with joint_report.waiting(plan):
            environments = joining.make_environments(project, plan)
        with file_progress("fetching") as progress:
            ready = joining.prepare(plan, environments, allow_network=not args.no_fetch, progress=progress)
        if plan.joint is not None:
            with _kept():
                waiting, watcher = readiness.Waiting(console.say), joint_report.watch(project, plan)
                judged = joint_runs.run(project, plan, ready, watcher, joint_report.say_analysis, waiting)
    with console.product():
        joint_report.say_outcome(project, plan, judged)
    if any(comparison.outcome == "undecided" for comparison in judged.values()):
        console.note(
            "  stopped before all are decided: the machine was not free, or the next run would exceed the budget"
        )
    if args.json:
        print_json([*plan.decided.values(), *judged.values()])
    return 0


def _terms(args: argparse.Namespace) -> Terms:
    from harness.compare import interleaving, pairs
    from harness.core.errors import StatisticsError

    if args.budget_usd is not None and args.usd_per_hour is None:
        raise StatisticsError.at("--budget-usd", "needs the price of this machine", "give --usd-per-hour too")
    fixed = args.pairs is not None and not args.until_decided
    if args.until_decided and args.pairs not in (None, *pairs.BOUNDS):
        what = f"no bound is known for at most {args.pairs} pairs"
        raise StatisticsError.at("--pairs", what, "with --until-decided, give 8, 12 or 16")
    count = args.pairs or interleaving.DEFAULT_PAIRS
    return interleaving.Terms(count, fixed, args.usd_per_hour, args.budget_usd, args.cold, args.follows)


NAMES = ("known-entropy", "relabelling", "other-text", "warm-up")  # a test holds them equal to the judge's


def _probe_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "submission", help="submissions/<slug>, a record like smoke/2, or a track for its current record"
    )
    clustering.arguments(parser, several=True)
    some = parser.add_mutually_exclusive_group()
    some.add_argument(
        "--quick", action="store_true", help="two runs of the script that catch most (see docs/probes.md)"
    )
    some.add_argument(
        "--probe",
        action="append",
        choices=NAMES,
        metavar="NAME",
        help=f"run only this probe (repeatable): {', '.join(NAMES)}",
    )
    parser.add_argument("--usd-per-hour", type=dollars, metavar="X", help="price of this machine: show what it costs")
    parser.add_argument("--plan", action="store_true", help="print what would be run; do nothing")
    parser.add_argument(
        "--json", action="store_true", help="print the verdict, or with --plan the plan, as JSON on stdout"
    )


def _probe(args: argparse.Namespace) -> int:
    from harness.launch.torchrun import TorchrunLauncher
    from harness.probe import material, probe_plan, probing
    from harness.ui import console, plan_data, run_watch
    from harness.ui.bars import file_progress

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    subject = catalog.subject(catalog.find(args.submission))
    plan = probe_plan.plan(catalog, subject, probe_plan.QUICK if args.quick else tuple(args.probe or NAMES))
    _say_probe_plan(plan)
    if args.plan:
        if args.json:
            print_json(plan_data.of_probe(plan))
        return 0
    watch = run_watch.watch(catalog, plan.subject, usd_per_hour=args.usd_per_hour)
    with next_step("a probe is only judged as a whole: the same command starts it again, with other tokens"):
        with file_progress("fetching") as progress:
            tokens = material.prepare(plan, progress=progress)
        folder, verdict = probing.run(catalog.project, plan, tokens, TorchrunLauncher(), watch)
    with console.product():
        console.say("")
        console.say_verdict(verdict)
    console.note(
        f"  logs and verdict.json are in {catalog.project.show(folder)}; runs of a probe never count for a record"
    )
    if args.json:
        print_json(verdict)
    return 0 if verdict.outcome == "pass" else 1


def _say_probe_plan(plan: ProbePlan) -> None:
    from harness.ui import console
    from harness.verdict.probe_evidence import NAMES as MATERIAL

    subject, parent = plan.subject, plan.parent
    console.say(f"probing {subject.name} ({subject.script_sha256[:12]}): {', '.join(plan.probes)}")
    console.say(f"  beside   {f'{parent.name}, on this machine' if parent else 'nothing'}")
    console.say(f"  runs     {len(plan.runs)} on {subject.track.hardware.processes} processes; none of them counts")
    for role, loss in plan.usual.items():
        console.say(
            f"           {'the script' if role == 'own' else 'its parent'} ends at {loss:.4f} on {MATERIAL['official']}"
        )
    if plan.tokenizer is not None:
        console.say(f"  note     {plan.tokenizer}, so its tokens are not relabelled")
    for role, variant in plan.runs:
        console.say(f"           {'the script' if role == 'own' else 'its parent'} on {MATERIAL[variant]}")


VERBS = (
    Verb(
        "compare",
        "run two scripts in pairs on this machine and say which is faster",
        _compare_arguments,
        clustering.or_here(clustering.compare, _compare),
    ),
    Verb(
        "probe",
        "run a script on prepared tokens that expose cheating",
        _probe_arguments,
        clustering.or_here(clustering.probe, _probe),
    ),
)
