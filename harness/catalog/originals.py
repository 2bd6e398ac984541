"""The frozen original of a past record: found, taken out of its log where it lies in one, and verified.

Every file must have the sha256 that record.yaml gives it, else nothing is handed out. The verified files are kept in
the cache under their hashes, and hashed again before each use, so a second replay needs no repository.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.catalog import tracks
from harness.catalog.checkout import Checkout, NotFetched, NotInside, cloned, given
from harness.catalog.manifests import load_script
from harness.catalog.subjects import Subject
from harness.core.constraints import FILE_NAME
from harness.core.errors import HarnessError, Problem, StoreError, raise_if
from harness.core.record import Original, Record
from harness.runlog.source import embedded_files
from harness.store import records
from harness.store.files import disk_error, sha256_file, write_atomic
from harness.store.layout import Project, cache_folder

MAIN = "train_gpt.py"


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of one record's original."""

    record: str  # "short/12"
    # "none": a stated reason; "not here": it would have to be downloaded; "broken": not as the record says
    state: Literal["resolved", "none", "not here", "broken"]
    said: str  # how many files from where, or why not
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    todo: str | None = None  # what may help where it is broken or not here
    foreign: bool = False  # broken in the way of a checkout of something else


Source = Callable[[str], Checkout]  # repository -> a place to read it from


def source_of(checkout: Path | None, *, allow_network: bool = True) -> Source:
    """Where originals come from: the checkout that the user gave, else a clone in the cache, made on first use."""
    if checkout is not None:
        given(checkout, "")  # refused now where there is no such folder
        return lambda repository: given(checkout, repository, allow_network=allow_network)
    clones: dict[str, Checkout] = {}

    def clone(repository: str) -> Checkout:
        if repository not in clones:
            clones[repository] = cloned(repository, allow_network=allow_network)
        return clones[repository]

    return clone


def resolve(record: Record, number: str, source: Source) -> Resolved:
    """Find and verify one original; never raises for what a record or a checkout lacks."""
    name = f"{record.track}/{number}"
    original = record.original
    if original is None or original.kind == "none":
        return Resolved(name, "none", original.reason or "none was published" if original else "it was measured here")
    try:
        checkout = source(original.repository or "")
        if original.kind == "git" and not checkout.has_git:
            return Resolved(name, "none", "it is in git only, and this checkout is a plain tree")
        files = read_files(original, checkout)
        verify(name, original, files)
    except HarnessError as error:
        said, todo = "; ".join(f"{p.where}: {p.what}" for p in error.problems), error.problems[0].todo
        state: Literal["not here", "broken"] = "not here" if isinstance(error, NotFetched) else "broken"
        return Resolved(name, state, said, todo=todo, foreign=isinstance(error, NotInside))
    where = {"log": "out of its log", "file": "a file", "git": f"commit {original.path}"}[original.kind]
    return Resolved(name, "resolved", f"{len(files)} file{'s' if len(files) > 1 else ''}, {where}", files)


def read_files(original: Original, checkout: Checkout) -> dict[str, bytes]:
    """The files of an original by name, the entry first; unverified."""
    commit, path = where_it_lies(original)
    expected, main = dict(original.files), entry_of(original)
    if original.kind == "git":
        return {main: checkout.read(commit, path)}
    raw = checkout.read(original.commit, path)
    if original.kind == "log":
        return embedded_files(raw, path, script=main)
    folder = PurePosixPath(path).parent
    beside = {name: checkout.read(original.commit, str(folder / name)) for name in expected if name != main}
    return {main: raw, **beside}


def verify(name: str, original: Original, files: dict[str, bytes]) -> None:
    """Raise StoreError with every file that is missing, too many, badly named or has another hash."""
    expected = dict(original.files)
    problems = []
    for file in sorted(expected.keys() | files.keys()):
        actual = hashlib.sha256(files[file]).hexdigest() if file in files else None
        if not re.fullmatch(FILE_NAME, file):
            problems.append(Problem(name, f"names the file {ascii(file)[:80]}", "only plain file names are replayed"))
        elif file not in expected:
            problems.append(Problem(name, f"its log embeds {file}, which the record does not name", "import again"))
        elif actual is None:
            problems.append(Problem(name, f"{file} is not where the record says", "check the repository"))
        elif actual != expected[file]:
            said = f"{file} has sha256 {actual[:12]}, the record says {expected[file][:12]}"
            problems.append(Problem(name, said, "nothing is run; check the repository"))
    raise_if(problems, StoreError)


def as_subject(
    project: Project,
    folder: Path,
    held: Record,
    number: str,
    source: Source,
    *,
    given: bool = False,
    look: bool = False,
) -> Subject:
    """The original of a record as something to run, its files kept in the cache.

    given: the user named where it is to come from, so that it is read there whatever the cache holds. look: what
    would have to be downloaded may be missing from its folder. Raises StoreError where it cannot be had, with the
    reason.
    """
    found = described(project, folder, held)
    if given or not is_whole(found.files_folder, found.files):
        resolved = resolve(held, number, source)
        if resolved.state != "resolved" and not (look and resolved.state == "not here"):
            said, todo = f"its original cannot be had: {resolved.said}", "see `speedrun replay --original --plan`"
            raise StoreError.at(f"{held.track}/{number}", said, resolved.todo or todo)
        if resolved.files and not is_whole(found.files_folder, found.files):
            keep(found.files_folder, resolved.files)
    return found


def described(project: Project, folder: Path, held: Record) -> Subject:
    """A published original by what its record says of it; whether its files are in the cache is not looked at."""
    track = tracks.load_track(project.tracks, held.track)
    assert held.original is not None
    hashes = dict(held.original.files)
    kept = cache_folder() / "originals" / hashlib.sha256(repr(sorted(hashes.items())).encode()).hexdigest()[:32]
    has_script = (folder / records.SCRIPT / "script.yaml").is_file()
    told = load_script(folder / records.SCRIPT, name=project.show(folder)) if has_script else None
    return Subject(
        name=project.show(folder),
        folder=folder,
        files_folder=kept,
        entry=entry_of(held.original),
        files=hashes,
        track=track,
        ruleset=tracks.ruleset_of(track, held.ruleset),
        train_tokens=(told.train_tokens if told else None) or track.train_tokens,
        record=held,
    )


def published(held: Record) -> bool:
    """Whether a record has an original that somebody published."""
    return held.original is not None and held.original.kind != "none" and bool(held.original.files)


def entry_of(original: Original) -> str:
    """The file of an original that is started."""
    names = dict(original.files)
    return MAIN if MAIN in names else next(iter(names), MAIN)


def is_whole(kept: Path, hashes: dict[str, str]) -> bool:
    """Whether a folder of the cache holds all files of an original, each with its hash."""
    try:
        plain = all(re.fullmatch(FILE_NAME, name) for name in hashes)
        return plain and bool(hashes) and all(sha256_file(kept / name) == digest for name, digest in hashes.items())
    except OSError:
        return False


def keep(kept: Path, files: dict[str, bytes]) -> None:
    """Put an original's files into the cache, whole or not at all; what was damaged there is replaced."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{kept.name}.", dir=kept.parent))
        try:
            for name, data in files.items():
                write_atomic(aside / name, data)
            shutil.rmtree(kept, ignore_errors=True)
            aside.rename(kept)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise disk_error(kept, error) from error


def where_it_lies(original: Original) -> tuple[str, str]:
    """The commit and the path of an original's entry, or of the log that embeds it."""
    if original.kind == "git":
        commit, _, path = (original.path or "").partition(":")
        return commit, path
    return original.commit or "", original.path or ""


def resolve_all(project: Project, source: Source) -> list[Resolved]:
    """What becomes of the original of every record of the imported past, in the order of the tracks."""
    held = [record for record in records.read_records(project) if record.original is not None]
    published = [r.original for r in held if r.original and r.original.kind != "none" and r.original.repository]
    for repository in sorted({original.repository or "" for original in published}):
        with contextlib.suppress(HarnessError):  # each row says by itself what is wrong with it
            source(repository).prefetch(where_it_lies(o) for o in published if o.repository == repository)
    ordered = sorted(held, key=lambda r: (r.track, r.number, r.kind != "record", r.slug))
    return [
        resolve(record, records.display_number(record, [r for r in held if r.track == record.track]), source)
        for record in ordered
    ]
