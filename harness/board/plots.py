"""Rows and curves in, SVG text out: how the record fell, and how fast milestone records learn.

An SVG depends on the matplotlib that drew it, so the board is not compared by its bytes: each carries the sha256 of
the data that it shows, and a check compares that. Colours are mid-tones on no background, readable on white and on
black pages.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import re
from collections.abc import Mapping, Sequence

from harness.board.rows import Row
from harness.core.task import Track

Curve = Sequence[tuple[int, float, float | None]]
GREY, ACCENT = "#7f8790", "#d9480f"
COLOURS = ("#4c8dd6", "#2fa084", "#b8860b", "#c2559d", "#7a6fd0", "#d9480f", "#6b8e23", "#5f7f9f")
MILESTONES = 8
_MARK = "data-sha256:"


def progress(track: Track, rows: Sequence[Row]) -> str | None:
    """The record against date, log scale; None where the rows with a value have fewer than two dates."""
    points = [
        (datetime.date.fromisoformat(row.date), float(value), row)
        for row in rows
        if row.date and not row.withdrawn and (value := claimed(track, row)) is not None
    ]
    if len({date for date, _, _ in points}) < 2:
        return None
    points.sort(key=lambda point: (point[0], -point[1], point[2].number))
    best: list[tuple[datetime.date, float]] = []
    for date, value, _ in points:
        best.append((date, min(value, best[-1][1] if best else value)))
    by_time = track.metric == "train_time"
    scale = 60.0 if by_time else 1.0
    figure, axes = _figure("minutes" if by_time else "steps", f"{track.name}: {track.title}")
    axes.step([d for d, _ in best], [v / scale for _, v in best], where="post", color=ACCENT, linewidth=1.6)
    axes.scatter([d for d, _, _ in points], [v / scale for _, v, _ in points], s=14, color=GREY, zorder=3)
    axes.set_yscale("log")
    _plain_ticks(axes.yaxis, [v / scale for _, v in best])
    now = next((row for row in rows if row.current), None)
    if now is not None and now.date is not None:
        value = (claimed(track, now) or scale) / scale
        said = f"#{now.number}: {value:.4g} {'min' if by_time else 'steps'}"
        place = (datetime.date.fromisoformat(now.date), value)
        # Below its point: no record and no line is lower than the current record.
        low, high = axes.get_ylim()
        axes.set_ylim(bottom=low / (high / low) ** 0.06)
        axes.annotate(
            said, place, xytext=(4, -8), textcoords="offset points", ha="right", va="top", color=ACCENT, fontsize=10
        )
        axes.scatter([place[0]], [value], s=36, color=ACCENT, zorder=4)
    _few_dates(axes.xaxis)
    data = [[row.number, row.date, value] for _, value, row in points]
    return _svg(figure, digest(["progress", track.name, track.title, track.metric, data]))


def curves(track: Track, rows: Sequence[Row], held: Mapping[str, Curve]) -> str | None:
    """Validation loss against training time (or step) of milestone records; None where no curve is known."""
    chosen = milestones(rows, held)
    if not chosen:
        return None
    timed = track.metric == "train_time" and any(point[2] is not None for row in chosen for point in held[row.slug])
    chosen = [row for row in chosen if not timed or any(point[2] is not None for point in held[row.slug])]
    figure, axes = _figure("validation loss", f"{track.name}: validation loss of milestone records")
    shown: list[tuple[str, str, list[tuple[float, float]]]] = []
    for index, row in enumerate(chosen):
        points = [
            ((p[2] or 0.0) / 60 if timed else p[0], p[1]) for p in held[row.slug] if not timed or (p[2] or 0.0) > 0
        ]
        label = f"#{row.number} {plain(row.title)}"
        axes.plot(*zip(*points, strict=True), color=COLOURS[index % len(COLOURS)], linewidth=1.4, label=label)
        shown.append((row.number, row.title, points))
    axes.axhline(track.target_loss, color=GREY, linewidth=0.9, linestyle="--")
    if timed:
        axes.set_xscale("log")
        late = [point[0] for _, _, points in shown for point in points if point[0] > 0.05]
        if late:  # not so on a track whose runs take seconds
            _plain_ticks(axes.xaxis, late)
            axes.set_xlim(left=0.1)
    lowest = min(point[1] for _, _, points in shown for point in points)
    axes.set_ylim(min(lowest, track.target_loss) - 0.05, track.target_loss + 1.8)
    axes.set_xlabel("training time, minutes" if timed else "step", color=GREY)
    legend = axes.legend(frameon=False, fontsize=8, labelcolor=GREY)
    legend.set_zorder(5)
    return _svg(figure, digest(["curves", track.name, track.target_loss, shown]))


def claimed(track: Track, row: Row) -> float | None:
    """What a row is ranked by."""
    return row.claimed_time_s if track.metric == "train_time" else row.claimed_steps


def milestones(rows: Sequence[Row], held: Mapping[str, Curve]) -> list[Row]:
    """At most eight rows with a curve, spread evenly from the first to the newest."""
    standing = (row for row in rows if held.get(row.slug) and not row.withdrawn)
    having = sorted(standing, key=lambda row: (row.date or "", [int(part) for part in row.number.split(".")]))
    if len(having) <= MILESTONES:
        return having
    return [having[round(index * (len(having) - 1) / (MILESTONES - 1))] for index in range(MILESTONES)]


def digest(data: object) -> str:
    """The sha256 of what a picture shows."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def digest_of(svg: str) -> str | None:
    """The digest that an SVG carries; None where it carries none."""
    found = re.search(_MARK + r"([0-9a-f]{64})", svg)
    return found[1] if found else None


def plain(text: str) -> str:
    """Text for a label: no mathematics, no control characters, not too long."""
    shown = "".join(char if char.isprintable() and char != "$" else " " for char in text)
    return shown if len(shown) <= 44 else shown[:43] + "…"


def _figure(ylabel: str, title: str):  # type: ignore[no-untyped-def]
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "speedrun"
    matplotlib.rcParams["svg.fonttype"] = "none"
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.set_title(plain_title(title), color=GREY, fontsize=11)
    axes.set_ylabel(ylabel, color=GREY)
    axes.grid(True, which="major", color=GREY, alpha=0.25, linewidth=0.6)
    axes.tick_params(colors=GREY, which="both")
    for spine in axes.spines.values():
        spine.set_color(GREY)
        spine.set_alpha(0.5)
    return figure, axes


def plain_title(text: str) -> str:
    """A title for a picture."""
    return "".join(char if char.isprintable() and char != "$" else " " for char in text)[:90]


def _few_dates(axis) -> None:  # type: ignore[no-untyped-def]
    """At most seven dates, so that ten characters each fit beside one another."""
    from matplotlib.dates import AutoDateFormatter, AutoDateLocator

    locator = AutoDateLocator(minticks=3, maxticks=7)
    axis.set_major_locator(locator)
    axis.set_major_formatter(AutoDateFormatter(locator))


def _plain_ticks(axis, values: Sequence[float]) -> None:  # type: ignore[no-untyped-def]
    """A few round numbers on a log axis instead of powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values), max(values)
    steps = (1, 2, 3, 5, 7)
    candidates = [step * 10**power for power in range(-2, 6) for step in steps]
    ticks = [tick for tick in candidates if low * 0.8 <= tick <= high * 1.25]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _svg(figure, sha256: str) -> str:  # type: ignore[no-untyped-def]
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Description": _MARK + sha256})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
