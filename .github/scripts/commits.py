"""Read two commits of this repository as git's objects: what differs between them, and what no change may hold.

Nothing is checked out. Only plumbing is used, which no setting of a repository or a user changes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PART = r"[A-Za-z0-9_.+-]{1,100}"  # of a path; the longest in the project has 47 letters
LINK = "a link or a submodule; put the file itself there"
ODD_NAME = "not a plain file name; use letters, digits, '_', '-', '+' and '.'"
PLAIN, EXECUTABLE = "100644", "100755"
MAX_FILE_BYTES = 8 << 20  # the largest file of the project has 0.13 MB
MAX_HISTORY_BYTES = 64 << 20  # of all objects that a branch brings, packed; the whole project has 2 MB


class Unusable(Exception):
    """The commits cannot be compared."""


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs; a rename is one path deleted and one added."""

    kind: str  # A added, D deleted, M modified, T of another type
    path: str
    old_mode: str
    mode: str  # 000000 where it is gone
    blob: str  # the new content's name


@dataclass(frozen=True, slots=True)
class File:
    """One entry of a commit's tree."""

    path: str
    mode: str
    blob: str
    size: int  # bytes; 0 for what is no file


def git(*arguments: str, told: bytes | None = None) -> bytes:
    """Run a git command, with `told` as its standard input, and return what it prints."""
    command = ["git", "--no-replace-objects", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, input=told, capture_output=True, check=False)
    if done.returncode:
        raise Unusable(f"git {arguments[0]}: {shown(os.fsdecode(done.stderr)).strip()}")
    return done.stdout


def commit(name: str) -> str:
    """Return the full hash of a commit."""
    return git("rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").decode().strip()


def parting(base: str, head: str) -> str:
    """Return the commit at which `head` left `base`; raises Unusable where there is not exactly one.

    With several, which one git takes for the merge decides what looks changed.
    """
    found = git("merge-base", "--all", base, head).decode().split()
    if len(found) != 1:
        raise Unusable(f"they have {len(found)} commits in common at which they parted; rebase the branch onto main")
    return found[0]


def changes(old: str, new: str) -> list[Change]:
    """List every path that differs between two commits."""
    arguments = ("-r", "--raw", "--no-renames", "--no-abbrev", "--ignore-submodules=none", "-z")
    parts = os.fsdecode(git("diff-tree", *arguments, old, new)).split("\0")[:-1]
    found = []
    for about, path in zip(parts[::2], parts[1::2], strict=True):
        old_mode, mode, _, blob, kind = about.removeprefix(":").split()
        found.append(Change(kind[0], path, old_mode, mode, blob))
    return found


def files(name: str, under: str = "") -> list[File]:
    """List the entries of a commit's tree, or those below a folder, at any depth."""
    listed = os.fsdecode(git("ls-tree", "-r", "-l", "-z", "--full-tree", name, *([f"{under}/"] if under else [])))
    found = []
    for line in listed.split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, _, blob, size = about.split()
        found.append(File(path, mode, blob, int(size) if size.isdigit() else 0))
    return found


def content(blob: str) -> bytes:
    """Return the bytes of a file."""
    return git("cat-file", "blob", blob)


def contents(blobs: Iterable[str]) -> Iterator[bytes]:
    """Return the bytes of many files, read by one process."""
    wanted = list(blobs)
    told = git("cat-file", "--batch", told="".join(f"{blob}\n" for blob in wanted).encode())
    at = 0
    for _ in wanted:
        about = told[at : told.index(b"\n", at)]
        start = at + len(about) + 1
        at = start + int(about.split()[2]) + 1
        yield told[start : at - 1]


def shown(text: str) -> str:
    """Escape untrusted text line by line: nothing that moves a cursor is left."""
    return "\n".join("".join(c if c.isprintable() else ascii(c)[1:-1] for c in line) for line in text.split("\n"))


def named(path: str) -> str:
    """Write a path of somebody else in printable ASCII, cut to a sensible length."""
    return ascii(path)[1:-1][:200]


# ------------------------------------------------------------------------------------------------ what none may hold


def oddities(old: str, new: str, changed: Sequence[Change]) -> list[str]:
    """Say what no pull request may bring, whatever it is about: links, odd names, large files, a large history."""
    there = files(new)
    kept = [change for change in changed if change.kind != "D"]
    problems = [f"{named(c.path)} is {LINK}" for c in kept if c.mode not in (PLAIN, EXECUTABLE)]
    problems += [f"{named(c.path)} is {ODD_NAME}" for c in kept if not is_plain(c.path)]
    problems += colliding(kept, [file.path for file in there])
    size = {file.path: file.size for file in there}
    problems += [
        f"{named(c.path)} has {size.get(c.path, 0):,} bytes; keep it below {MAX_FILE_BYTES:,}"
        for c in kept
        if size.get(c.path, 0) > MAX_FILE_BYTES
    ]
    history = int(git("rev-list", "--disk-usage", "--objects", f"{old}..{new}"))
    if history > MAX_HISTORY_BYTES:
        said = f"its commits hold {history:,} bytes, also in files that later ones delete"
        problems.append(f"{said}; make them anew without those, below {MAX_HISTORY_BYTES:,}")
    return problems


def is_plain(path: str) -> bool:
    """Whether every part of a path is a name that all systems take as it is, and none is git's own."""
    parts = path.split("/")
    return all(re.fullmatch(PART, part) and part.lower() not in (".", "..", ".git") for part in parts)


def colliding(kept: Iterable[Change], paths: Sequence[str]) -> list[str]:
    """Say for every added path which other one it would replace where upper and lower case are the same."""
    spelled: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        for end in (*(at for at, letter in enumerate(path) if letter == "/"), len(path)):
            spelled[path[:end].lower()].add(path[:end])
    twice = {path for path, count in Counter(paths).items() if count > 1}
    problems = []
    for path in (change.path for change in kept if change.kind != "M"):
        if path in twice:
            problems.append(f"{named(path)} is there twice; keep one of them")
        ends = (*(at for at, letter in enumerate(path) if letter == "/"), len(path))
        others = sorted({other for end in ends for other in spelled[path[:end].lower()] - {path[:end]}})
        if others:
            problems.append(f"{named(path)} is {named(others[0])} in other letters; choose another name")
    return problems
