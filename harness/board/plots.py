"""Draw how a track's record fell: its claims against their dates, with the greatest milestones beside the line."""

import datetime
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.board.milestones import claim_of, greatest, ideas, in_order, milestones, share_text
from harness.board.rows import Row
from harness.board.scales import Scale, dates
from harness.board.svg import BOTTOM, LEFT, RIGHT, SMALL, TOP, WIDTH, Drawing, frame, text_width, tick, wrap
from harness.core.task import Track

HEIGHT = 400
LABELLED = 8  # milestones that are named, where so many fit
_LINE = SMALL + 2  # from one line of a label to the next
_NARROWEST = 190  # of a label, before it moves to the left of its point

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Label:
    """The name of one milestone: its lines, the last one's baseline at `level`, and the point that it names."""

    lines: tuple[str, ...]
    left: float
    level: float
    at: Place

    @property
    def right(self) -> float:
        return self.left + max(text_width(line, SMALL) for line in self.lines)

    @property
    def top(self) -> float:
        return self.level - len(self.lines) * _LINE

    def meets(self, other: "_Label") -> bool:
        """Whether two labels would touch each other."""
        beside = self.right + 6 > other.left and other.right + 6 > self.left
        return beside and self.level > other.top and other.level > self.top


def progress(track: Track, rows: Sequence[Row]) -> str | None:
    """Draw a track's claims against their dates, log scale; None where they have fewer than two dates."""
    points = _dated(track, rows)
    if len({date for date, *_ in points}) < 2:
        return None
    name = "claimed training time (s)" if track.metric == "train_time" else "steps"
    drawing = Drawing(HEIGHT, f"{track.name}: {name} of its records against their dates")
    best = list(itertools.accumulate((value for _, value, _ in points), min))
    room = max(best[0] / best[-1], 1.1) ** 0.05
    y = Scale(best[-1] / room**2, best[0] * room, HEIGHT - BOTTOM, TOP, log=True)
    first, last = points[0][0], points[-1][0]
    x = Scale(first.toordinal(), last.toordinal(), LEFT + 10, WIDTH - RIGHT - 8)
    frame(drawing, y, f"{name}, log scale; the greatest gains are named")
    months = (last - first).days >= 62
    for date in dates(first, last, 5 if months else 4):
        tick(drawing, x(date.toordinal()), f"{date:%Y-%m}" if months else f"{date}")
    places = {row.slug: (x(date.toordinal()), y(value)) for date, value, row in points if value <= y.high}
    stairs = [(x(first.toordinal()), y(best[0]))]
    for (date, *_), value in zip(points[1:], best[1:], strict=True):
        stairs += [(x(date.toordinal()), stairs[-1][1]), (x(date.toordinal()), y(value))]
    drawing.path(stairs, "claim")
    for slug in places:
        drawing.dot(*places[slug], 2.5, "muted")
    labels = _labels(track, rows, places, stairs)
    for label in labels:
        _point(drawing, label)
    for label in labels:
        for index, line in enumerate(reversed(label.lines)):
            drawing.text(label.left, label.level - index * _LINE, line, "ink small halo")
    _name_current(drawing, track, [row for *_, row in points if row.current], places)
    return drawing.svg()


def _dated(track: Track, rows: Sequence[Row]) -> list[tuple[datetime.date, float, Row]]:
    """Return the claims that stand by their date; one without a date stands beside the record before it.

    Where steps are ranked, only those that took fewer than any before: the others document an idea or a baseline.
    """
    ahead = {row.slug for row, _ in ideas(track, rows)} if track.metric == "steps" else None
    found: list[tuple[datetime.date, float, Row]] = []
    date: datetime.date | None = None
    for row in in_order(rows):
        date = datetime.date.fromisoformat(row.date) if row.date else date
        value = claim_of(track, row)
        if date is None or value is None or row.withdrawn is not None:
            continue
        if ahead is None or row.slug in ahead or not found:
            found.append((date, value, row))
    return sorted(found, key=lambda point: (point[0], -point[1], point[2].slug))


def _labels(track: Track, rows: Sequence[Row], places: Mapping[str, Place], stairs: Sequence[Place]) -> list[_Label]:
    """Lay out as many of the greatest milestones as have room, with whole names if one has room at all."""
    gains = {slug: gain for slug, gain in milestones(track, rows).items() if slug in places}
    for lines, most in itertools.product((4, 2, 1), range(LABELLED, 0, -1)):
        chosen = greatest(gains, most)
        labels: list[_Label] = []
        mine = [row for row in in_order(rows) if row.slug in chosen and not row.current]
        for row in sorted(mine, key=lambda row: places[row.slug][1], reverse=True):
            label = _place(f"#{row.number} {row.title}", gains[row.slug], places[row.slug], stairs, labels, lines)
            labels.append(label)
        if all(label.top >= TOP - SMALL for label in labels):
            return labels
    return []


def _place(name: str, gain: float, at: Place, stairs: Sequence[Place], others: Sequence[_Label], most: int) -> _Label:
    """Put a label above the line, which falls: to the right of its point, all that comes later lies lower."""
    left = min(at[0] + 14, WIDTH - RIGHT - _NARROWEST)
    lines = wrap(name, WIDTH - RIGHT - left, most=most, size=SMALL, end=f" −{share_text(gain)}")
    label = _Label(tuple(lines), left, 0, at)
    if left < at[0]:  # the line before it is above it
        left = WIDTH - RIGHT - (label.right - label.left)
    free = min((y for x, y in stairs if x >= left), default=at[1])
    before = [y for x, y in stairs if x <= left][-1:] if left < at[0] else []
    label = _Label(label.lines, left, min(at[1], free, *before) - 5, at)
    while any(label.meets(other) for other in others):
        label = _Label(label.lines, left, label.level - 2, at)
    return label


def _point(drawing: Drawing, label: _Label) -> None:
    """Draw a line from a label to what it names; where it passes other labels, they are written above it."""
    x, y = label.at
    if label.left > x:
        drawing.line(x, y, label.left - 3, label.level - 5, "muted")
    else:
        drawing.line(x, y, min(x, label.right), label.level + 4, "muted")


def _name_current(drawing: Drawing, track: Track, rows: Sequence[Row], places: Mapping[str, Place]) -> None:
    for row in rows:
        value, (x, y) = claim_of(track, row) or 0, places.get(row.slug, (WIDTH - RIGHT, TOP))
        unit = "s" if track.metric == "train_time" else "steps"
        drawing.dot(x, y, 5, "accent")
        told = f"#{row.number}: {value:,.6g} {unit}"
        drawing.text(WIDTH - RIGHT, y + 23, told, "accent bold halo", anchor="end")
