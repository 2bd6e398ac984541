"""Say whose script a run ran, where a hash tells: that of a record, what was merged as one, or master's at some commit.

Records know their scripts by the hash of what a log embeds; the history of the main branch knows each version of the
track's program by the name that git gives its contents.
"""

from collections.abc import Mapping

from harness.catalog.lookup import Catalog
from harness.catalog.mainline import History
from harness.catalog.tree import Tree
from harness.core.record import Merged, Record
from harness.maintain.claims import Row
from harness.maintain.merges import ENTRIES
from harness.maintain.upstream_logs import Log


class KnownScripts:
    """The scripts of all records, and the versions of each track's program."""

    def __init__(self, catalog: Catalog, tree: Tree, history: History) -> None:
        self._tree = tree
        self._history = history
        self._own: dict[str, str] = {}  # sha256 of what a log embeds -> record
        self._merged: list[tuple[str, Merged]] = []
        for record in sorted(catalog.records(), key=lambda r: (r.track, r.number, r.kind, r.slug)):
            if record.original is not None:
                self.add(catalog.name(record), record)
                if record.merged is not None:
                    self._merged.append((catalog.name(record), record.merged))

    def add(self, name: str, record: Record) -> None:
        """Learn the scripts of a record's own runs; of two records with one script the first has it."""
        for run in record.runs:
            if run.role == "own" and run.script_sha256 is not None:
                self._own.setdefault(run.script_sha256, name)

    def add_merged(self, merged: Mapping[str, Merged]) -> None:
        """Learn what was merged as the script of records, by their names."""
        self._merged += merged.items()

    def before(self, row: Row) -> set[str]:
        """Return what the track's program was before the row's log came into the repository, as blobs of git."""
        added = self._history.appeared.get(self._tree.blobs.get(row.logs[0], "")) if row.logs else None
        commits = self._history.commits[: added or 0]
        return {c.programs[name] for c in commits for name in ENTRIES.get(row.track, ()) if name in c.programs}

    def whose(self, log: Log) -> str | None:
        """Say in a note whose script a run ran; None where no hash tells."""
        script = log.run.script_sha256
        if script in self._own:
            return f"the script of {self._own[script]}"
        merged = next((name for name, merged in self._merged if merged.ran_as(script)), None)
        if merged is not None or log.program is None:
            return None if merged is None else f"the merged script of {merged}"
        blobs = {blob: self._history.appeared[blob] for blob in log.program.blobs if blob in self._history.appeared}
        return f"a script of commit {self._history.commits[min(blobs.values())].name[:12]}" if blobs else None

    def pull_request(self, path: str, folder: str) -> str | None:
        """Return the pull request that first brought a log, whatever it was called then, if it brought that record alone.

        folder: of the record, below the repository's root.
        """
        place = self._history.appeared.get(self._tree.blobs.get(path, ""))
        if place is None:
            return None
        beside = (name for name, blob in self._tree.blobs.items() if self._history.appeared.get(blob) == place)
        others = any(not name.startswith(f"{folder}/") for name in beside if name.startswith("records/"))
        return None if others else self._history.commits[place].pull_request
