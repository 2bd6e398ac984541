"""Print text for people: escaped, coloured where a terminal shows it, plain lines where not.

Log lines, titles and names come from submissions. Nothing of them may move the cursor, change colours, or pass as a
message of the harness: control characters are shown as escapes and rich markup is never interpreted.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO

from harness.core.judgement import Finding, Outcome, Verdict
from harness.core.text import printable
from harness.ui import fitting, streams
from harness.ui.streams import product as product  # what is said inside was asked for

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


def say(text: str, *, style: str | None = None, wrap: bool = True) -> None:
    """Print one message for a person: on stdout where the command was asked for it, else on stderr (`streams`).

    wrap: fit it to the columns that there are; a line of code or of a log is better left as it is.
    """
    _print(text, style, streams.asked(), wrap=wrap)


def note(text: str, *, style: str | None = None, wrap: bool = True) -> None:
    """Print progress, advice or an error for a person, on stderr whatever the command was asked for."""
    _print(text, style, sys.stderr, wrap=wrap)


def _print(text: str, style: str | None, stream: TextIO, *, wrap: bool = True) -> None:
    close_display()
    width, shown = streams.width_of(stream) if wrap else None, printable(text)
    if width is not None:
        shown = "\n".join(fitting.wrapped(line, width) for line in shown.split("\n"))
    if style is not None and streams.has_colours(stream):
        from rich.console import Console

        console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
        console.print(shown, style=style)
    else:
        print(shown, file=stream, flush=True)  # flushed: both streams may be one file


def figure(value: float | None, form: str, unit: str = "", *, missing: str = "") -> str:
    """Format a figure with its unit; `missing` stands for one that is not known."""
    return missing if value is None else f"{value:{form}}{unit}"


def say_verdict(verdict: Verdict, *, every: bool = False) -> None:
    """Print a verdict, finding by finding; every: why a rule does not apply as well."""
    say_findings([finding for finding in verdict.findings if every or finding.outcome != "not applicable"])
    skipped = [finding.rule for finding in verdict.findings if finding.outcome == "not applicable"]
    if skipped and not every:
        say(f"  not applicable: {', '.join(skipped)} (`speedrun check --all` says why)", style="dim")
    say_warnings(verdict)
    text = f"verdict: {verdict.outcome} for {verdict.subject} under {verdict.ruleset}"
    say(text, style=style_of(verdict.outcome))


def say_findings(findings: Iterable[Finding]) -> None:
    """Print findings, a line each."""
    for finding in findings:
        say(f"  {finding.rule:<3} {finding.outcome:<14}  {finding.text}", style=_COLOURS[finding.outcome])


def say_warnings(verdict: Verdict) -> None:
    """Print what a maintainer should know and what changes no verdict."""
    for warning in verdict.warnings:
        say(f"  warning            {warning}", style="yellow")


def style_of(outcome: Outcome) -> str:
    """Return the style that a verdict is printed in."""
    return f"bold {_COLOURS[outcome]}"


def say_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table, columns padded to their widest cell; where it is too wide, words go on in the next line."""
    cells = [[printable(cell) for cell in row] for row in [columns, *rows]]
    for line in fitting.table(cells, streams.width_of(streams.asked())):
        say(line, wrap=False)


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
    note(f"{text} …")
    began = time.monotonic()
    yield
    note(f"{text}: {time.monotonic() - began:.1f} s")
