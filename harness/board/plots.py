"""Draw a track's pictures as SVG text: how its record fell, and how fast milestone records learn.

An SVG depends on the matplotlib that drew it, so the board is not compared by its bytes: each carries the sha256 of
the data that it shows, and a check compares that. Colours are mid-tones on no background, readable on white and on
black pages.
"""

import hashlib
import io
import json
import re
from collections.abc import Iterable

import pandas as pd

from harness.core.task import Track

GREY, ACCENT = "#7f8790", "#d9480f"
COLOURS = ("#4c8dd6", "#2fa084", "#b8860b", "#c2559d", "#7a6fd0", "#d9480f", "#6b8e23", "#5f7f9f")
MILESTONES = 8
_MARK = "data-sha256:"


def progress(track: Track, records: pd.DataFrame) -> str | None:
    """Draw a track's records (`frames.records`) against date, log scale; None where they have fewer than two dates."""
    by_time = track.metric == "train_time"
    claims = records["claimed_time_s" if by_time else "claimed_steps"].astype("float64")
    points = records[records.withdrawn.isna()].assign(value=claims).dropna(subset=["date", "value"])
    points = points.sort_values(["date", "value", "number"], ascending=[True, False, True])
    if points.date.nunique() < 2:
        return None
    scale = 60.0 if by_time else 1.0
    best = points.value.cummin() / scale
    figure, axes = _figure("minutes" if by_time else "steps", f"{track.name}: {track.title}")
    axes.step(points.date, best, where="post", color=ACCENT, linewidth=1.6)
    axes.scatter(points.date, points.value / scale, s=14, color=GREY, zorder=3)
    axes.set_yscale("log")
    _plain_ticks(axes.yaxis, best)
    now = points[points.current]
    for number, date, value in zip(now.number, now.date, now.value, strict=True):
        text = f"#{number}: {value / scale:.4g} {'min' if by_time else 'steps'}"
        place = (date, value / scale)
        # Below its point: no record and no line is lower than the current record.
        low, high = axes.get_ylim()
        axes.set_ylim(bottom=low / (high / low) ** 0.06)
        axes.annotate(
            text, place, xytext=(4, -8), textcoords="offset points", ha="right", va="top", color=ACCENT, fontsize=10
        )
        axes.scatter(*place, s=36, color=ACCENT, zorder=4)
    _few_dates(axes.xaxis)
    dates = points.date.dt.strftime("%Y-%m-%d")
    shown = list(zip(points.number, dates, points.value, strict=True))
    return _svg(figure, ["progress", track.name, track.title, track.metric, shown])


def curves(track: Track, records: pd.DataFrame, points: pd.DataFrame) -> str | None:
    """Draw validation loss against training time (or step) of a track's milestones; None where no curve is known.

    records, points: `frames.records` and `frames.curves` of this track.
    """
    chosen = milestones(records, points)
    points = points[points.slug.isin(chosen.slug)]
    timed = track.metric == "train_time" and points.train_time_s.notna().any()
    points = points.assign(x=points.train_time_s / 60 if timed else points.step)
    points = points[points.train_time_s > 0] if timed else points
    chosen = chosen[chosen.slug.isin(points.slug)]
    if chosen.empty:
        return None
    points, target = _alike(track, chosen, points)
    loss = "validation loss" if target == track.target_loss else "loss above the entropy of its source"
    figure, axes = _figure(loss, f"{track.name}: validation loss of milestone records")
    shown: list[tuple[str, str, list[tuple[float, float]]]] = []
    for number, slug, title in zip(chosen.number, chosen.slug, chosen.title, strict=True):
        curve = points[points.slug == slug]
        label = f"#{number} {plain(title, 44)}"
        axes.plot(curve.x, curve.val_loss, color=COLOURS[len(shown) % len(COLOURS)], linewidth=1.4, label=label)
        shown.append((number, title, list(zip(curve.x, curve.val_loss, strict=True))))
    axes.axhline(target, color=GREY, linewidth=0.9, linestyle="--")
    if timed:
        axes.set_xscale("log")
        late = points.x[points.x > 0.05]
        if late.any():  # not so on a track whose runs take seconds
            _plain_ticks(axes.xaxis, late)
            axes.set_xlim(left=0.1)
    axes.set_ylim(min(points.val_loss.min(), target) - 0.05, target + 1.8)
    axes.set_xlabel("training time, minutes" if timed else "step", color=GREY)
    legend = axes.legend(frameon=False, fontsize=8, labelcolor=GREY)
    legend.set_zorder(5)
    return _svg(figure, ["curves", track.name, target, shown])


def _alike(track: Track, chosen: pd.DataFrame, points: pd.DataFrame) -> tuple[pd.DataFrame, float]:
    """Return points with one meaning of loss, and the target in it.

    Where records ran on secret sources, all become distances to the entropy: the track's own source has a known one.
    """
    targets = {rules.id: rules.above_entropy for rules in track.rulesets if rules.above_entropy is not None}
    newest = next((targets[id] for id in reversed(chosen.ruleset.tolist()) if id in targets), None)
    if newest is None:
        return points, track.target_loss
    far = points.slug.isin(chosen.slug[~chosen.ruleset.isin(list(targets))])
    return points.assign(
        val_loss=points.val_loss.where(~far, points.val_loss - (track.data.oracle_loss or 0.0))
    ), newest


def milestones(records: pd.DataFrame, points: pd.DataFrame) -> pd.DataFrame:
    """Choose at most eight records that have a curve and stand, spread evenly from the first to the newest."""
    having = records[records.withdrawn.isna() & records.slug.isin(points.slug)]
    having = having.sort_values("date", kind="stable", na_position="first")  # equal dates: in order of their numbers
    steps = min(len(having), MILESTONES) - 1
    return having.iloc[[round(index * (len(having) - 1) / (steps or 1)) for index in range(steps + 1)]]


def digest_of(svg: str) -> str | None:
    """Find the digest that an SVG carries; None where it carries none."""
    match = re.search(_MARK + r"([0-9a-f]{64})", svg)
    return match[1] if match else None


def plain(text: str, most: int) -> str:
    """Make text fit for a label: no mathematics, no control characters, at most `most` characters."""
    shown = "".join(char if char.isprintable() and char != "$" else " " for char in text)
    return shown if len(shown) <= most else shown[: most - 1] + "…"


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
    axes.set_title(plain(title, 90), color=GREY, fontsize=11)
    axes.set_ylabel(ylabel, color=GREY)
    axes.grid(True, which="major", color=GREY, alpha=0.25, linewidth=0.6)
    axes.tick_params(colors=GREY, which="both")
    for spine in axes.spines.values():
        spine.set_color(GREY)
        spine.set_alpha(0.5)
    return figure, axes


def _few_dates(axis) -> None:  # type: ignore[no-untyped-def]
    """Show at most seven dates, so that ten characters each fit beside one another."""
    from matplotlib.dates import AutoDateFormatter, AutoDateLocator

    locator = AutoDateLocator(minticks=3, maxticks=7)
    axis.set_major_locator(locator)
    axis.set_major_formatter(AutoDateFormatter(locator))


def _plain_ticks(axis, values: Iterable[float]) -> None:  # type: ignore[no-untyped-def]
    """Show a few round numbers on a log axis instead of powers of ten."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    low, high = min(values), max(values)
    steps = (1, 2, 3, 5, 7)
    candidates = [step * 10**power for power in range(-2, 6) for step in steps]
    ticks = [tick for tick in candidates if low * 0.8 <= tick <= high * 1.25]
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _svg(figure, shown: object) -> str:  # type: ignore[no-untyped-def]
    sha256 = hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Description": _MARK + sha256})
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
