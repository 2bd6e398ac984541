"""log, show, board: read logs and records, and write the leaderboard."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import HarnessError
from harness.core.text import plural
from harness.verbs.verb import Verb, catalog_of, print_json, project_of

if TYPE_CHECKING:
    from harness.core.measurement import RunLog
    from harness.runlog.collection import Reading


def _log_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", help="a log file (plain, .gz, .xz) or a folder of them")
    parser.add_argument("--json", action="store_true", help="print one line of JSON per run on stdout")
    parser.add_argument("--curve", action="store_true", help="with --json: include all validation points of each run")
    parser.add_argument(
        "--final-only", action="store_true", help="fast: read the end of each file, show only the last run"
    )
    parser.add_argument(
        "--jobs", type=_jobs, default=1, metavar="N", help="read with N processes (default: 1, at most 6)"
    )
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if a log has problems")
    parser.add_argument("--extract", metavar="DIR", help="write the script that is embedded in one log into DIR")
    parser.add_argument(
        "--markdown",
        action="store_true",
        help="print a table of the runs by script, steps and GPUs on stdout, as Markdown or with --json as data",
    )
    parser.add_argument(
        "--baseline", metavar="DIR", help="with --markdown: hold all against the runs in DIR, or of this name or hash"
    )
    parser.add_argument("--target", type=_target, metavar="LOSS", help="with --markdown: the loss to be reached")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes; give 1 to 6")
    return int(text)


def _target(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no loss; give nats per token, like 3.28")
    return value


def _log(args: argparse.Namespace) -> int:
    if args.extract is not None:
        return _extract(args)
    if args.markdown:
        return _log_table(args)
    if args.baseline is not None or args.target is not None:
        raise HarnessError.at("log", "--baseline and --target belong to --markdown", "add --markdown")
    from harness.runlog import collection
    from harness.ui import console

    files: list[tuple[bool, bool, bool]] = []
    counts: Counter[str] = Counter()
    table: list[Reading] = []
    targets = list(collection.find_logs(args.paths))
    for reading in collection.read_logs(
        targets, curve=args.json and args.curve, final_only=args.final_only, jobs=args.jobs
    ):
        files.append((reading.target.named, bool(reading.runs), any(run.problems for run in reading.runs)))
        counts["logs" if reading.runs else "no logs" if reading.no_log else "unreadable"] += 1
        counts["runs"] += len(reading.runs)
        if reading.refusal is not None and (reading.target.named or not reading.no_log):
            console.say(str(reading.refusal))
        for run in reading.runs:
            if args.json:  # at once, so that a million logs are not held
                print(json.dumps(run.to_json(with_curve=args.curve), allow_nan=False))
            else:
                for problem in run.problems:
                    console.say(f"{run.path}:{problem.line}: {problem.kind}: {problem.text}")
        if reading.runs and not args.json:
            table.append(reading)
    if table:
        _say_table(table, final_only=args.final_only)
    console.say(_summary(counts))
    return collection.exit_status(files, strict=args.strict)


def _log_table(args: argparse.Namespace) -> int:
    """Print the table that reviewers make of logs; it needs no project."""
    from harness.board import log_markdown, tabulation
    from harness.core import log_table
    from harness.runlog import collection
    from harness.ui import console

    if args.final_only or args.curve:
        raise HarnessError.at("log", "--markdown reads whole logs", "leave out --final-only and --curve")
    base = args.baseline if args.baseline is not None and os.path.exists(args.baseline) else None
    once = {os.path.realpath(t.name): t for t in collection.find_logs([*args.paths, *([base] if base else [])])}
    readings = list(collection.read_logs(list(once.values()), curve=True, jobs=args.jobs))
    counts: Counter[str] = Counter()
    for reading in readings:
        counts["logs" if reading.runs else "no logs" if reading.no_log else "unreadable"] += 1
        counts["runs"] += len(reading.runs)
        if reading.refusal is not None and (reading.target.named or not reading.no_log):
            console.say(str(reading.refusal))
    console.say(_summary(counts))
    files = [(r.target.named, bool(r.runs), any(run.problems for run in r.runs)) for r in readings]
    if any(read for _, read, _ in files):
        table = tabulation.read(readings, args.baseline, target=args.target)
        sys.stdout.write(log_table.FORM.text(table) if args.json else log_markdown.markdown(table))
    return collection.exit_status(files, strict=args.strict)


def _say_table(readings: list[Reading], *, final_only: bool) -> None:
    """Print one line per run; the end of a file alone does not show points, machine and torch."""
    from harness.runlog import collection
    from harness.ui import console

    names = collection.names_of(readings)
    rows = [_row(names[r.target.name], run) for r in readings for run in r.runs]
    skipped = {"run", "points", "machine", "torch"} if final_only else set()
    shown = [index for index, column in enumerate(_COLUMNS) if column not in skipped]
    console.say_table([_COLUMNS[i] for i in shown], [[row[i] for i in shown] for row in rows])


_COLUMNS = ("log", "run", "step", "val_loss", "train_time", "step_avg", "points", "machine", "torch", "problems")


def _row(name: str, run: RunLog) -> tuple[str, ...]:
    """Format one line of the table; a value that the log lacks is a dash, and a loss has the decimals of the log."""

    def show(value: object, form: str = "{}") -> str:
        return "-" if value is None else form.format(value)

    loss = show(run.final_val_loss if run.final_val_text is None else run.final_val_text)
    if run.final_val_ema_loss is not None:
        places = len(loss.partition(".")[2]) or 4
        loss += f" (ema {run.final_val_ema_loss:.{places}f})"
    problems = [f"{len(run.problems)}"] if run.problems else []
    problems += _unfinished(run)
    return (
        name,
        "last" if run.run is None else f"{run.run}/{run.n_runs}",
        f"{show(run.final_step)}/{show(run.total_steps)}",
        loss,
        show(run.final_train_time_s, "{:.3f} s"),
        show(run.step_avg_ms, "{:.2f} ms"),
        f"{show(run.n_val_points)} val {show(run.n_train_points)} train",
        ("" if run.gpu_count is None else f"{run.gpu_count}× ") + show(run.gpu_name),
        show(run.torch),
        ", ".join(problems) or "none",
    )


def _unfinished(run: RunLog) -> list[str]:
    """Say how a run ended early: aborted, or on purpose, as in the optimization track at the target."""
    ends = []
    if run.reached_last_step is False:
        ends.append(f"ends at step {run.final_step} of {run.total_steps}")
    if not run.has_final_val:
        ends.append("no loss at its last step")
    return ends


def _summary(counts: Counter[str]) -> str:
    other, refused = counts["no logs"], counts["unreadable"]
    summary = f"{plural(counts['logs'], 'log')} with {plural(counts['runs'], 'run')}; {plural(other, 'other file')}"
    summary += " is not a training log" if other == 1 else " are not training logs"
    return summary + (f"; {refused} gave no run, see above" if refused else "")


def _extract(args: argparse.Namespace) -> int:
    from harness.runlog import collection
    from harness.ui import console

    if len(args.paths) != 1:
        raise HarnessError.at("--extract", f"{len(args.paths)} logs were named", "name one log")
    for name, content in collection.extract(args.paths[0], Path(args.extract)).items():
        digest = hashlib.sha256(content).hexdigest()
        if args.json:
            print(json.dumps({"name": name, "bytes": len(content), "sha256": digest}))
        else:
            console.say(f"{os.path.join(args.extract, name)}  {len(content):,} bytes  sha256 {digest}")
    return 0


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


def _upstream_row(args: argparse.Namespace) -> int:
    from harness.board import rows, upstream_row
    from harness.ui import console

    catalog = catalog_of(args)
    record, row = rows.row_of(catalog, args.upstream_row)
    all_rows = rows.make_rows(catalog.track(record.track), catalog.records(record.track))
    print(upstream_row.upstream_row(record, row, all_rows))
    if not upstream_row.is_linked(record):
        console.say("no log or pull request of their repository is known here: fill in that column")
    return 0


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("record", help="a record like short/12 or short/21.1, or its folder")
    parser.add_argument("--json", action="store_true", help="print the row and its runs as JSON on stdout")


def _show(args: argparse.Namespace) -> int:
    from harness.board import rows
    from harness.ui import show_report

    catalog = catalog_of(args)
    record, row = rows.row_of(catalog, args.record)
    if args.json:
        print_json({"row": row, "record": record})
        return 0
    show_report.say_record(catalog.project, record, row)
    return 0


VERBS = (
    Verb("log", "read training logs of any track and year", _log_arguments, _log),
    Verb("board", "write the leaderboard from the records, or check that it is current", _board_arguments, _board),
    Verb("show", "show one record: its runs, curve, evidence and status", _show_arguments, _show),
)
