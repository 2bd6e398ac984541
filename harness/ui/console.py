"""Print text for people: escaped, coloured where a terminal shows it, plain lines where not.

Log lines, titles and names come from submissions. Nothing of them may move the cursor, change colours, or pass as a
message of the harness: control characters are shown as escapes and rich markup is never interpreted.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from harness.core.judgement import Finding, Outcome, Verdict
from harness.core.text import printable
from harness.runlog import grammar
from harness.ui import fitting, streams
from harness.ui.streams import product as product  # what is said inside was asked for

_COLOURS: dict[Outcome, str] = {"pass": "green", "fail": "red", "inconclusive": "yellow", "not applicable": "dim"}


def say(text: str, *, style: str | None = None, wrap: bool = True) -> None:
    """Print one message for a person: on stdout where the command was asked for it, else on stderr (`streams`).

    wrap: fit it to the columns that there are; a line of code or of a log is better left as it is.
    """
    _print(text, style, streams.asked(), wrap=wrap)


def note(text: str, *, style: str | None = None, wrap: bool = True) -> None:
    """Print progress, advice or an error for a person, on stderr whatever the command was asked for."""
    _print(text, style, sys.stderr, wrap=wrap)


def _print(text: str, style: str | None, stream: TextIO, *, wrap: bool = True) -> None:
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


class LiveRun:
    """Shows one run while it goes: a status line on a terminal, a plain line now and then elsewhere."""

    def __init__(self, title: str, target: float | None) -> None:  # None: where it lies is not shown
        self.title, self.target = title, target
        self.last_plain = 0.0
        self.val_loss: float | None = None
        self.tokens_per_step: int | None = None  # from the log's header, where it says so
        self.terminal = streams.can_redraw(sys.stderr)

    def take(self, line: bytes) -> None:
        """Show what a line of its log says."""
        match = grammar.TOKENS_PER_STEP.match(line)
        if match is not None:
            self.tokens_per_step = int(match[1])
        metric = grammar.parse_metric(line.decode("utf-8", "replace"))
        if metric is not None:
            self._show(metric)
            if self.terminal and metric.step == metric.total_steps and metric.val_loss is not None:
                print(file=sys.stderr, flush=True)  # what follows starts on a line of its own

    def _show(self, metric: grammar.MetricLine) -> None:
        step, total, step_avg_ms = metric.step, metric.total_steps, metric.step_avg_ms
        if metric.val_loss is not None:
            self.val_loss = metric.val_loss
        parts = [f"{self.title}  step {step}/{total}" if total else f"{self.title}  step {step}"]
        if self.val_loss is not None:
            off = "" if self.target is None else f" ({self.val_loss - self.target:+.4f} to {self.target:g})"
            parts.append(f"val_loss {self.val_loss:.4f}{off}")
        if metric.train_time_s is not None:
            parts.append(f"train_time {metric.train_time_s:.1f} s")
        if step_avg_ms is not None and step > 0:
            parts.append(f"{step_avg_ms:.1f} ms/step")
            if self.tokens_per_step is not None and step_avg_ms > 0:
                parts.append(f"{self.tokens_per_step / step_avg_ms * 1000:,.0f} tokens/s")
            if total:
                parts.append(f"ETA {max(0.0, (total - step) * step_avg_ms / 1000):.0f} s")
        line = "  ".join(parts)
        if self.terminal:
            sys.stderr.write("\r\x1b[K" + printable(line)[: shutil.get_terminal_size().columns - 1])
            sys.stderr.flush()
        elif metric.val_loss is not None or time.monotonic() - self.last_plain > 30:
            self.last_plain = time.monotonic()
            note(line)


@contextlib.contextmanager
def waiting(text: str) -> Iterator[None]:
    """Print what is being waited for, and afterwards how long it took."""
    note(f"{text} …")
    began = time.monotonic()
    yield
    note(f"{text}: {time.monotonic() - began:.1f} s")
