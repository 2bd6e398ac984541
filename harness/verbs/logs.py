"""`log`: read training logs of every dialect."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path

from harness.errors import HarnessError
from harness.verbs import Verb


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", metavar="PATH", nargs="+", help="log files (plain, .gz, .xz) and folders of them")
    parser.add_argument("--json", action="store_true", help="one JSON object per run and line on stdout")
    parser.add_argument("--curve", action="store_true", help="with --json: all validation points of each run")
    parser.add_argument("--final-only", action="store_true", help="only the last run's final figures; reads file ends")
    parser.add_argument("--jobs", type=_jobs, default=1, metavar="N", help="read with N processes (default 1, most 6)")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a log has problems")
    parser.add_argument("--extract", metavar="DIR", help="write the script that one log embeds into DIR")


def _jobs(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes")
    return int(text)


def _log(args: argparse.Namespace) -> int:
    if args.extract is not None:
        return _extract(args)
    from harness import console, logs

    targets = list(logs.find_logs(args.paths))
    told: list[tuple[bool, bool, bool]] = []
    rows: list[tuple[str, ...]] = []
    for reading in logs.read_logs(targets, curve=args.curve, final_only=args.final_only, jobs=args.jobs):
        told.append((reading.target.named, bool(reading.runs), any(run.problems for run in reading.runs)))
        if reading.refusal is not None:
            console.say(str(reading.refusal))
        for run in reading.runs:
            if args.json:
                print(json.dumps(run.to_json(with_curve=args.curve), allow_nan=False))
            else:
                rows.append(_row(run.to_json()))
                for problem in run.problems:
                    console.say(f"{run.path}:{problem.line}: {problem.kind}: {problem.text}")
    if rows:
        console.say_table(_COLUMNS, rows)
    if not args.json:
        console.say(_summary(told, len(rows)))
    return logs.exit_status(told, strict=args.strict)


_COLUMNS = ("log", "run", "step", "val_loss", "train_time", "step_avg", "points", "machine", "torch", "problems")


def _row(run: dict[str, object]) -> tuple[str, ...]:
    """One line of the table; a value that the log does not hold is a dash."""

    def show(name: str, form: str = "{}") -> str:
        value = run[name]
        return "–" if value is None else form.format(value)

    problems = run["problems"]
    assert isinstance(problems, list | tuple)
    gpus = "" if run["gpu_count"] is None else f"{run['gpu_count']}× "
    return (
        os.path.basename(str(run["path"])) or str(run["path"]),
        "last" if run["run"] is None else f"{run['run']}/{run['n_runs']}",
        f"{show('final_step')}/{show('total_steps')}",
        show("final_val_loss")
        if run["final_val_ema_loss"] is None
        else f"{show('final_val_loss')} (ema {show('final_val_ema_loss')})",
        show("final_train_time_s", "{:.3f} s"),
        show("step_avg_ms", "{:.2f} ms"),
        f"{show('n_val_points')} val {show('n_train_points')} train",
        gpus + show("gpu_name"),
        show("torch"),
        str(len(problems)) if problems else "none",
    )


def _summary(told: list[tuple[bool, bool, bool]], runs: int) -> str:
    read = sum(1 for _, was_read, _ in told if was_read)
    rest = len(told) - read
    return f"{read} log{'s' * (read != 1)} with {runs} run{'s' * (runs != 1)}; {rest} other file{'s' * (rest != 1)}"


def _extract(args: argparse.Namespace) -> int:
    from harness import console, logs

    if len(args.paths) != 1:
        raise HarnessError.at("--extract", f"{len(args.paths)} logs are named", "name one log")
    for name, content in logs.extract(args.paths[0], Path(args.extract)).items():
        digest = hashlib.sha256(content).hexdigest()
        if args.json:
            print(json.dumps({"name": name, "bytes": len(content), "sha256": digest}))
        else:
            console.say(f"{os.path.join(args.extract, name)}  {len(content):,} bytes  sha256 {digest}")
    return 0


VERBS = (Verb("log", "read training logs of every dialect", _arguments, _log),)
