"""Find the frozen original of a past record, extract it from its log where it is embedded in one, and verify it.

Every file must have the sha256 that record.yaml gives it, else none is returned. The verified files are kept in the
cache under their hashes, and hashed again before each use, so a second replay needs no repository.
"""

import contextlib
import dataclasses
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

from harness.core.constraints import FILE_NAME
from harness.core.errors import HarnessError, Problem, StoreError, raise_if
from harness.core.record import Original, Record
from harness.core.text import plural
from harness.runlog.source import embedded_files
from harness.store.files import disk_error, sha256_file, temporary_folder, write_atomic
from harness.store.layout import cache_folder


class NotFetched(StoreError):
    """Something would have to be downloaded, and that is not allowed."""


class NotInside(StoreError):
    """A checkout lacks a commit, or a file where no commit is named: it may be of another repository."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The result of looking for one record's original."""

    record: str  # "short/12"
    # "none": a stated reason; "in git only": a clone has it, and this is a plain tree; "not here": it would have to be
    # downloaded; "broken": not as the record says
    state: Literal["resolved", "none", "in git only", "not here", "broken"]
    said: str  # how many files from where, or why not
    files: dict[str, bytes] = dataclasses.field(default_factory=dict)
    todo: str | None = None  # what may help where it is broken or not here
    foreign: bool = False  # broken as in a checkout of another repository


class Upstream(Protocol):
    """A place that the files of a repository are read from: a clone, or a plain copy of its tree."""

    has_git: bool

    def read(self, commit: str | None, path: str) -> bytes: ...
    def prefetch(self, wanted: Iterable[tuple[str, str]]) -> None: ...


Source = Callable[[str], Upstream]  # repository -> where it is read from


def resolve(original: Original | None, name: str, source: Source) -> Resolved:
    """Find and verify one script; never raises for what a record or a checkout lacks."""
    if original is None or original.kind == "none":
        return Resolved(name, "none", original.reason or "none was published" if original else "it was measured here")
    plain = False
    try:
        upstream = source(original.repository or "")
        plain = original.kind == "git" and not upstream.has_git
        files = read_files(original, upstream)
        verify(name, original, files)
    except HarnessError as error:
        if plain:  # a tree may be that of the commit; here it is not
            said = "it is in git only, and this checkout is a plain tree of another commit"
            return Resolved(name, "in git only", said, todo="name a clone with --checkout DIR, or leave --checkout out")
        said, todo = "; ".join(f"{p.where}: {p.what}" for p in error.problems), error.problems[0].todo
        state: Literal["not here", "broken"] = "not here" if isinstance(error, NotFetched) else "broken"
        return Resolved(name, state, said, todo=todo, foreign=isinstance(error, NotInside))
    commit, path = where_it_lies(original)
    where = {"log": "out of its log", "file": "a file", "git": f"commit {commit[:8]}:{path}"}[original.kind]
    return Resolved(name, "resolved", f"{plural(len(files), 'file')}, {where}", files)


def read_files(original: Original, upstream: Upstream) -> dict[str, bytes]:
    """Read the files of an original, the entry first; they are not verified yet."""
    commit, path = where_it_lies(original)
    expected, main = dict(original.files), original.entry
    raw = upstream.read(commit or None, path)
    if original.kind == "log":
        return embedded_files(raw, path, script=main)
    folder = PurePosixPath(path).parent
    beside = {name: upstream.read(commit or None, str(folder / name)) for name in expected if name != main}
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
            what = f"its log embeds {file} ({(actual or '')[:12]}), which the record does not name"
            problems.append(Problem(name, what, "import again"))
        elif actual is None:
            what = f"{file} ({expected[file][:12]}) is not where the record says"
            problems.append(Problem(name, what, "check the repository"))
        elif actual != expected[file]:
            what = f"{file} has sha256 {actual[:12]}, the record says {expected[file][:12]}"
            problems.append(Problem(name, what, "nothing is run; check the repository"))
    raise_if(problems, StoreError)


def obtain(
    original: Original, name: str, kept: Path, source: Source, *, given: bool = False, look: bool = False
) -> None:
    """Put the files of a published script into the folder `kept` of the cache, each verified.

    given: the user named the source, so it is read there whatever the cache holds. look: what would have to be
    downloaded may be missing. Raises StoreError, with the reason, where it is not available.
    """
    expected = dict(original.files)
    if not given and is_whole(kept, expected):
        return
    resolved = resolve(original, name, source)
    if resolved.state != "resolved" and not (look and resolved.state == "not here"):
        what, todo = (
            f"its published script is not available: {resolved.said}",
            "see `speedrun replay --original --plan`",
        )
        raise StoreError.at(name, what, resolved.todo or todo)
    if resolved.files and not is_whole(kept, expected):
        keep(kept, resolved.files)


def program(record: Record, *, original: bool = False) -> Original | None:
    """Return where the published script of a record lies: the merged one where it differs, else its original.

    original: the one that its log proves, whatever was merged. None where nobody published any.
    """
    if not original and record.merged is not None and record.merged.program is not None:
        return record.merged.program
    proven = record.original
    return proven if proven is not None and proven.kind != "none" and proven.files else None


def published(record: Record) -> bool:
    """Return whether a record has a script that somebody published."""
    return program(record) is not None


def kept_folder(original: Original) -> Path:
    """Return the folder of the cache for an original's files, whether they are there or not."""
    digest = hashlib.sha256(repr(sorted(original.files.items())).encode()).hexdigest()
    return cache_folder() / "originals" / digest[:32]


def is_whole(kept: Path, hashes: dict[str, str]) -> bool:
    """Return whether a folder of the cache holds all files of an original, each with its hash."""
    try:
        plain = all(re.fullmatch(FILE_NAME, name) for name in hashes)
        return plain and bool(hashes) and all(sha256_file(kept / name) == digest for name, digest in hashes.items())
    except OSError:
        return False


def keep(kept: Path, files: dict[str, bytes]) -> None:
    """Put an original's files into the cache, all or none; damaged ones there are replaced."""
    try:
        with temporary_folder(kept) as aside:
            for name, data in files.items():
                write_atomic(aside / name, data)
            shutil.rmtree(kept, ignore_errors=True)
            aside.rename(kept)
    except OSError as error:
        raise disk_error(kept, error) from error


def where_it_lies(original: Original) -> tuple[str, str]:
    """Return the commit and the path of an original's entry, or of the log that embeds it."""
    if original.kind == "git":
        commit, _, path = (original.path or "").partition(":")
        return commit, path
    return original.commit or "", original.path or ""


def places(original: Original) -> list[tuple[str, str]]:
    """Return the commit and the path of everything that is read for a script."""
    commit, path = where_it_lies(original)
    folder = PurePosixPath(path).parent
    names = [] if original.kind == "log" else [name for name in original.files if name != original.entry]
    return [(commit, path), *((commit, str(folder / name)) for name in names)]


def resolve_all(named: Sequence[tuple[str, Record]], source: Source) -> list[Resolved]:
    """Find and verify the original of every record, given with its name."""
    both = (program(record, original=original) for _, record in named for original in (True, False))
    scripts = [script for script in both if script is not None]  # the merged ones too, for what reads them later
    for repository in sorted({script.repository for script in scripts if script.repository}):
        with contextlib.suppress(HarnessError):  # `resolve` says for each record what is wrong
            source(repository).prefetch(place for s in scripts if s.repository == repository for place in places(s))
    return [resolve(record.original, name, source) for name, record in named]
