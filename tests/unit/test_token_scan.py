"""A shard's ids are judged the same, whether its bytes come whole or in pieces of any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.core.errors import DatasetError
from harness.dataset.shard import DOCUMENT_START, TokenScan, check_tokens, to_bytes

SOUND = np.array([DOCUMENT_START, 1, 2, 300, 70, 5], dtype=np.uint16)
TOO_HIGH = np.array([DOCUMENT_START, 1, 2, 3, 4, DOCUMENT_START + 1], dtype=np.uint16)
NO_START = np.array([1, 2, 3, 4, 5, 196], dtype=np.uint16)


def scanned(path: Path, length: int) -> int:
    scan, raw = TokenScan(), path.read_bytes()
    for at in range(0, len(raw), length):
        scan.take(memoryview(raw)[at : at + length])
    return scan.check(path)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 1023, 1024, 1025, 1027, 5000])
def test_pieces_of_any_length_give_the_same_answer(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(to_bytes(SOUND))
    assert scanned(path, length) == check_tokens(path) == 6
    path.write_bytes(to_bytes(TOO_HIGH))
    with pytest.raises(DatasetError, match="holds the id 50257"):
        scanned(path, length)
    path.write_bytes(to_bytes(NO_START))
    with pytest.raises(DatasetError, match="holds no document start"):
        scanned(path, length)
