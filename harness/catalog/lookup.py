"""Answer what a name on the command line means, and where the files behind it are.

    submissions/<slug>      a submission's folder
    short/12, short/21.1    a record by its number, a re-timing by the number of what it times and its own
    records/short/<slug>    a record by its folder, its slug, or an unambiguous beginning of either
    short                   a track: its current record, wherever its script is

One `Catalog` serves one command: each record is read at most once, when it is first needed, so that every part of the
command sees the same records and numbers. Most records of the past have figures here and no script; their published
scripts are fetched, verified and kept in the cache by `originals`: the program that was merged, or on request the
original that a log proves. A script in a record's folder may be the original or a reimplementation of it.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog import manifests, naming, originals, ranking, subjects, tracks
from harness.catalog.originals import Source, program, published
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError, ManifestError, StoreError, read_all
from harness.core.record import Record
from harness.core.task import Track
from harness.store import packs, records
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.ledger import chain_of

SCRIPT_FILE = "script.yaml"  # describes the frozen files beside it


@dataclass(frozen=True, slots=True)
class Named:
    """The thing that a name means: a record, or a submission's folder."""

    name: str  # as people write it: short/12, submissions/2026-12-01_my-idea
    folder: Path
    record: Record | None  # None: a submission
    by_track: bool = False  # the name was a track's, which means its current record


class Catalog:
    """The tracks, records and submissions of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._tracks: dict[str, Track] = {}
        self._records: dict[Path, Record] = {}
        self._numbers: dict[str, dict[str, str]] = {}

    # -------------------------------------------------------------------------------------------- tracks and records

    def track(self, name: str) -> Track:
        """Read a track by its name; raises TrackError."""
        if name not in self._tracks:
            self._tracks[name] = tracks.load_track(self.project.tracks, name)
        return self._tracks[name]

    def track_names(self) -> tuple[str, ...]:
        """Name all tracks of the project, sorted."""
        return tracks.track_names(self.project.tracks)

    def read(self, folder: Path) -> Record:
        """Read the record in a folder; raises StoreError with every problem of its files."""
        if folder not in self._records:
            self._records[folder] = records.read_record(folder, name=self.project.show(folder))
        return self._records[folder]

    def records(self, track: str | None = None) -> list[Record]:
        """Read all records, or those of one track, by track and slug; problems of all files come in one StoreError."""
        folders = records.record_folders(self.project)
        return read_all(self.read, (f for f in folders if track in (None, f.parent.name)), StoreError)

    def current(self, track: Track) -> Record | None:
        """Return the record to beat; None where the track has none."""
        return ranking.current(track, self.records(track.name))

    def folder(self, record: Record) -> Path:
        """Return the folder of a record."""
        return self.project.records / record.track / record.slug

    def number(self, record: Record) -> str:
        """Return a record's number as people write it: 12, or 21.1 for the first re-timing of 21."""
        if record.track not in self._numbers:
            self._numbers[record.track] = ranking.numbers(self.records(record.track))
        return self._numbers[record.track][record.slug]

    def name(self, record: Record) -> str:
        """Return a record's name as people write it: short/12, short/21.1, or its slug where upstream has its number."""
        return f"{record.track}/{ranking.own_slug(record, self.records(record.track)) or self.number(record)}"

    # -------------------------------------------------------------------------------------------- names

    def find(self, name: str) -> Named:
        """Say what a name means. Raises HarnessError where that is nothing, or more than one thing."""
        if not name.strip():
            raise StoreError.at("the name", "is empty", "name a record like short/12, a track, or submissions/<slug>")
        folder = naming.place(self.project, name)
        if folder is not None and (folder / manifests.MANIFEST).is_file():
            return Named(self.project.show(folder), folder, None)
        if name in self.track_names():
            best = self.current(self.track(name))
            if best is None:
                raise StoreError.at(f"{self.project.records.name}/{name}", "there is no record", "name a submission")
            return Named(self.name(best), self.folder(best), best, by_track=True)
        record = self.record(name)
        return Named(self.name(record), self.folder(record), record)

    def record(self, name: str) -> Record:
        """Return the record that `short/12`, `short/21.1`, a slug, a path or an unambiguous beginning of one means.

        Raises StoreError where nothing or more than one record is meant.
        """
        asked = name.strip("/").removeprefix("./").removeprefix(f"{self.project.records.name}/")
        track, _, rest = asked.rpartition("/")
        folders = [f for f in records.record_folders(self.project) if not track or f.parent.name == track]
        if re.fullmatch(r"\d+(\.\d+)?", rest):
            meant = [self.folder(r) for r in ranking.numbered(self.records(track), rest)] if track else []
        else:
            meant = [f for f in folders if f.name == rest] or [f for f in folders if rest and f.name.startswith(rest)]
        if not meant:
            raise naming.unknown(self.project, name)
        if len(meant) > 1:
            few = ", ".join(f"{f.parent.name}/{f.name}" for f in meant[:3])
            raise StoreError.at(name[:100], f"means {len(meant)} records ({few} …)", "write more of the name")
        return self.read(meant[0])

    def find_record(self, name: str) -> Record:
        """Return the record that a name means, a track's current one; raises StoreError for a submission."""
        record = self.find(name).record
        if record is None:
            raise StoreError.at(name, "is a submission, not a record", f"judge it: speedrun check {name}")
        return record

    def track_of(self, named: Named) -> Track:
        """Return the track that a thing belongs to; raises TrackError or ManifestError."""
        if named.record is not None:
            return self.track(named.record.track)
        return self.subject(named, frozen=False).track

    def tokens(self, name: str) -> tuple[Track, int]:
        """Return the track of a track's name, a record or a submission, and the training tokens that it reads."""
        if name in self.track_names():
            track = self.track(name)
            return track, track.train_tokens
        named = self.find(name)
        if named.record is not None and not self.has_script(named.record):
            track = self.track(named.record.track)
            return track, track.train_tokens
        subject = self.subject(named)
        return subject.track, subject.train_tokens

    def past(self, named: Named) -> Record | None:
        """Return a record of the imported past, whose evidence is figures; None for all else."""
        record = named.record
        return None if record is None or record.has_evidence or record.original is None else record

    # -------------------------------------------------------------------------------------------- scripts

    def has_script(self, record: Record) -> bool:
        """Return whether there is a script in a record's folder."""
        return (self.folder(record) / records.SCRIPT / SCRIPT_FILE).is_file()

    def subject(self, named: Named, *, frozen: bool = True) -> Subject:
        """Return what is in the folder as something to run or judge: a submission, or a record's script.

        frozen: False takes a submission's files as they are, whatever hashes were frozen. Raises ManifestError, with the
        ways to go on, for a record whose folder has no script.
        """
        if named.record is not None:
            return self.script_here(named.record)
        packs.settle(named.folder)
        manifest = manifests.load_manifest(named.folder, name=named.name, frozen=frozen)
        return subjects.of_submission(manifest, named.folder, named.name, self.track(manifest.track))

    def submission(self, folder: Path, *, frozen: bool = True) -> Subject:
        """Return a submission's folder as something to run or judge; raises HarnessError with all its problems."""
        return self.subject(Named(self.project.show(folder), folder, None), frozen=frozen)

    def script_here(self, record: Record) -> Subject:
        """Return a record with the script in its folder; raises ManifestError, with the ways to go on, without one."""
        if not self.has_script(record):
            raise self._no_script(record)
        folder = self.folder(record) / records.SCRIPT
        script = manifests.load_script(folder, name=self.project.show(folder))
        if script.same_as is not None:
            where, folder = self.project.show(folder), self.folder(self.record(script.same_as)) / records.SCRIPT
            script = manifests.load_script(folder, name=self.project.show(folder))
            if script.same_as is not None:
                what = "`same_as` names a record whose script lies in another one's folder"
                raise ManifestError.at(f"{where}/{SCRIPT_FILE}", what, "name the record that holds the files")
        name = self.project.show(self.folder(record))
        place, track = self.folder(record), self.track(record.track)
        return subjects.of_record(record, script, folder, place, name, track, script.train_tokens)

    def _no_script(self, record: Record) -> ManifestError:
        name = self.name(record)
        ways = []
        if published(record):
            ways += [
                f"`speedrun replay {name}` runs its published script",
                f"`speedrun new NAME --from {name}` starts a submission from it",
            ]
        others = [r for r in self.records(record.track) if self.has_script(r)]
        if others:
            numbers = ", /".join(self.number(r) for r in sorted(others, key=lambda r: (r.number, r.slug)))
            ways.append(f"records with a script in their folder: {record.track}/{numbers}")
        what = "there is no script in its folder"
        what += "" if published(record) else ", and none was ever published"
        return ManifestError.at(name, what, "; ".join(ways) or f"no record of the track {record.track} has one")

    def described_script(self, record: Record, *, original: bool = False) -> Subject:
        """Return a published script as its record describes it, whether its files are here or not.

        original: the one that a log proves, whatever was merged. Raises StoreError where none was published.
        """
        script = program(record, original=original)
        if script is None:
            said = (record.original.reason if record.original else None) or "nobody published any"
            raise StoreError.at(
                self.name(record), f"has no script here, and none was published: {said}", "name another record"
            )
        folder, track, tokens = self.folder(record), self.track(record.track), None
        if self.has_script(record):
            here = folder / records.SCRIPT
            tokens = manifests.load_script(here, name=self.project.show(here)).train_tokens
        kept = originals.kept_folder(script)
        return subjects.of_record(record, script, kept, folder, self.project.show(folder), track, tokens)

    def published_script(
        self, record: Record, source: Source, *, original: bool = False, given: bool = False, look: bool = False
    ) -> Subject:
        """Return the verified published script of a record, its files kept in the cache.

        original: the one that a log proves, whatever was merged. given: the user named the source, so it is read there
        whatever the cache holds. look: what would have to be downloaded may be missing. Raises StoreError, with the
        reason, where it is not available.
        """
        subject = self.described_script(record, original=original)
        script = program(record, original=original)
        assert script is not None
        originals.obtain(script, self.name(record), subject.files_folder, source, given=given, look=look)
        return subject

    def script(
        self, named: Named, source: Source, *, original: bool = False, given: bool = False, frozen: bool = True
    ) -> Subject:
        """Return a submission, or a record with the script in its folder, else with its published one.

        original: the script that the record's log proves, where one was published. Raises HarnessError where a script
        is not available.
        """
        if named.record is None:
            return self.subject(named, frozen=frozen)
        record = self.run_with(named.record)
        if self.has_script(record) and not (original and program(record, original=True) is not None):
            return self.script_here(record)
        return self.published_script(record, source, original=original, given=given)

    def run_with(self, record: Record) -> Record:
        """Return the record whose script a record is run with: of a re-timing without one, the record that it times."""
        if record.kind == "record" or published(record) or self.has_script(record):
            return record
        return self.timed(record) or record

    def chains(self) -> set[str]:
        """Return the ledger's names for the scripts of all records: those in the folders here, and the published ones."""
        folders = sorted(self.project.records.glob(f"*/*/{records.SCRIPT}"))
        here = [{path.name: sha256_file(path) for path in records.script_files(folder)} for folder in folders]
        both = (program(record, original=original) for record in self.records() for original in (True, False))
        past = [dict(script.files) for script in both if script is not None]
        return {chain_of(files) for files in (*here, *past) if files}

    def best_with_script(self, track: Track, suits: Callable[[Record], bool] = lambda _: True) -> list[Subject]:
        """Return the records of a track that stand and have a script in their folder, the best first."""
        standing = ranking.rank(track, [r for r in self.records(track.name) if suits(r)])
        return [self.script_here(record) for record in standing if self.has_script(record)]

    def parent(self, subject: Subject) -> Record | None:
        """Return the record that a subject names as its parent; None where it names none, or no record."""
        try:
            return None if subject.parent is None else self.record(subject.parent)
        except HarnessError:  # `check` says what is wrong with the name
            return None

    def timed(self, record: Record) -> Record | None:
        """Return the record that a re-timing times."""
        if record.kind == "record":
            return None
        known = (r for r in self.records(record.track) if r.number == record.retimes)
        return next((r for r in known if r.kind == "record"), None)
