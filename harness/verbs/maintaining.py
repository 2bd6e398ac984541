"""accept, import: what maintainers do to records."""

import argparse
import re
from pathlib import Path

from harness.verbs.verb import Verb, catalog_of, project_of


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
    parser.add_argument("facts", metavar="FACTS_DIR", help="the folder with records.csv, evidence.csv, scripts.csv, …")


def _import(args: argparse.Namespace) -> int:
    from harness.maintain import history
    from harness.ui import console

    records, written = history.import_history(project_of(args), Path(args.facts))
    console.say(f"{records} records imported; {written} files written")
    return 0


VERBS = (
    Verb(
        "accept",
        "make a packed submission a record, time a record again or withdraw one (maintainers)",
        _accept_arguments,
        _accept,
    ),
    Verb("import", "write the records of the past from tables of facts (maintainers)", _import_arguments, _import),
)
