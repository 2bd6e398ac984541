"""Find files of a run that hold its validation text, or could: a copy is read where nobody watches.

Hard because a run may write in several places and large files are not forbidden. Two windows of a file that stand in
the shard byte for byte show a copy; a large file of other content may be one in another form, or anything else. A copy
in memory, one in pieces and one that is gone before the next look are not found.
"""

import contextlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.launch.processes import tree

MOST_FILES, MOST_ENTRIES = 1000, 50_000
SHARE, LEAST_BYTES, LEAST_UNKNOWN = 10, 4096, 1 << 20  # a file this part of a shard, and this large, is looked at
_WINDOW = 2048  # more than the zeros in the header of a shard
_SHARED = ("tmp", "dev/shm")


class Copies:
    """What the run writes, as far as it could be a copy of its validation shard."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        offered = [path for path in sorted((folder / "work").rglob("*.bin")) if path.is_file()]
        links = {path.parent for path in offered if path.is_symlink()}
        self.texts = [_mapped(path) for path in offered if path.parent in links and not path.is_symlink()]
        self.least = max(LEAST_BYTES, min(map(len, self.texts), default=0) // SHARE)
        self.seen = {(k.st_dev, k.st_ino, k.st_size) for k in map(os.stat, offered)}
        self.seen |= {(k.st_dev, k.st_ino, k.st_size) for _, k in self._shared("/")}
        self.count, self.lost = 0, False  # files that a row was added for; whether there are more than can be looked at

    def look(self, root: int, add: Callable[[str, str, int], None]) -> None:
        """Add one row for every file of a good size that was not there at the last look.

        root: the process that all processes of the run descend from. add: takes kind, name and value of a row.
        """
        if not self.texts or self.lost:
            return
        apart = _private(root)
        own = [path for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()]
        found = [(path, status, "copy", "file") for path, status in _files(own, self._too_many)]
        for folder in [Path(apart, name) for name in _SHARED] if apart else []:
            with contextlib.suppress(OSError):
                # What is bound into a private folder, like an interpreter below /tmp, is of another file system.
                device = folder.stat().st_dev
                held = _files([folder], self._too_many)
                found += [(path, status, "copy", "file") for path, status in held if status.st_dev == device]
        found += [] if apart else [(path, status, "shared", "") for path, status in self._shared("/")]
        for path, status, alike, unknown in found:
            key = (status.st_dev, status.st_ino, status.st_size)
            if status.st_size < self.least or key in self.seen:
                continue
            self.seen.add(key)
            kind = alike if self._holds_text(path) else unknown if status.st_size >= LEAST_UNKNOWN else ""
            if kind:
                self.count += 1
                self.lost |= self.count > MOST_FILES
                if not self.lost:
                    add(kind, path.rpartition("/")[2], status.st_size)
        if self.lost:
            add("lost", "files", self.count)

    def _too_many(self) -> None:
        self.lost = True

    def _shared(self, root: str) -> Iterator[tuple[str, os.stat_result]]:
        return _files([Path(root, name) for name in _SHARED], depth=1)

    def _holds_text(self, path: str) -> bool:
        """Whether two windows of a file stand somewhere in a validation shard, byte for byte."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            last = os.fstat(descriptor).st_size - _WINDOW
            windows = [os.pread(descriptor, _WINDOW, last * third // 3) for third in (1, 2)]
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return any(all(len(w) == _WINDOW and text.find(w) >= 0 for w in windows) for text in self.texts)


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""


def _files(
    folders: list[Path], too_many: Callable[[], None] | None = None, depth: int = 1000
) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the regular files in some folders and below, through no link, up to a number beyond all measure."""
    waiting, count = [(str(folder), 0) for folder in folders], 0
    while waiting:
        folder, level = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                count += 1
                if count > MOST_ENTRIES:
                    if too_many is not None:
                        too_many()
                    return
                with contextlib.suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) and level < depth:
                        waiting.append((entry.path, level + 1))
                    elif stat.S_ISREG(status.st_mode):
                        yield entry.path, status


def _private(root: int) -> str | None:
    """Find the root folder of the run's processes, where it is not the one of everybody."""
    with contextlib.suppress(OSError):
        here = os.readlink("/proc/self/ns/mnt")
        for pid in reversed(tree(root)):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/mnt") != here:
                    return f"/proc/{pid}/root"
    return None
