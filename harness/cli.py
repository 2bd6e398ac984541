"""The command line: verbs in groups, few flags each. Nothing heavy is imported before a verb runs.

What was asked for goes to stdout, progress, advice and errors to stderr (`harness.ui.streams`); with `--json` data alone
is on stdout. Exit status: 0 success; 1 a verdict other than pass, a submission that is valid and no record, a stale board
or a check that found something; 2 unusable input or an unsuitable machine; 3 the run itself failed; 130 and 143 ended by
Ctrl-C or SIGTERM; 141 the program that reads the output ended.
"""

import argparse
import errno
import io
import os
import sys
from collections.abc import Sequence

from harness.core.errors import HarnessError
from harness.core.text import did_you_mean, printable
from harness.ui import streams
from harness.verbs import comparing, evaluating, logs, maintaining, menu, preparing, reading, replaying, submitting
from harness.verbs.verb import Verb

VERBS = (*menu.ORDER, "verify", "help")


class Parser(argparse.ArgumentParser):
    """The parser of `speedrun` itself, whose help is the first screen."""

    def format_help(self) -> str:
        """Return the verbs in groups."""
        return menu.first_screen({verb.name: verb.help for verb in verbs()})


def verbs() -> tuple[Verb, ...]:
    """Return all verbs, in the order of the first screen of the help."""
    groups = (logs, reading, submitting, comparing, replaying, maintaining, preparing, evaluating)
    known = [verb for group in groups for verb in group.VERBS]
    return tuple(sorted(known, key=lambda verb: menu.ORDER.index(verb.name)))


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of `speedrun`."""
    parser = Parser(prog="speedrun")
    parser.add_argument("--root", metavar="DIR")
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--completion", choices=("bash", "zsh", "fish"), metavar="SHELL")
    commands = parser.add_subparsers(dest="verb", metavar="VERB", parser_class=argparse.ArgumentParser)
    for verb in verbs():
        also = [verb.alias] if verb.alias else []
        sub = commands.add_parser(verb.name, help=verb.help, description=verb.help, aliases=also)
        verb.arguments(sub)
        sub.set_defaults(run=verb.run, reads=verb.reads)
    helping = commands.add_parser(
        "help", help="say what speedrun or a verb does", description="say what speedrun or a verb does"
    )
    helping.add_argument("about", nargs="?", metavar="VERB", choices=VERBS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Titles may have any letter, and file names bytes that are not UTF-8.
            stream.reconfigure(encoding="utf-8", errors="replace" if stream is sys.stdout else "backslashreplace")
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        return _main(given)
    except BrokenPipeError:
        # The program that reads our output (head, less) has ended: print nothing more. 141 is what a shell reports of a
        # program that the signal for this (SIGPIPE, 13) ended.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 141


def _main(given: Sequence[str]) -> int:
    parser = build_parser()
    for word in _verbs_of(given):
        if word not in VERBS:
            meant = did_you_mean(word, VERBS)
            todo = f"did you mean {meant}? " if meant else ""
            print(f"speedrun: {printable(word[:60])}: is no verb; {todo}`speedrun help` lists all", file=sys.stderr)
            return 2
    args = parser.parse_args(given)
    if args.verb == "help":
        parser.parse_args([args.about, "--help"] if args.about else ["--help"])
    if args.version:
        print(f"speedrun {_version()}")
        return 0
    if args.completion is not None:
        from harness.ui import completion

        print(completion.script(parser, args.completion))
        return 0
    if args.verb is None:
        print(parser.format_help(), file=sys.stderr, end="")
        return 2
    return _run(args)


def _version() -> str:
    """Return the version that was installed."""
    from importlib import metadata

    try:
        return metadata.version("speedrun-harness")
    except metadata.PackageNotFoundError:  # read from a checkout that was never installed
        return "of this checkout, not installed"


def _verbs_of(given: Sequence[str]) -> list[str]:
    """Return the first word that is neither an option nor its value, and after `help` the second one."""
    words, found = iter(given), []
    for word in words:
        if word in ("--root", "--completion"):
            next(words, None)
        elif not word.startswith("-"):
            found.append(word)
    return found[:2] if found[:1] == ["help"] else found[:1]


def _do(args: argparse.Namespace) -> int:
    """Run the verb; whatever ends it, the terminal is left clean before anything else is said."""
    try:
        return int(args.run(args))
    finally:
        if "harness.ui.console" in sys.modules:  # nothing is shown without it
            sys.modules["harness.ui.console"].close_display()


def _run(args: argparse.Namespace) -> int:
    asked = args.reads or _given(args, "plan", "list")
    try:
        with streams.chosen(asked=asked, for_program=_is_for_program(args)):
            status = _do(args)
        sys.stdout.flush()  # here, where a reader that has ended is no error
        return status
    except HarnessError as error:
        from harness.ui import console

        for line in error.lines:
            console.note(f"  | {line}", wrap=False)
        for problem in error.problems:
            console.note(f"speedrun: {problem}")
        return error.exit_status
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
