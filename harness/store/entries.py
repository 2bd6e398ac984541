"""Entries of a ledger, and what a chain of them says: which runs started, ended, are open or count, and where it breaks.

Nothing here reads a file. The chain of a pack is untrusted input: any entry may be missing, moved, doubled or forged.

Entries that were written before runs had a purpose are of the old form: they lack the fields that are None by default
here, always all of them. What such a chain says about its runs is read as it was then.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from harness.core.measurement import Purpose
from harness.store.flaws import Break

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
    """What stands before a script's first judged run: its rule, and the most runs that a test may look at."""

    track: str
    ruleset: str
    n_max: int | None
    subject: str | None = None  # the folder that it was run from: "submissions/2026-11-21_x"
    earlier: int | None = None  # scripts of this folder that were declared before it
    others: int | None = None  # other scripts, of any folder, that were run on this track here before it

    @property
    def is_old(self) -> bool:
        return self.subject is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried(_Entry):
    """What stands before the first screening run of a script: on which track somebody tries it."""

    track: str
    subject: str  # the folder that it is run from
    is_old = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(_Entry):
    """A run that is about to be launched."""

    run: str
    series: str  # the runs that one command makes
    seed: int | None
    purpose: Purpose | None = None

    @property
    def is_old(self) -> bool:
        return self.purpose is None

    @property
    def is_judged(self) -> bool:
        """Whether the run counts; one of the old form always does."""
        return self.purpose in (None, "judged")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(_Entry):
    """How a run ended."""

    run: str
    state: str
    exit_code: int | None
    last_step: int | None  # that its log tells of; 0 once its clock has started
    log_sha256: str | None  # of the scrubbed log
    received: dict[str, str] | None = None  # log.txt, clock.csv -> sha256 of the bytes as the recorder received them
    files: dict[str, str] | None = None  # every other file that a pack keeps of the run -> sha256
    launched: bool | None = None  # whether the script may have been started: then it may have known its seed

    @property
    def is_old(self) -> bool:
        return self.files is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(_Entry):
    """What the harness found when it scored the weights of a run that had ended."""

    run: str
    score_sha256: str  # of score.json
    is_old = False


Entry = Declared | Tried | Started | Ended | Scored


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
        found = []
        before = GENESIS
        open_at: dict[str, int] = {}  # run -> line of its start
        started: set[str] = set()
        scored: set[str] = set()
        declared = is_new = False
        for number, entry in enumerate(self.entries):
            if entry.before != before:
                found.append(Break("gap", entry.line))
            before = entry.hash
            if is_new and entry.is_old:
                found.append(Break("older form", entry.line))
            is_new = not entry.is_old
            if isinstance(entry, Declared) and declared:
                found.append(Break("declared again", entry.line))
            elif not isinstance(entry, Declared) and not declared and _needs_declaration(entry, number):
                found.append(Break("undeclared", entry.line))
                declared = True
            declared = declared or isinstance(entry, Declared)
            if isinstance(entry, Started):
                if entry.run in started:
                    found.append(Break("started again", entry.line, entry.run))
                started.add(entry.run)
                open_at[entry.run] = entry.line
            elif isinstance(entry, Ended) and open_at.pop(entry.run, None) is None:
                found.append(Break("not open", entry.line, entry.run))
            elif isinstance(entry, Scored):
                if entry.run in scored | open_at.keys() or entry.run not in started:
                    found.append(Break("not to score", entry.line, entry.run))
                scored.add(entry.run)
        return (*found, *(Break("no end", open_at[run], run) for run in sorted(open_at)))


def _needs_declaration(entry: Tried | Started | Ended | Scored, number: int) -> bool:
    if isinstance(entry, Tried):
        return False
    return entry.is_judged if isinstance(entry, Started) else number == 0
