"""Decide on which stream a text for people is printed.

What a command was asked for goes to stdout: whatever `show`, `log`, `check`, `doctor`, `diff` and every list and `--plan`
say, and the outcome of what was run. Progress, advice and errors go to stderr, so that `speedrun show short/88 | less`
shows the record, and `speedrun run smoke > verdict.txt` the progress. Where stdout is for a program (`--json`,
`--markdown`, annotations of a workflow), all text goes to stderr.

What a terminal can show is asked here too: NO_COLOR, TERM=dumb and COLUMNS are the user's word on it.

The command line opens `chosen` around each command. All that prints asks `asked()` or uses `harness.ui.console`: `say`
follows this choice, `note` is for progress, advice and errors wherever it is called.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

NARROWEST, USUAL = 20, 80  # columns


@dataclass(slots=True)
class _Choice:
    is_asked: bool = False  # what is said now was asked for
    for_program: bool = False  # stdout is for data alone


_choice = _Choice()


@contextlib.contextmanager
def chosen(*, asked: bool, for_program: bool) -> Iterator[None]:
    """Choose for the command inside: whether all that it says was asked for, and whether stdout is for data alone."""
    _choice.is_asked, _choice.for_program = asked, for_program
    try:
        yield
    finally:
        _choice.is_asked = _choice.for_program = False


@contextlib.contextmanager
def product() -> Iterator[None]:
    """Mark what is said inside as what the command was asked for: its outcome."""
    before, _choice.is_asked = _choice.is_asked, True
    try:
        yield
    finally:
        _choice.is_asked = before


def asked() -> TextIO:
    """Return the stream of what is said now, unless it is progress, advice or an error: those go to stderr."""
    return sys.stdout if _choice.is_asked and not _choice.for_program else sys.stderr


def has_colours(stream: TextIO) -> bool:
    """Whether a text may be coloured: on a terminal that is not dumb, where NO_COLOR is not set."""
    return can_redraw(stream) and not os.environ.get("NO_COLOR")


def can_redraw(stream: TextIO) -> bool:
    """Whether a line that was printed can be replaced by another one."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def width_of(stream: TextIO) -> int | None:
    """Return how many columns there are: COLUMNS where it is set, else the terminal's; None in a file or a pipe."""
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return max(NARROWEST, int(asked))
    if not stream.isatty():
        return None
    with contextlib.suppress(OSError, ValueError):
        return max(NARROWEST, os.get_terminal_size(stream.fileno()).columns or USUAL)
    return USUAL
