"""What a fetch tells about its state, and who may listen; the display itself is the console's."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Who shows how far a fetch is; called from several threads."""

    def expect(self, files: int, total_bytes: int) -> None:
        """So much is to be done in the stage that begins now."""

    def begin(self, name: str, total_bytes: int, stored_bytes: int) -> None:
        """A file starts, `stored_bytes` of it being there already."""

    def advance(self, name: str, more_bytes: int) -> None:
        """Bytes of a file have arrived; fewer than 0 where the file starts again."""

    def finish(self, name: str) -> None:
        """A file is there and verified."""

    def say(self, text: str) -> None:
        """Something a person should know."""


class Quiet:
    """Shows nothing."""

    def expect(self, files: int, total_bytes: int) -> None: ...
    def begin(self, name: str, total_bytes: int, stored_bytes: int) -> None: ...
    def advance(self, name: str, more_bytes: int) -> None: ...
    def finish(self, name: str) -> None: ...
    def say(self, text: str) -> None: ...
