"""Draw validation loss against training time, or step: of some records of a track, and of one beside one before."""

from collections.abc import Mapping, Sequence

from harness.board.milestones import greatest, in_order, is_idea, milestones
from harness.board.rows import Row
from harness.board.scales import Scale, widened
from harness.board.svg import BOTTOM, LEFT, RIGHT, SMALL, TOP, Drawing, frame, text_width, tick
from harness.core.task import Track
from harness.store.records import Curve

ABOVE = 1.6  # nats per token above the target that are shown: what lies higher is over in the first steps
MOST_POINTS = 120  # of a curve
MOST = 1e12  # of a step, a time or a loss: a greater one would only break the scale of a picture
INNER = 4  # milestones between the first curve and the newest
Curves = Mapping[str, Curve]  # by slug
_Line = list[tuple[float, float]]


def curves(track: Track, rows: Sequence[Row], held: Curves) -> str | None:
    """Draw the curves of some records of a track; None where fewer than two have one."""
    chosen = with_curves(track, rows, held)
    if len(chosen) < 2:
        return None
    told = f"{track.name}: validation loss of records {', '.join(f'#{row.number}' for row in chosen)}"
    return _draw(Drawing(360, told), track, chosen, held)


def with_curves(track: Track, rows: Sequence[Row], held: Curves) -> list[Row]:
    """Choose at most six records that stand and have a curve: the first, the greatest milestones, the newest."""
    by_time = track.metric == "train_time"
    whole = {slug for slug, curve in held.items() if len(curve) > 1 and (_has_times(curve) or not by_time)}
    having = [row for row in in_order(rows) if is_idea(row) and row.slug in whole]
    gains = milestones(track, rows)
    inner = greatest({row.slug: gains[row.slug] for row in having[1:-1] if row.slug in gains}, INNER)
    return [row for index, row in enumerate(having) if index in (0, len(having) - 1) or row.slug in inner]


def beside(track: Track, row: Row, before: Row, held: Curves) -> str | None:
    """Draw a record's curve beside that of a record before; None where one of them has none."""
    told = f"{track.name}: validation loss of #{row.number} beside #{before.number}"
    return _draw(Drawing(250, told, width=480), track, [before, row], held)


def _draw(drawing: Drawing, track: Track, chosen: Sequence[Row], held: Curves) -> str | None:
    points, target = _alike(track, chosen, held)
    timed = track.metric == "train_time" and all(map(_has_times, points))
    lines = [_shown(one, target + ABOVE, timed=timed) for one in points]
    if not all(len(line) > 1 for line in lines):
        return None
    ends = [line[-1][0] for line in lines]
    log = timed and max(ends) > 3 * min(ends)
    places = [at for line in lines for at, _ in line]
    left, right = (min(places), max(places) * 1.05) if log else widened([0, *places], 0.02)
    x = Scale(left, right, LEFT, drawing.width - RIGHT, log=log)
    names = _below([f"#{row.number}" for row in chosen], [x(end) for end in ends], drawing.width)
    bottom = drawing.height - BOTTOM - 20 * (1 + max(level for _, level in names)) - 4
    low = min(target, *(loss for line in lines for _, loss in line))
    y = Scale(low - 0.02, target + ABOVE, bottom, TOP)
    loss = "loss" if target == track.target_loss else "loss above the entropy"
    unit = "training time (s)" + (", log scale" if log else "") if timed else "step"
    frame(drawing, y, f"{loss} against {unit}; dashed: target {target:g}")
    drawing.line(LEFT, y(target), drawing.width - RIGHT, y(target), "muted dash")
    for value in x.ticks(6):
        tick(drawing, x(value), f"{value:,.6g}")
    for index, (line, row, (middle, level)) in enumerate(zip(lines, chosen, names, strict=True)):
        drawing.path([(x(at), y(loss)) for at, loss in line], f"c{index}")
        drawing.dot(x(line[-1][0]), y(line[-1][1]), 3.5, f"c{index}")
        kind = f"c{index} small bold"
        drawing.text(middle, bottom + 18 + 20 * level, f"#{row.number}", kind, anchor="middle")
    return drawing.svg()


def _has_times(curve: Curve) -> bool:
    return sum(bool(time and time > 0) for *_, time in curve) > 1


def _below(names: Sequence[str], ends: Sequence[float], width: float) -> list[tuple[float, int]]:
    """Return where the names of curves stand below their ends: the middle, and the row, of which the first is upmost."""
    taken: list[list[tuple[float, float]]] = []
    found: dict[int, tuple[float, int]] = {}
    for index in sorted(range(len(names)), key=lambda index: (ends[index], index)):
        half = text_width(names[index], SMALL) / 2 + 3
        middle = min(max(ends[index], LEFT + half), width - half)
        clear = [all(abs(middle - at) > half + other for at, other in row) for row in taken]
        level = clear.index(True) if True in clear else len(taken)
        taken += [[]] if level == len(taken) else []
        taken[level].append((middle, half))
        found[index] = middle, level
    return [found[index] for index in range(len(names))]


def _alike(track: Track, chosen: Sequence[Row], held: Curves) -> tuple[list[Curve], float]:
    """Return curves with one meaning of loss, and the target in it.

    Where records ran on secret sources, all become distances to the entropy: the track's own source has a known one.
    """
    far = {rules.id: rules.above_entropy for rules in track.rulesets if rules.above_entropy is not None}
    target = next((far[row.ruleset] for row in reversed(chosen) if row.ruleset in far), None)
    if target is None:
        return [held.get(row.slug, ()) for row in chosen], track.target_loss
    entropy = {row.slug: 0.0 if row.ruleset in far else track.data.oracle_loss or 0.0 for row in chosen}
    moved = [
        tuple((step, loss - entropy[row.slug], time) for step, loss, time in held.get(row.slug, ())) for row in chosen
    ]
    return moved, target


def _shown(curve: Curve, high: float, *, timed: bool) -> _Line:
    """Return what is drawn of a curve: below `high`, from where it crosses that, and not too many points."""
    placed = [(time if timed else step, loss) for step, loss, time in curve]
    line = [(float(at), loss) for at, loss in placed if at is not None and at < MOST and abs(loss) < MOST]
    line = [point for point in line if point[0] > 0 or not timed]
    line = line[:: -max(1, -(-len(line) // MOST_POINTS))][::-1]
    below = next((index for index, (_, loss) in enumerate(line) if loss < high), len(line))
    crossing: _Line = []
    if 0 < below < len(line):
        (x0, y0), (x1, y1) = line[below - 1], line[below]
        crossing = [(x0 + (x1 - x0) * (y0 - high) / (y0 - y1), high)]
    return crossing + [(at, min(loss, high)) for at, loss in line[below:]]
