"""Bytes in, files out that are either whole or not there.

A reader never sees a half-written file: everything is written to a temporary name in the same folder, synced and
renamed. A full disk is one sentence, and the old file stays.
"""

import contextlib
import errno
import fcntl
import hashlib
import lzma
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.core.errors import StoreError

PACKED = ".xz"
KEPT_BYTES = 64 << 20  # the largest log of a record has 5 MB
DICTIONARY_BYTES = 64 << 20  # memory for unpacking; what speedrun packs needs 9 MiB
MOST_GROWTH = 500  # logs shrink to a tenth or a thirtieth; zeros would to a seven-thousandth


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` so that it is there whole or not at all; makes missing folders.

    Raises StoreError on a full or read-only disk; a file that was there before stays as it was.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
        sync_folder(path.parent)
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_folder(target: Path) -> Iterator[Path]:
    """Make an empty folder beside `target`, to be filled and renamed to it; where it was not renamed, it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Let only one process at a time make `folder`, which need not exist; gives the descriptor that holds the lock.

    Raises StoreError on a full or read-only disk, also where what is done meanwhile meets one.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with (folder.parent / f".{folder.name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file.fileno()
    except OSError as error:
        raise disk_error(folder, error) from error


def compress(data: bytes) -> bytes:
    """Return the same bytes as .xz; the same input gives the same output."""
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_CRC64, preset=6)


def has_kept(path: Path) -> bool:
    """Whether a file is there, as it is or compressed beside its name."""
    return path.is_file() or path.with_name(path.name + PACKED).is_file()


def read_kept(path: Path, *, name: str | None = None) -> bytes:
    """Return the bytes of a file that is there as it is, or compressed as `<name>.xz`.

    These are untrusted input: a link, too large a file and one that grows beyond all measure are refused with StoreError
    before more than 64 MB are in memory.
    """
    name = name or str(path)
    packed = path.with_name(path.name + PACKED)
    source = path if path.exists() or path.is_symlink() else packed
    if source.is_symlink() or not source.is_file():
        raise StoreError.at(name, "is not there as a plain file", "restore the file as the run wrote it")
    size = source.stat().st_size
    if size > KEPT_BYTES:
        raise StoreError.at(name, f"has {size:,} bytes", f"a file of a run has at most {KEPT_BYTES:,}")
    raw = source.read_bytes()
    if source == path:
        return raw
    limit = min(KEPT_BYTES, MOST_GROWTH * size + (1 << 16))
    try:
        decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=DICTIONARY_BYTES)
        data = decompressor.decompress(raw, max_length=limit + 1)
    except lzma.LZMAError as error:
        raise StoreError.at(f"{name}{PACKED}", f"cannot be unpacked ({error})", "pack the submission again") from None
    if len(data) > limit:
        raise StoreError.at(f"{name}{PACKED}", f"unpacks to more than {limit:,} bytes", "it was not packed by speedrun")
    if not decompressor.eof or decompressor.unused_data:
        raise StoreError.at(f"{name}{PACKED}", "is torn or carries more behind its end", "pack the submission again")
    return data


def free_bytes(folder: Path) -> int:
    """Free space where a folder lies, or would lie once it is made."""
    there = next(f for f in (folder, *folder.parents) if f.exists())
    return shutil.disk_usage(there).free


def disk_error(path: Path, error: OSError) -> StoreError:
    """Say in one sentence why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError.at(path, "the disk is full", "free some space and start again; nothing was left half-written")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError.at(path, f"cannot be written ({error.strerror})", "check the permissions of its folder")
    return StoreError.at(path, f"cannot be written ({error.strerror})", "check the disk")


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
