"""A name in, the thing to be run or judged out: a submission's folder, a record, or a track's current record.

The same frozen files, entry, track and ruleset stand behind all three, so that everything after this module walks
one path.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.catalog import manifests, tracks
from harness.catalog.ranking import rank
from harness.core.errors import ManifestError, StoreError
from harness.core.record import Record
from harness.core.task import Claim, Manifest, Ruleset, Track
from harness.store import packs, records
from harness.store.layout import Project
from harness.store.ledger import chain_of


@dataclass(frozen=True, slots=True)
class Subject:
    """What is run and judged."""

    name: str  # "records/smoke/2026-11-21_muon" or "submissions/2026-12-01_my-idea"
    folder: Path  # the submission's or the record's folder
    files_folder: Path  # where the frozen files lie
    entry: str
    files: dict[str, str]  # name -> sha256
    track: Track
    ruleset: Ruleset
    train_tokens: int
    manifest: Manifest | None = None
    record: Record | None = None
    claim: Claim | None = None
    parent: str | None = None  # the record that it builds on, as people type it
    reimplementation: bool = False  # the script stands for a record whose own program is another

    @property
    def script_sha256(self) -> str:
        """The identity of the frozen entry script."""
        return self.files[self.entry]

    @property
    def chain(self) -> str:
        """The name of its chain in the ledger: the identity of all its frozen files together."""
        return chain_of(self.files)

    @property
    def script(self) -> bytes:
        """The bytes of the frozen entry script."""
        return (self.files_folder / self.entry).read_bytes()


def find_subject(project: Project, name: str, *, frozen: bool = True) -> Subject:
    """Resolve what a person typed: `submissions/…` (a folder), `short/12`, `records/short/…`, or a track's name.

    frozen: False takes a submission as it lies there, whatever hashes its manifest has. Raises HarnessError where
    nothing or more than one thing is meant, or where its files are not as frozen.
    """
    folder = Path(name)
    if (folder / manifests.MANIFEST).is_file():
        return submission(project, folder, frozen=frozen)
    if name in tracks.track_names(project.tracks):
        return current_record(project, tracks.load_track(project.tracks, name))
    if folder.parts and folder.parts[0] == project.submissions.name:
        raise ManifestError.at(name, f"holds no {manifests.MANIFEST}", "make a submission with `speedrun new NAME`")
    return record(project, records.find_record(project, name))


def past_record(project: Project, name: str) -> Record | None:
    """The record that a name means if it is one of the imported past, whose evidence is figures; else None."""
    folder = Path(name)
    if (folder / manifests.MANIFEST).is_file() or name in tracks.track_names(project.tracks):
        return None
    if folder.parts and folder.parts[0] == project.submissions.name:
        return None
    held = records.read_record(records.find_record(project, name))
    return None if held.has_evidence or held.original is None else held


def submission(project: Project, folder: Path, *, frozen: bool = True) -> Subject:
    """A submission's folder as a subject."""
    packs.settle(folder)
    name = project.show(folder)
    manifest = manifests.load_manifest(folder, name=name, frozen=frozen)
    track = tracks.load_track(project.tracks, manifest.track)
    return Subject(
        name=name,
        folder=folder,
        files_folder=folder,
        entry=manifest.entry,
        files=dict(manifest.files),
        track=track,
        ruleset=tracks.ruleset_of(track, manifest.ruleset),
        train_tokens=track.train_tokens,
        manifest=manifest,
        claim=manifest.claim,
        parent=manifest.parent,
    )


def record(project: Project, folder: Path) -> Subject:
    """A record that has a script as a subject; raises StoreError where it has none."""
    held = records.read_record(folder)
    track = tracks.load_track(project.tracks, held.track)
    script = manifests.load_script(folder / "script", name=f"{project.show(folder)}/script")
    if script.same_as is not None:
        files_folder = records.find_record(project, script.same_as) / "script"
        script = manifests.load_script(files_folder, name=project.show(files_folder))
    else:
        files_folder = folder / "script"
    return Subject(
        name=project.show(folder),
        folder=folder,
        files_folder=files_folder,
        entry=script.entry,
        files=dict(script.files),
        track=track,
        ruleset=tracks.ruleset_of(track, held.ruleset),
        train_tokens=script.train_tokens or track.train_tokens,
        record=held,
        claim=script.claim,
        parent=script.parent,
        reimplementation=script.origin == "reimplementation",
    )


def current_record(project: Project, track: Track) -> Subject:
    """The best record of a track that has a script."""
    for best in rank(track, records.read_records(project)):
        if (project.records / track.name / best.slug / "script").is_dir():
            return record(project, project.records / track.name / best.slug)
    raise StoreError.at(f"records/{track.name}", "there is no record with a script", "name a submission instead")
