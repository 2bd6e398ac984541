"""show, board: list and show tracks, records and runs, and write the leaderboard."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.core.text import plural
from harness.verbs import lists
from harness.verbs.verb import Verb, catalog_of, print_json, project_of

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog


def _board_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="write nothing; exit with status 1 if a page is stale")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON on stdout")
    parser.add_argument("--site", metavar="DIR", type=Path, help="write the board as a static web site into DIR")
    parser.add_argument(
        "--upstream-row", metavar="RECORD", help="print the row of one record for the README of modded-nanogpt"
    )


def _board(args: argparse.Namespace) -> int:
    from harness.board import leaderboard
    from harness.ui import console

    if args.site is not None:
        return _site(args)
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
                console.say(f"{project.show(file.path)} {file.why}")
            console.say("run `speedrun board` and commit what it writes" if stale else "the board is current")
        return 1 if stale else 0
    changed = leaderboard.write(project)
    for file in changed:
        console.say(f"{project.show(file.path)} {file.why}")
    if not changed:
        console.say("the board is current; nothing was written")
    return 0


def _site(args: argparse.Namespace) -> int:
    from harness.board.site import building, site_folder
    from harness.ui import console

    if args.check or args.json or args.upstream_row is not None:
        raise HarnessError.at("board", "--site goes with no other option", "give --site DIR alone")
    catalog = catalog_of(args)
    site_folder.require_outside(catalog.project, args.site)
    site_folder.require_ours(args.site)  # before the work; again when it is written
    files = building.render(building.read_material(catalog))
    site_folder.write_site(args.site, files)
    pages = plural(sum(name.endswith(".html") for name in files), "page")
    console.say(f"wrote {pages} to {args.site}; open {args.site / 'index.html'} in a browser")
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
        help="a record like short/12 or short/21.1, or its folder; runs: those of this machine; a run by its id; "
        "none: tracks and records",
    )
    parser.add_argument(
        "--follow", action="store_true", help="show a run while it goes (without a name: the one that began last)"
    )
    parser.add_argument("--json", action="store_true", help="print what is shown as JSON on stdout")
    lists.arguments(parser)


def _show_run(args: argparse.Namespace, catalog: Catalog) -> int:
    """Show where a run stands, or follow it to its end."""
    from harness.store import run_files
    from harness.ui import follow_report

    if args.follow and args.json:
        raise HarnessError.at("--follow", "shows a run to people, --json prints it once", "leave one of them out")
    if args.record is not None and not run_files.is_run_name(args.record):
        raise HarnessError.at(args.record, "is no run, and --follow shows one", "name a run by its id in .runs")
    run_id = follow_report.find_run(catalog, args.record)
    if args.json:
        print_json(follow_report.figures(catalog, run_id))
    else:
        follow_report.say_run(catalog, run_id, follow=args.follow)
    return 0


def _show(args: argparse.Namespace) -> int:
    from harness.board import rows
    from harness.store import run_files
    from harness.ui import show_report

    catalog = catalog_of(args)
    if args.follow or (args.record is not None and run_files.is_run_name(args.record)):
        return _show_run(args, catalog)
    if args.record is None:
        return lists.show_records(args, catalog)
    if args.record == lists.RUNS:
        return lists.show_runs(args, catalog)
    lists.refuse_filters(args, catalog)
    lists.refuse_word(args.record, catalog)
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
