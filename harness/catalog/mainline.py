"""Read how a repository's main branch changed, commit by commit, from a clone.

Hard because git does not say which commits were ever the tip of a branch: the first parent of a merge usually was, but a
maintainer who merged the published branch into a copy of their own published that merge, and there it is the second.
Nothing is checked out. The contents of files are read only where they are asked for.
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.catalog.checkout import Checkout, last_error
from harness.core.errors import StoreError

_PULL_REQUEST = re.compile(r".*\(#(\d{1,9})\)|Merge pull request #(\d{1,9}) .*")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the main branch, by what it left there."""

    name: str  # 40 hexadecimal digits
    pull_request: str | None  # the number that its subject names
    programs: dict[str, str]  # Python files at the root -> their blobs


@dataclass(frozen=True, slots=True)
class History:
    """The main branch from its first commit to the checkout's own."""

    commits: tuple[Commit, ...]
    appeared: dict[str, int]  # blob -> the place of the first commit that holds it, under any path

    def pulled(self, number: str) -> int | None:
        """Return the place of the commit that merged a pull request; None where no subject names it."""
        return next((place for place, commit in enumerate(self.commits) if commit.pull_request == number), None)


def read_history(checkout: Checkout, commit: str = "HEAD") -> History:
    """Read the history of a clone; raises StoreError for a plain tree, and for a clone that lacks the older commits."""
    if not checkout.has_git:
        raise StoreError.at(checkout.folder, "is a plain tree, which holds no history", "name a clone with --checkout")
    if checkout.ask("rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        raise StoreError.at(checkout.folder, "is a shallow clone", "fetch the rest: git fetch --unshallow")
    line = _main_branch(checkout, commit)
    changes = _changes(checkout, [name for name, _ in line])
    appeared: dict[str, int] = {}
    programs: dict[str, str] = {}
    commits = []
    for place, (name, subject) in enumerate(line):
        for path, blob in changes.get(name, ()):
            if blob is not None:
                appeared.setdefault(blob, place)
            if re.fullmatch(r"[A-Za-z0-9_]{1,99}\.py", path):
                programs = {other: held for other, held in programs.items() if other != path}
                programs |= {} if blob is None else {path: blob}
        pulled = _PULL_REQUEST.fullmatch(subject)
        commits.append(Commit(name, (pulled[1] or pulled[2]) if pulled else None, programs))
    return History(tuple(commits), appeared)


def require_tip(checkout: Checkout, branch: str, commit: str) -> None:
    """Raise StoreError for a commit that was never the tip of a branch.

    A host gives anybody's fork under the same address, by the hash of its commit, and a merge brings states that nobody
    of the repository published.
    """
    if not any(name.startswith(commit) for name, _ in _main_branch(checkout, branch)):
        what = f"was never the newest commit of the main branch of {checkout.repository}"
        raise StoreError.at(ascii(commit)[:80], what, "name one that was, or leave --commit out")


def _main_branch(checkout: Checkout, commit: str) -> list[tuple[str, str]]:
    """List the commits that were the tip of the main branch, the oldest first, with their subjects."""
    host = r"(https://github\.com/|git@github\.com:)"
    pull = re.compile(rf"Merge branch '(master|main)' of {host}{re.escape(checkout.repository)}(\.git)?")
    listed = checkout.ask("log", "--format=%H%x00%P%x00%s", commit)
    if listed.returncode:
        raise StoreError.at(checkout.folder, f"has no history: {last_error(listed)}", "name a clone with --checkout")
    known: dict[str, tuple[list[str], str]] = {}
    for text in listed.stdout.decode("utf-8", "replace").splitlines():
        name, parents, subject = text.split("\0", 2)
        known[name] = parents.split(), subject
    line = []
    at = next(iter(known), None)
    while at is not None:
        parents_of, subject = known[at]
        line.append((at, subject))
        own = 1 if len(parents_of) > 1 and pull.fullmatch(subject) else 0
        at = parents_of[own] if parents_of else None
    return line[::-1]


def _changes(checkout: Checkout, line: list[str]) -> dict[str, list[tuple[str, str | None]]]:
    """List for every commit the paths that it changed against the one before, each with its new blob or None."""
    asked = [f"{name} {before}" for before, name in itertools.pairwise(line)]
    options = ("--stdin", "--root", "-r", "--raw", "-z", "--no-abbrev", "--no-renames")
    answer = checkout.ask("diff-tree", *options, stdin="\n".join([*line[:1], *asked, ""]).encode())
    if answer.returncode:
        raise StoreError.at(checkout.folder, f"cannot be read: {last_error(answer)}", "clone it again")
    changes: dict[str, list[tuple[str, str | None]]] = {}
    tokens = iter(answer.stdout.decode("utf-8", "replace").split("\0"))
    name = ""
    for token in tokens:
        if token.startswith(":"):
            mode, blob, status = token.split()[1], token.split()[3], token.split()[4]
            is_file = status != "D" and mode in ("100644", "100755")
            changes.setdefault(name, []).append((next(tokens, ""), blob if is_file else None))
        elif token.strip():
            name = token.strip()
    return changes


def read_blobs(checkout: Checkout, blobs: Iterable[str]) -> dict[str, bytes]:
    """Read the contents of blobs, fetched at once where the clone lacks them; one that is nowhere is left out."""
    wanted = sorted(set(blobs))
    checkout.fetch(set(wanted))
    answer = checkout.ask("cat-file", "--batch", stdin="\n".join([*wanted, ""]).encode()).stdout
    found, at = {}, 0
    for blob in wanted:
        end = answer.find(b"\n", at)
        header = answer[at:end].split()
        if end < 0 or len(header) != 3:  # "<blob> missing"
            at = end + 1 if end >= 0 else len(answer)
            continue
        size = int(header[2])
        found[blob], at = answer[end + 1 : end + 1 + size], end + 2 + size
    return found
