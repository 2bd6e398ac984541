"""The list of every run that was started on this machine: append-only, chained by hashes, one chain per script.

`.runs/ledger.jsonl` holds one JSON object per line. The first entry of a script declares its rule and how many runs
it may take; every run adds one entry at its start and one at its end. An entry carries the hash of the entry before
it of the same script, so a dropped, edited or reordered run is seen, while other work in between leaves no gap. The
end entry carries the hash of the scrubbed log. No entry names a host, a user or a path.

Who drops a run from within is detected. Who deletes the whole ledger, or its end with the last runs, and who computes
all hashes anew, is not: the chain makes forgery work, it does not make it impossible.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import StoreError
from harness.store.files import disk_error
from harness.store.run_files import now

GENESIS = "0" * 64
_KEYS = {
    "declare": {"kind", "at", "script", "track", "ruleset", "n_max", "before"},
    "start": {"kind", "at", "script", "run", "sitting", "seed", "before"},
    "end": {"kind", "at", "script", "run", "state", "exit_code", "last_step", "log_sha256", "before"},
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a ledger."""

    line: int  # 1-based in its file
    raw: bytes  # without the newline
    data: dict[str, Any]

    @property
    def hash(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


class Ledger:
    """The ledger of one project folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, kind: str, script: str, **values: Any) -> Entry:
        """Add one entry to the chain of `script` (its sha256); on disk before this returns.

        Safe with several writers at once. A torn last line (a crash during a write) is cut off first: it never was
        an entry. Raises StoreError on a full disk.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as file:
                raw = _cut_torn_line(file)
                before = next(
                    (e.hash for e in reversed(_entries(raw, self.path.name)) if e.data["script"] == script), GENESIS
                )
                data = {"kind": kind, "at": now(), "script": script, **values, "before": before}
                if data.keys() != _KEYS[kind]:
                    raise ValueError(f"a {kind} entry has the keys {sorted(_KEYS[kind])}, not {sorted(data)}")
                line = json.dumps(data, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())
                return Entry(raw.count(b"\n") + 1, line, data)
        except OSError as error:
            raise disk_error(self.path, error) from error

    def chain(self, script: str) -> list[Entry]:
        """All entries of one script, in order; empty where there are none."""
        return [entry for entry in self.entries() if entry.data["script"] == script]

    def entries(self) -> list[Entry]:
        """All entries in order; raises StoreError naming the first line that is no entry."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            said = f"cannot be read ({error.strerror})"
            raise StoreError.at(self.path.name, said, f"look at {self.path.parent.name}/") from None
        return _entries(raw, self.path.name)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[Any]:
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


@dataclass(frozen=True, slots=True)
class Standing:
    """What becomes of the started runs of a chain."""

    order: tuple[str, ...]  # all that count in one way or the other, as they were started
    broken: tuple[str, ...]  # those of them that did not finish: nobody knows what their loss would have been

    @property
    def judged(self) -> tuple[str, ...]:
        """Those whose logs are judged: a run that was broken off has nothing to show."""
        return tuple(run_id for run_id in self.order if run_id not in self.broken)


def standing(chain: list[Entry]) -> Standing:
    """Which runs count: all but those that told nothing, and those that did not finish count against the script.

    A run that was stopped from outside before its clock started told nothing, and neither did one that failed by
    itself before that while no run had finished: a script is brought to life like that. Later a script could end the
    runs that it does not like in that way. Where no run finished, those that failed are judged as they are.
    """
    ends = [entry.data for entry in chain if entry.data["kind"] == "end"]
    any_finished = any(end["state"] == "finished" for end in ends)
    broken, nothing, finished = set(), set(), False
    for end in ends:
        from_outside = end["state"] in ("stopped", "lost")
        told = end["last_step"] is not None or (end["log_sha256"] is None and from_outside)
        if end["state"] == "finished":
            finished = True
        elif not told and (from_outside or not finished):
            nothing.add(end["run"])
        elif from_outside or any_finished:
            broken.add(end["run"])
    order = tuple(e.data["run"] for e in chain if e.data["kind"] == "start" and e.data["run"] not in nothing)
    return Standing(order, tuple(run for run in order if run in broken))


def open_runs(chain: list[Entry]) -> tuple[str, ...]:
    """The runs of a chain that have no end yet: they go on right now, or their harness was killed."""
    ended = {entry.data["run"] for entry in chain if entry.data["kind"] == "end"}
    return tuple(e.data["run"] for e in chain if e.data["kind"] == "start" and e.data["run"] not in ended)


def chain_of(files: Mapping[str, str]) -> str:
    """The name of a script's chain: the hash of its one file, or of all names and hashes where it has several."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def read_chain(raw: bytes, name: str) -> list[Entry]:
    """The entries of a packed chain; raises StoreError naming the first line that is no entry."""
    return _entries(raw, name)


def find_breaks(entries: list[Entry], name: str) -> list[str]:
    """Every place where a chain of one script is broken, as sentences that name the line."""
    problems = []
    before = GENESIS
    open_runs: set[str] = set()
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        if entry.data["before"] != before:
            problems.append(
                f"{name}:{entry.line} does not follow the entry before it: one was dropped, moved or edited"
            )
        before = entry.hash
        kind, run = entry.data["kind"], str(entry.data.get("run"))
        if (kind == "declare") != (number == 0):
            problems.append(f"{name}:{entry.line} is a {kind} entry; a chain is declared once, in its first entry")
        if kind == "start":
            if run in seen:
                problems.append(f"{name}:{entry.line} starts the run {run} again")
            seen.add(run)
            open_runs.add(run)
        if kind == "end" and run not in open_runs:
            problems.append(f"{name}:{entry.line} ends the run {run}, which was not open")
        if kind == "end":
            open_runs.discard(run)
    problems += [f"{name}: the run {run} was started and has no end" for run in sorted(open_runs)]
    return problems


_TEXTS = {"kind": r"\w+", "at": r"[0-9TZ:+-]+", "track": r"[\w-]+", "ruleset": r"[\w@-]+", "state": r"\w+"}
_TEXTS |= {"run": r"[0-9A-Za-z][0-9A-Za-z-]*", "sitting": r"[\w.-]+"} | dict.fromkeys(
    ("script", "before"), r"[0-9a-f]{64}"
)


def _fits(key: str, value: object) -> bool:
    """Whether a value has the form that speedrun writes; a pack comes from strangers, and a run's name is a path."""
    if key in _TEXTS:
        return isinstance(value, str) and len(value) <= 100 and re.fullmatch(_TEXTS[key], value) is not None
    if key == "log_sha256":
        return value is None or (isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None)
    return value is None or (type(value) is int and abs(value) < 1 << 63)


def _entries(raw: bytes, name: str) -> list[Entry]:
    entries = []
    # What follows the last newline was torn by a crash during the write: the run that it belonged to never began.
    for number, line in enumerate(raw.split(b"\n")[:-1], start=1):
        try:
            data = json.loads(line)
            ok = isinstance(data, dict) and data.get("kind") in _KEYS and data.keys() == _KEYS[data["kind"]]
            ok = ok and all(_fits(key, value) for key, value in data.items())
        except (ValueError, RecursionError):
            ok = False
        if not ok:
            raise StoreError.at(f"{name}:{number}", "is no ledger entry", "restore the ledger as speedrun wrote it")
        entries.append(Entry(number, line, data))
    return entries


def _cut_torn_line(file: Any) -> bytes:
    file.seek(0)
    raw: bytes = file.read()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) != len(raw):
        file.truncate(len(whole))
    return whole
