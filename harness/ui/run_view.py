"""Lay out where a run stands in rows for a terminal of 60 columns or more: nothing is cut within a word or a number.

Parts of a row that find no room go to a row of their own below. The curve comes last, as high as there is room, and
beside the figures where the terminal is wide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from harness.ui import run_status
from harness.ui.run_curve import THEIRS, curve_rows
from harness.ui.run_status import Status

LEAST_WIDTH = 60
WIDE, FIGURES = 130, 64  # from this width on the curve stands beside the figures, which have so many columns
LABEL = 6
MOST_CURVE_WIDTH, MOST_CURVE_HEIGHT = 100, 14
BAR, REST = "━", "─"

Row = list[tuple[str, str | None]]  # pieces of text with their style


def frame(status: Status, width: int, height: int, *, whole: bool = True) -> Text:
    """Lay out a status; not whole: without the curve."""
    wide = whole and width >= WIDE
    rows = _figures(status, FIGURES if wide else width)
    if whole:
        if wide:
            curve = curve_rows(status, min(MOST_CURVE_WIDTH, width - FIGURES - 2), min(MOST_CURVE_HEIGHT, height - 1))
            rows = _beside(rows, curve)
        else:
            room = height - len(rows) - 2
            curve = curve_rows(status, min(MOST_CURVE_WIDTH, width), min(MOST_CURVE_HEIGHT, room))
            rows += [_coloured(line) for line in curve]
    lines = [Text.assemble(*[(text, style or "") for text, style in row]) for row in rows[: max(1, height - 1)]]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _figures(status: Status, width: int) -> list[Row]:
    state = status.state
    style = "bold" if status.ended is None else "bold green" if status.good else "bold red"
    elapsed = (
        [] if state.elapsed_s is None or status.ended is not None else [f"{run_status.span(state.elapsed_s)} in all"]
    )
    heading = [status.title, status.subject, status.phase, *elapsed]
    rows: list[Row] = [[(line, style)] for line in _filled(heading, width)]
    bar = _bar(status, width)
    if bar is not None:
        rows.append(bar)
    rows += _labelled("left", run_status.left_parts(status), width)
    loss = run_status.loss_parts(status, state.last)
    bad = state.last is not None and state.last.loss is None
    rows += _labelled("loss", loss, width, "bold red" if bad else None)
    rows += _labelled("pace", run_status.pace_parts(state), width)
    slowed = state.gpus is not None and bool(state.gpus.slowed)
    rows += _labelled("GPUs", run_status.gpu_parts(state.gpus), width, "yellow" if slowed else None)
    rows += _labelled("cost", run_status.cost_parts(status), width)
    return rows


def _labelled(label: str, parts: Sequence[str], width: int, style: str | None = None) -> list[Row]:
    rows: list[Row] = []
    for line in _filled(parts, width - LABEL):
        rows.append([(("" if rows else label).ljust(LABEL), "dim"), (line, style)])
    return rows


def _filled(parts: Iterable[str], width: int) -> list[str]:
    """Fill lines with parts; one that is longer than a line is shortened."""
    lines: list[str] = []
    for part in parts:
        if cell_len(part) > width:
            part = set_cell_size(part, width - 1).rstrip() + "…"
        if lines and cell_len(lines[-1]) + 3 + cell_len(part) <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


def _bar(status: Status, width: int) -> Row | None:
    share, step = run_status.share_done(status.state), run_status.step_text(status.state)
    if share is None or step is None:
        return None
    behind = f"  {100 * share:3.0f} %  {step}"
    room = width - len(behind)
    if room < 10:
        return [(behind.strip(), None)]
    done = int(room * share)
    style = "green" if status.good else "red"
    return [(BAR * done, style), (REST * (room - done), "dim"), (behind, None)]


def _coloured(line: str) -> Row:
    """Split a row of the curve into stretches of the run, of the record and of the rest."""
    row: Row = []
    for sign in line:
        style = "cyan" if "⠁" <= sign <= "⣿" else "yellow" if sign == THEIRS else "dim"
        if row and row[-1][1] == style:
            row[-1] = row[-1][0] + sign, style
        else:
            row.append((sign, style))
    return row


def _beside(rows: list[Row], curve: Sequence[str]) -> list[Row]:
    joined: list[Row] = []
    for index in range(max(len(rows), len(curve))):
        left = rows[index] if index < len(rows) else []
        used = sum(cell_len(text) for text, _ in left)
        right = _coloured(curve[index]) if index < len(curve) else []
        joined.append([*left, (" " * (FIGURES + 2 - used), None), *right] if right else left)
    return joined
