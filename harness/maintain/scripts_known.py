"""Say whose script a run ran, where a hash tells: that of a record, or the program of the track at some time.

Records know their scripts by the hash of what a log embeds; the main line of the history knows each version of the
track's program by the name that git gives its contents.
"""

import functools

from harness.catalog.lookup import Catalog
from harness.catalog.tree import Tree, Version
from harness.core.record import Record
from harness.maintain.claims import Row
from harness.maintain.upstream_logs import Log

# What the program of a track is called at the root, today and formerly.
PROGRAMS = {"short": ("train_gpt.py", "train_gpt2.py"), "medium": ("train_gpt_medium.py", "train_gptm.py")}


class KnownScripts:
    """The scripts of all records, and the versions of each track's program."""

    def __init__(self, catalog: Catalog, tree: Tree) -> None:
        self._tree = tree
        self._records: dict[str, str] = {}  # sha256 of what a log embeds -> record
        for record in sorted(catalog.records(), key=lambda r: (r.track, r.number, r.kind, r.slug)):
            if record.original is not None:
                self.add(catalog.name(record), record)

    def add(self, name: str, record: Record) -> None:
        """Learn the scripts of a record's own runs; of two records with one script the first has it."""
        for run in record.runs:
            if run.role == "own" and run.script_sha256 is not None:
                self._records.setdefault(run.script_sha256, name)

    def before(self, row: Row) -> set[str]:
        """Return what the track's program was before the row's log came into the repository, as blobs of git."""
        added = self._tree.additions.get(self._tree.blobs.get(row.logs[0], "")) if row.logs else None
        if added is None:
            return set()
        age = self._tree.ages.get(added.commit, 0)
        return {v.blob for v in self._versions(row.track) if self._tree.ages.get(v.commit, 0) > age}

    def whose(self, log: Log, track: str) -> str | None:
        """Say in a note whose script a run ran; None where no hash tells."""
        if log.run.script_sha256 in self._records:
            return f"the script of {self._records[log.run.script_sha256]}"
        if log.program is None:
            return None
        version = next((v for b in log.program.blobs if (v := self._oldest(track).get(b)) is not None), None)
        return None if version is None else f"the program of {version.date} (commit {version.commit[:12]})"

    def _versions(self, track: str) -> list[Version]:
        return _versions(self._tree, track)

    def _oldest(self, track: str) -> dict[str, Version]:
        return {version.blob: version for version in self._versions(track)}


@functools.lru_cache(maxsize=8)
def _versions(tree: Tree, track: str) -> list[Version]:
    return tree.versions(*PROGRAMS[track]) if track in PROGRAMS else []
