"""new, diff, run, check, verify, pack: a submission from its first line to its evidence."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs.verb import Verb, count_of_runs, dollars, next_step, project_of, terminated

if TYPE_CHECKING:
    from harness.core.judgement import Verdict
    from harness.evidence.contents import Evidence


def _new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="what the idea is called, like fewer-steps; with --refresh: submissions/<slug>")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RECORD",
        help="start from its script: smoke/2, or a track for its current record (smoke runs on a laptop)",
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="a clone or a copy of the repository of the record's original"
    )
    parser.add_argument(
        "--refresh", action="store_true", help="only write the hashes of changed files into its manifest.lock"
    )


def _new(args: argparse.Namespace) -> int:
    from harness.submission import draft
    from harness.ui import console

    project = project_of(args)
    if args.refresh:
        console.say(draft.refresh(project, args.name))
        return 0
    folder, source = draft.make(project, args.name, args.start, checkout=args.checkout)
    name = project.show(folder)
    console.say(f"made {name} from {draft.described(project, source)}")
    console.say("edit train_gpt.py and answer the questions of README.md there, then:")
    for step in (f"run {name}", f"pack {name}", f"check {name}"):
        console.say(f"  speedrun {step}")
    return 0


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug> or a record like short/12")
    parser.add_argument(
        "--against", metavar="RECORD", help="what to compare with (default: the parent of its manifest)"
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="a clone or a copy of the repository of the record's original"
    )


def _diff(args: argparse.Namespace) -> int:
    from harness.catalog import subjects
    from harness.submission import codediff
    from harness.ui import console

    project = project_of(args)
    found = subjects.find_subject(project, args.submission, frozen=False)
    old = codediff.against(project, found, args.against, checkout=args.checkout)
    change = codediff.between(old, found)
    for line in change.lines:
        console.put(line, style=codediff.style(line))
    for remark in change.remarks:
        console.say(remark, style="yellow")
    console.say(f"{change.size} from {old.name} to {found.name}; comments, docstrings and blank lines do not count")
    return 0


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
    from harness.catalog import subjects
    from harness.launch.torchrun import TorchrunLauncher
    from harness.run import series
    from harness.submission import draft
    from harness.ui import console, run_report
    from harness.ui.bars import file_progress

    signal.signal(signal.SIGTERM, terminated)
    project = project_of(args)
    looking = args.plan or args.dry  # such a run counts for nothing, so nothing has to be frozen for it
    if not looking and (froze := draft.freeze_for_run(project, args.subject)):
        console.say(froze)
    found = subjects.find_subject(project, args.subject, frozen=not looking)
    sitting = series.plan(
        project, found, args.runs, dry=args.dry, settle=not args.plan, until_decided=args.until_decided
    )
    run_report.say_stand_in(project, args.subject, found)
    run_report.say_plan(sitting, looking=args.plan)
    if args.plan:
        return 0
    with next_step(run_report.after_a_stop(sitting)):
        with file_progress("fetching") as progress:
            ready = series.prepare(sitting, allow_network=not args.no_fetch, progress=progress)
        judged = series.run(project, sitting, ready, TorchrunLauncher(), run_report.watch(sitting))
    if judged is None:
        run_report.say_dry_end(sitting)
        return 0
    status = run_report.say_outcome(project, found, *judged, usd_per_hour=args.usd_per_hour, ran=True)
    return _tell(args, *judged, status)


def _verify_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug> or a record like smoke/2")
    parser.add_argument("--usd-per-hour", type=dollars, metavar="X", help="say what the runs still needed would cost")
    parser.add_argument("--json", action="store_true", help="the verdict as JSON on stdout")


def _verify(args: argparse.Namespace) -> int:
    from harness.catalog import subjects
    from harness.run import series
    from harness.ui import run_report

    project = project_of(args)
    past = subjects.past_record(project, args.subject)
    if past is not None:
        gathered, verdict = series.verify_past(project, past)
        run_report.say_past(gathered, verdict)
        return _tell(args, gathered, verdict, 0 if verdict.outcome == "pass" else 1)
    found = subjects.find_subject(project, args.subject)
    gathered, verdict = series.verify(project, found)
    status = run_report.say_outcome(project, found, gathered, verdict, usd_per_hour=args.usd_per_hour, ran=False)
    return _tell(args, gathered, verdict, status)


def _tell(args: argparse.Namespace, gathered: Evidence, verdict: Verdict, status: int) -> int:
    if args.json:
        from harness.core import codec
        from harness.ui import run_report

        told = codec.encode(verdict) | {"runs": [run_report.run_figures(run) for run in gathered.runs]}
        json.dump(told, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
    return status


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submissions", nargs="+", metavar="submission", help="submissions/<slug>")
    parser.add_argument("--format", choices=("text", "github"), default="text", help="github: annotations on stdout")
    parser.add_argument("--markdown", action="store_true", help="the report for the pull request on stdout")


def _check(args: argparse.Namespace) -> int:
    from harness.submission import inspection
    from harness.ui import check_report

    project = project_of(args)
    status = 0
    for name in args.submissions:
        checked = inspection.check(project, Path(name))
        check_report.say(project, checked)
        if args.format == "github":
            for line in check_report.workflow_lines(checked):
                print(line)
        if args.markdown:
            print(check_report.markdown(project, checked))
        # A folder that cannot be read at all is unusable input; anything else that was found is a finding.
        status = max(status, 0 if checked.in_order else 2 if checked.found is None else 1)
    return status


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _pack(args: argparse.Namespace) -> int:
    from harness.catalog import subjects
    from harness.submission import packing
    from harness.ui import console

    project = project_of(args)
    found = subjects.find_subject(project, args.submission)
    count, parents = packing.pack(project, found)
    beside = f", and {parents} of its parent" if parents else ""
    console.say(f"packed {count} run{'s' * (count != 1)}{beside} into {found.name}/evidence")
    console.say(f"next: speedrun check {found.name}")
    return 0


VERBS = (
    Verb("new", "make a submission's folder from the template or a record's script", _new_arguments, _new),
    Verb("diff", "show the change of a submission's code alone", _diff_arguments, _diff),
    Verb("run", "run a submission or a record on this machine and judge it", _run_arguments, _run),
    Verb("verify", "judge a submission or a record by its evidence", _verify_arguments, _verify),
    Verb("check", "check a submission's folder and what there is of its evidence", _check_arguments, _check),
    Verb("pack", "copy the evidence of all runs of a submission into its folder", _pack_arguments, _pack),
)
