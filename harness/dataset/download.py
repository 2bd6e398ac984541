"""Names of shards in, verified shards on a shelf of the cache out, with as few requests as can be.

In order: what the receipt remembers and stat confirms costs nothing; a file that changed or was never verified is
hashed; the same bytes on a neighbouring shelf are linked; only the rest is asked for, in parallel, one writer per file
among all processes. The hub's hash decides, and a track's pin decides over the hub.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DatasetError, HarnessError, Problem, StoreError, raise_if
from harness.core.measurement import ShardReceipt
from harness.core.task import Shard
from harness.dataset import hub
from harness.dataset.parallel import in_parallel
from harness.dataset.progress import Progress
from harness.dataset.retry import Line, Patience
from harness.dataset.shard import check_tokens
from harness.dataset.snapshot import Known, Shelf, hash_file, shelf_of, try_remember
from harness.dataset.transfer import Transfer
from harness.store.files import disk_error

DOWNLOADS = 8  # files at once; one stream from a storage host rarely fills a data-centre line


@dataclass(frozen=True, slots=True)
class Gathered:
    """The shards that were asked for, in that order."""

    shelf: Shelf
    known: tuple[Known, ...]
    commit: str | None
    downloaded_bytes: int


class Gathering:
    """One fetch of some shards of one dataset revision."""

    def __init__(
        self,
        cache: Path,
        repository: str,
        revision: str | None,
        shards: tuple[Shard, ...],
        *,
        progress: Progress,
        allow_network: bool = True,
        patience: Patience | None = None,
    ) -> None:
        self.repository = repository
        self.shards = shards
        self.pins = {shard.name: shard for shard in shards}
        self.shelf = shelf_of(cache, repository, revision)
        self.progress = progress
        self.online = allow_network and not hub.is_offline()
        self.line = Line(patience or Patience(), progress.say)
        receipt = self.shelf.receipt()
        self.commit = revision or receipt.commit
        self.remembered = receipt.shards
        self.good: dict[str, Known] = {}
        self.downloaded_bytes = 0
        self._counting = threading.Lock()

    def run(self) -> Gathered:
        """Bring all the shards onto the shelf.

        Raises DatasetError and StoreError, every problem at once; what is good by then stays.
        """
        for shard in self.shards:
            known = self.remembered.get(shard.name)
            if known is not None and self.shelf.still_known(known) and _agrees(known, shard):
                self.good[shard.name] = known
        self._settle([name for name in self._missing() if self.shelf.path(name).exists()])
        for name in self._missing():
            self._adopt(name)
        if self._missing():
            self._download()
        return Gathered(self.shelf, tuple(self.good[s.name] for s in self.shards), self.commit, self.downloaded_bytes)

    def _missing(self) -> list[str]:
        return [shard.name for shard in self.shards if shard.name not in self.good]

    # ------------------------------------------------------------------------------------ files that are there

    def _settle(self, doubtful: list[str]) -> None:
        """Hash the files that are there and not known; the good ones are remembered, the others will be replaced."""
        if not doubtful:
            return
        self.progress.expect(len(doubtful), sum(self.shelf.path(name).stat().st_size for name in doubtful))
        expected = {name: sha256 for name in doubtful if (sha256 := self._expected(name))}
        unknown = [name for name in doubtful if name not in expected]
        if unknown and self.online:
            expected |= {remote.name: remote.sha256 for remote in self._describe(unknown)}
        elif unknown:
            raise DatasetError(
                *(
                    Problem(str(self.shelf.path(name)), "it was never verified", "fetch with the network on")
                    for name in unknown
                )
            )
        in_parallel(self.line, doubtful, lambda name: self._settle_one(name, expected[name]), _hash_threads())

    def _expected(self, name: str) -> str | None:
        known = self.remembered.get(name)
        return self.pins[name].sha256 or (known.sha256 if known else None)

    def _settle_one(self, name: str, expected: str) -> None:
        path = self.shelf.path(name)
        self.progress.begin(name, path.stat().st_size, 0)
        try:
            found = hash_file(path, check=self.line.check, advance=lambda count: self.progress.advance(name, count))
        except OSError as error:
            raise DatasetError.at(path, f"cannot be read ({error.strerror})", "check its permissions") from None
        if found == expected:
            self._accept(name, path, found)
            self.progress.finish(name)
            return
        self.progress.say(f"{name}: its bytes are not what they should be (sha256 {found[:12]}…); it will be replaced")

    def _accept(self, name: str, path: Path, sha256: str) -> None:
        """Check a file with the right bytes as a shard, and remember it."""
        known = self.shelf.look(name, path, sha256, self._as_pinned(name, check_tokens(path, name=name)))
        try_remember(self.shelf, known, self.commit)
        self.good[name] = known

    def _as_pinned(self, name: str, tokens: int) -> int:
        """The token count of a sound shard; raises DatasetError where the track pins another one."""
        pinned = self.pins[name].tokens
        if pinned is not None and tokens != pinned:
            what = f"holds {tokens:,} tokens, the track pins {pinned:,}"
            raise DatasetError.at(name, what, "correct the track's file")
        return tokens

    def _adopt(self, name: str) -> None:
        """Link the same bytes from another revision's shelf: pinning a track must not cost a second download."""
        wanted = self.pins[name].sha256
        parent = self.shelf.folder.parent
        if wanted is None or not parent.is_dir():
            return
        for folder in sorted(parent.iterdir()):
            other = Shelf(folder)
            known = other.receipt().shards.get(name) if folder != self.shelf.folder else None
            if known is None or known.sha256 != wanted or not other.still_known(known):
                continue
            with contextlib.suppress(OSError, HarnessError):
                self.shelf.folder.mkdir(parents=True, exist_ok=True)
                temporary = self.shelf.partial(name).with_suffix(f".{os.getpid()}")
                os.link(other.path(name), temporary)
                os.replace(temporary, self.shelf.path(name))
                self.shelf.remember(known, self.commit)
                self.good[name] = known
                return

    # ------------------------------------------------------------------------------------ files that are not

    def _download(self) -> None:
        missing = self._missing()
        if not self.online:
            why = "HF_HUB_OFFLINE forbids requests" if hub.is_offline() else "the network is off"
            raise DatasetError.at(
                self.shelf.folder,
                f"{len(missing)} of {len(self.shards)} shards are missing ({_some(missing)}) and {why}",
                "fetch them once with the network on",
            )
        with self.shelf.lock("receipt"):
            pass  # a cache that cannot be written is said before any request
        remotes = self._describe(missing)
        raise_if((problem for remote in remotes for problem in self._contradictions(remote)), DatasetError)
        left = sum(remote.bytes - self._stored(remote) for remote in remotes)
        self._check_space(left)
        self.progress.expect(len(remotes), sum(remote.bytes for remote in remotes))
        self.progress.say(
            f"fetching {len(remotes)} of {len(self.shards)} shards of {self.repository}: {left / 1e6:,.1f} MB"
        )
        in_parallel(self.line, remotes, self._download_one, DOWNLOADS)

    def _describe(self, names: list[str]) -> list[hub.RemoteFile]:
        """Ask the hub about files, the first alone: it settles the revision for all, and shared problems come once."""
        first = self._describe_one(names[0])
        if self.commit is None:
            self.commit = first.commit
        return [first, *in_parallel(self.line, names[1:], self._describe_one, DOWNLOADS)]

    def _describe_one(self, name: str) -> hub.RemoteFile:
        where = f"{self.repository}/{name}"
        return self.line.keep_trying(where, lambda: hub.describe(self.repository, self.commit, name))

    def _contradictions(self, remote: hub.RemoteFile) -> Iterable[Problem]:
        pinned = self.pins[remote.name].sha256
        if pinned is not None and pinned != remote.sha256:
            yield Problem(
                f"{self.repository}/{remote.name}",
                f"the hub offers sha256 {remote.sha256[:12]}…, the track pins {pinned[:12]}…",
                "try without HF_ENDPOINT; if it stays so, the dataset was changed: tell a maintainer",
            )

    def _stored(self, remote: hub.RemoteFile) -> int:
        with contextlib.suppress(OSError):
            return min(self.shelf.partial(remote.name).stat().st_size, remote.bytes)
        return 0

    def _check_space(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self.shelf.folder).free
        if needed_bytes > free:
            raise StoreError.at(
                self.shelf.folder,
                f"{needed_bytes / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free",
                "free some space, or set XDG_CACHE_HOME to a larger disk",
            )

    def _download_one(self, remote: hub.RemoteFile) -> None:
        name, path, partial = remote.name, self.shelf.path(remote.name), self.shelf.partial(remote.name)
        waiting = lambda: self.progress.say(f"{name}: another fetch is at it; waiting for it to end")  # noqa: E731
        with self.shelf.lock(name, waiting=waiting, check=self.line.check):
            known = self.shelf.receipt().shards.get(name)
            if known is not None and known.sha256 == remote.sha256 and self.shelf.still_known(known):
                self.progress.begin(name, remote.bytes, remote.bytes)
            else:
                known = self._store(remote, path, partial)
        self.good[name] = known
        self.progress.finish(name)

    def _store(self, remote: hub.RemoteFile, path: Path, partial: Path) -> Known:
        again = lambda: hub.describe(self.repository, self.commit, remote.name)  # noqa: E731
        transfer = Transfer(again, partial, self.line, self.progress)
        arrived = transfer.run(remote)
        with self._counting:
            self.downloaded_bytes += arrived
        try:
            tokens = self._as_pinned(remote.name, transfer.check())
        except DatasetError:
            transfer.discard()  # the hub's own file is no shard: keeping it would not help
            raise
        try:
            # Remembered before it gets its name: a kill between the two costs a hash, not a download.
            known = self.shelf.look(remote.name, partial, remote.sha256, tokens)
            self.shelf.remember(known, self.commit)
            os.replace(partial, path)
            os.chmod(path, 0o444)
        except OSError as error:
            raise disk_error(path, error) from error
        transfer.discard()
        return known


def damaged(shelf: Shelf, receipts: tuple[ShardReceipt, ...], progress: Progress) -> tuple[Problem, ...]:
    """Hash shards again; what differs from its receipt is forgotten and returned as a problem."""
    line = Line(Patience(), progress.say)
    progress.expect(len(receipts), sum(receipt.bytes for receipt in receipts))

    def look(receipt: ShardReceipt) -> Problem | None:
        path = shelf.path(receipt.name)
        progress.begin(receipt.name, receipt.bytes, 0)
        try:
            found = hash_file(path, check=line.check, advance=lambda count: progress.advance(receipt.name, count))
        except OSError as error:
            return Problem(str(path), f"cannot be read any more ({error.strerror})", "fetch it again")
        if found == receipt.sha256:
            progress.finish(receipt.name)
            return None
        return Problem(
            str(path),
            f"its bytes have changed since they were verified (sha256 {found[:12]}…, was {receipt.sha256[:12]}…)",
            "fetch again without --verify to replace it",
        )

    found = in_parallel(line, receipts, look, _hash_threads())
    bad = {receipt.name: problem for receipt, problem in zip(receipts, found, strict=True) if problem is not None}
    if bad:
        with contextlib.suppress(HarnessError):
            shelf.forget(set(bad))
    return tuple(bad.values())


def _agrees(known: Known, shard: Shard) -> bool:
    """Whether a remembered shard is the one that the track pins, where it pins."""
    return shard.sha256 in (None, known.sha256) and shard.tokens in (None, known.tokens)


def _hash_threads() -> int:
    return min(8, os.cpu_count() or 1)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
