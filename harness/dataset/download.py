"""Bring verified shards into the cache with as few requests as possible.

In order: what the receipt remembers and stat confirms costs nothing; a file that changed or was never verified is
hashed; the same bytes in another snapshot of the dataset are linked; only the rest is downloaded, in parallel, with one
writer per file among all processes. The hub's hash decides, and a track's pin decides over the hub.
"""

import contextlib
import hashlib
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
from harness.dataset.progress import Progress
from harness.dataset.retry import Retrying, RetryPolicy, in_parallel
from harness.dataset.shard import check_tokens
from harness.dataset.snapshot import KnownShard, Snapshot, snapshot_of, try_remember
from harness.dataset.transfer import Transfer
from harness.store.files import disk_error

DOWNLOADS = 8  # files at once; one stream from a storage host rarely fills the network of a data centre


@dataclass(frozen=True, slots=True)
class Gathered:
    """The shards that were asked for, in that order."""

    snapshot: Snapshot
    known: tuple[KnownShard, ...]
    commit: str | None = None
    downloaded_bytes: int = 0


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
        policy: RetryPolicy | None = None,
    ) -> None:
        self.repository = repository
        self.shards = shards
        self.pins = {shard.name: shard for shard in shards}
        self.snapshot = snapshot_of(cache, repository, revision)
        self.progress = progress
        self.online = allow_network and not hub.is_offline()
        self.retrying = Retrying(policy or RetryPolicy(), progress.say)
        receipt = self.snapshot.receipt()
        self.commit = revision or receipt.commit
        self.remembered = receipt.shards
        self.verified: dict[str, KnownShard] = {}
        self.downloaded_bytes = 0
        self._counting = threading.Lock()

    def run(self) -> Gathered:
        """Bring all the shards into the snapshot.

        Raises DatasetError and StoreError, every problem at once; what is good by then is kept.
        """
        for shard in self.shards:
            known = self.remembered.get(shard.name)
            if known is not None and self.snapshot.still_known(known) and known.agrees(shard):
                self.verified[shard.name] = known
        self._verify_present([name for name in self._missing() if self.snapshot.path(name).exists()])
        for name in self._missing():
            self._link_from_other_revision(name)
        if self._missing():
            self._download()
        return Gathered(
            self.snapshot, tuple(self.verified[s.name] for s in self.shards), self.commit, self.downloaded_bytes
        )

    def _missing(self) -> list[str]:
        return [shard.name for shard in self.shards if shard.name not in self.verified]

    # ------------------------------------------------------------------------------------ files that are there

    def _verify_present(self, doubtful: list[str]) -> None:
        """Hash the files that are there and were never verified; good ones are remembered, the others replaced."""
        if not doubtful:
            return
        self.progress.expect(len(doubtful), sum(self.snapshot.path(name).stat().st_size for name in doubtful))
        expected = {name: sha256 for name in doubtful if (sha256 := self._expected(name))}
        unknown = [name for name in doubtful if name not in expected]
        if unknown and self.online:
            expected |= {remote.name: remote.sha256 for remote in self._describe(unknown)}
        elif unknown:
            paths = [str(self.snapshot.path(name)) for name in unknown]
            raise DatasetError(*(Problem(path, "was never verified", "fetch with the network on") for path in paths))
        in_parallel(self.retrying, doubtful, lambda name: self._verify_one(name, expected[name]), _hash_threads())

    def _expected(self, name: str) -> str | None:
        known = self.remembered.get(name)
        return self.pins[name].sha256 or (known.sha256 if known else None)

    def _verify_one(self, name: str, expected: str) -> None:
        path = self.snapshot.path(name)
        try:
            sha256 = _hash(path, name, self.retrying, self.progress)
        except OSError as error:
            raise DatasetError.at(path, f"cannot be read ({error.strerror})", "check its permissions") from None
        if sha256 == expected:
            self._accept(name, path, sha256)
            self.progress.finish(name)
            return
        self.progress.say(f"{name}: has sha256 {sha256[:12]}… instead of {expected[:12]}…; it will be replaced")

    def _accept(self, name: str, path: Path, sha256: str) -> None:
        """Check that a file with the right bytes is a sound shard, and remember it."""
        known = self.snapshot.describe(name, path, sha256, self._as_pinned(name, check_tokens(path, name=name)))
        try_remember(self.snapshot, known, self.commit)
        self.verified[name] = known

    def _as_pinned(self, name: str, tokens: int) -> int:
        """Return the token count of a sound shard; raises DatasetError where the track pins another one."""
        pinned = self.pins[name].tokens
        if pinned is not None and tokens != pinned:
            what = f"holds {tokens:,} tokens, the track pins {pinned:,}"
            raise DatasetError.at(name, what, "correct the track's file")
        return tokens

    def _link_from_other_revision(self, name: str) -> None:
        """Link the same bytes from another revision's snapshot: pinning a track must not cost a second download."""
        wanted = self.pins[name].sha256
        parent = self.snapshot.folder.parent
        if wanted is None or not parent.is_dir():
            return
        for folder in sorted(parent.iterdir()):
            other = Snapshot(folder)
            known = other.receipt().shards.get(name) if folder != self.snapshot.folder else None
            if known is None or known.sha256 != wanted or not other.still_known(known):
                continue
            with contextlib.suppress(OSError, HarnessError):
                self.snapshot.folder.mkdir(parents=True, exist_ok=True)
                temporary = self.snapshot.partial(name).with_suffix(f".{os.getpid()}")
                os.link(other.path(name), temporary)
                os.replace(temporary, self.snapshot.path(name))
                self.snapshot.remember(known, self.commit)
                self.verified[name] = known
                return

    # ------------------------------------------------------------------------------------ files that are not

    def _download(self) -> None:
        missing = self._missing()
        if not self.online:
            why = "HF_HUB_OFFLINE forbids requests" if hub.is_offline() else "the network is off"
            raise DatasetError.at(
                self.snapshot.folder,
                f"{len(missing)} of {len(self.shards)} shards are missing ({_some(missing)}) and {why}",
                "fetch them once with the network on",
            )
        with self.snapshot.lock("receipt"):
            pass  # a cache that cannot be written is reported before any request
        remotes = self._describe(missing)
        raise_if((problem for remote in remotes for problem in self._contradictions(remote)), DatasetError)
        left = sum(remote.bytes - self._stored(remote) for remote in remotes)
        self._check_space(left)
        self.progress.expect(len(remotes), sum(remote.bytes for remote in remotes))
        self.progress.say(
            f"fetching {len(remotes)} of {len(self.shards)} shards of {self.repository}: {left / 1e6:,.1f} MB"
        )
        in_parallel(self.retrying, remotes, self._download_one, DOWNLOADS)

    def _describe(self, names: list[str]) -> list[hub.RemoteFile]:
        """Ask the hub about files, the first alone: it settles the revision for all, and shared problems come once."""
        first = self._describe_one(names[0])
        if self.commit is None:
            self.commit = first.commit
        return [first, *in_parallel(self.retrying, names[1:], self._describe_one, DOWNLOADS)]

    def _describe_one(self, name: str) -> hub.RemoteFile:
        where = f"{self.repository}/{name}"
        return self.retrying.keep_trying(where, lambda: hub.describe(self.repository, self.commit, name))

    def _contradictions(self, remote: hub.RemoteFile) -> Iterable[Problem]:
        pinned = self.pins[remote.name].sha256
        if pinned is not None and pinned != remote.sha256:
            yield Problem(
                f"{self.repository}/{remote.name}",
                f"the hub offers sha256 {remote.sha256[:12]}…, the track pins {pinned[:12]}…",
                "try without HF_ENDPOINT; if that does not help, the dataset was changed: tell a maintainer",
            )

    def _stored(self, remote: hub.RemoteFile) -> int:
        with contextlib.suppress(OSError):
            return min(self.snapshot.partial(remote.name).stat().st_size, remote.bytes)
        return 0

    def _check_space(self, needed_bytes: int) -> None:
        free = shutil.disk_usage(self.snapshot.folder).free
        if needed_bytes > free:
            raise StoreError.at(
                self.snapshot.folder,
                f"{needed_bytes / 1e6:,.1f} MB are needed and {free / 1e6:,.1f} MB are free",
                "free some space, or set XDG_CACHE_HOME to a larger disk",
            )

    def _download_one(self, remote: hub.RemoteFile) -> None:
        name, path, partial = remote.name, self.snapshot.path(remote.name), self.snapshot.partial(remote.name)
        waiting = lambda: self.progress.say(f"{name}: another process is downloading it; waiting")  # noqa: E731
        with self.snapshot.lock(name, waiting=waiting, check=self.retrying.check):
            known = self.snapshot.receipt().shards.get(name)
            if known is not None and known.sha256 == remote.sha256 and self.snapshot.still_known(known):
                self.progress.begin(name, remote.bytes, remote.bytes)
            else:
                known = self._store(remote, path, partial)
        self.verified[name] = known
        self.progress.finish(name)

    def _store(self, remote: hub.RemoteFile, path: Path, partial: Path) -> KnownShard:
        again = lambda: hub.describe(self.repository, self.commit, remote.name)  # noqa: E731
        transfer = Transfer(again, partial, self.retrying, self.progress)
        arrived = transfer.run(remote)
        with self._counting:
            self.downloaded_bytes += arrived
        try:
            tokens = self._as_pinned(remote.name, transfer.check())
        except DatasetError:
            transfer.discard()  # the hub's own file is not a sound shard: keeping it would not help
            raise
        try:
            # Remembered before it gets its name: a kill between the two costs a hash, not a download.
            known = self.snapshot.describe(remote.name, partial, remote.sha256, tokens)
            self.snapshot.remember(known, self.commit)
            os.replace(partial, path)
            os.chmod(path, 0o444)
        except OSError as error:
            raise disk_error(path, error) from error
        transfer.discard()
        return known


def damaged(snapshot: Snapshot, receipts: tuple[ShardReceipt, ...], progress: Progress) -> tuple[Problem, ...]:
    """Hash shards again; what differs from its receipt is taken out of it and returned as a problem."""
    retrying = Retrying(RetryPolicy(), progress.say)
    progress.expect(len(receipts), sum(receipt.bytes for receipt in receipts))

    def check(receipt: ShardReceipt) -> Problem | None:
        path = snapshot.path(receipt.name)
        try:
            sha256 = _hash(path, receipt.name, retrying, progress)
        except OSError as error:
            return Problem(str(path), f"can no longer be read ({error.strerror})", "fetch it again")
        if sha256 == receipt.sha256:
            progress.finish(receipt.name)
            return None
        return Problem(
            str(path),
            f"its bytes have changed since they were verified (sha256 {sha256[:12]}…, was {receipt.sha256[:12]}…)",
            "fetch again without --verify to replace it",
        )

    problems = in_parallel(retrying, receipts, check, _hash_threads())
    bad = {receipt.name: problem for receipt, problem in zip(receipts, problems, strict=True) if problem is not None}
    if bad:
        with contextlib.suppress(HarnessError):
            snapshot.forget(set(bad))
    return tuple(bad.values())


def _hash(path: Path, name: str, retrying: Retrying, progress: Progress) -> str:
    """Return the sha256 of a file, in hexadecimal; shows how far it is and ends when told to. Raises OSError."""
    digest = hashlib.sha256()
    buffer = bytearray(4 << 20)
    progress.begin(name, path.stat().st_size, 0)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            retrying.check()
            digest.update(memoryview(buffer)[:count])
            progress.advance(name, count)
    return digest.hexdigest()


def _hash_threads() -> int:
    return min(8, os.cpu_count() or 1)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
