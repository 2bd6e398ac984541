"""Find the program that holds each record of the past: what stood on master just before the next record was merged.

Hard because a row does not say when it was merged: rows are dated by their runs and merged weeks later, several a day, as
one commit, as a merge or in pieces. A record is taken to be merged where the history first names its pull request, holds
its log, or has its original as the program of the track. Where that leaves a doubt no commit is told, and the reason is.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.catalog import originals
from harness.catalog.checkout import Checkout
from harness.catalog.mainline import Commit, History, read_blobs, read_history
from harness.core.record import Merged, Record
from harness.runlog.source import embed
from harness.submission.codediff import same_code

# What the program of a track is called at the root, the newest name first. Other tracks have none.
ENTRIES = {"short": ("train_gpt.py", "train_gpt2.py"), "medium": ("train_gpt_medium.py", "train_gptm.py")}

_IMPORTED = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(\w+)", re.M)

Files = dict[str, bytes]  # of one script, the entry first


@dataclass(frozen=True, slots=True)
class Merge:
    """Where a record came onto the main branch."""

    place: int
    by_pull_request: bool


class Programs:
    """The program of one track at every commit of the main branch."""

    def __init__(self, history: History, contents: Mapping[str, bytes], names: Sequence[str]) -> None:
        self.history = history
        self._contents = contents
        self.blobs: list[dict[str, str]] = []  # at each commit: the entry and what it imports; empty without a program
        for place, commit in enumerate(history.commits):
            same = place and commit.programs is history.commits[place - 1].programs
            self.blobs.append(self.blobs[-1] if same else self._blobs(commit.programs, names))

    def _blobs(self, there: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        wanted = [name for name in names if name in there][:1]
        while wanted:
            name = wanted.pop(0)
            found[name] = there[name]
            imported = (f"{module.decode()}.py" for module in _IMPORTED.findall(self._contents.get(there[name], b"")))
            wanted += [other for other in dict.fromkeys(imported) if other in there and other not in (*found, *wanted)]
        return found

    def files(self, place: int) -> Files | None:
        """Return the program at a commit; None where there is none, or a file of it cannot be read."""
        blobs = self.blobs[place]
        read = {name: self._contents[blob] for name, blob in blobs.items() if blob in self._contents}
        return read if read and len(read) == len(blobs) else None

    def first(self, files: Files) -> int | None:
        """Return the first commit whose program has these contents; None where no commit has."""
        wanted = sorted(git_name(data) for data in files.values())
        return next((place for place, blobs in enumerate(self.blobs) if sorted(blobs.values()) == wanted), None)

    def last_changed(self, place: int) -> Commit:
        """Return the commit that made the program what it is at `place`."""
        while place and self.blobs[place - 1] == self.blobs[place]:
            place -= 1
        return self.history.commits[place]


def git_name(data: bytes) -> str:
    """Return what git calls these contents of a file."""
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data), usedforsecurity=False).hexdigest()


# ------------------------------------------------------------------------------------------------ finding


def find_merged(records: Sequence[Record], checkout: Checkout, commit: str = "HEAD") -> dict[str, Merged]:
    """Find the merged program of every record of `short` and `medium` whose program on master is not its original.

    records: all of the project, so that each has its next one. Returns, by "track/slug", what merged.yaml has to say: the
    program, or why no commit can be told. A record that is not in it needs no file: its original, comments aside, is
    what was merged. Raises StoreError for a checkout without its history.
    """
    history = read_history(checkout, commit)
    contents = read_blobs(checkout, {blob for commit in history.commits for blob in commit.programs.values()})
    torches = {run.script_sha256: run.torch for record in records for run in record.runs if run.torch}
    found: dict[str, Merged] = {}
    for track, entries in ENTRIES.items():
        mine = sorted((r for r in records if r.track == track and r.kind == "record"), key=lambda r: r.number)
        programs = Programs(history, contents, entries)
        proven = _originals(mine, checkout)
        merges = {record.slug: _merge(record, checkout, programs, proven.get(record.slug)) for record in mine}
        for record, following in zip(mine, [*mine[1:], None], strict=False):
            place = _place(record, following, merges, programs)
            said = place if isinstance(place, str) else None
            files = None if isinstance(place, str) else programs.files(place)
            if files is None:
                reason = said or "a file of the program cannot be read from this clone"
                found[f"{track}/{record.slug}"] = _untold(checkout.repository, reason)
            elif isinstance(place, int) and not _same(proven.get(record.slug), files):
                commit = programs.last_changed(place).name
                found[f"{track}/{record.slug}"] = _told(checkout.repository, commit, files, torches)
    return found


def _originals(records: Sequence[Record], checkout: Checkout) -> dict[str, Files]:
    """Read the originals of records, by slug; those that cannot be had are left out."""
    wanted = {r.slug: original for r in records if (original := originals.program(r, original=True)) is not None}
    checkout.prefetch(originals.where_it_lies(original) for original in wanted.values())
    resolved = {slug: originals.resolve(original, slug, lambda _: checkout) for slug, original in wanted.items()}
    return {slug: each.files for slug, each in resolved.items() if each.state == "resolved"}


def _merge(record: Record, checkout: Checkout, programs: Programs, proven: Files | None) -> Merge | None:
    """Find where a record came onto the main branch; None where nothing there is of it."""
    history = programs.history
    pulled = history.pulled(record.pull_request) if record.pull_request else None
    signs = [] if pulled is None else [pulled]
    original = originals.program(record, original=True)
    if original is not None:
        commit, path = originals.where_it_lies(original)
        signs += [history.appeared[b] for b in checkout.blobs(commit, [path]).values() if b in history.appeared]
    if proven is not None and (first := programs.first(proven)) is not None:
        signs.append(first)
    return Merge(min(signs), min(signs) == pulled) if signs else None


def _place(
    record: Record, following: Record | None, merges: Mapping[str, Merge | None], programs: Programs
) -> int | str:
    """Return the place just before the next record's merge, or why it cannot be told."""
    own = merges[record.slug]
    if own is None:
        return "nothing in the history of master shows where it was merged"
    if following is None:
        last = len(programs.history.commits) - 1
        return last if programs.blobs[last] else "master has no program of the track"
    of = f"{following.track}/{following.number}"
    after = merges[following.slug]
    if after is None:
        return f"nothing in the history of master shows where the next record, {of}, was merged"
    if after.place <= own.place:
        return f"the next record, {of}, was merged with it or before it"
    before = after.place - 1
    if not programs.blobs[before]:
        return "master had no program of the track then"
    if not after.by_pull_request and programs.blobs[before] == programs.blobs[after.place]:
        return f"the commit that shows the merge of the next record, {of}, leaves the program as it was"
    return before


def _told(repository: str, commit: str, files: Files, torches: Mapping[str | None, str | None]) -> Merged:
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    script = hashlib.sha256(embed(files)).hexdigest()
    torch = torches.get(script) or torches.get(next(iter(hashes.values())))
    return Merged(repository=repository, commit=commit, files=hashes, script_sha256=script, torch=torch, reason=None)


def _untold(repository: str, reason: str) -> Merged:
    return Merged(repository=repository, commit=None, files={}, script_sha256=None, torch=None, reason=reason)


def _same(proven: Files | None, merged: Files) -> bool:
    """Whether both are the same program: comments, docstrings and blank lines do not count."""
    return proven is not None and same_code(proven, _renamed(merged))


def _renamed(merged: Files) -> Files:
    """Call the entry as the originals that logs embed are called."""
    entry, *_ = merged
    return {"train_gpt.py" if name == entry else name: data for name, data in merged.items()}


# ------------------------------------------------------------------------------------------------ writing
