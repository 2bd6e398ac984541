"""Print text for people: escaped, coloured where a terminal shows it, plain lines where not.

Log lines, titles and names come from submissions. Nothing of them may move the cursor, change colours, or pass as a
message of the harness: control characters are shown as escapes and rich markup is never interpreted.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from harness.core.judgement import Outcome, Verdict
from harness.core.text import printable

_COLOURS: dict[Outcome, str] = {"pass": "green", "fail": "red", "inconclusive": "yellow", "not applicable": "dim"}


_displays: list[Callable[[], None]] = []  # what closes the display that is open


def close_with(close: Callable[[], None] | None) -> None:
    """Name what closes the display of a run that is open now; None: it is closed."""
    close_display()
    if close is not None:
        _displays.append(close)


def close_display() -> None:
    """Leave the last state of a display where it is, so that what is said next comes below; nothing where none is open."""
    while _displays:
        _displays.pop()()


def redraws(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal that can redraw its lines."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def columns(stream: TextIO) -> int:
    """Return the width of a stream's terminal, or what COLUMNS says; 80 where it has none."""
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size(stream.fileno()).columns)
    except (OSError, ValueError):
        return 80


def say(text: str, *, style: str | None = None, stdout: bool = False) -> None:
    """Print one message for a person on stderr; stdout: it is what was asked for, and goes there."""
    close_display()
    stream = sys.stdout if stdout else sys.stderr
    if stream.isatty() and style is not None:
        from rich.console import Console

        console = Console(stderr=not stdout, markup=False, highlight=False, emoji=False, soft_wrap=True)
        console.print(printable(text), style=style)
    else:
        print(printable(text), file=stream, flush=not stdout)


def figure(value: float | None, form: str, unit: str = "", *, missing: str = "") -> str:
    """Format a figure with its unit; `missing` stands for one that is not known."""
    return missing if value is None else f"{value:{form}}{unit}"


def say_verdict(verdict: Verdict) -> None:
    """Print a verdict, finding by finding."""
    for finding in verdict.findings:
        if finding.outcome == "not applicable":
            continue
        say(f"  {finding.rule:<3} {finding.outcome:<14}  {finding.text}", style=_COLOURS[finding.outcome])
    skipped = [finding.rule for finding in verdict.findings if finding.outcome == "not applicable"]
    if skipped:
        say(f"  not applicable: {', '.join(skipped)} (`speedrun verify --json` says why)", style="dim")
    for warning in verdict.warnings:
        say(f"  warning            {warning}", style="yellow")
    text = f"verdict: {verdict.outcome} for {verdict.subject} under {verdict.ruleset}"
    say(text, style=f"bold {_COLOURS[verdict.outcome]}")


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table, columns padded to their widest cell."""
    cells = [[printable(cell) for cell in row] for row in [columns, *rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


_SIGNS = {"green": "✓", "yellow": "!", "red": "✗"}


def say_states(lines: Sequence[tuple[str, str, str, str | None]]) -> None:
    """Print lines of (green | yellow | red, name, value, fix): readable without the colours."""
    width = max((len(name) for _, name, _, _ in lines), default=0)
    for state, name, value, fix in lines:
        text = value.replace("\n", " ")  # a value is one line, whatever it contains
        say(f"{_SIGNS[state]} {state:<6}  {name:<{width}}  {text}", style=state)
        if fix is not None:
            say(f"{'':<8}  {'':<{width}}  → {fix}")


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Print what is being waited for, and afterwards how long it took."""
    say(f"{text} …")
    began = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - began:.1f} s")
