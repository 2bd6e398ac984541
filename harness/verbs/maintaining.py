"""accept, import: what maintainers do to records."""

from __future__ import annotations

import argparse
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from harness.verbs import accepting
from harness.verbs.verb import Verb, catalog_of, count_of_runs, dollars, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.catalog.subjects import Subject
    from harness.core.record import Record


def _accept_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "submission", nargs="*", default=[], help="packed submissions/<slug>; several of one track share what they can"
    )
    what.add_argument(
        "--retime", metavar="RECORD", help="time a record again, from its comparison with the current record"
    )
    what.add_argument("--withdraw", metavar="RECORD", help="mark a record as withdrawn; needs --why")
    parser.add_argument("--why", metavar="TEXT", help="why a record is withdrawn, one line")
    parser.add_argument(
        "--pull-request", type=_number, metavar="N", help="the number of the pull request that brought the submission"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print what would be run, with its time and price, or written; do nothing"
    )
    session = parser.add_argument_group("a session of fresh runs, where the ruleset asks for one")
    session.add_argument("--timer", metavar="@HANDLE", help="who makes it: somebody in tracks/timers.yaml")
    session.add_argument(
        "--runs", type=count_of_runs, metavar="N", help="declare how many runs a test with a fixed number looks at"
    )
    session.add_argument(
        "--cold", action="store_true", help="start every run from empty compile caches, on tracks that need a GPU"
    )
    session.add_argument("--usd-per-hour", type=dollars, metavar="Y", help="price of this machine")
    session.add_argument(
        "--budget-usd", type=dollars, metavar="X", help="stop before a run that would exceed X US dollars in all"
    )
    session.add_argument(
        "--checkout", type=Path, metavar="DIR", help="read originals from a clone or a copy of their repository"
    )
    parser.add_argument("--json", action="store_true", help="with --plan: print it as JSON on stdout")
    session.add_argument("--no-fetch", action="store_true", help="download nothing; fail where something is missing")


def _number(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of a pull request")
    return text


def _accept(args: argparse.Namespace) -> int:
    from harness.core.errors import HarnessError

    if args.json and not args.plan:
        raise HarnessError.at(
            "--json", "is for a plan", "add --plan; a record that was accepted is read by `speedrun show`"
        )
    args.planned = []  # sessions, as data
    status = _accept_all(args)
    if args.json:
        print_json({"exit_status": status, "sessions": args.planned})
    return status


def _accept_all(args: argparse.Namespace) -> int:
    from harness.board import leaderboard
    from harness.core.errors import HarnessError
    from harness.maintain import amendments
    from harness.ui import console

    if (args.withdraw is None) != (args.why is None):
        todo = "write accept --withdraw RECORD --why 'the reason'"
        raise HarnessError.at("accept", "--withdraw and --why are given together or not at all", todo)
    if args.pull_request is not None and len(args.submission) != 1:
        what = "belongs to one submission that becomes a record"
        raise HarnessError.at("--pull-request", what, "leave it out, or name one submission")
    catalog = catalog_of(args)
    _require_price(args)
    status: int | None = 0
    if args.withdraw is not None:
        path = amendments.withdraw(catalog, args.withdraw, args.why, looking=args.plan)
        console.say(f"{'would write' if args.plan else 'withdrawn'}: {catalog.project.show(path)}")
    elif args.retime is not None:
        timed, outcome = amendments.retime(catalog, args.retime, looking=args.plan)
        done = "would be timed again" if args.plan else "timed again"
        console.say(f"{done}, {outcome}: records/{timed.track}/{timed.slug}")
    elif len(args.submission) > 1:
        made, status = accepting.accept_several(args, catalog)
        if not made:
            return status
    else:
        status = _accept_submission(args, catalog, args.submission[0])
        if status is not None:
            return status
    if args.plan:
        return status or 0
    for file in leaderboard.write(catalog.project):
        console.say(f"{catalog.project.show(file.path)} {file.why}")
    console.say("commit all that was added, moved and written, in one commit")
    return status or 0


def _accept_submission(args: argparse.Namespace, catalog: Catalog, name: str) -> int | None:
    """Make a record of a submission; the exit status where it is none, else None."""
    from harness.core.errors import HarnessError
    from harness.maintain import acceptance
    from harness.ui import console, run_report

    done = acceptance.moved(catalog.project, name, looking=args.plan)
    if done is not None:
        noted = catalog.read(done).pull_request
        if args.pull_request not in (None, noted):
            what = f"was accepted already, with {f'pull request {noted}' if noted else 'no pull request'} noted"
            raise HarnessError.at(name, what, "a record never changes: leave out --pull-request")
        console.say(f"{name} was accepted already: {catalog.project.show(done)}")
        return None
    subject = catalog.subject(catalog.find(name))
    if subject.ruleset.acceptance == "session":
        record = _accept_by_session(args, catalog, subject)
    else:
        _refuse_flags(args, subject)
        verdict, record = acceptance.accept(catalog, subject, pull_request=args.pull_request, looking=args.plan)
        console.say_verdict(verdict)
        run_report.say_newer(catalog.project, subject)
    if isinstance(record, int):
        return record
    if record is None:
        return 1
    number, place = f"{record.track}/{record.number}", f"records/{record.track}/{record.slug}"
    if args.plan:
        console.say(f"would be accepted as {number}: {subject.name} would move to {place}")
    else:
        console.say(f"accepted as {number}: {subject.name} moved to {place}")
    return None


def _require_price(args: argparse.Namespace) -> None:
    from harness.core.errors import HarnessError

    if args.budget_usd is not None and args.usd_per_hour is None:
        raise HarnessError.at("--budget-usd", "needs the price of this machine", "give --usd-per-hour too")


def _refuse_flags(args: argparse.Namespace, subject: Subject) -> None:
    """Raise HarnessError for flags of a session where the ruleset asks for none."""
    from harness.core.errors import HarnessError

    given = [
        f"--{name.replace('_', '-')}"
        for name in ("timer", "runs", "usd_per_hour", "budget_usd", "checkout", "no_fetch", "cold")
        if getattr(args, name)
    ]
    if given:
        what = f"is for a session of fresh runs, and {subject.ruleset.id} accepts the submitter's evidence"
        raise HarnessError.at(given[0], what, "leave it out")


def _accept_by_session(args: argparse.Namespace, catalog: Catalog, subject: Subject) -> Record | int | None:
    """Make or continue the session of a submission, and what follows from it; an exit status where nothing is decided."""
    from harness.maintain import acceptance, official, session_plan, together
    from harness.maintain.session_price import Price
    from harness.maintain.session_work import Work
    from harness.run import judging
    from harness.store.comparisons import only_one
    from harness.ui import accept_report, console, plan_data

    signal.signal(signal.SIGTERM, terminated)
    acceptance.acceptable(catalog, subject)
    submitted, verdict = judging.verify(catalog, subject)
    if verdict.outcome != "pass":
        console.say_verdict(verdict)
        return None
    accept_report.say_no_record(catalog, subject, submitted, verdict)
    session = official.plan(catalog, subject, timer=args.timer, runs=args.runs)
    price = Price(args.usd_per_hour, args.budget_usd)
    shown = accept_report.shown(catalog)
    network = not args.no_fetch
    work = Work(catalog, subject, session, shown, price, checkout=args.checkout, allow_network=network, cold=args.cold)
    if not official.is_done(catalog.project, session):
        outlook = session_plan.outlook(work, submitted)
        accept_report.say_plan(work, outlook, looking=args.plan)
        args.planned.append(plan_data.of_session(work, outlook))
        if args.plan:
            return 0
        with only_one(catalog.project):
            together.compare([work])  # of several candidates, where its session was begun beside others
            stop = official.perform(work)
        if stop is not None:
            accept_report.say_stop(work, stop)
            return None
    elif args.plan:
        console.say(f"the session {session.id} is done; nothing is run again")
    judgement, record = acceptance.accept_session(
        catalog, subject, session, pull_request=args.pull_request, looking=args.plan
    )
    accept_report.say_judgement(judgement, subject.name)
    return record


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
    from harness.ui import console, import_report

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
        with console.product():
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
