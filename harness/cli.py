"""The command line: verbs in the order of the story, few flags each. Nothing heavy is imported before a verb runs.

Human text goes to stderr, data to stdout with `--json`. Exit status: 0 as wished; 1 a verdict that is not pass, a
stale board or a check that found something; 2 unusable input or a machine that cannot; 3 the run itself broke; 130 and
143 ended by Ctrl-C or SIGTERM.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.core.text import printable
from harness.verbs import comparing, maintaining, preparing, reading, replaying, submitting
from harness.verbs.verb import Verb

# The words in the order of the story.
ORDER = (
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
    """All verbs, in the order of the story."""
    groups = (reading, submitting, comparing, replaying, maintaining, preparing)
    known = [verb for group in groups for verb in group.VERBS]
    return tuple(sorted(known, key=lambda verb: ORDER.index(verb.name)))


def build_parser() -> argparse.ArgumentParser:
    """The parser of `speedrun`."""
    parser = argparse.ArgumentParser(
        prog="speedrun", description="Run, judge and rank training scripts for the NanoGPT speedrun."
    )
    parser.add_argument("--root", metavar="DIR", help="the project folder (default: the nearest one with tracks/)")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in verbs():
        sub = commands.add_parser(verb.name, help=verb.help, description=verb.help)
        verb.arguments(sub)
        sub.set_defaults(run=verb.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles hold any letter, and file names may hold none that UTF-8 knows; stderr escapes both by itself.
        sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    args = build_parser().parse_args(argv)
    try:
        return int(args.run(args))
    except HarnessError as error:
        for line in error.lines:
            print(f"  | {printable(line)}", file=sys.stderr)
        for problem in error.problems:
            print(f"speedrun: {printable(str(problem))}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output (head, less) has gone; say nothing more on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = ascii(error.filename)[1:61]
        print(f"speedrun: {name}…: is too long for the name of a file; give a shorter one", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("speedrun: stopped by Ctrl-C", file=sys.stderr)
        return 130
