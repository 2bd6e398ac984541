"""Bytes in, files out that are either whole or not there.

A reader never sees a half-written file: everything is written to a temporary name in the same folder, synced and
renamed. A full disk is one sentence, and the old file stays.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from pathlib import Path

from harness.errors import StoreError


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


def disk_error(path: Path, error: OSError) -> StoreError:
    """Say in one sentence why `path` could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError.at(path, "the disk is full", "free some space and start again; nothing was left half-written")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return StoreError.at(path, f"cannot be written ({error.strerror})", "check the permissions of its folder")
    return StoreError.at(path, f"cannot be written ({error.strerror})", "check the disk")


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
