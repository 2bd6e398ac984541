"""What all verbs share: their declaration, the values of their flags, and how they end.

Each verb is a few lines that call one package and print. The modules of verbs are imported for every
`speedrun --help`, so whatever is slow to import is imported inside the verb that needs it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.layout import Project, find_project

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of the command line: its help, its flags, and what it does."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]  # returns the exit status
    reads: bool = False  # all that it says was asked for, so it goes to stdout; of others, the plan and the outcome
    alias: str | None = None  # another name of it, which it had before


def project_of(args: argparse.Namespace) -> Project:
    """Return the project that a command works on."""
    return find_project(Path.cwd(), args.root)


def catalog_of(args: argparse.Namespace) -> Catalog:
    """Return the tracks, records and submissions that a command works on, each read once."""
    from harness.catalog.lookup import Catalog

    return Catalog(project_of(args))


def print_json(data: object) -> None:
    """Print data, dataclasses among it, as JSON on stdout."""
    from harness.core import codec

    json.dump(codec.encode(data), sys.stdout, indent=1, ensure_ascii=False)
    sys.stdout.write("\n")


def number_of(what: str, low: int, high: int) -> Callable[[str], int]:
    """Return what parses a number of runs or pairs within bounds."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number of {what}; give {low} to {high}")
        return int(text)

    return parse


count_of_runs = number_of("runs", 1, 1000)


def dollars(text: str) -> float:
    """Parse an amount of US dollars, above 0 and below a million."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of money; give US dollars above 0, like 24.5")
    return value


def hours(text: str) -> float:
    """Parse a number of hours, above 0 and below a million."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours; give one above 0, like 0.5")
    return value


def terminated(number: int, frame: object) -> None:
    """End in an orderly way on SIGTERM: what is running is stopped, and the ledger says so."""
    raise SystemExit(128 + number)


@contextlib.contextmanager
def next_step(text: str) -> Iterator[None]:
    """Say what to do next if Ctrl-C or SIGTERM ends what is inside."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        from harness.ui import console

        console.note(text)
        raise
