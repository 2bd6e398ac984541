"""Draw the validation curve of a run and that of the record in the terminal, with plotext 6.

Hard because the first losses are three times the last ones: drawn to scale, everything that a run decides would lie in
one row. So the picture begins where the curve has left its steep start, and shows the losses from there on. And the
script chooses the numbers: plotext's native part ends the whole process on a point far outside of the picture, so no
point leaves here that does not lie in it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

from harness.run.run_progress import Point
from harness.ui.run_status import Status

OWN, THEIRS = "braille", "·"
STEEP = 0.1  # the part of the steps whose losses set no scale
MOST_LOSS, MOST_STEPS = 1e6, 10**9
LEAST_SPAN = 0.05  # nats from the bottom to the top

Curve = tuple[tuple[float, float], ...]


def curve_rows(status: Status, width: int, height: int) -> list[str]:
    """Draw both curves in a box of this size, and a line that says which is which; nothing where nothing tells."""
    command, reference = status.command, status.reference
    longest = reference.points[-1].step if reference is not None and reference.points else 0
    end = max(status.state.total_steps or 0, longest)
    if not 1 <= end < MOST_STEPS or width < 40 or height < 6:
        return []
    own = _known(status.state.curve, command.entropy or 0.0, end)
    theirs = _known(reference.points, 0.0, end) if reference is not None else ()
    if len(own) + len(theirs) < 3:
        return []
    drawn = _drawn(own, theirs, float(end), _limits(own, theirs, end), command.target, width, height - 1)
    legend = "above the entropy:" if command.entropy is not None else "val_loss:"
    beside = [f"{THEIRS * 3} {reference.shown}"] if reference is not None and theirs else []
    target = [] if command.target is None else [f"─── target {command.target:g}"]
    for part in ("⠤⠤⠤ this run", *beside, *target):
        legend += f"  {part}" if len(legend) + len(part) + 2 <= width else ""
    return [legend, *drawn]


def _known(points: Sequence[Point], entropy: float, end: int) -> Curve:
    there = [p for p in points if 0 <= p.step <= end]
    return tuple((float(p.step), p.loss - entropy) for p in there if p.loss is not None and abs(p.loss) < MOST_LOSS)


def _limits(own: Curve, theirs: Curve, end: float) -> tuple[float, float]:
    """Choose the range of losses to show: all after the steep start, and the place where the run is now."""
    later = [loss for step, loss in (*own, *theirs) if step >= STEEP * end] or [loss for _, loss in (*own, *theirs)]
    low, high = min(later), max(later)
    if theirs:  # a run that diverges goes out of the picture instead of flattening the rest
        known = [loss for step, loss in theirs if step >= STEEP * end] or [loss for _, loss in theirs]
        spread = max(known) - min(known) + LEAST_SPAN
        low, high = max(low, min(known) - spread), min(high, max(known) + spread)
    if high - low < LEAST_SPAN:
        low, high = low - LEAST_SPAN / 2, high + LEAST_SPAN / 2
    return low, high


@functools.lru_cache(maxsize=4)  # the picture changes once in many redraws
def _drawn(
    own: Curve, theirs: Curve, end: float, limits: tuple[float, float], target: float | None, width: int, height: int
) -> tuple[str, ...]:
    import plotext

    low, high = limits
    margin = 0.04 * (high - low)
    seen = [_clipped(points, low - margin, high + margin) for points in (theirs, own)]
    begin = min((points[0][0] for points in seen if points), default=0.0)
    begin = math.floor(begin) if STEEP / 2 * end < begin < end / 2 else 0.0
    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.plot_size(width, height)
    for points, marker in zip(seen, (THEIRS, OWN), strict=True):
        if points:
            figure.draw(figure.signal([x for x, _ in points], [y for _, y in points], marker=marker).lines())
    if target is not None and low - margin <= target <= high:
        figure.line(target, 0)
    figure.ruler("y", 0).lim(low - margin, high + margin)
    figure.ruler("x", 0).lim(begin, end)
    ticks = sorted({round(begin + (end - begin) * part / 4) for part in range(5)})
    figure.ruler("x", 0).ticks(ticks, [f"{tick}" for tick in ticks])
    return tuple(figure.build().string(colorless=True).rstrip("\n").split("\n"))


def _clipped(points: Curve, bottom: float, top: float) -> Curve:
    """Cut a curve where it comes into the picture from above, and hold it at the bottom where it falls out of it."""
    seen: list[tuple[float, float]] = []
    for index, (step, loss) in enumerate(points):
        if loss <= top:
            if index and points[index - 1][1] > top:
                before = points[index - 1]
                share = (before[1] - top) / (before[1] - loss)
                seen.append((before[0] + share * (step - before[0]), top))
            seen.append((step, max(bottom, loss)))
    return tuple(seen)
