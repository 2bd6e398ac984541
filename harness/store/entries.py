"""Entries of a ledger, and what a chain of them says: which runs started, ended, are open or count, and where it breaks.

Nothing here reads a file. The chain of a pack is untrusted input: any entry may be missing, moved, doubled or forged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

GENESIS = "0" * 64  # stands for the entry before the first


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """What every line of a ledger says; all but the script is set where the line is written."""

    script: str  # the name of its chain
    line: int = 0  # 1-based in its file
    raw: bytes = b""  # without the newline
    at: str = ""  # UTC
    before: str = ""  # hash of the entry before it in this chain

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared(_Entry):
    """The first entry of a script: its rule, and the most runs that a test may look at."""

    track: str
    ruleset: str
    n_max: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Entry):
    """A run that is about to be launched."""

    run: str
    series: str  # the runs that one command makes
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(_Entry):
    """How a run ended."""

    run: str
    state: str
    exit_code: int | None
    last_step: int | None  # that its log tells of; 0 once its clock has started
    log_sha256: str | None  # of the scrubbed log


Entry = Declared | Started | Ended

Flaw = Literal["gap", "undeclared", "declared again", "started again", "not open", "no end"]
_SENTENCES: dict[Flaw, str] = {
    "gap": "{at} does not follow the entry before it: one was dropped, moved or edited",
    "undeclared": "{at} is the first entry and declares nothing; a chain is declared once, in its first entry",
    "declared again": "{at} is a second declaration; a chain is declared once, in its first entry",
    "started again": "{at} starts the run {run} again",
    "not open": "{at} ends the run {run}, which was not open",
    "no end": "{name}: the run {run} was started and has no end",
}


@dataclass(frozen=True, slots=True)
class Break:
    """A place where a chain is not as an honest ledger writes it."""

    kind: Flaw
    line: int
    run: str | None = None

    def sentence(self, name: str) -> str:
        """Say what is wrong; `name` is the file that the chain was read from."""
        return _SENTENCES[self.kind].format(at=f"{name}:{self.line}", name=name, run=self.run)


@dataclass(frozen=True)
class Chain:
    """Entries in the order of the ledger: those of one script, or all. Runs are named by their ids."""

    entries: tuple[Entry, ...] = ()

    @cached_property
    def starts(self) -> dict[str, Started]:
        """The start of every run, in order."""
        return {entry.run: entry for entry in self.entries if isinstance(entry, Started)}

    @cached_property
    def ends(self) -> dict[str, Ended]:
        """The end of every run that has one, in order."""
        return {entry.run: entry for entry in self.entries if isinstance(entry, Ended)}

    @property
    def raw(self) -> bytes:
        """The entries as a file holds them."""
        return b"".join(entry.raw + b"\n" for entry in self.entries)

    @property
    def declared(self) -> Declared | None:
        """The declaration, where it is the first entry."""
        first = self.entries[0] if self.entries else None
        return first if isinstance(first, Declared) else None

    @property
    def n_max(self) -> int | None:
        """The most runs that a test may look at, as declared before the first; None where nothing says so."""
        return self.declared.n_max if self.declared is not None else None

    @property
    def open(self) -> tuple[str, ...]:
        """Runs without an end: they are still running, or their harness was killed."""
        return tuple(run for run in self.starts if run not in self.ends)

    @property
    def finished(self) -> tuple[str, ...]:
        """Runs that finished, in the order of their ends."""
        return tuple(run for run, end in self.ends.items() if end.state == "finished")

    @property
    def counted(self) -> tuple[str, ...]:
        """Runs that count for or against the script, as they were started: all but those that told nothing.

        A run that was stopped from outside before its clock started told nothing, and neither did one that failed by
        itself before that while no run had finished: scripts fail like that while they are being written. Later, a
        script could end the runs whose start it does not like in that way.
        """
        return tuple(run for run in self.starts if run not in self._silent_and_aborted[0])

    @property
    def aborted(self) -> tuple[str, ...]:
        """Counted runs that did not finish: nobody knows what their loss would have been.

        Where no run finished, those that failed are judged as they are.
        """
        return tuple(run for run in self.counted if run in self._silent_and_aborted[1])

    @property
    def judged(self) -> tuple[str, ...]:
        """Counted runs whose logs are judged; an aborted one has nothing to show."""
        return tuple(run for run in self.counted if run not in self._silent_and_aborted[1])

    @cached_property
    def _silent_and_aborted(self) -> tuple[set[str], set[str]]:
        silent, aborted, finished = set(), set(), False
        for run, end in self.ends.items():
            from_outside = end.state in ("stopped", "lost")
            told = end.last_step is not None or (end.log_sha256 is None and from_outside)
            if end.state == "finished":
                finished = True
            elif not told and (from_outside or not finished):
                silent.add(run)
            elif from_outside or self.finished:
                aborted.add(run)
        return silent, aborted

    def of_script(self, script: str) -> Chain:
        """Choose the entries of one script."""
        return Chain(tuple(entry for entry in self.entries if entry.script == script))

    def breaks(self) -> tuple[Break, ...]:
        """Find every place where a chain of one script is not whole; runs without an end come last."""
        found = []
        before = GENESIS
        open_at: dict[str, int] = {}  # run -> line of its start
        started: set[str] = set()
        for number, entry in enumerate(self.entries):
            if entry.before != before:
                found.append(Break("gap", entry.line))
            before = entry.hash
            if number == 0 and not isinstance(entry, Declared):
                found.append(Break("undeclared", entry.line))
            elif number > 0 and isinstance(entry, Declared):
                found.append(Break("declared again", entry.line))
            if isinstance(entry, Started):
                if entry.run in started:
                    found.append(Break("started again", entry.line, entry.run))
                started.add(entry.run)
                open_at[entry.run] = entry.line
            elif isinstance(entry, Ended) and open_at.pop(entry.run, None) is None:
                found.append(Break("not open", entry.line, entry.run))
        return (*found, *(Break("no end", open_at[run], run) for run in sorted(open_at)))
