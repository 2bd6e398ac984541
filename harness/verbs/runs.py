"""run, replay, verify: executing and judging."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from harness.verbs import Verb, project_of


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug>, a record like smoke/2, or a track for its current record")
    parser.add_argument("--runs", type=_count, metavar="N", help="how many runs there shall be (default: the track's)")
    parser.add_argument("--plan", action="store_true", help="print what would happen and do nothing")
    parser.add_argument("--dry", action="store_true", help="one scaled-down run on synthetic data; never judged")
    parser.add_argument("--no-fetch", action="store_true", help="refuse to download what is missing")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _run(args: argparse.Namespace) -> int:
    from harness import console, new, pipeline, report, subject
    from harness.launch.torchrun import TorchrunLauncher
    from harness.progress import file_progress

    signal.signal(signal.SIGTERM, _terminated)
    project = project_of(args)
    looking = args.plan or args.dry  # such a run counts for nothing, so nothing has to be frozen for it
    if not looking and (froze := new.freeze_for_run(project, args.subject)):
        console.say(froze)
    found = subject.find_subject(project, args.subject, frozen=not looking)
    sitting = pipeline.plan(project, found, args.runs, dry=args.dry, settle=not args.plan)
    report.say_plan(sitting)
    if args.plan:
        return 0
    with file_progress("fetching") as progress:
        ready = pipeline.prepare(sitting, allow_network=not args.no_fetch, progress=progress)
    judged = pipeline.run(project, sitting, ready, TorchrunLauncher(), report.watch(sitting))
    if judged is None:
        report.say_dry_end(sitting)
        return 0
    return _tell(args, judged[1], report.say_outcome(project, found, *judged))


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug> or a record like smoke/2")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _verify(args: argparse.Namespace) -> int:
    from harness import pipeline, report, subject

    project = project_of(args)
    found = subject.find_subject(project, args.subject)
    gathered, verdict = pipeline.verify(project, found)
    return _tell(args, verdict, report.say_outcome(project, found, gathered, verdict))


def _tell(args: argparse.Namespace, verdict: object, status: int) -> int:
    if args.json:
        from harness import jsonform

        json.dump(jsonform.encode(verdict), sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    return status


def _count(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs; give 1 to 1000")
    return int(text)


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


VERBS = (
    Verb("run", "run a submission or a record on this machine and judge it", _run_arguments, _run),
    Verb("replay", "run a record's script again, each time afresh", _run_arguments, _run),
    Verb("verify", "judge a submission or a record by its evidence", _verify_arguments, _verify),
)
