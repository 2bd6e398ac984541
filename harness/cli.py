"""The command line: verbs in the order of the workflow, few flags each. Nothing heavy is imported before a verb runs.

What was asked for goes to stdout, progress, advice and errors to stderr (`harness.ui.streams`); with `--json` data alone
is on stdout. Exit status: 0 success; 1 a verdict other than pass, a
stale board or a check that found something; 2 unusable input or an unsuitable machine; 3 the run itself failed; 130 and
143 ended by Ctrl-C or SIGTERM.
"""

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.core.text import printable
from harness.ui import streams
from harness.verbs import comparing, maintaining, preparing, reading, replaying, submitting
from harness.verbs.verb import Verb

ORDER = (  # of the workflow
    "doctor",
    "fetch",
    "new",
    "check",
    "run",
    "log",
    "verify",
    "compare",
    "probe",
    "replay",
    "pack",
    "diff",
    "accept",
    "import",
    "board",
    "show",
)


def verbs() -> tuple[Verb, ...]:
    """Return all verbs, in the order of the workflow."""
    groups = (reading, submitting, comparing, replaying, maintaining, preparing)
    known = [verb for group in groups for verb in group.VERBS]
    return tuple(sorted(known, key=lambda verb: ORDER.index(verb.name)))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `speedrun`."""
    parser = argparse.ArgumentParser(
        prog="speedrun", description="Run, judge and rank training scripts for the NanoGPT speedrun."
    )
    parser.add_argument("--root", metavar="DIR", help="project folder (default: the nearest one with tracks/)")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in verbs():
        sub = commands.add_parser(verb.name, help=verb.help, description=verb.help)
        verb.arguments(sub)
        sub.set_defaults(run=verb.run, reads=verb.reads)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles may have any letter, and file names bytes that are not UTF-8; stderr escapes both by itself.
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    args = build_parser().parse_args(argv)
    asked = args.reads or _given(args, "plan", "list")
    try:
        with streams.chosen(asked=asked, for_program=_is_for_program(args)):
            status = int(args.run(args))
        sys.stdout.flush()  # here, where a reader that has ended is no error
        return status
    except HarnessError as error:
        for line in error.lines:
            print(f"  | {printable(line)}", file=sys.stderr)
        for problem in error.problems:
            print(f"speedrun: {printable(str(problem))}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The program that reads our output (head, less) has ended: print nothing more. 141 is what a shell reports of a
        # program that the signal for this (SIGPIPE, 13) ended.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 141
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = ascii(error.filename)[1:61]
        print(f"speedrun: {name}…: is too long for a file name; give a shorter one", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("speedrun: stopped by Ctrl-C", file=sys.stderr)
        return 130


def _given(args: argparse.Namespace, *flags: str) -> bool:
    return any(getattr(args, flag, False) for flag in flags)


def _is_for_program(args: argparse.Namespace) -> bool:
    """Whether stdout is for data alone."""
    return _given(args, "json", "markdown", "upstream_row") or getattr(args, "format", "text") == "github"
