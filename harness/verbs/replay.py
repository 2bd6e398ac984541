"""replay: a record of the past, run again."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs import Verb, count_of_runs, project_of, terminated

if TYPE_CHECKING:
    from harness.replay import Plan
    from harness.store.layout import Project


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", nargs="?", help="a record like short/12 or smoke/2; with --original --plan: all")
    parser.add_argument("--original", action="store_true", help="the frozen original, from its repository")
    parser.add_argument(
        "--runs", type=count_of_runs, metavar="N", help="how many runs (default: the track's; originals: 1)"
    )
    parser.add_argument(
        "--gpus", type=count_of_runs, metavar="N", help="fewer GPUs, where the script allows it; loss only"
    )
    parser.add_argument("--checkout", type=Path, metavar="DIR", help="a clone or a copy of the original's repository")
    parser.add_argument("--plan", action="store_true", help="resolve, verify, print what would happen, run nothing")
    parser.add_argument("--dry", action="store_true", help="one scaled-down run on synthetic data; never compared")
    parser.add_argument("--no-fetch", action="store_true", help="refuse to download tokens or a repository")
    parser.add_argument("--json", action="store_true", help="the result as JSON on stdout")


def _replay(args: argparse.Namespace) -> int:
    from harness import replay
    from harness.errors import HarnessError

    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    if args.record is None:
        if not (args.original and args.plan):
            raise HarnessError.at("replay", "no record was named", "name one like short/12, or add --original --plan")
        return _resolve_all(args, project)
    if args.dry:
        return _dry(args, project)
    chosen = replay.plan(
        project,
        args.record,
        original=args.original,
        checkout=args.checkout,
        gpus=args.gpus,
        count=args.runs,
        allow_network=not args.no_fetch,
    )
    from harness import replay_report

    replay_report.say_plan(project, chosen)
    return 0 if args.plan else _run(args, project, chosen)


def _run(args: argparse.Namespace, project: Project, chosen: Plan) -> int:
    from harness import console, jsonform, machine, replay, replay_report, report
    from harness.progress import file_progress
    from harness.store import records

    replay.check_machine(chosen)
    with console.waiting(f"its environment ({chosen.wishes[0][0]}; a minute or more, once)"):
        made, environment = replay.make_environment(project, chosen)
    with file_progress("fetching") as progress:
        ready = replay.prepare(chosen, made, allow_network=not args.no_fetch, progress=progress)
    finished = replay.run(project, chosen, made, ready, report.watch_runs(chosen.subject.track.target_loss))
    here = machine.capture(torch=environment.torch)
    curve = records.read_curve(chosen.subject.folder)
    result = replay.compare(chosen, environment, here, finished, attribution(), curve)
    stored = replay.store(chosen, result)
    replay_report.say_result(result)
    console.say(f"stored in {project.show(stored)}; commit it, and `speedrun board` shows it beside the record")
    if args.json:
        sys.stdout.write(jsonform.to_text(result))
    return 0


def _dry(args: argparse.Namespace, project: Project) -> int:
    """The script in the record's folder, scaled down: shows whether the pipeline works here."""
    from harness import pipeline, report, subject
    from harness.errors import HarnessError
    from harness.launch.torchrun import TorchrunLauncher

    if args.original:
        raise HarnessError.at("--dry", "an original takes no overrides", "see what it needs with --original --plan")
    found = subject.find_subject(project, args.record)
    sitting = pipeline.plan(project, found, args.runs, dry=True, settle=not args.plan)
    report.say_plan(sitting)
    if not args.plan:
        pipeline.run(project, sitting, pipeline.prepare(sitting), TorchrunLauncher(), report.watch(sitting))
        report.say_dry_end(sitting)
    return 0


def _resolve_all(args: argparse.Namespace, project: Project) -> int:
    from harness import console, replay

    found = replay.resolve_all(project, args.checkout, allow_network=not args.no_fetch)
    if args.json:
        rows = [{"record": row.record, "state": row.state, "said": row.said} for row in found]
        json.dump(rows, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    else:
        console.say_table(("record", "original", ""), [(row.record, row.state, row.said) for row in found])
    counts = {state: sum(row.state == state for row in found) for state in ("resolved", "none", "broken")}
    console.say(f"{counts['resolved']} resolved and verified, {counts['none']} without one, {counts['broken']} broken")
    return 1 if counts["broken"] else 0


def attribution() -> str:
    """Who replays: the user's name in git, which he put there to be named by."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "anonymous"
    return done.stdout.strip()[:80] or "anonymous"


VERBS = (Verb("replay", "run a record of the past again and compare it with its claim", _arguments, _replay),)
