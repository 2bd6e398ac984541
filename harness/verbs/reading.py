"""show, board: list and show tracks, records and runs, and write the leaderboard."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from harness.verbs import lists
from harness.verbs.verb import Verb, catalog_of, print_json, project_of

if TYPE_CHECKING:
    pass


def _board_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a page is stale")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON on stdout")
    parser.add_argument(
        "--upstream-row", metavar="RECORD", help="print the row of one record for the README of modded-nanogpt"
    )


def _board(args: argparse.Namespace) -> int:
    from harness.board import leaderboard
    from harness.ui import console

    if args.upstream_row is not None:
        return _upstream_row(args)
    project = project_of(args)
    if args.json:
        sys.stdout.write(leaderboard.read_and_render(project)["leaderboard/records.json"])
        return 0
    if args.check:
        stale = leaderboard.find_stale(project, leaderboard.read_and_render(project))
        with console.product():
            for file in stale:
                console.say(f"{project.show(file.path)} {file.why}; run `speedrun board` and commit what it writes")
            if not stale:
                console.say("the board is current")
        return 1 if stale else 0
    changed = leaderboard.write(project)
    for path in changed:
        console.say(f"wrote {project.show(path)}")
    if not changed:
        console.say("the board is current; nothing was written")
    return 0


def _upstream_row(args: argparse.Namespace) -> int:
    from harness.board import rows, upstream_row
    from harness.ui import console

    catalog = catalog_of(args)
    record, row = rows.row_of(catalog, args.upstream_row)
    all_rows = rows.make_rows(catalog.track(record.track), catalog.records(record.track))
    print(upstream_row.upstream_row(record, row, all_rows))
    if not upstream_row.is_linked(record):
        console.note("no log or pull request of their repository is known here: fill in that column")
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "record",
        nargs="?",
        metavar="NAME",
        help="a record like short/12 or short/21.1, or its folder; runs: those of this machine; none: tracks and records",
    )
    parser.add_argument("--json", action="store_true", help="print what is shown as JSON on stdout")
    lists.arguments(parser)


def _show(args: argparse.Namespace) -> int:
    from harness.board import rows
    from harness.ui import show_report

    catalog = catalog_of(args)
    if args.record is None:
        return lists.show_records(args, catalog)
    if args.record == lists.RUNS:
        return lists.show_runs(args, catalog)
    lists.refuse_filters(args)
    # A run by its id, and `--follow`, are answered here.
    record, row = rows.row_of(catalog, args.record)
    if args.json:
        print_json({"row": row, "record": record})
        return 0
    show_report.say_record(catalog.project, record, row)
    return 0


VERBS = (
    Verb("board", "write the leaderboard from the records, or check that it is current", _board_arguments, _board),
    Verb(
        "show",
        "list tracks, records and runs, or show one of them",
        _show_arguments,
        _show,
        reads=True,
    ),
)
