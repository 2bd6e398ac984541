"""How a fetch says how far it is; the display itself is in the console."""


class Progress:
    """Is told how far a job over several files is, from several threads; this one shows nothing."""

    def expect(self, files: int, total_bytes: int) -> None:
        """Begin a stage in which so much is to be done."""

    def begin(self, name: str, total_bytes: int, stored_bytes: int) -> None:
        """Begin a file of which `stored_bytes` are stored already."""

    def advance(self, name: str, more_bytes: int) -> None:
        """Count bytes of a file that have arrived; fewer than 0 where the file starts again."""

    def finish(self, name: str) -> None:
        """Count a file as stored and verified."""

    def say(self, text: str) -> None:
        """Tell a person something."""
