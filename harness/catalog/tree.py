"""The files of a clone at one commit: what `import` reads of the upstream repository.

Names come from git's tree and contents from git's objects, some dozens of files per command. Nothing is checked out or
executed. A partial clone downloads the contents that are asked for, all in one request.
"""

import re
from collections.abc import Iterator, Sequence

from harness.catalog.checkout import MOST_BYTES, Checkout, last_error
from harness.catalog.mainline import require_tip
from harness.core.errors import StoreError

_AT_ONCE = 64  # files that one command of git gives, so that not all 240 MB of the logs lie in memory
_PLAIN = ("100644", "100755")


class Tree:
    """The plain files of one commit of a clone."""

    def __init__(self, checkout: Checkout, commit: str | None = None) -> None:
        """Open a commit, by default what the clone has checked out, or what was fetched last.

        Raises StoreError where the folder is no clone, the commit is not in it, or, in the clone of the cache, was never
        what the main branch held.
        """
        self.checkout = checkout
        if not checkout.has_git:
            what = "holds no git history, which says what a record was merged as"
            raise StoreError.at(checkout.folder, what, "name a clone of the upstream repository")
        newest = "refs/remotes/origin/HEAD" if checkout.partial else "HEAD"
        wanted = commit or newest
        if commit is not None and not re.fullmatch(r"[0-9a-f]{7,40}", commit):
            raise StoreError.at(ascii(commit)[:80], "is not a commit", "name it by its hexadecimal digits")
        if commit is not None and checkout.partial:
            require_tip(checkout, newest, commit)  # before git asks the host for it
        said = self.checkout.ask("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
        if said.returncode:
            raise StoreError.at(checkout.folder, f"has no commit {wanted}", "fetch there, or name another clone")
        self.commit = said.stdout.decode().strip()
        listed = self.checkout.ask("ls-tree", "-r", "-z", "--full-tree", self.commit).stdout.split(b"\0")
        entries = [entry.partition(b"\t") for entry in listed if b"\t" in entry]
        named = ((head.decode().split(), name.decode("utf-8", "replace")) for head, _, name in entries)
        # Names that nobody can read are passed over: no row links them.
        self.blobs = {name: blob for (mode, _, blob), name in named if mode in _PLAIN and name.isprintable()}

    def below(self, folder: str) -> list[str]:
        """List the files below a folder, sorted."""
        return sorted(path for path in self.blobs if path.startswith(f"{folder}/"))

    def is_folder(self, path: str) -> bool:
        """Tell whether there are files below a path."""
        return any(name.startswith(f"{path}/") for name in self.blobs)

    def read(self, path: str) -> bytes | None:
        """Return the contents of one file; None where there is none of that name, or git has not its contents."""
        return next((data for _, data in self.read_many([path] if path in self.blobs else [])), None)

    def read_many(self, paths: Sequence[str]) -> Iterator[tuple[str, bytes | None]]:
        """Give the contents of files of this commit; None for those that git has not, or that have more than 64 MB."""
        self.checkout.prefetch((self.commit, path) for path in paths)
        for start in range(0, len(paths), _AT_ONCE):
            part = paths[start : start + _AT_ONCE]
            sizes = self._batch("--batch-check=%(objecttype) %(objectsize)", [self.blobs[path] for path in part])
            heads = [line.split() for line in sizes.decode("utf-8", "replace").splitlines()]
            small = [len(head) == 2 and head[0] == "blob" and int(head[1]) <= MOST_BYTES for head in heads]
            here = [path for path, fits in zip(part, small, strict=True) if fits]
            contents = dict(zip(here, self._contents([self.blobs[path] for path in here]), strict=True))
            yield from ((path, contents.get(path)) for path in part)

    def _contents(self, blobs: list[str]) -> Iterator[bytes]:
        data, at = self._batch("--batch", blobs), 0
        for _ in blobs:
            end = data.index(b"\n", at)
            size = int(data[at:end].split()[2])
            yield data[end + 1 : end + 1 + size]
            at = end + size + 2

    def _batch(self, option: str, blobs: list[str]) -> bytes:
        done = self.checkout.ask("cat-file", option, stdin="".join(f"{blob}\n" for blob in blobs).encode())
        if done.returncode:
            what = f"cannot be read from git ({last_error(done)})"
            raise StoreError.at(self.checkout.repository, what, "check the network and the clone")
        return done.stdout
