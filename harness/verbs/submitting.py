"""new, diff, run, check, pack: make a submission, run and judge it, and pack its evidence."""

from __future__ import annotations

import argparse
import functools
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.core.text import plural
from harness.verbs import clustering
from harness.verbs.trying import attempt
from harness.verbs.verb import Verb, catalog_of, count_of_runs, dollars, hours, next_step, print_json, terminated

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog
    from harness.core.judgement import Verdict
    from harness.evidence.contents import Evidence
    from harness.run.series import SeriesPlan


def _new_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="a short name, like fewer-steps; with --refresh: submissions/<slug>")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="RECORD",
        help="start from this script: a record like smoke/2, or a track for its current record",
    )
    parser.add_argument("--track", metavar="NAME", help="start on this track, from its current record where it has one")
    parser.add_argument("--by", metavar="NAME", help="who makes it, like @handle (default: git's user.name)")
    _script_arguments(parser)
    parser.add_argument("--refresh", action="store_true", help="freeze the files as they are now")


def _new(args: argparse.Namespace) -> int:
    from harness.submission import draft
    from harness.ui import console

    catalog = catalog_of(args)
    if args.refresh:
        console.say(draft.refresh(catalog, args.name))
        return 0
    folder, source = draft.make(
        catalog, args.name, args.start, on=args.track, by=args.by, original=args.original, checkout=args.checkout
    )
    name = catalog.project.show(folder)
    console.say(f"made {name} from {draft.described(catalog, source)}")
    for note in draft.notes(catalog, folder, source):
        console.say(note, style="yellow")
    console.say(f"edit {source.entry}, answer the questions in its README.md, then:")
    for step in (f"run {name}", f"pack {name}", f"check {name}"):
        console.say(f"  speedrun {step}")
    return 0


def _diff_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug> or a record like short/12")
    parser.add_argument(
        "--against",
        metavar="RECORD",
        help="compare with this record (default: the parent in its manifest, else the record before it)",
    )
    _script_arguments(parser)


def _script_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--original", action="store_true", help="of a record, take what its log proves, not what was merged"
    )
    parser.add_argument(
        "--checkout", type=Path, metavar="DIR", help="read published scripts from a clone or a copy of their repository"
    )


def _diff(args: argparse.Namespace) -> int:
    from harness.catalog.checkout import source_of
    from harness.submission import codediff
    from harness.ui import console

    catalog = catalog_of(args)
    source, is_given = source_of(args.checkout, allow_network=False), args.checkout is not None
    old, subject = codediff.sides(
        catalog, args.submission, args.against, source, original=args.original, given=is_given
    )
    change = codediff.between(old, subject)
    for line in change.lines:
        console.say(line, style=codediff.style(line), wrap=False)
    for remark in change.remarks:
        console.say(remark, style="yellow")
    sides = f"from {codediff.described(old)} to {codediff.described(subject)}"
    console.say(f"{change.size} {sides}; comments, docstrings and blank lines do not count")
    return 0


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("subject", help="submissions/<slug>, a record like smoke/2, or a track for its current record")
    clustering.arguments(parser, several=True)
    parser.add_argument(
        "--runs", type=count_of_runs, metavar="N", help="number of runs in all (default: that of the track)"
    )
    parser.add_argument("--plan", action="store_true", help="print what would be run; do nothing")
    trying = parser.add_mutually_exclusive_group()
    trying.add_argument("--dry", action="store_true", help="make one scaled-down run on synthetic data; never judged")
    trying.add_argument("--screening", action="store_true", help="make whole runs to try the script; they never count")
    trying.add_argument(
        "--stage", choices=("check", "dry", "full"), help="try the script and answer in one form, made for programs"
    )
    parser.add_argument(
        "--budget-gpu-hours", type=hours, metavar="H", help="with --stage: end the run when so much is spent"
    )
    parser.add_argument("--until-decided", action="store_true", help="stop as soon as the test of the loss has decided")
    parser.add_argument(
        "--usd-per-hour",
        type=dollars,
        metavar="X",
        help="price of this machine: show what the runs cost, and further ones would",
    )
    parser.add_argument(
        "--env", metavar="RECORD", help="run in the environment that `doctor RECORD --make` made (default: this one)"
    )
    parser.add_argument("--no-fetch", action="store_true", help="download nothing; fail where tokens are missing")
    parser.add_argument(
        "--json", action="store_true", help="print the verdict, or with --plan the plan, as JSON on stdout"
    )


def _run(args: argparse.Namespace) -> int:
    if args.stage is not None:
        return attempt(args)
    if args.budget_gpu_hours is not None:
        raise HarnessError.at("--budget-gpu-hours", "is for --stage", "add --stage full, or leave it out")
    from harness.launch.torchrun import TorchrunLauncher
    from harness.replay import own_environment
    from harness.run import judging, refusal, series
    from harness.ui import console, plan_data, run_report, run_watch, score_report
    from harness.ui.bars import file_progress

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    series_plan = _plan(args, catalog)
    subject = series_plan.subject
    python, torch = own_environment.interpreter(catalog, args.env)
    launcher = TorchrunLauncher(python)
    look = functools.partial(refusal.problems, allow_network=not args.no_fetch, torch=torch)
    stops = look(catalog.project, series_plan, launcher) if args.plan else ()
    run_report.say_plan(series_plan, stops, torch=torch)
    if args.plan:
        if args.json:
            print_json(plan_data.of_run(series_plan, stops, torch=torch))
        return 2 if stops else 0
    watch = run_watch.watch(catalog, subject, at_most=args.until_decided, usd_per_hour=args.usd_per_hour)
    with next_step(run_report.after_a_stop(series_plan)):
        with file_progress("fetching") as progress:
            ready = series.prepare(
                series_plan, allow_network=not args.no_fetch, progress=progress, python=python, torch=torch
            )
        if args.screening and ready is not None:
            tried = series.screen(catalog, series_plan, ready, launcher, watch)
            with console.product():
                run_report.say_screening(subject, tried)
            if args.json:
                print_json({"runs": [run_report.run_figures(run) for run in tried]})
            return 0
        scorer = score_report.scorer(catalog, subject, launcher.python)
        judged = series.run(catalog, series_plan, ready, launcher, watch, scorer)
    with console.product():
        if judged is None:
            run_report.say_dry_end(series_plan)
            return 0
        status = run_report.say_outcome(catalog, subject, *judged, usd_per_hour=args.usd_per_hour, ran=True)
    _print_verdict(args, *judged, judging.no_record(catalog, subject, *judged))
    return status


def _plan(args: argparse.Namespace, catalog: Catalog) -> SeriesPlan:
    """Freeze what has to be frozen, refuse what cannot be run, and decide how many runs are made."""
    from harness.run import refusal, series
    from harness.submission import admissible, draft
    from harness.ui import console

    trying = args.dry or args.screening  # else the files must be frozen
    if not trying and (message := draft.freeze_for_run(catalog, args.subject, looking=args.plan)):
        console.say(message)
    subject = catalog.subject(catalog.find(args.subject), frozen=not (trying or args.plan))
    admissible.refuse_run(catalog.project, subject)
    refusal.refuse_no_python(subject)
    for found in admissible.objections(catalog, subject):
        console.say(f"as it is, a verdict will say: {found}", style="yellow")
    return series.plan(
        catalog.project,
        subject,
        args.runs,
        dry=args.dry,
        settle=not args.plan,
        until_decided=args.until_decided,
        screening=args.screening,
    )


def _print_verdict(args: argparse.Namespace, gathered: Evidence, verdict: Verdict, lost: bool | None) -> None:
    if args.json:
        from harness.core import codec
        from harness.ui import run_report

        runs = [run_report.run_figures(run) for run in gathered.runs]
        print_json(codec.encode(verdict) | {"no_record": lost, "runs": runs})


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="submissions/<slug>, or a record like smoke/2")
    parser.add_argument("--all", action="store_true", help="list all rules and runs, and the row that they would earn")
    parser.add_argument(
        "--usd-per-hour", type=dollars, metavar="X", help="price of this machine, to estimate the cost of further runs"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print verdict and runs as JSON on stdout; a list of several")
    form.add_argument(
        "--format", choices=("text", "github"), default="text", help="github: print annotations on stdout"
    )
    parser.add_argument("--markdown", action="store_true", help="print the report for the pull request on stdout")


def _check(args: argparse.Namespace) -> int:
    from harness.submission import inspection
    from harness.ui import check_report

    catalog = catalog_of(args)
    found = []
    for name in args.names:
        checked = inspection.judge(catalog, name)
        found.append(checked)
        check_report.say(catalog, checked, every=args.all, usd_per_hour=args.usd_per_hour)
        if args.format == "github":
            for line in check_report.workflow_lines(checked):
                print(line)
        if args.markdown:
            print(check_report.markdown(catalog, checked))
    if args.json:
        data = [check_report.as_data(checked) for checked in found]
        print_json(data if len(data) > 1 else data[0])
    return max(checked.exit_status for checked in found)


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("submission", help="submissions/<slug>")


def _pack(args: argparse.Namespace) -> int:
    from harness.submission import packing
    from harness.ui import console

    catalog = catalog_of(args)
    subject = catalog.subject(catalog.find(args.submission))
    count, parents = packing.pack(catalog, subject)
    of_parent = f", and {parents} of its parent" if parents else ""
    console.say(f"packed {plural(count, 'run')}{of_parent} into {subject.name}/evidence")
    console.say(f"next: speedrun check {subject.name}")
    return 0


VERBS = (
    Verb("new", "make the folder of a submission, from the template or a record's script", _new_arguments, _new),
    Verb("diff", "show what a submission changes in the code, without comments", _diff_arguments, _diff, reads=True),
    Verb(
        "run",
        "run a submission or a record on this machine and judge it",
        _run_arguments,
        clustering.or_here(clustering.run, _run),
    ),
    Verb(
        "check",
        "judge a submission or a record by its evidence, and check a submission's folder",
        _check_arguments,
        _check,
        reads=True,
        alias="verify",
    ),
    Verb("pack", "copy the evidence of all runs of a submission into its folder", _pack_arguments, _pack),
)
