"""A submission's folder in, `Manifest` out; a record's script folder reads the same way.

Strangers write these folders. Nothing outside the folder is read: names are plain file names, links are refused, and
every file must have the hash that the manifest gives it, so that what was judged is what is frozen.
"""

from __future__ import annotations

import hashlib
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from harness.core import yamlfile
from harness.core.errors import ManifestError, Problem
from harness.core.task import Manifest

MANIFEST = "manifest.yaml"
MAX_FILE_BYTES = 4 << 20  # the largest script of the history has 146 kB with its kernels
MAX_FILES = 32
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
WAYS = "`speedrun replay` with --original runs a frozen original; records/*/*/script are the scripts to `run` here"
_RECORD = r"[a-z][a-z0-9-]*/(\d+(\.\d+)?|\d{4}-\d{2}-\d{2}_[a-z0-9-]+)"
_RULESET = r"[a-z][a-z0-9-]*@[1-9]\d*"


def load_manifest(folder: Path, *, name: str | None = None, frozen: bool = True) -> Manifest:
    """Read and check `manifest.yaml` of a submission, hashes of all its files included.

    frozen: False takes the files as they lie there, for a look at work in progress; hashes are theirs then.
    Raises ManifestError with every problem of the folder, each with its line where there is one.
    """
    name = name or folder.name
    path = folder / MANIFEST
    if path.is_symlink():
        raise ManifestError.at(f"{name}/{MANIFEST}", "is a symbolic link", "put the file itself there")
    fields = yamlfile.Fields.of(yamlfile.load(path, name=f"{name}/{MANIFEST}"))
    version = fields.integer("schema", minimum=1)
    if version != 1:
        fields.problem("schema", f"schema {version} is unknown", "this harness reads schema 1")
    manifest = Manifest(
        track=fields.text("track", pattern=r"[a-z][a-z0-9-]*", what="a track like short"),
        ruleset=fields.text("ruleset", pattern=_RULESET, what="a ruleset like short@2"),
        title=fields.text("title", max_length=120),
        contributors=fields.strings("contributors", minimum=1),
        parent=fields.text_or_none("parent", pattern=_RECORD, what="a record like short/12"),
        claim=cast(Literal["ml", "systems"], fields.choice("claim", ("ml", "systems"))),
        entry=fields.text("entry", pattern=FILE_NAME, what="a file name"),
        files=_files(fields),
        notes=fields.text_or_none("notes"),
        folder=folder,
    )
    if manifest.ruleset and manifest.track and manifest.ruleset.partition("@")[0] != manifest.track:
        fields.problem("ruleset", f"{manifest.ruleset} is no ruleset of {manifest.track}", f"use {manifest.track}@N")
    if manifest.files and manifest.entry and manifest.entry not in dict(manifest.files):
        fields.problem("entry", f"{manifest.entry!r} is not among `files`", "list it with its sha256")
    fields.unknown_keys()
    now = check_files(folder, dict(manifest.files), fields, frozen=frozen)
    if fields.problems:
        raise ManifestError(*fields.problems)
    return manifest if frozen else replace(manifest, files=tuple(sorted(now.items())))


def _files(fields: yamlfile.Fields) -> tuple[tuple[str, str], ...]:
    inner = fields.mapping("files")
    return () if inner is None else read_file_hashes(inner)


def read_file_hashes(inner: yamlfile.Fields) -> tuple[tuple[str, str], ...]:
    """Read a mapping of file names to sha256, noting every bad name and hash."""
    if not inner.data or len(inner.data) > MAX_FILES:
        inner.problem(None, f"`files` lists {len(inner.data)} files", f"list 1 to {MAX_FILES}")
    for name in inner.data:
        if not re.fullmatch(FILE_NAME, name):
            inner.problem(name, f"{ascii(name)[:80]} is no plain file name", "use letters, digits, '_', '-' and '.'")
    what = "64 hexadecimal digits (sha256)"
    return tuple(sorted((name, inner.text(name, pattern=r"[0-9a-f]{64}", what=what)) for name in inner.data))


def check_files(folder: Path, files: dict[str, str], fields: yamlfile.Fields, *, frozen: bool = True) -> dict[str, str]:
    """Note every listed file that is missing, a link, too large, or (if frozen) has another hash; the hashes there."""
    found = {}
    for name, expected in files.items():
        if not expected or not re.fullmatch(FILE_NAME, name):
            continue
        where = fields.document.where(("files", name))
        problem = check_kind(folder / name)
        if problem is not None:
            fields.problems.append(Problem(where, f"{name} {problem[0]}", problem[1]))
            continue
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        if frozen and found[name] != expected:
            todo = "restore the file; in a submission, freeze what is there: `speedrun new --refresh SUBMISSION`"
            fields.problems.append(Problem(where, f"{name} has sha256 {found[name]}, not {expected}", todo))
    return found


def check_kind(path: Path) -> tuple[str, str] | None:
    """Why a path cannot be a frozen file, and what to do; None where it can."""
    try:
        status = path.lstat()
    except OSError:
        return "is not in the folder", "add it, or take it out of `files`"
    if not stat.S_ISREG(status.st_mode):
        return "is a link or no regular file", "put the file itself there"
    if status.st_size > MAX_FILE_BYTES:
        return f"has {status.st_size:,} bytes", f"keep it below {MAX_FILE_BYTES:,}"
    return None


# ------------------------------------------------------------------------------------------------ script.yaml


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """What a record's script/script.yaml says of the frozen script beside it."""

    origin: Literal["original", "reimplementation"]
    of: str  # the record it stands for
    entry: str
    files: tuple[tuple[str, str], ...]
    stands_for: str | None
    same_as: str | None  # the record whose script this one is
    train_tokens: int | None
    claim: str | None = None  # of a submission that was accepted: what it claimed
    parent: str | None = None  # and the record that it builds on


def load_script(folder: Path, *, name: str) -> ScriptFile:
    """Read and check `script.yaml`, hashes of its files included; raises ManifestError with every problem."""
    path = folder / "script.yaml"
    if not path.is_file():
        raise ManifestError.at(name, "there is no script here", WAYS)
    fields = yamlfile.Fields.of(yamlfile.load(path, name=f"{name}/script.yaml"))
    fields.integer("schema", minimum=1)
    fields.known |= {"measured", "uncertainties"}  # figures and remarks for people
    script = ScriptFile(
        origin=cast(Literal["original", "reimplementation"], fields.choice("origin", ("original", "reimplementation"))),
        of=fields.text("of", pattern=_RECORD, what="a record like short/12"),
        entry=fields.text("entry", pattern=FILE_NAME, what="a file name") if "same_as" not in fields.data else "",
        files=_files(fields) if "same_as" not in fields.data else (),
        stands_for=fields.text_or_none("stands_for"),
        same_as=fields.text_or_none("same_as", pattern=_RECORD, what="a record like short/6"),
        train_tokens=fields.integer_or_none("train_tokens", minimum=1),
        claim=fields.text_or_none("claim", pattern="ml|systems", what="ml or systems"),
        parent=fields.text_or_none("parent", pattern=_RECORD, what="a record like short/12"),
    )
    fields.known |= {"entry", "files"}
    fields.unknown_keys()
    check_files(folder, dict(script.files), fields)
    if fields.problems:
        raise ManifestError(*fields.problems)
    return script
