"""doctor: what this machine has, against what a record needs."""

from __future__ import annotations

import argparse
import json
import sys

from harness.verbs import Verb, project_of


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", metavar="RECORD", help="what is to be run: a record, a track or submissions/<slug>"
    )
    parser.add_argument("--json", action="store_true", help="the lines as JSON on stdout")


def _doctor(args: argparse.Namespace) -> int:
    from harness import console, doctor, jsonform

    report = doctor.examine(project_of(args), args.target)
    if args.json:
        data = {"target": report.target, "state": report.state, "lines": jsonform.encode(report.lines)}
        json.dump(data, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
    console.say_lights([(line.state, line.name, line.value, line.fix) for line in report.lines])
    what = f"for {report.target}" if report.target else "for no record in particular (name one to have it judged)"
    console.say(f"doctor: {report.state} {what}", style=f"bold {report.state}")
    return 2 if report.state == "red" else 0


VERBS = (
    Verb("doctor", "look at this machine: GPUs, disk, memory, torch, data, and what to mend", _arguments, _doctor),
)
