"""new, diff: a submission while it is written."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.verbs import Verb, project_of


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
        "--refresh", action="store_true", help="only write the hashes of changed files into its manifest"
    )


def _new(args: argparse.Namespace) -> int:
    from harness import console, new

    project = project_of(args)
    if args.refresh:
        console.say(new.refresh(project, args.name))
        return 0
    folder, source = new.make(project, args.name, args.start, checkout=args.checkout)
    name = project.show(folder)
    console.say(f"made {name} from {new.described(project, source)}")
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
    from harness import codediff, console, subject

    project = project_of(args)
    found = subject.find_subject(project, args.submission, frozen=False)
    old = codediff.against(project, found, args.against, checkout=args.checkout)
    change = codediff.between(old, found)
    for line in change.lines:
        console.put(line, style=codediff.style(line))
    for remark in change.remarks:
        console.say(remark, style="yellow")
    console.say(f"{change.size} from {old.name} to {found.name}; comments, docstrings and blank lines do not count")
    return 0


VERBS = (
    Verb("new", "make a submission's folder from the template or a record's script", _new_arguments, _new),
    Verb("diff", "show the change of a submission's code alone", _diff_arguments, _diff),
)
