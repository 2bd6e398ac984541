"""Draw what the last ideas gained as a waterfall: each bar begins where the one before ended.

Claims are of several machines, whose seconds differ more than most ideas gain. So what was measured beside a baseline,
most likely on one host, has a bar and a colour of its own, and the claims alone add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.board.markdown import measured_text, same_host, signed
from harness.board.milestones import claim_of, ideas
from harness.board.rows import Row
from harness.board.scales import Scale, widened
from harness.board.svg import BOTTOM, RIGHT, SMALL, WIDTH, Drawing, text_width, tick, wrap
from harness.core.task import Track

SHOWN = 10
LEFT = 14
_ROW = 46  # px of one idea whose title takes one line
_LINE = SMALL + 3


@dataclass(frozen=True, slots=True)
class _Step:
    """One bar: an idea, the claim before it and its own, and what was measured on one host; figures as they are told."""

    row: Row
    before: float
    after: float
    claimed: str
    measured: float | None = None
    told: str = ""

    @property
    def ends(self) -> tuple[float, ...]:
        """All values that must lie within the picture."""
        return (self.before, self.after, self.before + (self.measured or 0.0))


def waterfall(track: Track, rows: Sequence[Row]) -> str | None:
    """Draw the gains of a track's last ideas; None where it has fewer than two."""
    by_time = track.metric == "train_time"
    steps = [_step(track, *one) for one in ideas(track, rows)[-SHOWN:]]
    if len(steps) < 2:
        return None
    heads = ("by claims (s)", "same host (s)") if by_time else ("steps", "")
    measured = [text_width(one.told, SMALL) for one in steps if one.told]
    widest = max(*measured, text_width(heads[1], SMALL)) + 12 if measured else 0
    columns = (WIDTH - RIGHT - widest, WIDTH - RIGHT)  # right ends of the figures
    claims = max(text_width(text, SMALL) for text in (heads[0], *(one.claimed for one in steps)))
    titles = [wrap(f"#{one.row.number} {one.row.title}", WIDTH - LEFT - RIGHT, most=3, size=SMALL) for one in steps]
    heights = [_ROW + _LINE * (len(title) - 1) for title in titles]
    drawing = Drawing(40 + sum(heights) + BOTTOM, f"{track.name}: what the last {len(steps)} ideas gained")
    x = Scale(*widened([end for one in steps for end in one.ends], 0.02), LEFT, columns[0] - claims - 12)
    drawing.text(LEFT, 22, "the newest below", "muted small")
    drawing.text(columns[0], 22, heads[0], "ink small", anchor="end")
    if measured:
        drawing.text(columns[1], 22, heads[1], "accent small", anchor="end")
    for value in x.ticks(4):
        drawing.line(x(value), 32, x(value), drawing.height - BOTTOM, "grid")
        tick(drawing, x(value), f"{value:,.6g}")
    top = 40.0
    for one, title, height in zip(steps, titles, heights, strict=True):
        for index, line in enumerate(title):
            drawing.text(LEFT, top + 13 + _LINE * index, line, "ink small halo")
        _bars(drawing, one, x, top + 20 + _LINE * (len(title) - 1), columns)
        top += height
    return drawing.svg()


def _step(track: Track, row: Row, held: Row) -> _Step:
    by_time = track.metric == "train_time"
    form = ",.2f" if by_time else ",.0f"
    value, before = claim_of(track, row) or 0.0, claim_of(track, held) or 0.0
    claimed = signed(value - before, form)
    gain = same_host(row) if by_time else None
    if gain is None or gain.time_s is None:
        return _Step(row, before, value, claimed)
    return _Step(row, before, value, claimed, gain.time_s, measured_text(gain, form))


def _bars(drawing: Drawing, one: _Step, x: Scale, top: float, columns: tuple[float, float]) -> None:
    """Draw what is claimed, and below it what was measured; the figures stand at the right."""
    drawing.bar(x(one.before), x(one.after), top, 9, "claim")
    drawing.text(columns[0], top + 13, one.claimed, "ink small", anchor="end")
    if one.measured is not None:
        drawing.bar(x(one.before), x(one.before + one.measured), top + 10, 6, "accent")
        drawing.text(columns[1], top + 13, one.told, "accent small", anchor="end")
