"""Read a submission's folder: manifest.yaml by its author, manifest.lock by speedrun, and a record's script.yaml.

These folders are untrusted input. Nothing outside the folder is read: names are plain file names, links are refused,
and every file must have the hash that it was frozen with, so that what was judged is what is frozen.
"""

import dataclasses
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.core.codec import Form, Reading
from harness.core.constraints import FILE_NAME, Count, FileName, FrozenFiles, Prose, RecordName
from harness.core.errors import HarnessError, ManifestError
from harness.core.task import Claim, Manifest
from harness.store.files import sha256_file

MANIFEST, LOCK, README = "manifest.yaml", "manifest.lock", "README.md"
MAX_FILE_BYTES = 4 << 20  # the largest script of the history has 146 kB with its kernels
WAYS = "`speedrun replay` with --original runs a frozen original; records/*/*/script are the scripts to `run` here"
REFRESH = "speedrun new --refresh"


@dataclass(frozen=True, slots=True)
class Lock:
    """Every file that a submission's script may use, by sha256."""

    files: FrozenFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptFile:
    """What a record's script/script.yaml says of the frozen script beside it."""

    origin: Literal["original", "reimplementation"]
    of: RecordName  # the record it stands for
    entry: FileName = ""
    files: FrozenFiles = field(default_factory=dict)
    train_tokens: Count | None = None
    claim: Claim | None = None  # of a submission that was accepted: what it claimed
    parent: RecordName | None = None  # and the record that it builds on
    stands_for: Prose | None = None
    same_as: RecordName | None = None  # the record whose script this one is; entry and files are its
    measured: Any = None  # figures for people
    uncertainties: Any = None  # remarks for people


MANIFEST_FORM = Form(Manifest, "yaml", (1, 2), ManifestError)
SCRIPT_FORM = Form(ScriptFile, "yaml", (1,), ManifestError)
LOCK_FORM = Form(
    Lock,
    "yaml",
    (1,),
    ManifestError,
    header=f"# Written by `speedrun run` and `{REFRESH}`, not by hand: the files of this submission, by sha256.\n",
)


def load_manifest(folder: Path, *, name: str | None = None, frozen: bool = True) -> Manifest:
    """Read and check `manifest.yaml` and `manifest.lock` of a submission, hashes of all its files included.

    frozen: False takes the files as they lie there, for a view of work in progress; hashes are theirs then.
    Raises ManifestError with every problem of the folder, each with its line where there is one.
    """
    name = name or folder.name
    refuse_link(folder / MANIFEST, f"{name}/{MANIFEST}")
    reading = MANIFEST_FORM.open(folder / MANIFEST, name=f"{name}/{MANIFEST}")
    match reading.data:
        case {"track": str(track), "ruleset": str(ruleset)} if ruleset.partition("@")[0] != track:
            what = f"{ascii(ruleset)[1:-1][:60]} is not a ruleset of {ascii(track)[1:-1][:60]}"
            reading.problem(("ruleset",), what, "use one of that track, like short@2")
    match reading.data:
        case {"schema": 2, "files": _}:
            todo = f"take it out; `{REFRESH} {name}` writes the hashes there"
            reading.problem(("files",), f"`files` stands in {LOCK} since schema 2", todo)
    hashes, files = _frozen_files(reading, folder, name, frozen=frozen)
    _check_entry(reading, folder, files, name, frozen=frozen)
    now = check_files(hashes, folder, files, frozen=frozen)
    reading.problems += hashes.problems if hashes is not reading else []
    return dataclasses.replace(reading.done(), files=dict(sorted((files if frozen else now).items())))


def _check_entry(reading: Reading[Any], folder: Path, files: Mapping[str, str], name: str, *, frozen: bool) -> None:
    """Note an entry that is not in the folder, or was not frozen with it."""
    entry = reading.data.get("entry")
    if not isinstance(entry, str) or entry in files or (frozen and not files):
        return  # without any frozen file that is the problem, and it is noted
    if re.fullmatch(FILE_NAME, entry) and not (folder / entry).exists():
        reading.problem(("entry",), f"{entry} is not in the folder", "put it there, or correct `entry`")
    else:
        reading.problem(("entry",), f"{entry[:80]!a} is not among the frozen files", f"`{REFRESH} {name}` freezes it")


def _frozen_files(
    reading: Reading[Any], folder: Path, name: str, *, frozen: bool
) -> tuple[Reading[Any], dict[str, str]]:
    """Return the frozen hashes, and the file that they stand in: the lock, or a manifest of schema 1."""
    listed = reading.data.get("files")
    if (folder / LOCK).is_symlink() or (folder / LOCK).exists():
        try:
            refuse_link(folder / LOCK, f"{name}/{LOCK}")
            lock = LOCK_FORM.open(folder / LOCK, name=f"{name}/{LOCK}")
        except HarnessError as error:  # the manifest's own problems come with it
            reading.problems += error.problems
            return reading, {}
        if listed is not None and listed != lock.data.get("files"):
            reading.problem(("files",), f"`files` contradicts {LOCK}", f"take `files` out: speedrun wrote {LOCK}")
        return lock, good_hashes(lock.data.get("files"))
    if listed is None:
        if frozen:
            reading.problem((), f"there is no {LOCK} beside it", f"freeze the files: {REFRESH} {name}")
        return reading, {} if frozen else files_in(folder)
    return reading, good_hashes(listed)


def good_hashes(files: object) -> dict[str, str]:
    """Return those entries of an unchecked mapping of file names to sha256 that can be what they should be."""
    return {
        name: digest
        for name, digest in (files.items() if isinstance(files, dict) else ())
        if re.fullmatch(FILE_NAME, name) and isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}", digest)
    }


def files_in(folder: Path) -> dict[str, str]:
    """The files of a submission that its script may use, with their hashes: all but manifest, lock, README and evidence.

    Raises ManifestError for a link or a file that is too large.
    """
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name in (MANIFEST, LOCK, README) or path.is_dir() or not re.fullmatch(FILE_NAME, path.name):
            continue
        problem = check_kind(path)
        if problem is not None:
            raise ManifestError.at(f"{folder.name}/{path.name}", problem[0], problem[1])
        found[path.name] = sha256_file(path)
    return found


def check_files(
    reading: Reading[Any], folder: Path, files: Mapping[str, str], *, frozen: bool = True
) -> dict[str, str]:
    """Note every listed file that is missing, a link, too large, or (if frozen) has another hash; the hashes there."""
    found = {}
    for name, expected in files.items():
        problem = check_kind(folder / name)
        if problem is not None:
            reading.problem(("files", name), f"{name} {problem[0]}", problem[1])
            continue
        found[name] = sha256_file(folder / name)
        if frozen and found[name] != expected:
            todo = f"restore the file; in a submission, freeze what is there: `{REFRESH} SUBMISSION`"
            reading.problem(("files", name), f"{name} has sha256 {found[name]}, not {expected}", todo)
    return found


def check_kind(path: Path) -> tuple[str, str] | None:
    """Say why a path cannot be a frozen file, and what to do; None where it can."""
    try:
        status = path.lstat()
    except OSError:
        return "is not in the folder", f"restore it; in a submission, freeze what is there: `{REFRESH} SUBMISSION`"
    if not stat.S_ISREG(status.st_mode):
        return "is a link or a special file", "put the file itself there"
    if status.st_size > MAX_FILE_BYTES:
        return f"has {status.st_size:,} bytes", f"keep it below {MAX_FILE_BYTES:,}"
    return None


def refuse_link(path: Path, name: str) -> None:
    """Raise ManifestError where a file of a submission is a symbolic link."""
    if path.is_symlink():
        raise ManifestError.at(name, "is a symbolic link", "put the file itself there")


def load_script(folder: Path, *, name: str) -> ScriptFile:
    """Read and check `script.yaml`, hashes of its files included; raises ManifestError with every problem."""
    path = folder / "script.yaml"
    if not path.is_file():
        raise ManifestError.at(name, "there is no script here", WAYS)
    reading = SCRIPT_FORM.open(path, name=f"{name}/script.yaml")
    borrowed = reading.data.get("same_as") is not None
    for key in () if borrowed else ("entry", "files"):
        if key not in reading.data:
            reading.problem((), f"the key `{key}` is missing", f"add `{key}: …`, or `same_as: …` (a record)")
    if borrowed and {"entry", "files"} & reading.data.keys():
        todo = "keep `same_as`, or `entry` and `files`"
        reading.problem(("same_as",), "`same_as` names another record's script, and files are listed too", todo)
    files = good_hashes(reading.data.get("files"))
    check_files(reading, folder, {} if borrowed else files)
    match reading.data:
        case {"entry": str(entry)} if files and not borrowed and entry not in files:
            reading.problem(("entry",), f"{entry[:80]!a} is not among `files`", "list it there with its sha256")
    return reading.done()
