"""The command line: verbs in the order of the workflow, few flags each. Nothing heavy is imported before a verb runs.

Text for people goes to stderr, data to stdout with `--json`. Exit status: 0 success; 1 a verdict other than pass, a
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
from harness.verbs import comparing, evaluating, maintaining, preparing, reading, replaying, submitting
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
    "eval",
)


def verbs() -> tuple[Verb, ...]:
    """Return all verbs, in the order of the workflow."""
    groups = (reading, submitting, comparing, replaying, maintaining, preparing, evaluating)
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
        sub.set_defaults(run=verb.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Titles may have any letter, and file names bytes that are not UTF-8; stderr escapes both by itself.
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
        # The program that reads our output (head, less) has ended; print nothing more on stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        name = ascii(error.filename)[1:61]
        print(f"speedrun: {name}…: is too long for a file name; give a shorter one", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("speedrun: stopped by Ctrl-C", file=sys.stderr)
        return 130
