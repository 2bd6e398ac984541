"""List records by what people look for: track, names, dates, evidence, words of the title."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

from harness.catalog import ranking
from harness.catalog.lookup import Catalog
from harness.catalog.standing import Evidence, evidence_of, own_runs
from harness.catalog.tracks import current_ruleset, load_track
from harness.core import stats
from harness.core.record import Record
from harness.core.task import Track


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list is narrowed down to; None: not by this."""

    track: str | None = None
    by: str | None = None  # part of a contributor's name
    since: datetime.date | None = None
    until: datetime.date | None = None
    evidence: Evidence | None = None
    words: str | None = None  # part of the title

    def takes(self, record: Record) -> bool:
        """Whether a record is one of those; one of no date is in no period."""
        day = record.date
        if (self.since is not None or self.until is not None) and day is None:
            return False
        return (
            self.track in (None, record.track)
            and (self.by is None or any(_holds(name, self.by) for name in record.contributors))
            and (self.since is None or day is None or day >= self.since)
            and (self.until is None or day is None or day <= self.until)
            and (self.evidence is None or evidence_of(record) == self.evidence)
            and (self.words is None or _holds(record.title, self.words))
        )


@dataclass(frozen=True, slots=True)
class ListedRecord:
    """One line of the list of records. Losses in nats per token; None is "not known"."""

    name: str  # short/12
    title: str
    date: str | None
    contributors: tuple[str, ...]
    train_time_s: float | None  # claimed
    steps: int | None  # claimed
    loss_mean: float | None  # of its own complete runs
    runs: int
    evidence: Evidence
    current: bool
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class ListedTrack:
    """One line of the list of tracks."""

    name: str
    title: str
    ruleset: str
    ranked_by: str  # train_time or steps
    records: int
    current: str | None  # short/89


def tracks_of(catalog: Catalog, wanted: Wanted) -> list[ListedTrack]:
    """List the tracks of a project, or the one that is wanted; raises TrackError for one that there is not."""
    names = catalog.track_names() if wanted.track is None else (wanted.track,)
    return [_listed_track(catalog, load_track(catalog.project.tracks, name)) for name in names]


def _listed_track(catalog: Catalog, track: Track) -> ListedTrack:
    found = catalog.records(track.name)
    best = catalog.current(track)
    current = None if best is None else catalog.name(best)
    return ListedTrack(track.name, track.title, current_ruleset(track).id, track.metric, len(found), current)


def records_of(catalog: Catalog, wanted: Wanted) -> list[ListedRecord]:
    """List the records that are wanted, by track, the newest number first; a re-timing follows what it times."""
    listed = []
    for name in catalog.track_names() if wanted.track is None else (wanted.track,):
        mine = catalog.records(name)
        best = catalog.current(catalog.track(name))
        numbers = ranking.numbers(mine)
        mine.sort(key=lambda one: ([-int(part) for part in numbers[one.slug].split(".")], one.slug))
        listed += [_listed(catalog, one, best) for one in mine if wanted.takes(one)]
    return listed


def _listed(catalog: Catalog, record: Record, best: Record | None) -> ListedRecord:
    losses = _losses(record)
    return ListedRecord(
        name=catalog.name(record),
        title=record.title,
        date=None if record.date is None else record.date.isoformat(),
        contributors=record.contributors,
        train_time_s=record.claimed.train_time_s,
        steps=record.claimed.steps,
        loss_mean=stats.mean(losses) if losses else None,
        runs=len(losses),
        evidence=evidence_of(record),
        current=best is not None and best.slug == record.slug,
        withdrawn=record.withdrawn is not None,
    )


def _losses(record: Record) -> Sequence[float]:
    return [run.value for run in own_runs(record) if run.value is not None]


def _holds(text: str, part: str) -> bool:
    return part.casefold() in text.casefold()
