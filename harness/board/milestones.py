"""Say which records were ahead of all before them, by how much, and which of them are milestones.

All of it is by claims, in the order of the numbers, because claims are all that every record has; whether a gain was
measured on one host is said beside it. A record is a milestone, or not, whatever comes later.
"""

from collections.abc import Mapping, Sequence

from harness.board.rows import Row
from harness.core.task import Track

LIMITS = (1e-6, 1e12)  # of seconds and steps: what lies outside would only break the scale of a picture
LEAST = 0.02  # of the least claim before: 33 of 89 short records took so much less, 6 of 46 optimization rows


def claim_of(track: Track, row: Row) -> float | None:
    """Return what a row is ranked by: seconds, or steps; None where it claims none, or one that cannot be meant."""
    value = row.claimed_time_s if track.metric == "train_time" else row.claimed_steps
    return None if value is None or not LIMITS[0] < value < LIMITS[1] else float(value)


def in_order(rows: Sequence[Row]) -> list[Row]:
    """Sort rows by their number, the first one first."""
    return sorted(rows, key=lambda row: ([int(part) for part in row.number.split(".")], row.date or "", row.slug))


def is_idea(row: Row) -> bool:
    """Whether a row stands and is no re-timing of another one."""
    return row.kind == "record" and row.withdrawn is None


def least_before(track: Track, rows: Sequence[Row]) -> dict[str, float | None]:
    """Return by slug the least claim of those that stand before each row; None where nothing is before."""
    found: dict[str, float | None] = {}
    least: float | None = None
    for row in in_order(rows):
        found[row.slug] = least
        value = claim_of(track, row)
        if value is not None and is_idea(row):
            least = value if least is None else min(least, value)
    return found


def milestones(track: Track, rows: Sequence[Row]) -> dict[str, float]:
    """Return by slug how much less each milestone took than the least before, as a share of that."""
    before = least_before(track, rows)
    found = {}
    for row in filter(is_idea, rows):
        value, least = claim_of(track, row), before[row.slug]
        if value is not None and least is not None and (gain := round(1 - value / least, 9)) >= LEAST:
            found[row.slug] = gain
    return found


def greatest(gains: Mapping[str, float], most: int) -> set[str]:
    """Return the slugs of the greatest milestones."""
    return set(sorted(gains, key=lambda slug: (-gains[slug], slug))[:most])


def ideas(track: Track, rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return the rows that brought a gain, each with the row that it is held against, in the order of the numbers.

    Where time is ranked all records that claim one, each beside the record before; where steps are, those that took
    fewer than any before, beside the fewest.
    """
    by_time = track.metric == "train_time"
    found = []
    last: Row | None = None
    for row in filter(is_idea, in_order(rows)):
        value, before = claim_of(track, row), None if last is None else claim_of(track, last)
        if value is None:
            continue
        ahead = by_time or before is None or value < before
        if last is not None and ahead:
            found.append((row, last))
        last = row if ahead else last
    return found


def share_text(gain: float) -> str:
    """Write a share in percent, with two digits."""
    return f"{100 * gain:.{0 if gain >= 0.0995 else 1}f} %"
