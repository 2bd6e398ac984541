"""Read a log file that is plain, gzip or xz, told apart by the first bytes.

The whole text of one log is held once and never copied as a whole, so the memory is the size of the log plus a few MB.
A compressed file is unpacked piece by piece, so that a small file that unpacks to more than the limit is refused
before it fills the memory.
"""

import contextlib
import gzip
import lzma
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from harness.core.errors import LogError
from harness.core.measurement import RunLog
from harness.core.text import did_you_mean
from harness.runlog.final import TAIL_BYTES, read_final
from harness.runlog.reader import read_bytes

MOST_BYTES = 1 << 30  # 1 GiB of text; the largest log of the field's archive has 0.8 MB
_PIECE_BYTES = 1 << 20
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


class LargerThanAsked(LogError):
    """A log holds more bytes than the caller wanted to hold at once."""


def read_file(
    path: Path, *, name: str | None = None, curve: bool = False, final_only: bool = False, most_bytes: int = MOST_BYTES
) -> list[RunLog]:
    """Read every run of one log file; `name` is what the results call it, `most_bytes` bounds its unpacked size.

    Raises LogError where the file cannot be read or is no training log, LargerThanAsked where it holds more bytes.
    """
    name = name or str(path)
    with opened(path, name) as (file, size):
        if final_only and not os.pread(file.fileno(), len(_XZ), 0).startswith((_GZIP, _XZ)):
            for length in TAIL_BYTES:
                if length >= size:
                    break
                log = read_final(os.pread(file.fileno(), length, size - length), name, whole=False)
                if log is not None:
                    return [log]
        return read_bytes(_all_bytes(file, size, name, most_bytes), name, curve=curve, final_only=final_only)


def read_data(path: Path, *, name: str | None = None) -> bytes | bytearray:
    """Read the unpacked bytes of a log file; same errors as `read_file`."""
    name = name or str(path)
    with opened(path, name) as (file, size):
        return _all_bytes(file, size, name, MOST_BYTES)


@contextlib.contextmanager
def opened(path: Path, name: str) -> Iterator[tuple[IO[bytes], int]]:
    """Open a regular file, with its size; raises LogError where it cannot be read."""
    try:
        # Without O_NONBLOCK a named pipe would wait for a writer for ever.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise LogError.at(name, "not a regular file", "name log files or folders of them")
            yield file, status.st_size
    except OSError as error:
        if not os.path.lexists(path):  # a link to nowhere is something
            meant = _like(path)
            todo = "correct the path" if meant is None else f"did you mean {meant}?"
            raise LogError.at(name, "there is no such file or folder", todo) from None
        why = error.strerror or type(error).__name__
        raise LogError.at(name, f"cannot be read ({why})", "check the path and its permissions") from None


def _like(path: Path) -> Path | None:
    """Return the file or folder beside a path that its name is most like."""
    try:
        meant = did_you_mean(path.name, (other.name for other in path.parent.iterdir()))
    except OSError:
        return None
    return None if meant is None else path.with_name(meant)


def _all_bytes(file: IO[bytes], size: int, name: str, most_bytes: int) -> bytes | bytearray:
    head = os.pread(file.fileno(), len(_XZ), 0)
    if head.startswith((_GZIP, _XZ)):
        return _unpack(file, head, name, most_bytes)
    if size > most_bytes:
        raise _too_large(name, most_bytes)
    return file.read()


def _unpack(file: IO[bytes], head: bytes, name: str, most_bytes: int) -> bytearray:
    data = bytearray()
    try:
        with gzip.GzipFile(fileobj=file) if head.startswith(_GZIP) else lzma.LZMAFile(file) as unpacked:
            while piece := unpacked.read(_PIECE_BYTES):
                data += piece
                if len(data) > most_bytes:
                    raise _too_large(name, most_bytes)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise LogError.at(name, f"the compressed file is damaged ({error})", "get it again") from None
    return data


def _too_large(name: str, most_bytes: int) -> LargerThanAsked:
    return LargerThanAsked.at(name, f"it holds more than {most_bytes:,} bytes of text", "split it or cut it down")
