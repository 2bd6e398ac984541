"""accept A B C: make records of several submissions of one track in one go."""

from __future__ import annotations

import argparse
import dataclasses
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.verbs.verb import terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.catalog.subjects import Subject
    from harness.evidence.contents import Evidence
    from harness.maintain.session_work import Work
    from harness.maintain.together import Ended


def accept_several(args: argparse.Namespace, catalog: Catalog) -> tuple[int, int]:
    """Make or continue the sessions of several submissions; return how many are records now, and the exit status."""
    from harness.maintain import acceptance, together
    from harness.store.comparisons import only_one
    from harness.ui import console

    signal.signal(signal.SIGTERM, terminated)
    left, records = [], 0
    for name in dict.fromkeys(args.submission):
        done = acceptance.moved(catalog.project, name, looking=args.plan)
        if done is None:
            left.append(catalog.subject(catalog.find(name)))
        else:
            console.say(f"{name} was accepted already: {catalog.project.show(done)}")
            records += 1
    passed = _passing(catalog, left)
    if not passed:
        return records, 1 if left else 0
    works = _works(args, catalog, [subject for subject, _ in passed])
    if _say_plans(args, works, [evidence for _, evidence in passed]):
        return 0, 0
    with only_one(catalog.project):
        ended = together.perform(works)
    made, status = _accept_done(catalog, together.in_order(ended))
    return records + made, status if len(passed) == len(left) else status or 1


def _passing(catalog: Catalog, subjects: Sequence[Subject]) -> list[tuple[Subject, Evidence]]:
    """Keep the submissions whose own pack passes, and say what is wrong with the others."""
    from harness.maintain import acceptance, together
    from harness.run import judging
    from harness.ui import accept_report, console

    if subjects:
        together.require_alike(catalog, subjects)
    kept = []
    for subject in subjects:
        acceptance.acceptable(catalog, subject)
        evidence, verdict = judging.verify(catalog, subject)
        if verdict.outcome == "pass":
            accept_report.say_no_record(catalog, subject, evidence, verdict)
            kept.append((subject, evidence))
        else:
            console.say_verdict(verdict)
    return kept


def _works(args: argparse.Namespace, catalog: Catalog, subjects: Sequence[Subject]) -> list[Work]:
    from harness.maintain import together
    from harness.maintain.session_price import Price
    from harness.maintain.session_work import Work
    from harness.ui import accept_report

    planned = together.plan(catalog, subjects, timer=args.timer, runs=args.runs)
    price, shown = Price(args.usd_per_hour, args.budget_usd), accept_report.shown(catalog)
    works = [
        Work(
            catalog,
            subject,
            session,
            shown,
            price,
            checkout=args.checkout,
            allow_network=not args.no_fetch,
            cold=args.cold,
        )
        for subject, session in zip(subjects, planned, strict=True)
    ]
    return [
        dataclasses.replace(work, beside=tuple(one for one in planned if one is not work.session)) for work in works
    ]


def _say_plans(args: argparse.Namespace, works: Sequence[Work], submitted: Sequence[Evidence]) -> bool:
    """Print the plan of all that are not done; tell whether that is all that was asked for."""
    from harness.maintain import official, session_plan
    from harness.ui import accept_report, console, plan_data

    left = []
    for work, evidence in zip(works, submitted, strict=True):
        if official.is_done(work.project, work.session):
            console.say(f"the session {work.session.id} of {work.subject.name} is done; nothing of it is run again")
        else:
            left.append((work, evidence))
    if left:
        outlooks = session_plan.outlooks([work for work, _ in left], [evidence for _, evidence in left])
        for (work, _), outlook in zip(left, outlooks, strict=True):
            accept_report.say_plan(work, outlook, looking=args.plan)
            args.planned.append(plan_data.of_session(work, outlook))
        accept_report.say_total([work for work, _ in left], outlooks)
    return bool(args.plan)


def _accept_done(catalog: Catalog, ended: Sequence[Ended]) -> tuple[int, int]:
    """Make records of the sessions that are done, one after another; return how many, and the exit status."""
    from harness.catalog.lookup import Catalog
    from harness.maintain import acceptance, together
    from harness.ui import accept_report, console

    made, status = 0, 0
    best: str | None = None  # the record that came of these, where only the first can be one
    ahead = together.undecided(ended)  # a candidate that is not done and may have gained more
    for one in ended:
        work, gain = one.work, together.gain_of(one.work)
        if one.error is not None:
            accept_report.say_error(one.work, one.error)
            status = max(status, one.error.exit_status)
        elif one.stop is not None:
            accept_report.say_stop(work, one.stop)
            status = max(status, 1)
        elif gain is not None and ahead is not None:
            accept_report.say_waits(work, ahead)
            status = max(status, 1)
        elif gain is not None and best is not None:
            accept_report.say_beaten(work, best)
            status = max(status, 1)
        else:
            # Read anew: the one before may have become a record.
            judgement, record = acceptance.accept_session(Catalog(catalog.project), work.subject, work.session)
            accept_report.say_judgement(judgement, work.subject.name)
            if record is None:
                status = max(status, 1)
                continue
            made += 1
            best = f"{record.track}/{record.number}" if gain is not None else None
            console.say(
                f"accepted as {record.track}/{record.number}: {work.subject.name} moved to "
                f"records/{record.track}/{record.slug}"
            )
        if one.is_open and gain is not None and ahead is None:
            ahead = work.subject.name
    return made, status
