"""accept, import: what maintainers do to records."""

import argparse
import re
from pathlib import Path

from harness.verbs.verb import Verb, catalog_of, print_json


def _accept_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("submission", nargs="?", help="a packed submissions/<slug>")
    what.add_argument(
        "--retime", metavar="RECORD", help="time a record again, from its comparison with the current record"
    )
    what.add_argument("--withdraw", metavar="RECORD", help="mark a record as withdrawn; needs --why")
    parser.add_argument("--why", metavar="TEXT", help="why a record is withdrawn, one line")
    parser.add_argument(
        "--pull-request", type=_number, metavar="N", help="the number of the pull request that brought the submission"
    )


def _number(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a pull request")
    return text


def _accept(args: argparse.Namespace) -> int:
    from harness.board import leaderboard
    from harness.core.errors import HarnessError
    from harness.maintain import acceptance, amendments
    from harness.ui import console, run_report

    if (args.withdraw is None) != (args.why is None):
        todo = "write accept --withdraw RECORD --why 'the reason'"
        raise HarnessError.at("accept", "--withdraw and --why are given together or not at all", todo)
    if args.pull_request is not None and args.submission is None:
        raise HarnessError.at("--pull-request", "belongs to a submission that becomes a record", "leave it out")
    catalog = catalog_of(args)
    if args.withdraw is not None:
        path = amendments.withdraw(catalog, args.withdraw, args.why)
        console.say(f"withdrawn: {catalog.project.show(path)}")
    elif args.retime is not None:
        timed, outcome = amendments.retime(catalog, args.retime)
        console.say(f"timed again, {outcome}: records/{timed.track}/{timed.slug}")
    else:
        subject = catalog.subject(catalog.find(args.submission))
        verdict, record = acceptance.accept(catalog, subject, pull_request=args.pull_request)
        console.say_verdict(verdict)
        run_report.say_newer(catalog.project, subject)
        if record is None:
            return 1
        console.say(
            f"accepted as {record.track}/{record.number}: {subject.name} moved to records/{record.track}/{record.slug}"
        )
    for path in leaderboard.write(catalog.project):
        console.say(f"wrote {catalog.project.show(path)}")
    console.say("commit all that was added, moved and written, in one commit")
    return 0


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--checkout", type=Path, metavar="DIR", help="read a clone of the upstream repository")
    place.add_argument("--upstream", action="store_true", help="clone or fetch the public repository, and read that")
    parser.add_argument("--commit", metavar="COMMIT", help="read it as of this commit")
    parser.add_argument(
        "--own",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="say which runs are a row's own, like short/88=prefix-1375-8x; a pattern of file names, or - for none",
    )
    parser.add_argument("--plan", action="store_true", help="say what is new and write nothing")
    parser.add_argument("--json", action="store_true", help="print it as JSON on stdout")


def _import(args: argparse.Namespace) -> int:
    from harness.catalog import checkout
    from harness.maintain import importing
    from harness.ui import import_report

    catalog = catalog_of(args)
    own = importing.checked_own(args.own)
    repository = importing.REPOSITORY
    place = checkout.updated(repository) if args.upstream else checkout.given(args.checkout, repository)
    plan = importing.plan_import(catalog, place, commit=args.commit, own=own)
    if not args.plan:
        importing.write_import(catalog, plan)
    if args.json:
        print_json(plan)
    else:
        import_report.say_plan(plan)
    import_report.say_end(plan, lambda new: catalog.project.show(catalog.folder(new.record)), planned=args.plan)
    return 1 if plan.left_out else 0


VERBS = (
    Verb(
        "accept",
        "make a packed submission a record, time a record again or withdraw one (maintainers)",
        _accept_arguments,
        _accept,
    ),
    Verb("import", "bring new rows of modded-nanogpt into records/ (maintainers)", _import_arguments, _import),
)
