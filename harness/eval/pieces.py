"""Keep the answers of an evaluation while it runs, so that one that was killed goes on where it stopped.

One line of JSON for each answer. A line that a kill cut off is not there: it is removed before the next one is added.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.core.errors import StoreError
from harness.store.files import disk_error

FILE = "answers.jsonl"


class Pieces:
    """Answers by their keys, in memory and in a file; `found` counts those that an earlier command left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, dict[str, Any]] = {}
        raw = path.read_bytes() if path.is_file() else b""
        self._whole_bytes = raw.rfind(b"\n") + 1
        for line in raw[: self._whole_bytes].splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                said = json.loads(line)
                self.known[str(said["key"])] = dict(said["answer"])
        self.found = len(self.known)
        self._file = path.open("ab")
        os.ftruncate(self._file.fileno(), self._whole_bytes)

    def keep(self, key: str, answer: dict[str, Any]) -> None:
        """Add an answer; raises StoreError on a full disk."""
        try:
            self._file.write(json.dumps({"key": key, "answer": answer}).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise disk_error(self.path, error) from error
        self.known[key] = answer

    def close(self) -> None:
        """Close the file; the answers stay."""
        with contextlib.suppress(OSError):
            self._file.close()


@contextlib.contextmanager
def open_pieces(folder: Path) -> Iterator[Pieces]:
    """Open the answers in a folder; raises StoreError where they cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        pieces = Pieces(folder / FILE)
    except OSError as error:
        raise disk_error(folder, error) from error
    try:
        yield pieces
    finally:
        pieces.close()


def forget(folder: Path) -> None:
    """Remove the answers of an evaluation that is complete and told; raises StoreError where that cannot be done."""
    try:
        (folder / FILE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()  # only where nothing else is in it
    except OSError as error:
        raise StoreError.at(folder, f"cannot be written ({error.strerror})", "check its permissions") from None
