"""Write feed.xml, an Atom feed of the newest records: the same bytes for the same records."""

import uuid
from collections.abc import Iterable

from harness.board.rows import Row
from harness.board.site import templating
from harness.catalog.standing import MEANINGS

NEWEST = 50  # entries; a reader keeps what it has seen
_NEVER = "1970-01-01"  # of a feed without entries, which must have a date too


def feed(rows: Iterable[Row], gains: dict[tuple[str, str], str]) -> str:
    """Write the feed; rows without a date announce nothing, as nobody knows when they came."""
    dated = [row for row in rows if row.date is not None]
    dated.sort(key=lambda row: (row.date or "", row.track, row.slug), reverse=True)
    entries = [
        {
            "row": row,
            "id": uuid.uuid5(uuid.NAMESPACE_URL, f"speedrun:{row.track}/{row.slug}").urn,
            "names": [name.removeprefix("@") for name in row.contributors] or ["not known"],
            "gain": gains.get((row.track, row.slug), ""),
            "meaning": MEANINGS[row.evidence],
        }
        for row in dated[:NEWEST]
    ]
    updated = dated[0].date if dated else _NEVER
    own = uuid.uuid5(uuid.NAMESPACE_URL, "speedrun:feed").urn
    return templating.fill("feed.xml", {"entries": entries, "updated": updated, "id": own})
