"""A record in, the script that stands for it out, wherever that lies: in its folder, else in its original's repository.

Most records of the past keep figures here and no script. Their frozen originals are fetched, verified and kept in the
cache by `originals`; a script in a record's folder may be the original or a reimplementation of it.
"""

from __future__ import annotations

from pathlib import Path

from harness.catalog import manifests, originals, subjects, tracks
from harness.catalog.ranking import current
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.core.record import Record
from harness.store import records
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.ledger import chain_of


def find_script(
    project: Project, name: str, *, checkout: Path | None = None, allow_network: bool = True, frozen: bool = True
) -> Subject:
    """What a name means, as a subject: a submission, or a record with the script in its folder, else its original.

    A track means its current record, whether it has a script here or not. Raises HarnessError where nothing is meant
    or the original cannot be had.
    """
    held = find_held(project, name)
    if held is None:
        return subjects.find_subject(project, name, frozen=frozen)
    held = run_with(project, held)
    if has_script(project, held):
        return subjects.record(project, folder_of(project, held))
    called = called_in(project, held)
    if not originals.published(held):
        raise StoreError.at(called, "has no script here, and none was published", "name another record")
    source = originals.source_of(checkout, allow_network=allow_network)
    return originals.as_subject(
        project, folder_of(project, held), held, called.partition("/")[2], source, given=checkout is not None
    )


def find_held(project: Project, name: str) -> Record | None:
    """The record that a name means, a track its current one; None for a submission. Raises StoreError for no record."""
    folder = Path(name)
    if (folder / manifests.MANIFEST).is_file() or (folder.parts and folder.parts[0] == project.submissions.name):
        return None
    if name not in tracks.track_names(project.tracks):
        return records.read_record(records.find_record(project, name))
    best = current(tracks.load_track(project.tracks, name), records.read_records(project))
    if best is None:
        raise StoreError.at(f"{project.records.name}/{name}", "there is no record", "name a submission instead")
    return best


def run_with(project: Project, held: Record) -> Record:
    """The record whose script a record is run with: itself; for a re-timing that has none, the one that it times."""
    if held.kind == "record" or originals.published(held) or has_script(project, held):
        return held
    return _timed(project, held) or held


def official_sha256(project: Project, held: Record) -> str | None:
    """What a comparison calls the script that set a record's time: its original, or a script in its folder that is no
    reimplementation; None where it was never published."""
    if held.original is not None and held.original.files:
        return chain_of(dict(held.original.files))
    if has_script(project, held):
        found = subjects.record(project, folder_of(project, held))
        if not found.reimplementation:
            return found.chain
    timed = _timed(project, held)
    return None if timed is None else official_sha256(project, timed)


def chains_of_records(project: Project) -> set[str]:
    """The ledger's names for the scripts of all records: those in the folders here, and the originals."""
    folders = sorted(project.records.glob(f"*/*/{records.SCRIPT}"))
    here = [{path.name: sha256_file(path) for path in records.script_files(folder)} for folder in folders]
    past = [dict(record.original.files) for record in records.read_records(project) if record.original is not None]
    return {chain_of(files) for files in (*here, *past) if files}


def has_script(project: Project, held: Record) -> bool:
    """Whether a script lies in a record's folder."""
    return (folder_of(project, held) / records.SCRIPT).is_dir()


def folder_of(project: Project, held: Record) -> Path:
    """A record's folder."""
    return project.records / held.track / held.slug


def called_in(project: Project, held: Record) -> str:
    """A record's name as people write it: short/12, or short/21.1."""
    return f"{held.track}/{records.display_number(held, records.read_records(project))}"


def _timed(project: Project, held: Record) -> Record | None:
    if held.kind == "record":
        return None
    known = (r for r in records.read_records(project) if (r.track, r.number) == (held.track, held.retimes))
    return next((r for r in known if r.kind == "record"), None)
