"""The words of the command line, one module per group; each verb is a few lines that call a story and print.

These modules are imported for every `speedrun --help`, so a story is imported inside the verb that needs it.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.layout import Project, find_project

if TYPE_CHECKING:
    from harness.catalog.lookup import Catalog


@dataclass(frozen=True, slots=True)
class Verb:
    """One word of the command line: its help, its flags, and what it does."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]  # returns the exit status


def project_of(args: argparse.Namespace) -> Project:
    """Return the project that a command works on."""
    return find_project(Path.cwd(), args.root)


def catalog_of(args: argparse.Namespace) -> Catalog:
    """Return the tracks, records and submissions that a command works on, each read once."""
    from harness.catalog.lookup import Catalog

    return Catalog(project_of(args))


def count_of_runs(text: str) -> int:
    """A number of runs on the command line."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of runs; give 1 to 1000")
    return int(text)


def dollars(text: str) -> float:
    """An amount of money on the command line, above 0 and below a million."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no amount of money; give US dollars above 0, like 24.5")
    return value


def terminated(number: int, frame: object) -> None:
    """SIGTERM as an orderly end: what is running is stopped, its books are closed."""
    raise SystemExit(128 + number)


@contextlib.contextmanager
def next_step(text: str) -> Iterator[None]:
    """Say what to do next where Ctrl-C or SIGTERM ends what is inside."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        from harness.ui import console

        console.say(text)
        raise
