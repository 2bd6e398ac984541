"""check, pack: a submission's folder, ready for a pull request."""

from __future__ import annotations

import argparse

from harness.verbs import Verb, project_of


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _check(args: argparse.Namespace) -> int:
    from harness import console, report, subject, submit

    project = project_of(args)
    found = subject.find_subject(project, args.submission)
    submit.check_folder(found)
    console.say(
        f"{found.name}: manifest, names and hashes are in order ({found.script_sha256[:12]}, {found.ruleset.id})"
    )
    judged = submit.judge_if_run(project, found)
    if judged is None:
        console.say(f"it has no runs yet; make some: speedrun run {found.name}")
        return 0
    return report.say_outcome(project, found, *judged)


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _pack(args: argparse.Namespace) -> int:
    from harness import console, subject, submit

    project = project_of(args)
    found = subject.find_subject(project, args.submission)
    count = submit.pack(project, found)
    console.say(f"packed {count} runs into {found.name}/evidence")
    return 0


VERBS = (
    Verb("check", "check a submission's folder and what there is of its evidence", _check_arguments, _check),
    Verb("pack", "copy the evidence of all runs of a submission into its folder", _pack_arguments, _pack),
)
