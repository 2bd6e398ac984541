"""What a chain of ledger entries says: which runs started, ended, are open or count, which tasks are absent, where it breaks.

Nothing here reads a file. The chain of a pack is untrusted input: any entry may be missing, moved, doubled or forged.
What a chain of the old form says about its runs is read as it was then.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from harness.store.branches import MAIN, Tree, find_breaks, grow
from harness.store.flaws import Break
from harness.store.ledger_lines import (
    GENESIS,
    Branched,
    Declared,
    Ended,
    Entry,
    Scored,
    Started,
    Taken,
    Tasked,
    Tried,
)

__all__ = (
    "GENESIS", "MAIN", "Branched", "Break", "Chain", "Declared", "Ended", "Entry", "Scored", "Started", "Taken", "Tasked",
    "Tried",
)  # fmt: skip


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

    @cached_property
    def scores(self) -> dict[str, Scored]:
        """The score of every run that has one; a run is scored once."""
        return {entry.run: entry for entry in reversed(self.entries) if isinstance(entry, Scored)}

    @property
    def raw(self) -> bytes:
        """The entries as a file holds them."""
        return b"".join(entry.raw + b"\n" for entry in self.entries)

    @property
    def is_old(self) -> bool:
        """Whether every entry is of the old form."""
        return all(entry.is_old for entry in self.entries)

    @property
    def declared(self) -> Declared | None:
        """The declaration, where it stands before every judged run."""
        for entry in self.entries:
            if isinstance(entry, Declared):
                return entry
            if isinstance(entry, Started) and entry.is_judged:
                return None
        return None

    @cached_property
    def tree(self) -> Tree:
        """The chain and its branches, of one script."""
        return grow(self.entries)

    @property
    def absent(self) -> tuple[str, ...]:
        """Tasks with judged runs that were not taken in complete, and that no other one replaces."""
        tasks = self.tree.declared.values()
        complete = {entry.task for entry in self.entries if isinstance(entry, Taken) and entry.state == "complete"}
        replaced = {task.instead for task in tasks}
        judged = [task.task for task in tasks if task.purpose == "judged"]
        return tuple(task for task in judged if task not in complete | replaced)

    def absent_beside(self, runs: Collection[str] | None) -> tuple[str, ...]:
        """Absent tasks of the series that made these runs; None: of all."""
        declared = self.tree.declared
        of_runs = {self.tree.branches.get(run) for run in runs or ()} & declared.keys()
        series = {declared[task].series for task in of_runs if task is not None}
        return tuple(task for task in self.absent if runs is None or declared[task].series in series)

    @property
    def taken(self) -> set[str]:
        """Tasks that were taken in, complete or not."""
        return {entry.task for entry in self.entries if isinstance(entry, Taken)}

    @property
    def track(self) -> str | None:
        """The track that the script was run on, to be judged or only to be tried; None where nothing says so."""
        if self.declared is not None and self.counted:
            return self.declared.track
        return next((entry.track for entry in self.entries if isinstance(entry, Tried)), None)

    @property
    def n_max(self) -> int | None:
        """The most runs that a test may look at, as declared before the first; None where nothing says so."""
        return self.declared.n_max if self.declared is not None else None

    @property
    def open(self) -> tuple[str, ...]:
        """Runs without an end: they are still running, or their harness was killed."""
        return tuple(run for run in self.starts if run not in self.ends)

    @property
    def has_judged(self) -> bool:
        """Whether any judged run was started."""
        return any(start.is_judged for start in self.starts.values())

    @property
    def finished(self) -> tuple[str, ...]:
        """Judged runs that finished, in the order of their ends."""
        return tuple(run for run, end in self.ends.items() if end.state == "finished" and self._is_judged(run))

    @property
    def counted(self) -> tuple[str, ...]:
        """Runs that count for or against the script, as they were started.

        Every judged run counts that was launched: the script may have known its seed. Of the old form all count but
        those that told nothing: a run that was stopped from outside before its clock started, and one that failed by
        itself before that while no run had finished.
        """
        return tuple(run for run in self.starts if self._is_judged(run) and run not in self._silent_and_aborted[0])

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

    def _is_judged(self, run: str) -> bool:
        return run not in self.starts or self.starts[run].is_judged  # an end without its start is a break

    @cached_property
    def _silent_and_aborted(self) -> tuple[set[str], set[str]]:
        silent, aborted, finished = set(), set(), False
        any_finished = bool(self.finished)
        for run, end in self.ends.items():
            if not self._is_judged(run):
                continue
            from_outside = end.state in ("stopped", "lost")
            told = end.last_step is not None or (end.log_sha256 is None and from_outside)
            silently = not told and (from_outside or not finished)
            if run in self.starts and not self.starts[run].is_old:
                silently = end.launched is False
            if end.state == "finished":
                finished = True
            elif silently:
                silent.add(run)
            elif from_outside or any_finished:
                aborted.add(run)
        return silent, aborted

    @cached_property
    def scripts(self) -> dict[str, Chain]:
        """The chain of every script, by its name, in the order of their first entries."""
        chains: dict[str, list[Entry]] = {}
        for entry in self.entries:
            chains.setdefault(entry.script, []).append(entry)
        return {script: Chain(tuple(entries)) for script, entries in chains.items()}

    def of_script(self, script: str) -> Chain:
        """Choose the entries of one script."""
        return Chain(tuple(entry for entry in self.entries if entry.script == script))

    def of_folder(self, script: str, subject: str | None = None) -> Chain:
        """Choose the entries of a script and of all that were declared in the same folder.

        subject: what the folder is called now; what the script's own declaration calls it counts as well.
        """
        own = self.of_script(script).declared
        names = {name for name in (subject, own.subject if own is not None else None) if name is not None}
        same = {name for name, chain in self.scripts.items() if chain.declared and chain.declared.subject in names}
        return Chain(tuple(entry for entry in self.entries if entry.script in same | {script}))

    def breaks(self) -> tuple[Break, ...]:
        """Find every place where a chain of one script is not whole; runs without an end come last."""
        return find_breaks(self.entries)
