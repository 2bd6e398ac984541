"""board, show: the leaderboard and one record of it."""

from __future__ import annotations

import argparse
import json
import sys

from harness.verbs import Verb, project_of


def _board_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if anything is stale")
    parser.add_argument("--json", action="store_true", help="the rows as JSON on stdout")


def _board(args: argparse.Namespace) -> int:
    from harness import console, leaderboard

    project = project_of(args)
    if args.json:
        sys.stdout.write(leaderboard.read_and_render(project)["leaderboard/records.json"])
        return 0
    if args.check:
        stale = leaderboard.check(project)
        for file in stale:
            console.say(f"{project.show(file.path)} {file.why}; run `speedrun board` and commit what it writes")
        if not stale:
            console.say("the board is current")
        return 1 if stale else 0
    changed = leaderboard.write(project)
    for path in changed:
        console.say(f"wrote {project.show(path)}")
    if not changed:
        console.say("the board was current; nothing was written")
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", help="a record like short/12, short/21.1, or its folder")
    parser.add_argument("--json", action="store_true", help="the row and its runs as JSON on stdout")


def _show(args: argparse.Namespace) -> int:
    from harness import jsonform, leaderboard, show_report

    project = project_of(args)
    record, row = leaderboard.row_of(project, args.record)
    if args.json:
        data = {"row": jsonform.encode(row), "record": jsonform.encode(record)}
        json.dump(data, sys.stdout, indent=1, ensure_ascii=False)
        sys.stdout.write("\n")
        return 0
    show_report.say_record(project, record, row)
    return 0


VERBS = (
    Verb("board", "write the leaderboard from the records, or check that it is current", _board_arguments, _board),
    Verb("show", "show one record: its runs, curve, evidence, status and why", _show_arguments, _show),
)
