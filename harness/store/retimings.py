"""Read retimings.yaml: times of many records that somebody else measured on one kind of hardware.

Claims are of the machine and the month in which each record was set, so only such a series says what the records gained
together. The figures are the source's and not ours: each is shown beside a claim with its source, and never ranked.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.core.codec import Form
from harness.core.constraints import Commit, Count, Line, Prose, Several, TrackName
from harness.core.record import Elsewhere
from harness.store.layout import Project


@dataclass(frozen=True, slots=True)
class Retimed:
    """What one source says of one record."""

    record: Count  # its number
    faster_s: float | None  # mean seconds that it takes less than the one it was timed against


@dataclass(frozen=True, slots=True)
class Retiming:
    """One source's times; null is what it does not say."""

    name: Line
    repository: Line
    commit: Commit
    path: Line
    date: datetime.date  # of that commit
    track: TrackName
    hardware: Line | None
    torch: Line | None
    runs: Count | None  # of each record
    against: Count  # the number of the record that all others are timed against
    records: Several[Retimed]
    notes: Prose | None


@dataclass(frozen=True, slots=True)
class Retimings:
    """The whole file."""

    sources: Several[Retiming]


Timings = Mapping[tuple[str, int], Elsewhere]  # (track, number) -> what somebody else measured
NO_TIMINGS: Timings = MappingProxyType({})
FORM = Form(Retimings, "yaml", (1,))


def read_retimings(project: Project) -> Timings:
    """Read what others measured of each record; nothing where the file is not there.

    Raises StoreError with every problem of the file. Of two sources of one record the later in the file stands.
    """
    if not project.retimings.exists():
        return NO_TIMINGS
    found = {}
    for source in FORM.read(project.retimings, name=project.show(project.retimings)).sources:
        origin, date = f"{source.repository}@{source.commit}:{source.path}", source.date.isoformat()
        for one in source.records:
            found[source.track, one.record] = Elsewhere(source.name, origin, date, source.against, one.faster_s)
    return found
