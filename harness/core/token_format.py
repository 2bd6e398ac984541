"""The form of a token file: 256 little-endian int32 header words, then little-endian uint16 GPT-2 ids."""

import numpy as np
import numpy.typing as npt

MAGIC = 20240520
VERSION = 1
HEADER_BYTES = 1024
DOCUMENT_START = 50256  # also the largest GPT-2 id
Tokens = npt.NDArray[np.uint16]


def header_of(count: int) -> bytes:
    """Return the header of a shard of `count` tokens."""
    header = np.zeros(256, dtype="<i4")
    header[:3] = (MAGIC, VERSION, count)
    return header.tobytes()


def to_bytes(tokens: Tokens) -> bytes:
    """Return the bytes of the shard that holds `tokens`, shape (n,)."""
    return header_of(len(tokens)) + tokens.astype("<u2", copy=False).tobytes()
