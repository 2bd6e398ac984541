"""The words of the command line, one module per group; each verb is a few lines that call a story and print.

These modules are imported for every `speedrun --help`, so a story is imported inside the verb that needs it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.store.layout import Project, find_project


@dataclass(frozen=True, slots=True)
class Verb:
    """One word of the command line: its help, its flags, and what it does."""

    name: str
    help: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]  # returns the exit status


def project_of(args: argparse.Namespace) -> Project:
    """The project that a command works on."""
    return find_project(Path.cwd(), args.root)


def count_of_runs(text: str) -> int:
    """A number of runs or GPUs on the command line."""
    if not text.isdigit() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no such number; give 1 to 1000")
    return int(text)


def terminated(number: int, frame: object) -> None:
    """SIGTERM as an orderly end: what is running is stopped, its books are closed."""
    raise SystemExit(128 + number)
