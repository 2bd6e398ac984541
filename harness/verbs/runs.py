"""run, verify: executing and judging."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from typing import TYPE_CHECKING

from harness.verbs import Verb, count_of_runs, dollars, next_step, project_of, terminated

if TYPE_CHECKING:
    from harness.schema import Verdict
    from harness.verdict.base import Evidence


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug>, a record like smoke/2, or a track for its current record")
    parser.add_argument(
        "--runs", type=count_of_runs, metavar="N", help="how many runs there shall be (default: the track's)"
    )
    parser.add_argument("--plan", action="store_true", help="print what would happen and do nothing")
    parser.add_argument("--dry", action="store_true", help="one scaled-down run on synthetic data; never judged")
    parser.add_argument("--until-decided", action="store_true", help="stop as soon as the test on the loss has decided")
    parser.add_argument("--usd-per-hour", type=dollars, metavar="X", help="say what the runs still needed would cost")
    parser.add_argument("--no-fetch", action="store_true", help="refuse to download what is missing")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _run(args: argparse.Namespace) -> int:
    from harness import console, new, pipeline, report, subject
    from harness.launch.torchrun import TorchrunLauncher
    from harness.progress import file_progress

    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    looking = args.plan or args.dry  # such a run counts for nothing, so nothing has to be frozen for it
    if not looking and (froze := new.freeze_for_run(project, args.subject)):
        console.say(froze)
    found = subject.find_subject(project, args.subject, frozen=not looking)
    sitting = pipeline.plan(
        project, found, args.runs, dry=args.dry, settle=not args.plan, until_decided=args.until_decided
    )
    report.say_stand_in(project, args.subject, found)
    report.say_plan(sitting, looking=args.plan)
    if args.plan:
        return 0
    with next_step(report.after_a_stop(sitting)):
        with file_progress("fetching") as progress:
            ready = pipeline.prepare(sitting, allow_network=not args.no_fetch, progress=progress)
        judged = pipeline.run(project, sitting, ready, TorchrunLauncher(), report.watch(sitting))
    if judged is None:
        report.say_dry_end(sitting)
        return 0
    status = report.say_outcome(project, found, *judged, usd_per_hour=args.usd_per_hour, ran=True)
    return _tell(args, *judged, status)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug> or a record like smoke/2")
    parser.add_argument("--usd-per-hour", type=dollars, metavar="X", help="say what the runs still needed would cost")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _verify(args: argparse.Namespace) -> int:
    from harness import pipeline, report, subject

    project = project_of(args)
    past = subject.past_record(project, args.subject)
    if past is not None:
        gathered, verdict = pipeline.verify_past(project, past)
        report.say_past(gathered, verdict)
        return _tell(args, gathered, verdict, 0 if verdict.outcome == "pass" else 1)
    found = subject.find_subject(project, args.subject)
    gathered, verdict = pipeline.verify(project, found)
    status = report.say_outcome(project, found, gathered, verdict, usd_per_hour=args.usd_per_hour, ran=False)
    return _tell(args, gathered, verdict, status)


def _tell(args: argparse.Namespace, gathered: Evidence, verdict: Verdict, status: int) -> int:
    if args.json:
        from harness import jsonform, report

        told = jsonform.encode(verdict) | {"runs": [report.run_figures(run) for run in gathered.runs]}
        json.dump(told, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    return status


VERBS = (
    Verb("run", "run a submission or a record on this machine and judge it", _run_arguments, _run),
    Verb("verify", "judge a submission or a record by its evidence", _verify_arguments, _verify),
)
