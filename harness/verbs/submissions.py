"""check, pack: a submission's folder, ready for a pull request."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.verbs import Verb, project_of


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submissions", nargs="+", metavar="submission", help="submissions/<slug>")
    parser.add_argument("--format", choices=("text", "github"), default="text", help="github: annotations on stdout")
    parser.add_argument("--markdown", action="store_true", help="the report for the pull request on stdout")


def _check(args: argparse.Namespace) -> int:
    from harness import checking, checking_report

    project = project_of(args)
    status = 0
    for name in args.submissions:
        checked = checking.check(project, Path(name))
        checking_report.say(project, checked)
        if args.format == "github":
            for line in checking_report.workflow_lines(checked):
                print(line)
        if args.markdown:
            print(checking_report.markdown(project, checked))
        # A folder that cannot be read at all is unusable input; anything else that was found is a finding.
        status = max(status, 0 if checked.in_order else 2 if checked.found is None else 1)
    return status


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _pack(args: argparse.Namespace) -> int:
    from harness import console, subject, submit

    project = project_of(args)
    found = subject.find_subject(project, args.submission)
    count, parents = submit.pack(project, found)
    beside = f", and {parents} of its parent" if parents else ""
    console.say(f"packed {count} run{'s' * (count != 1)}{beside} into {found.name}/evidence")
    console.say(f"next: speedrun check {found.name}")
    return 0


VERBS = (
    Verb("check", "check a submission's folder and what there is of its evidence", _check_arguments, _check),
    Verb("pack", "copy the evidence of all runs of a submission into its folder", _pack_arguments, _pack),
)
