"""log: read training logs of any track and year."""

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
from harness.verbs.verb import Verb

if TYPE_CHECKING:
    from harness.runlog.collection import Reading, Target


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
    parser.add_argument("--baseline", metavar="DIR", help="hold all against the runs in DIR, or of this name or hash")
    parser.add_argument("--target", type=_target, metavar="LOSS", help="the loss to be reached")


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
    if (args.json or args.final_only) and (args.baseline is not None or args.target is not None):
        raise HarnessError.at(
            "log", "--baseline and --target belong to groups of runs", "leave out --json, --final-only"
        )
    from harness.runlog import collection
    from harness.ui import console

    files: list[tuple[bool, bool, bool]] = []
    counts: Counter[str] = Counter()
    kept: list[Reading] = []
    curve = args.curve if args.json else not args.final_only  # curves tell whether two logs hold one run
    for reading in collection.read_logs(_targets(args), curve=curve, final_only=args.final_only, jobs=args.jobs):
        files.append((reading.target.named, bool(reading.runs), any(run.problems for run in reading.runs)))
        _count(counts, reading)
        if args.json:  # at once, so that a million logs are not held
            for run in reading.runs:
                print(json.dumps(run.to_json(with_curve=args.curve), allow_nan=False))
        elif reading.runs:
            kept.append(reading)
    if kept:
        _say(args, kept)
    console.say(_summary(counts))
    return collection.exit_status(files, strict=args.strict)


def _targets(args: argparse.Namespace) -> list[Target]:
    """List the files to be read, each once: also those of a baseline that lies elsewhere."""
    from harness.runlog import collection

    base = [args.baseline] if args.baseline is not None and os.path.exists(args.baseline) else []
    if not (base or args.markdown):
        return list(collection.find_logs(args.paths))
    return list({os.path.realpath(t.name): t for t in collection.find_logs([*args.paths, *base])}.values())


def _count(counts: Counter[str], reading: Reading) -> None:
    """Count what was read, and say why a file that was named gives nothing."""
    from harness.ui import console

    counts["logs" if reading.runs else "no logs" if reading.no_log else "unreadable"] += 1
    counts["runs"] += len(reading.runs)
    if reading.refusal is not None and (reading.target.named or not reading.no_log):
        console.note(str(reading.refusal))


def _say(args: argparse.Namespace, kept: list[Reading]) -> None:
    from harness.board import tabulation
    from harness.ui import log_report

    if args.final_only:
        log_report.say_ends(kept)
    else:
        log_report.say_groups(tabulation.grouped(kept, args.baseline), args.target)


def _log_table(args: argparse.Namespace) -> int:
    """Print the table that reviewers make of logs; it needs no project."""
    from harness.board import log_markdown, tabulation
    from harness.core import log_table
    from harness.runlog import collection
    from harness.ui import console

    if args.final_only or args.curve:
        raise HarnessError.at("log", "--markdown reads whole logs", "leave out --final-only and --curve")
    readings = list(collection.read_logs(_targets(args), curve=True, jobs=args.jobs))
    counts: Counter[str] = Counter()
    for reading in readings:
        _count(counts, reading)
    console.say(_summary(counts))
    files = [(r.target.named, bool(r.runs), any(run.problems for run in r.runs)) for r in readings]
    if any(read for _, read, _ in files):
        table = tabulation.read(readings, args.baseline, target=args.target)
        sys.stdout.write(log_table.FORM.text(table) if args.json else log_markdown.markdown(table))
    return collection.exit_status(files, strict=args.strict)


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


VERBS = (Verb("log", "read training logs of any track and year", _log_arguments, _log, reads=True),)
