"""Print what `accept` tells a maintainer: the plan of a session with its time and price, its stages, its outcome."""

import functools
from collections.abc import Iterable, Sequence

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.core.judgement import Verdict
from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.machine import computer
from harness.maintain import stages
from harness.maintain.session_judgement import Judgement
from harness.maintain.session_plan import Outlook, Step
from harness.maintain.session_price import Price
from harness.maintain.session_work import Shown, Stop, Work
from harness.run import judging
from harness.store import sessions
from harness.ui import compare_report, console, joint_report, run_report, run_watch, score_report
from harness.ui.bars import file_progress


def shown(catalog: Catalog) -> Shown:
    """Return what shows the stages of a session on this terminal."""
    return Shown(
        say=console.say,
        watch=functools.partial(run_watch.watch, catalog),
        comparing=functools.partial(compare_report.watch, catalog.project),
        analysis=compare_report.say_analysis,
        several=functools.partial(joint_report.watch, catalog.project),
        analysis_of=joint_report.say_analysis,
        priming=lambda script, run_id: compare_report.say_priming(script.name, run_id),
        fetching=lambda: file_progress("fetching"),
        scorer=lambda script, python: score_report.scorer(catalog, script, python),
    )


def say_plan(work: Work, outlook: Outlook, *, looking: bool) -> None:
    """Print who makes the session, what is still to be done, and what that takes; looking: and what would stop it here."""
    session, subject = work.session, work.subject
    where = work.project.show(sessions.session_folder(work.project, session) / sessions.SESSION)
    console.say(f"session {session.id} of {subject.name} by {session.timer}, under {subject.ruleset.id}")
    console.say(f"  file     {where}; a script has one session, which the same command continues")
    declared = (
        "the ruleset's rule looks after every run"
        if session.declared is None
        else f"the test looks at {plural(session.declared, 'run')}, declared before the first"
    )
    console.say(f"  test     {declared}; runs that the submitter made count for nothing here")
    if looking:
        run_report.say_refusal(computer.capture(), subject.track)
    for step in outlook.steps:
        if step.most:
            console.say(f"  {step.doing:<10} {_step(step, work.price)}")
    if outlook.from_pack:
        console.say("  note     no run of it was made here: times are those of the submitter's machine", style="yellow")
    shared = shared_with(work)
    if shared:
        console.say(f"  shared   {shared}")
    if not work.beside:
        console.say(f"  in all   {_total([outlook], work.price)}")


def say_total(works: Sequence[Work], outlooks: Sequence[Outlook]) -> None:
    """Print what several sessions take together; what they share is counted once."""
    console.say(f"in all, {len(works)} candidates: {_total(outlooks, works[0].price)}")


def shared_with(work: Work) -> str | None:
    """Say what a session shares with those of the other candidates, each thing told with the first of them."""
    if not work.beside:
        return None
    if any(other.comparison == work.session.comparison for other in work.beside if other.comparison is not None):
        return "the current record's runs and its priming; each candidate's own part of the comparison decides about it"
    parent = stages.parent_script(work)
    return (
        None if parent is None else f"the runs of {parent.name} on this machine, made before or for the first of them"
    )


def _step(step: Step, price: Price) -> str:
    unit = "score" if step.doing == "scores" else "run"
    most = f"{plural(step.most, unit)} {step.what}"
    usual = "" if step.usual == step.most else f", at most; usually {step.usual:.3g}"
    return f"{most}{usual}: {_time(step.usual_s, price)}"


def _sum(times: Iterable[float | None]) -> float | None:
    known = list(times)
    return None if None in known else sum(time_s for time_s in known if time_s is not None)


def _total(outlooks: Sequence[Outlook], price: Price) -> str:
    usual, most = (_sum(one.total_s(most=at_most) for one in outlooks) for at_most in (False, True))
    spent = sum(one.spent_s for one in outlooks)
    said = f"usually {_time(usual, price)}"
    said += f"; at most {_time(most, price)}" if most != usual else ""
    said += f"; so far {_time(spent, price)}" if spent else ""
    if price.budget_usd is not None:
        said += f"; the budget is {price.budget_usd:g} USD"
    return said


def _time(seconds: float | None, price: Price) -> str:
    if seconds is None:
        return "a time that is not known before the first runs"
    cost = price.cost_usd(seconds)
    return f"about {compare_report.span(seconds)}" + ("" if cost is None else f", {cost:.2f} USD")


def say_no_record(catalog: Catalog, subject: Subject, submitted: Evidence, verdict: Verdict) -> None:
    """Say, before anything is paid for, of a submission that needs too many steps that it becomes a row and no record."""
    if judging.no_record(catalog, subject, submitted, verdict):
        best = catalog.current(subject.track)
        held = "the current record" if best is None else f"{catalog.name(best)} with {best.claimed.steps} steps"
        said = f"{subject.name} is valid, but no record: {held} stays it; a session only adds a row to the board"
        console.say(said, style="yellow")


def say_stop(work: Work, stop: Stop) -> None:
    """Print why a session ended before everything was there."""
    if stop.verdict is not None:
        console.say_verdict(stop.verdict)
    for reason in stop.reasons:
        console.say(f"  {'refused' if stop.final else 'stopped'}  {reason}", style="red" if stop.final else "yellow")
    if stop.final:
        console.say(f"{work.subject.name} makes no record; nothing was written to records/, and a session is made once")
    else:
        console.say(f"the session of {work.subject.name} is not done; the same command goes on where it stopped")


def say_error(work: Work, error: HarnessError) -> None:
    """Print what broke in the session of one of several candidates."""
    for line in error.lines:
        console.say(f"  | {line}")
    for problem in error.problems:
        console.say(f"  {problem}", style="red")
    console.say(f"the session of {work.subject.name} is not done; the same command goes on where it stopped")


def say_waits(work: Work, ahead: str) -> None:
    """Say that a candidate that is done makes no record before one that may have gained more has come to its end."""
    name = work.subject.name
    console.say(
        f"{name} is done and waits: {ahead} may have gained more, and its session is not done; whoever does not want to "
        f"wait for that accepts {name} alone"
    )


def say_beaten(work: Work, best: str) -> None:
    """Say of a candidate that is faster than the record before that another one has become the record."""
    console.say(
        f"{work.subject.name} makes no record: it is faster than the record before, and {best}, which gained more, is the"
        f" record now. Its session, runs and pack stay. A script that builds on {best} is another one, with a session of"
        " its own",
        style="yellow",
    )


def say_judgement(judgement: Judgement, subject_name: str) -> None:
    """Print what a session that is done comes to."""
    console.say("")
    run_report.say_runs(judgement.gathered.runs)
    console.say("")
    verdicts: tuple[Verdict, ...] = (judgement.verdict, judgement.probe)
    for verdict in verdicts:
        console.say_verdict(verdict)
    if judgement.comparison is not None:
        console.say(f"comparison: {judgement.comparison.outcome} than the current record")
    for reason in judgement.reasons:
        console.say(f"  refused  {reason}", style="red")
    if judgement.reasons:
        console.say(f"{subject_name} makes no record; nothing was written to records/, and a session is made once")
