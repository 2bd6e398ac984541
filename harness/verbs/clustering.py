"""run, compare, probe and replay with `--on cluster.yaml`: the same commands, each a task on a node."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import MachineError
from harness.verbs.verb import catalog_of, next_step, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.cluster.commands import Asked, Made
    from harness.cluster.driver import Outcome
    from harness.store.clusters import Cluster

Command = Callable[[argparse.Namespace], int]
GOES_ON = "jobs that were sent go on; the same command takes in what they bring, and sends the rest"


def arguments(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the flags that send a command to a cluster; several: and further subjects, each a task of its own."""
    if several:
        parser.add_argument("others", nargs="*", metavar="…", help="further ones, with --on; each is a task of its own")
    parser.add_argument(
        "--on", type=Path, metavar="CLUSTER", help="run on the nodes that this file describes (see docs/cluster.md)"
    )
    parser.add_argument("--anew", action="store_true", help="with --on: again, though the same command is complete")


def or_here(on_nodes: Command, here: Command) -> Command:
    """Return the verb that runs on nodes where a command line asks for it, and here where it does not."""
    return lambda args: on_nodes(args) if args.on is not None or getattr(args, "others", None) else here(args)


def run(args: argparse.Namespace) -> int:
    """Make the runs of submissions or records on nodes, and judge them here."""
    from harness.cluster.commands import Asked
    from harness.core.measurement import Purpose

    if args.budget_gpu_hours is not None and args.stage is None:
        raise MachineError.at("--budget-gpu-hours", "is for --stage", "add --stage full, or leave it out")
    flags = ("dry", "screening", "until_decided", "no_fetch")
    given = _given(args, flags, ("env", "stage", "budget_gpu_hours"), ())
    dry = args.dry or args.stage == "dry"
    purpose: Purpose = "dry" if dry else "screening" if args.screening or args.stage else "judged"
    asked = Asked("run", (args.subject, *args.others), given, args.runs, purpose, network=not args.no_fetch)
    return _on_cluster(args, replace(asked, until_decided=args.until_decided, is_stage=args.stage is not None))


def compare(args: argparse.Namespace) -> int:
    """Make a comparison on one node."""
    from harness.cluster.commands import Asked

    flags = ("until_decided", "cold", "original", "no_fetch")
    given = _given(args, flags, ("pairs", "budget_usd", "usd_per_hour"), ("checkout",))
    where = args.checkout and args.checkout.resolve()
    asked = Asked("compare", (args.a, *args.b), given, original=args.original, checkout=where)
    return _on_cluster(args, replace(asked, network=not args.no_fetch))


def probe(args: argparse.Namespace) -> int:
    """Probe submissions or records, each on one node."""
    from harness.cluster.commands import Asked

    given = _given(args, ("quick",), (), ())
    given = (*given, *(word for name in args.probe or () for word in ("--probe", name)))
    return _on_cluster(args, Asked("probe", (args.submission, *args.others), given))


def replay(args: argparse.Namespace) -> int:
    """Replay records, each on one node."""
    from harness.cluster.commands import Asked

    if args.record is None:
        raise MachineError.at("replay", "no record was named", "name one like short/12")
    given = _given(args, ("original", "dry", "no_fetch"), ("gpus",), ("checkout",))
    where = args.checkout and args.checkout.resolve()
    names = (args.record, *args.others)
    asked = Asked("replay", names, given, args.runs, "dry" if args.dry else "judged", gpus=args.gpus, checkout=where)
    return _on_cluster(args, replace(asked, original=args.original, network=not args.no_fetch))


def _given(
    args: argparse.Namespace, flags: Sequence[str], values: Sequence[str], paths: Sequence[str]
) -> tuple[str, ...]:
    """Repeat the flags of a command line that its tasks get as they are, and ask for JSON."""
    words = [_flag(name) for name in flags if getattr(args, name, False)]
    for name in values:
        if (value := getattr(args, name, None)) is not None:
            words += [_flag(name), str(value)]
    for name in paths:
        if (path := getattr(args, name, None)) is not None:
            words += [_flag(name), str(path.resolve())]
    return (*words, *(() if "--dry" in words else ("--json",)))


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _on_cluster(args: argparse.Namespace, asked: Asked) -> int:
    from harness.cluster import commands, driver
    from harness.cluster.engine import Engine
    from harness.cluster.tasks import series_folder
    from harness.store.clusters import read_cluster
    from harness.ui import cluster_report, console

    if args.on is None:
        raise MachineError.at(asked.verb, "takes several names with --on only", "name one, or add --on cluster.yaml")
    signal.signal(signal.SIGTERM, terminated)
    catalog, cluster = catalog_of(args), read_cluster(args.on)
    made = commands.make(catalog, asked, cluster.nodes, anew=args.anew, plan_only=args.plan)
    cluster_report.say_plan(
        cluster,
        made.series,
        [subject.ruleset for subject in made.subjects],
        is_new=made.is_new,
        done=made.done,
        price=_price(args, cluster),
    )
    if args.plan:
        if args.json:
            print_json(made.series)
        return 0
    with next_step(GOES_ON):
        outcomes: list[Outcome] = []
        if made.series.tasks:
            engine = Engine(cluster, series_folder(catalog.project, made.series))
            outcomes = driver.drive(catalog.project, cluster, made.series, made.scripts, engine, console.say)
    with console.product():
        cluster_report.say_outcomes(outcomes, catalog.project, _price(args, cluster))
        return _conclude(args, catalog, made, asked, outcomes)


def _price(args: argparse.Namespace, cluster: Cluster) -> float | None:
    """Return what a node costs an hour: as the command line says, else as the cluster's file does."""
    return getattr(args, "usd_per_hour", None) or cluster.usd_per_hour


def _conclude(args: argparse.Namespace, catalog: Catalog, made: Made, asked: Asked, outcomes: Sequence[Outcome]) -> int:
    """Judge and print what came back; the worst exit status of all."""
    from harness.cluster import results

    tasks = [
        {
            "task": outcome.attempt.id,
            "subjects": outcome.task.subjects,
            "state": outcome.state,
            "status": outcome.result.status,
            "seconds": outcome.result.seconds,
            "answer": results.answer(catalog, outcome),
        }
        for outcome in outcomes
    ]
    by_state = {"complete": 0, "refused": 2, "contradicts": 2, "broken": 3}
    status = max((by_state[outcome.state] for outcome in outcomes), default=0)
    told: list[Any] = []
    if asked.is_stage:
        status = max(status, _answered(catalog, outcomes))
    elif asked.purpose == "screening":
        _screened(catalog, made)
    elif asked.purpose == "judged":
        conclude = {"run": _verdicts, "compare": _comparisons, "probe": _probes, "replay": _replays}[asked.verb]
        worst = conclude(args, catalog, made, outcomes, told)
        status = max(status, worst)
    if args.json:
        print_json({"series": made.series.id, "tasks": tasks, "results": told})
    return status


def _answered(catalog: Catalog, outcomes: Sequence[Outcome]) -> int:
    """Print the answers of `--stage`; the worst exit status among them."""
    from harness.cluster import results
    from harness.ui import console, screening_report

    worst = 0
    for outcome in outcomes:
        answer = results.stage_answer(catalog, outcome)
        if answer is not None:
            console.say("")
            console.say(f"{answer.subject}:")
            screening_report.say(answer)
            worst = max(worst, outcome.result.status)
    return worst


def _screened(catalog: Catalog, made: Made) -> None:
    from harness.cluster import results
    from harness.evidence.metrics import read_run
    from harness.store import run_files
    from harness.ui import run_report

    for subject in made.subjects:
        runs = results.finished_runs(catalog.project, made.series, subject.chain)
        folders = [run_files.run_folder(catalog.project, run) for run in runs]
        if folders:
            tried = tuple(read_run(folder, subject.script, packed=False) for folder in folders)
            run_report.say_screening(subject, tried)


def _verdicts(
    args: argparse.Namespace, catalog: Catalog, made: Made, outcomes: Sequence[Outcome], told: list[Any]
) -> int:
    from harness.cluster import results
    from harness.core import codec
    from harness.run import judging
    from harness.store.ledger import Ledger
    from harness.ui import run_report

    status = 0
    for subject in made.subjects:
        runs = None
        if subject.manifest is None:
            runs = results.finished_runs(catalog.project, made.series, subject.chain)
        if runs == [] or not Ledger(catalog.project.ledger).chain(subject.chain).has_judged:
            continue  # no run came back: how its tasks ended was said
        gathered, verdict = judging.verify(catalog, subject, runs, packed=False)
        ended = run_report.say_outcome(
            catalog, subject, gathered, verdict, usd_per_hour=getattr(args, "usd_per_hour", None), ran=True
        )
        status = max(status, ended)
        told.append(codec.encode(verdict) | {"runs": [run_report.run_figures(run) for run in gathered.runs]})
    return status


def _comparisons(
    args: argparse.Namespace, catalog: Catalog, made: Made, outcomes: Sequence[Outcome], told: list[Any]
) -> int:
    from harness.cluster import results
    from harness.ui import compare_report

    for comparison in results.compared(catalog.project, outcomes):
        compare_report.say_outcome(catalog.project, comparison)
        told.append(comparison)
    return 0


def _probes(
    args: argparse.Namespace, catalog: Catalog, made: Made, outcomes: Sequence[Outcome], told: list[Any]
) -> int:
    from harness.cluster import results
    from harness.ui import console

    status = 0
    for verdict in results.probed(catalog, outcomes):
        console.say("")
        console.say_verdict(verdict)
        told.append(verdict)
        status = max(status, 0 if verdict.outcome == "pass" else 1)
    return status


def _replays(
    args: argparse.Namespace, catalog: Catalog, made: Made, outcomes: Sequence[Outcome], told: list[Any]
) -> int:
    from harness.cluster import results
    from harness.ui import console, replay_report

    distances = {subject.slug: subject.ruleset.above_entropy is not None for subject in made.subjects}
    brought = results.bring_replays(catalog.project, made.series)
    if not brought:
        console.say("nothing is new: what this series replayed lies beside its records")
    for stored, result in brought:
        name = catalog.project.show(stored.parent.parent)
        replay_report.say_result(result, by_distance=distances.get(name, False))
        console.say(f"stored in {catalog.project.show(stored)}; commit it, and `speedrun board` shows it")
        told.append(result.with_figures())
    return 0
