"""What can be wrong with a chain of the ledger, and how that is said."""

from dataclasses import dataclass
from typing import Literal

Flaw = Literal[
    "gap", "undeclared", "declared again", "started again", "not open", "older form", "no end", "not to score",
    "task again", "no task", "cut branch",
]  # fmt: skip
_SENTENCES: dict[Flaw, str] = {
    "gap": "{at} does not follow the entry before it: one was dropped, moved or edited",
    "undeclared": "{at} comes before any declaration; a chain is declared once, before its first judged run",
    "declared again": "{at} is a second declaration; a chain is declared once, before its first judged run",
    "started again": "{at} starts the run {run} again",
    "not open": "{at} ends the run {run}, which was not open",
    "older form": "{at} is of an older form than the entries before it",
    "no end": "{name}: the run {run} was started and has no end",
    "not to score": "{at} scores the run {run}, which had not ended or had been scored",
    "task again": "{at} declares the task {run} again",
    "no task": "{at} is of the task {run}, which was not declared or had been taken in",
    "cut branch": "{at} takes in the task {run} with another last entry than its ledger has here",
}


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a chain is not as an honest ledger writes it."""

    kind: Flaw
    line: int
    run: str | None = None  # or the task

    def sentence(self, name: str) -> str:
        """Say what is wrong; `name` is the file that the chain was read from."""
        return _SENTENCES[self.kind].format(at=f"{name}:{self.line}", name=name, run=self.run)
