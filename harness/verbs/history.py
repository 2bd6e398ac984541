"""import: the recorded past as record folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.verbs import Verb, project_of


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("facts", metavar="FACTS_DIR", help="the folder of records.csv, evidence.csv, scripts.csv, …")


def _import(args: argparse.Namespace) -> int:
    from harness import console, history

    done = history.import_history(project_of(args), Path(args.facts))
    console.say(f"{done.records} records imported; {done.written} files written")
    return 0


VERBS = (Verb("import", "write the records of the recorded past from its facts", _import_arguments, _import),)
