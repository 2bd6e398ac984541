"""The lists of `show`: tracks and records, and the runs of this machine, narrowed down by filters."""

from __future__ import annotations

import argparse
import datetime
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError, Problem, raise_if
from harness.core.text import did_you_mean
from harness.verbs.verb import print_json

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.run.past_runs import ListedRun

LISTED = ("tracks", "records")  # what `show` lists by itself
RUNS = "runs"  # what `show` is asked for the runs of this machine by
FEW = 20  # lines of a list that nobody narrowed down
EVIDENCE = ("verified", "timed", "logged", "claimed")  # a test holds them equal to those of the catalog


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what narrows a list down."""
    some = parser.add_argument_group("lists")
    some.add_argument("--track", metavar="TRACK", help="of this track")
    some.add_argument("--by", metavar="NAME", help="records by somebody")
    some.add_argument("--since", type=_day, metavar="DATE", help="from this day on, like 2026-01-31")
    some.add_argument("--until", type=_day, metavar="DATE", help="up to this day")
    some.add_argument("--evidence", choices=EVIDENCE, help="records with this evidence")
    some.add_argument("--words", metavar="TEXT", help="whose title (of runs: whose script) holds this text")
    some.add_argument("--all", action="store_true", help=f"all, not only the newest {FEW}")


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no date; write one like 2026-01-31") from None


def refuse_filters(args: argparse.Namespace, catalog: Catalog) -> None:
    """Raise HarnessError for filters of a list where one thing was named."""
    given = [name for name in ("track", "by", "since", "until", "evidence", "words", "all") if getattr(args, name)]
    track = args.record in catalog.track_names()
    todo = f"list that track with --track {args.record}" if track else "leave it out, or leave the name out"
    raise_if(Problem(f"--{name}", "narrows a list down, and one thing was named", todo) for name in given)


def refuse_word(name: str, catalog: Catalog) -> None:
    """Raise HarnessError for a mistyped word of a list, and for one that `show` alone lists; names pass."""
    if not name.isalpha() or name in catalog.track_names():
        return
    meant = did_you_mean(name, (RUNS, *LISTED, *catalog.track_names()))
    if meant == RUNS:
        raise HarnessError.at(name, "there is no such record or track", f"did you mean {RUNS}, those of this machine?")
    if meant in LISTED:
        raise HarnessError.at(
            name, "there is no such record or track", "`speedrun show` alone lists tracks and records"
        )


def show_records(args: argparse.Namespace, catalog: Catalog) -> int:
    """List tracks and records."""
    from harness.catalog import listing
    from harness.ui import console, list_report

    wanted = listing.Wanted(args.track, args.by, args.since, args.until, args.evidence, args.words)
    tracks, found = listing.tracks_of(catalog, wanted), listing.records_of(catalog, wanted)
    if args.json:
        print_json({"tracks": tracks, "records": found})
        return 0
    narrowed = args.all or wanted != listing.Wanted()
    shown = found if narrowed else sorted(found, key=lambda one: one.date or "", reverse=True)[:FEW]
    list_report.say_tracks(tracks)
    console.say("")
    list_report.say_records(shown, len(found) - len(shown), len(found))
    return 0


def show_runs(args: argparse.Namespace, catalog: Catalog) -> int:
    """List the runs of this machine, the newest first."""
    from harness.run import past_runs
    from harness.ui import list_report

    raise_if(
        Problem(f"--{name}", "narrows records down, not runs", "leave it out")
        for name in ("by", "evidence")
        if getattr(args, name)
    )

    def takes(run: ListedRun) -> bool:
        day = run.id[:8]  # UTC
        return (
            args.track in (None, run.track)
            and (args.since is None or day >= f"{args.since:%Y%m%d}")
            and (args.until is None or day <= f"{args.until:%Y%m%d}")
            and (args.words is None or args.words.casefold() in (run.subject or "").casefold())
        )

    if args.track is not None:
        catalog.track(args.track)  # one that there is not is an error
    runs, left = past_runs.runs_of(catalog.project, takes, None if args.all or args.json else FEW)
    if args.json:
        print_json(runs)
    else:
        narrowed = any((args.track, args.since, args.until, args.words))
        list_report.say_runs(runs, left, narrowed=narrowed)
    return 0
