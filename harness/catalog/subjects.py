"""Describe a subject: the frozen script that is run and judged, of a submission, a record or an original.

All three have files, an entry, a track and a ruleset, so that the code after the catalog need not tell them apart.
"""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

from harness.catalog import contract, tracks
from harness.catalog.manifests import ScriptFile
from harness.core.record import Original, Record
from harness.core.task import Claim, Manifest, Ruleset, Track
from harness.store.ledger import chain_of


@dataclass(frozen=True, slots=True)
class Subject:
    """One frozen script with everything that a run and a verdict need to know about it."""

    name: str  # "records/smoke/2026-11-21_muon" or "submissions/2026-12-01_my-idea"
    folder: Path  # the submission's or the record's folder
    files_folder: Path  # where the frozen files are
    entry: str
    files: dict[str, str]  # name -> sha256
    track: Track
    ruleset: Ruleset
    train_tokens: int
    manifest: Manifest | None = None
    record: Record | None = None
    claim: Claim | None = None
    parent: str | None = None  # the record that it builds on, as people type it
    reimplementation: bool = False  # of a record whose own program is another
    merged: bool = False  # the program of a record on master, which is not its original

    @property
    def script_sha256(self) -> str:
        """Return the identity of the frozen entry script."""
        return self.files[self.entry]

    @property
    def slug(self) -> str:
        """Return what the ledger calls its folder, wherever that lies; scripts of one folder are tried for one claim."""
        if self.record is not None:
            return f"records/{self.record.track}/{self.record.slug}"
        return f"submissions/{re.sub(r'[^A-Za-z0-9_.-]', '-', self.folder.absolute().name)[:80]}"

    @property
    def chain(self) -> str:
        """Return the name of its chain in the ledger: the identity of all its frozen files together."""
        return chain_of(self.files)

    @property
    def script(self) -> bytes:
        """Return the bytes of the frozen entry script."""
        return (self.files_folder / self.entry).read_bytes()

    @property
    def contents(self) -> dict[str, bytes]:
        """Return the bytes of all its frozen files, by name."""
        return {name: (self.files_folder / name).read_bytes() for name in self.files}

    @property
    def saves(self) -> bool:
        """Return whether it saves its weights and can load them, so that the harness can score it."""
        return contract.keeps_contract(self.script)


def of_submission(manifest: Manifest, folder: Path, name: str, track: Track) -> Subject:
    """Return a submission as a subject; raises TrackError for a ruleset that the track does not have."""
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


def of_record(
    record: Record,
    script: ScriptFile | Original,
    files_folder: Path,
    folder: Path,
    name: str,
    track: Track,
    train_tokens: int | None,
) -> Subject:
    """Return a record as a subject: with the script in its own or another record's folder, or a published one.

    train_tokens: None where the script reads as many as the track says.
    """
    subject = Subject(
        name=name,
        folder=folder,
        files_folder=files_folder,
        entry=script.entry,
        files=dict(script.files),
        track=track,
        ruleset=tracks.ruleset_of(track, record.ruleset),
        train_tokens=train_tokens or track.train_tokens,
        record=record,
    )
    if isinstance(script, Original):
        return dataclasses.replace(subject, merged=record.merged is not None and script == record.merged.program)
    own = script.origin == "original"
    return dataclasses.replace(subject, claim=script.claim, parent=script.parent, reimplementation=not own)
