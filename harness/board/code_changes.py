"""Find what each record changed in the code, where the scripts of both records are in the repository.

A record is compared with the parent that its script names, else with the record before it. Both are read and never
executed, and comments, docstrings and blank lines do not count, as in `speedrun diff`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.catalog.lookup import Catalog
from harness.catalog.ranking import numbers, predecessors
from harness.catalog.subjects import Subject
from harness.core.record import Record
from harness.store.layout import Project
from harness.submission import codediff
from harness.submission.codediff import CodeDiff


@dataclass(frozen=True, slots=True)
class Change:
    """What one record changed in the code of another."""

    diff: CodeDiff
    against: Record
    reimplemented: bool  # at least one of the two scripts is ours and not the author's


Changes = Mapping[str, Mapping[str, Change]]  # track -> slug
NO_CHANGES: Changes = MappingProxyType({})


def read_changes(project: Project, records: Sequence[Record]) -> dict[str, dict[str, Change]]:
    """Read the scripts in the folders of records and compare them; raises HarnessError for one that is damaged."""
    catalog = Catalog(project)
    found: dict[str, dict[str, Change]] = {}
    for track in sorted({record.track for record in records}):
        mine = [record for record in records if record.track == track]
        here = {r.slug: catalog.script_here(r) for r in mine if r.kind == "record" and catalog.has_script(r)}
        by_name, before = (_by_name(track, mine) if here else {}), predecessors(mine)
        for record in mine:
            if record.slug not in here:
                continue
            against = by_name.get(here[record.slug].parent or "", before.get(record.slug))
            if against is not None and against.slug in here and against.slug != record.slug:
                found.setdefault(track, {})[record.slug] = _change(here[against.slug], here[record.slug], against)
    return found


def _by_name(track: str, records: Sequence[Record]) -> dict[str, Record]:
    """Map the names that a parent may have. Of two records of one number that of this project was there first."""
    shown = numbers(records)
    ordered = sorted(records, key=lambda record: record.original is None)
    return {f"{track}/{name}": record for record in ordered for name in (record.slug, shown[record.slug])}


def _change(old: Subject, new: Subject, against: Record) -> Change:
    return Change(codediff.between(old, new), against, old.reimplementation or new.reimplementation)
