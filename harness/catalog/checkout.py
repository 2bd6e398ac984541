"""Read files of the upstream repository of the past records, from a git clone or a plain copy of its tree.

Files are read by commit and path and never executed. Nothing is checked out, so a clone's working tree is not touched,
no hook or filter runs, and a partial clone downloads only the files that are read. The clone of the cache is made under
a temporary name and renamed, so a killed or failed clone leaves nothing that looks like one.
"""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from harness.catalog.originals import NotFetched, NotInside, Source
from harness.core.errors import StoreError
from harness.store.files import disk_error, locked
from harness.store.layout import cache_folder

MOST_BYTES = 64 << 20  # the largest log of the archive has 5 MB
WHAT_IT_HOLDS = "`speedrun replay --original --plan --checkout DIR` says what DIR holds"
_COMMIT = r"[0-9a-f]{7,40}|HEAD"
HOST = "https://github.com"  # SPEEDRUN_UPSTREAM names a mirror of it
_GIT = ("git", "-c", "safe.directory=*", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")


class Checkout:
    """A place from which files of the upstream repository can be read."""

    def __init__(self, folder: Path, repository: str, *, partial: bool = False, network: bool = True) -> None:
        self.folder = folder
        self.repository = repository  # owner/name
        self.partial = partial  # the clone of the cache, which lacks the contents of files until they are asked for
        self.network = network
        self.has_git = (folder / ".git").exists() or (folder / "objects").is_dir()

    def read(self, commit: str | None, path: str) -> bytes:
        """Return the bytes of a file at a commit; from a plain tree, those of the file there.

        Raises StoreError for a commit or a file that is not there, a link, a path that leads outside, and a file of
        more than 64 MB.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\0" in path or not pure.parts:
            raise StoreError.at(ascii(path), "leads outside the repository", "name a file below its root")
        if self.has_git:
            return self._from_git(commit or "HEAD", str(pure))
        return self._from_tree(pure)

    def prefetch(self, wanted: Iterable[tuple[str, str]]) -> None:
        """Download the contents of many files (commit, path) in one request; git would make one for each.

        What does not exist is left to `read`, which reports it.
        """
        paths: dict[str, list[str]] = {}
        for commit, path in wanted:
            if re.fullmatch(_COMMIT, commit) and "\0" not in path:
                paths.setdefault(commit, []).append(path)
        if not self.partial or not self.network or not paths:
            return
        self.fetch({blob for commit, listed in paths.items() for blob in self.blobs(commit, listed).values()}, *paths)

    def fetch(self, blobs: set[str], *commits: str) -> None:
        """Download those of these blobs that the partial clone of the cache lacks, in one request.

        commits: where they are looked for; without any, in the whole history.
        """
        if not self.partial or not self.network or not blobs:
            return
        # The folders are here; the missing ones of their files are printed as ?<hash>.
        where = ("--no-walk", *commits) if commits else ("--all",)
        printed = self.ask("rev-list", "--objects", "--missing=print", *where).stdout
        missing = blobs & {line[1:] for line in printed.decode("utf-8", "replace").splitlines() if line[:1] == "?"}
        if missing:
            noop = ("-c", "fetch.negotiationAlgorithm=noop", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
            asked = "\n".join([*sorted(missing), ""]).encode()
            self.ask(*noop, "--filter=blob:none", "--stdin", "origin", stdin=asked)

    def blobs(self, commit: str, paths: Iterable[str]) -> dict[str, str]:
        """Return git's names for the contents of files at a commit, by path; what does not exist is left out."""
        if not self.has_git or not re.fullmatch(_COMMIT, commit):
            return {}
        entries = self.ask("ls-tree", "-z", commit, "--", *paths).stdout.decode("utf-8", "replace").split("\0")
        parts = (entry.partition("\t") for entry in entries if "\t" in entry)
        return {path: described.split()[2] for described, _, path in parts}

    def ask(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run git in this folder."""
        return git("-C", self.folder, *arguments, stdin=stdin, network=self.network)

    def _from_tree(self, pure: PurePosixPath) -> bytes:
        path = self.folder
        for part in pure.parts:
            path = path / part
            if path.is_symlink():
                raise StoreError.at(pure, "is a link in this checkout", "put the file itself there")
        if not path.is_file():
            what = f"is not in this checkout, so it is not a copy of {self.repository}, or one of another commit"
            raise NotInside.at(pure, what, "check out the commit that the record names, or name another --checkout DIR")
        if path.stat().st_size > MOST_BYTES:
            raise StoreError.at(pure, f"has more than {MOST_BYTES:,} bytes", "a log or script of a record is smaller")
        return path.read_bytes()

    def _from_git(self, commit: str, path: str) -> bytes:
        if not re.fullmatch(_COMMIT, commit):
            raise StoreError.at(ascii(commit), "is not a commit", "name it by its hexadecimal digits")
        listing = self.ask("ls-tree", commit, "--", path)
        if listing.returncode and self.partial:
            todo = f"remove {self.folder} so that it is cloned again, or give --checkout DIR"
            raise NotInside.at(commit[:12], f"is not a commit of {self.repository} as it was cloned here", todo)
        if listing.returncode:
            name = self.folder.resolve().name
            what = f"is not a commit in {name}, so that is not a clone of {self.repository}, or an old one"
            raise NotInside.at(commit[:12], what, "fetch there, or name another --checkout DIR")
        entry = listing.stdout.decode("utf-8", "replace").partition("\t")[0].split()
        if not entry:
            kind = NotInside if commit == "HEAD" else StoreError
            raise kind.at(path, f"is not in commit {commit[:12]}", "check the record's facts")
        if entry[0] not in ("100644", "100755"):
            raise StoreError.at(path, "is a link or a folder in the repository", "a script must be a plain file")
        size = self.ask("cat-file", "-s", entry[2])
        if size.returncode == 0 and int(size.stdout) > MOST_BYTES:
            raise StoreError.at(path, f"has more than {MOST_BYTES:,} bytes", "a log or script of a record is smaller")
        blob = self.ask("cat-file", "blob", entry[2])
        if blob.returncode and not self.network:
            raise NotFetched.at(path, "was never fetched here", "leave --no-fetch out, or give --checkout DIR")
        if blob.returncode:
            raise StoreError.at(
                path, f"cannot be read from git ({last_error(blob)})", "check the network and the clone"
            )
        return blob.stdout


def given(folder: Path, repository: str, *, allow_network: bool = True) -> Checkout:
    """Return the checkout of a repository that the user named; raises StoreError where there is no such folder."""
    if not folder.is_dir():
        raise StoreError.at(folder, "is not a folder", "name a clone of the upstream repository, or a copy of its tree")
    return Checkout(folder, repository, network=allow_network)


def cloned(repository: str, *, allow_network: bool = True) -> Checkout:
    """Return the clone of a repository in the cache, made on first use: history without file contents, some 20 MB.

    Raises StoreError where it is not there and cannot be made; nothing incomplete is left.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise StoreError.at(ascii(repository), "is not a repository name like owner/name", "check the record's facts")
    folder = cache_folder() / "upstream" / repository.replace("/", "--")
    with locked(folder):
        if not folder.is_dir():
            if not allow_network:
                todo = "leave --no-fetch out, or give --checkout DIR"
                raise NotFetched.at(repository, "was never cloned here", todo)
            _clone(repository, folder)
    return Checkout(folder, repository, partial=True, network=allow_network)


def updated(repository: str) -> Checkout:
    """Return the clone of a repository in the cache as the repository is now: made, or fetched.

    Raises StoreError where that fails; the clone stays as it was then.
    """
    checkout = cloned(repository)
    with locked(checkout.folder):
        wanted = "+HEAD:refs/remotes/origin/HEAD"
        done = git("-C", checkout.folder, "fetch", "--quiet", "--no-tags", "--filter=blob:none", "origin", wanted)
    if done.returncode:
        todo = "check the network, or name a clone with --checkout DIR"
        raise StoreError.at(repository, f"cannot be fetched: {last_error(done)}", todo)
    return checkout


def _clone(repository: str, folder: Path) -> None:
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    url = f"{os.environ.get('SPEEDRUN_UPSTREAM', HOST)}/{repository}"
    try:
        done = git("clone", "--quiet", "--filter=blob:none", "--no-checkout", url, aside)
        if done.returncode:
            full = "No space left" in last_error(done) or shutil.disk_usage(folder.parent).free < 1 << 20
            why = "the disk is full" if full else last_error(done)
            other = "check the network, or name a clone or a plain copy of it with --checkout DIR"
            todo = "free some space" if full else f"{other}; {WHAT_IT_HOLDS}"
            raise StoreError.at(url, f"cannot be cloned: {why}", todo)
        aside.rename(folder)
    except OSError as error:
        raise disk_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def git(*arguments: str | Path, stdin: bytes = b"", network: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run git without a user's or a system's configuration, without prompts; raises StoreError where there is none."""
    passed = {name: os.environ[name] for name in ("PATH", "HOME", "https_proxy", "HTTPS_PROXY") if name in os.environ}
    clean = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    clean |= {} if network else {"GIT_ALLOW_PROTOCOL": "none"}  # a partial clone fetches whenever it lacks something
    command = [*_GIT, *map(str, arguments)]
    try:
        return subprocess.run(command, env=passed | clean, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise StoreError.at(
            "git", "is not installed", "install git, or give a plain copy with --checkout DIR"
        ) from None


def last_error(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return the last line that git printed as an error."""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {done.returncode}"


def source_of(checkout: Path | None, *, allow_network: bool = True) -> Source:
    """Return where originals come from: the checkout that the user named, else a clone in the cache."""
    if checkout is not None:
        given(checkout, "")  # a missing folder is refused now
        return lambda repository: given(checkout, repository, allow_network=allow_network)
    return functools.cache(lambda repository: cloned(repository, allow_network=allow_network))
