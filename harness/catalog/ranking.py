"""Order a track's records and number them as people write them.

A record by time is what beat another one on the same machine; where nobody compared, the least claim.
"""

from collections.abc import Sequence

from harness.core.record import Record
from harness.core.task import Track


def current(track: Track, records: Sequence[Record]) -> Record | None:
    """Return the record to beat; None where the track has none."""
    return next(iter(rank(track, records)), None)


def rank(track: Track, records: Sequence[Record]) -> list[Record]:
    """Return the records of a track that stand, the best first.

    Seconds of two machines cannot be compared, so what beat another record in a same-machine comparison stands above
    it whatever both claim. Where nobody compared: the least claimed time or the fewest steps, the earlier of equals.
    """
    mine = {f"{r.track}/{r.slug}": r for r in records if r.track == track.name}

    def beaten(record: Record) -> int:
        """Count the comparisons that lead from a record down to one that beat nothing."""
        counted, below = {record.slug}, record.faster_than
        while below is not None and (slower := mine.get(below)) is not None and slower.slug not in counted:
            counted.add(slower.slug)
            below = slower.faster_than
        return len(counted) - 1

    def claimed(record: Record) -> float | None:
        return record.claimed.train_time_s if track.metric == "train_time" else record.claimed.steps

    def key(record: Record) -> tuple[int, float, str, int, str]:
        value = claimed(record)
        return -beaten(record), float(value or "inf"), str(record.date), record.number, record.slug

    def stands(record: Record) -> bool:
        # Timed again beside the current record and not faster: its seconds are that machine's and rank nowhere.
        lost = record.kind == "retiming" and record.official and record.faster_than is None
        return record.withdrawn is None and claimed(record) is not None and not lost

    return sorted(filter(stands, mine.values()), key=key)


def before(record: Record, records: Sequence[Record]) -> Record | None:
    """Return the record of a track with the next lower number, of a re-timing that of what it times; None of the first."""
    number = record.number if record.retimes is None else record.retimes
    lower = [r for r in records if r.kind == "record" and r.track == record.track and r.number < number]
    return max(lower, key=lambda r: (r.number, r.slug), default=None)


def given_twice(records: Sequence[Record]) -> dict[str, Record]:
    """Map the slug of each record whose number upstream and this project both gave to the other record of that number.

    The number is upstream's: the record that was accepted here goes by its slug from then on.
    """
    firsts = [record for record in records if record.kind == "record"]
    pairs = [
        (mine, theirs)
        for mine in firsts
        for theirs in firsts
        if mine.number == theirs.number and mine.track == theirs.track
        if mine.original is None and theirs.original is not None
    ]
    return {one.slug: other for mine, theirs in pairs for one, other in ((mine, theirs), (theirs, mine))}


def own_slug(record: Record, records: Sequence[Record]) -> str | None:
    """Return the slug of a record that was accepted here, if upstream gave its number as well; else None."""
    return record.slug if record.original is None and record.slug in given_twice(records) else None


def numbered(records: Sequence[Record], number: str) -> list[Record]:
    """Return the records that a number means, of a track's: one, upstream's where two have it, or none."""
    shown = numbers(records)
    return [r for r in records if shown[r.slug] == number and own_slug(r, records) is None]


def in_order(records: Sequence[Record]) -> list[Record]:
    """Sort a track's records by number, date and slug."""
    return sorted(records, key=lambda one: (one.number, str(one.date), one.slug))


def predecessors(records: Sequence[Record]) -> dict[str, Record]:
    """Map the slug of each of a track's records to the record before it that stands; the first has none."""
    found = {}
    before: Record | None = None
    for record in in_order(records):
        if before is not None:
            found[record.slug] = before
        if record.kind == "record" and record.withdrawn is None:
            before = record
    return found


def numbers(records: Sequence[Record]) -> dict[str, str]:
    """Map each slug to its number as people write it: 12, or 21.1 for the first re-timing of 21."""
    counts: dict[int, int] = {}
    shown = {}
    for record in in_order(records):
        if record.kind == "record" or record.retimes is None:
            shown[record.slug] = str(record.number)
            continue
        counts[record.retimes] = counts.get(record.retimes, 0) + 1
        shown[record.slug] = f"{record.retimes}.{counts[record.retimes]}"
    return shown
