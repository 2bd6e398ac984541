"""Keep one dataset revision in the user's cache: its shards, a receipt of what was verified, and locks for writers.

The receipt beside the data remembers every verified shard by (size, mtime, inode, sha256), so that a second start
costs one stat call per shard. A wrong or old receipt costs a new hash, never a wrong answer. Times are compared for
equality only, so a wrong clock does no harm.

Shards are not synced to the disk, which would take as long as the download on a fast line. Instead the receipt, which
is synced, names the boot in which they were written: after a restart (or on another computer that shares the cache)
they are hashed once more before they are trusted, so that a half-written shard after a power cut is found.
"""

import contextlib
import dataclasses
import errno
import fcntl
import functools
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import HarnessError
from harness.core.task import Shard
from harness.store.files import disk_error, write_atomic

UNPINNED = "unpinned"
RECEIPT = "receipt.json"
_PARTIAL = ".part"
_LOCKS = ".locks"
_LONGEST_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class KnownShard:
    """A shard that was verified, and how to tell without reading it that it is still the same file."""

    name: str
    bytes: int
    tokens: int
    sha256: str
    mtime_ns: int
    inode: int
    boot: str | None  # since when these bytes may not have reached the disk; None: they were read back after a restart

    def agrees(self, shard: Shard) -> bool:
        """Return whether this shard is the one that the track pins, where it pins."""
        return shard.sha256 in (None, self.sha256) and shard.tokens in (None, self.tokens)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a snapshot remembers; `commit` is the revision that its first shard came from."""

    commit: str | None
    shards: dict[str, KnownShard]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The folder of one dataset revision in the cache."""

    folder: Path

    def path(self, name: str) -> Path:
        """Return the path of a finished shard."""
        return self.folder / name

    def partial(self, name: str) -> Path:
        """Return the path of an unfinished download of a shard."""
        return self.folder / (name + _PARTIAL)

    def receipt(self) -> Receipt:
        """Read the receipt; empty where there is none or it cannot be read."""
        try:
            data = json.loads((self.folder / RECEIPT).read_text(encoding="utf-8"))
            shards = [KnownShard(name=name, **fields) for name, fields in data["shards"].items()]
            commit = data["commit"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Receipt(None, {})
        if not all(_is_sound(shard) for shard in shards):
            return Receipt(None, {})
        sound_commit = isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40}", commit)
        return Receipt(commit if sound_commit else None, {shard.name: shard for shard in shards})

    def still_known(self, known: KnownShard | None) -> bool:
        """Return whether a remembered shard is, as far as stat tells, the file that was verified."""
        if known is None:
            return False
        try:
            stat = self.path(known.name).stat()
        except OSError:
            return False
        same = (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (known.bytes, known.mtime_ns, known.inode)
        return same and known.boot in (None, boot_id())

    def remember(self, known: KnownShard, commit: str | None) -> None:
        """Add a verified shard to the receipt; the commit of the first one stays."""
        self._change(lambda old: Receipt(old.commit or commit, {**old.shards, known.name: known}))

    def forget(self, names: set[str]) -> None:
        """Take shards out of the receipt, so that the next fetch hashes them again."""
        self._change(lambda old: Receipt(old.commit, {n: k for n, k in old.shards.items() if n not in names}))

    def _change(self, change: Callable[[Receipt], Receipt]) -> None:
        with self.lock("receipt"):
            new = change(self.receipt())
            shards = {name: dataclasses.asdict(known) for name, known in sorted(new.shards.items())}
            for fields in shards.values():
                del fields["name"]
            content = {"schema": 1, "commit": new.commit, "shards": shards}
            write_atomic(self.folder / RECEIPT, json.dumps(content, indent=1) + "\n")

    @contextlib.contextmanager
    def lock(
        self, name: str, *, waiting: Callable[[], None] | None = None, check: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Lock a name against all other threads and processes; the kernel unlocks it when this process ends.

        waiting: called once if another one has locked it. check: called while waiting; may raise to stop.
        Raises StoreError where the cache cannot be written.
        """
        path = self.folder / _LOCKS / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise disk_error(path, error) from error
        pause_s = 0.002  # the receipt is held for some milliseconds, a download for minutes
        try:
            while not _try_lock(descriptor):
                if waiting is not None:
                    waiting()
                    waiting = None
                if check is not None:
                    check()
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_POLL_S)
            yield
        finally:
            os.close(descriptor)

    def describe(self, name: str, path: Path, sha256: str, tokens: int) -> KnownShard:
        """Return what to remember of a shard that was verified at `path` and is, or will be, stored as `name`."""
        stat = path.stat()
        known = KnownShard(name, stat.st_size, tokens, sha256, stat.st_mtime_ns, stat.st_ino, boot_id())
        before = self.receipt().shards.get(name)
        if before is not None and before.boot != boot_id() and dataclasses.replace(known, boot=before.boot) == before:
            return dataclasses.replace(known, boot=None)  # unchanged since an earlier boot: read back from the disk
        return known


def snapshot_of(cache: Path, repository: str, revision: str | None) -> Snapshot:
    """Return the snapshot of a dataset revision; None is that of a track that is not pinned."""
    return Snapshot(cache / "data" / repository.replace("/", "--") / (revision or UNPINNED))


@functools.cache
def boot_id() -> str | None:
    """Return the id of this computer's last start; None where the kernel does not give one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def try_remember(snapshot: Snapshot, known: KnownShard, commit: str | None) -> None:
    """Remember a shard if the cache can be written; a read-only cache only costs a hash at the next start."""
    with contextlib.suppress(HarnessError):
        snapshot.remember(known, commit)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        # Some cluster file systems have no locks. Two writers of one partial file then end as wrong bytes, which the
        # hash finds; nothing wrong is ever kept.
    return True


def _is_sound(known: KnownShard) -> bool:
    numbers: tuple[Any, ...] = (known.bytes, known.tokens, known.mtime_ns, known.inode)
    return (
        all(type(number) is int for number in numbers)
        and isinstance(known.sha256, str)
        and re.fullmatch(r"[0-9a-f]{64}", known.sha256) is not None
        and (known.boot is None or isinstance(known.boot, str))
    )
