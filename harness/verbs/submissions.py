"""pack, accept: from a judged submission to a record."""

from __future__ import annotations

import argparse

from harness.verbs import Verb, project_of


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _pack(args: argparse.Namespace) -> int:
    from harness import console, subject, submit

    project = project_of(args)
    found = subject.find_subject(project, args.submission)
    count = submit.pack(project, found)
    console.say(f"packed {count} runs into {found.name}/evidence")
    return 0


def _accept_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>, packed")


def _accept(args: argparse.Namespace) -> int:
    from harness import console, leaderboard, subject, submit

    project = project_of(args)
    found = subject.find_subject(project, args.submission)
    verdict, record = submit.accept(project, found)
    console.say_verdict(verdict)
    if record is None:
        return 1
    console.say(f"accepted as {record.track}/{record.number}: records/{record.track}/{record.slug}")
    for path in leaderboard.write(project):
        console.say(f"wrote {project.show(path)}")
    return 0


VERBS = (
    Verb("pack", "copy the evidence of all runs of a submission into its folder", _pack_arguments, _pack),
    Verb("accept", "judge a packed submission and make it a record (maintainers)", _accept_arguments, _accept),
)
