"""Read, check and write token shards: the `.bin` files that training scripts read.

Format: 256 little-endian int32 header words (20240520, 1, token count), then that many little-endian uint16 GPT-2
ids; id 50256 starts every document. A truncated or altered shard trains without complaint and makes a wrong record,
so magic, version, length, first token and id range are all checked, by memory map.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from harness.core.errors import DatasetError
from harness.core.token_format import DOCUMENT_START, HEADER_BYTES, MAGIC, VERSION, Tokens, header_of, to_bytes

__all__ = [
    "DOCUMENT_START", "HEADER_BYTES", "MAGIC", "VERSION", "TokenScan", "Tokens", "check_tokens", "count_tokens",
    "first_tokens", "header_of", "highest_id", "read_tokens", "to_bytes",
]  # fmt: skip


def count_tokens(path: Path, *, name: str | None = None) -> int:
    """Return the number of tokens in a shard, from its header and checked against its length.

    Reads 1 kB. Raises DatasetError: missing, short, long, odd bytes, wrong magic or version.
    """
    name = name or path.name
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            raw = file.read(HEADER_BYTES)
    except OSError as error:
        raise DatasetError.at(name, f"cannot be read ({error.strerror})", "fetch it again") from None
    if len(raw) < HEADER_BYTES:
        raise DatasetError.at(name, f"has {size:,} bytes, less than its header", "delete it and fetch it again")
    magic, version, count = (int(word) for word in np.frombuffer(raw, dtype="<i4")[:3])
    if magic != MAGIC:
        raise DatasetError.at(name, f"starts with {magic}, not {MAGIC}: not a token shard", "fetch the right file")
    if version != VERSION:
        raise DatasetError.at(
            name, f"has shard version {version}", f"only version {VERSION} can be read; fetch the right file"
        )
    expected = HEADER_BYTES + 2 * count
    if count <= 0 or size != expected:
        raise DatasetError.at(
            name, f"has {size:,} bytes, its header promises {expected:,}", "delete it and fetch it again"
        )
    return count


def read_tokens(path: Path, *, name: str | None = None) -> Tokens:
    """Return the tokens of a shard, shape (n,), memory-mapped and read-only; same errors as `count_tokens`."""
    count = count_tokens(path, name=name)
    return np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES, shape=(count,))


def highest_id(path: Path, count: int, *, name: str | None = None) -> int:
    """Return the highest id among the first `count` tokens of a shard but the document start; 0 where all are that."""
    ids = read_tokens(path, name=name)[:count]
    return int(ids[ids != DOCUMENT_START].max(initial=0))


def first_tokens(path: Path, count: int) -> Iterator[bytes]:
    """Yield the bytes of a shard that holds the first `count` tokens of another, in pieces; its header says so."""
    yield header_of(count)
    left = 2 * count
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        while left and (piece := file.read(min(left, 4 << 20))):
            left -= len(piece)
            yield piece


def check_tokens(path: Path, *, name: str | None = None) -> int:
    """Check the whole shard, ids included, and return its token count; raises DatasetError."""
    scan = TokenScan()
    scan.take(memoryview(bytes(HEADER_BYTES)))
    scan.take(read_tokens(path, name=name).view(np.uint8).data)
    return scan.check(path, name=name)


class TokenScan:
    """Checks a shard's ids while its bytes arrive, from the first on, in pieces of any length."""

    def __init__(self) -> None:
        self._highest = -1
        self._has_start = False
        self._taken_bytes = 0
        self._half = b""  # the first byte of an id whose second byte is still to come

    def take(self, piece: memoryview) -> None:
        """Check the next bytes of the file."""
        body = piece[max(0, HEADER_BYTES - self._taken_bytes) :]
        self._taken_bytes += len(piece)
        if self._half and body:
            self._check_ids(np.frombuffer(self._half + bytes(body[:1]), dtype="<u2"))
            self._half, body = b"", body[1:]
        whole = len(body) // 2 * 2
        if whole:
            self._check_ids(np.frombuffer(body[:whole], dtype="<u2"))
        self._half = self._half or bytes(body[whole:])

    def check(self, path: Path, *, name: str | None = None) -> int:
        """Return the token count of the shard at `path`, all of whose bytes were taken; raises DatasetError."""
        count = count_tokens(path, name=name)
        if self._highest <= DOCUMENT_START and self._has_start:
            return count
        above = self._highest > DOCUMENT_START
        what = f"the id {self._highest}, above {DOCUMENT_START}" if above else f"no document start ({DOCUMENT_START})"
        raise DatasetError.at(name or path.name, f"holds {what}", "delete it and fetch it again")

    def _check_ids(self, ids: Tokens) -> None:
        self._highest = max(self._highest, int(ids.max()))
        if not self._has_start:
            self._has_start = bool((ids == DOCUMENT_START).any())
