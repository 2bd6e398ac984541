"""Print what `accept` tells a maintainer: the plan of a session with its time and price, its stages, its outcome."""

from harness.catalog.lookup import Catalog
from harness.core.judgement import Verdict
from harness.core.text import plural
from harness.machine import computer
from harness.maintain.session_judgement import Judgement
from harness.maintain.session_plan import Outlook, Step
from harness.maintain.session_price import Price
from harness.maintain.session_work import Shown, Stop, Work
from harness.store import sessions
from harness.ui import compare_report, console, run_report, score_report
from harness.ui.bars import file_progress


def shown(catalog: Catalog) -> Shown:
    """Return what shows the stages of a session on this terminal."""
    return Shown(
        say=console.say,
        watch=run_report.watch,
        comparing=compare_report.watch,
        analysis=compare_report.say_analysis,
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
    console.say(f"  in all   {_total(outlook, work.price)}")


def _step(step: Step, price: Price) -> str:
    unit = "score" if step.doing == "scores" else "run"
    most = f"{plural(step.most, unit)} {step.what}"
    usual = "" if step.usual == step.most else f", at most; usually {step.usual:.3g}"
    return f"{most}{usual}: {_time(step.usual_s, price)}"


def _total(outlook: Outlook, price: Price) -> str:
    usual, most = outlook.total_s(most=False), outlook.total_s(most=True)
    said = f"usually {_time(usual, price)}"
    said += f"; at most {_time(most, price)}" if most != usual else ""
    said += f"; so far {_time(outlook.spent_s, price)}" if outlook.spent_s else ""
    if price.budget_usd is not None:
        said += f"; the budget is {price.budget_usd:g} USD"
    return said


def _time(seconds: float | None, price: Price) -> str:
    if seconds is None:
        return "a time that is not known before the first runs"
    cost = price.cost_usd(seconds)
    return f"about {compare_report.span(seconds)}" + ("" if cost is None else f", {cost:.2f} USD")


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
