"""run --stage: try a script and answer in the form that a program reads."""

from __future__ import annotations

import argparse
import functools
import signal

from harness.verbs.verb import catalog_of, print_json, terminated


def attempt(args: argparse.Namespace) -> int:
    """Try what `run --stage` names, print the answer and return its exit status."""
    from harness.core import codec
    from harness.launch.torchrun import TorchrunLauncher
    from harness.replay import own_environment
    from harness.screening import answer, attempting
    from harness.ui import console, run_watch, screening_report
    from harness.ui.bars import file_progress

    signal.signal(signal.SIGTERM, terminated)
    catalog = catalog_of(args)
    python, torch = own_environment.interpreter(catalog, args.env)
    order = answer.Order(args.stage, args.runs or 1, args.budget_gpu_hours, not args.no_fetch, python, torch)
    with file_progress("fetching") as progress:
        watch = functools.partial(run_watch.watch, catalog)
        said = attempting.attempt(catalog, args.subject, order, TorchrunLauncher(python), watch, progress)
    if args.json:
        print_json({"schema": 1} | codec.encode(said))
    with console.product():
        screening_report.say(said)
    return answer.EXIT_STATUS[said.status]
