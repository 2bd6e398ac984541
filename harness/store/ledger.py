"""The list of every run that was started on this machine: append-only, chained by hashes, one chain per script.

`.runs/ledger.jsonl` holds one JSON object per line. A script declares its rule, how many runs it may take and the
folder that it is run from before its first judged run, and the track before the first that only tries it. Every run
adds one entry at its start, which names its purpose, and one at its end, which carries the hashes of everything that a
pack keeps of it; one more holds the hash of its score. An entry carries the hash of the entry before it of the same
script, so a dropped, edited or reordered run is seen, while other work in between leaves no gap. No entry names a host,
a user or a path outside of the project.

Dropping a run from within is detected. Deleting the whole ledger, or its end with the last runs, and computing all
hashes anew is not: the chain makes forgery laborious, not impossible. While a run goes on, what stood in the ledger
before is held in memory and compared at its end.

Runs that other machines make are tasks: declared here before any of a series starts, made with a ledger there that goes
on from that declaration as a branch, and taken in here line for line (`harness.cluster`).
"""

import contextlib
import dataclasses
import fcntl
import functools
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar, get_args

from harness.core.errors import StoreError
from harness.core.measurement import Purpose
from harness.core.text import plural
from harness.store.entries import Branched, Chain, Declared, Ended, Entry, Scored, Started, Taken, Tasked, Tried
from harness.store.files import disk_error
from harness.store.run_files import now

_E = TypeVar("_E", Declared, Tried, Started, Ended, Scored, Tasked, Branched, Taken)
_KINDS: dict[str, type[Entry]] = {
    "declare": Declared,
    "try": Tried,
    "start": Started,
    "end": Ended,
    "score": Scored,
    "task": Tasked,
    "branch": Branched,
    "taken": Taken,
}
_FIELDS = {
    kind: tuple(field.name for field in dataclasses.fields(kind) if field.name not in ("line", "raw"))
    for kind in _KINDS.values()
}
_ADDED = {  # fields that entries of the old form lack, all of them
    Declared: ("subject", "earlier", "others"),
    Started: ("purpose",),
    Ended: ("received", "files", "launched"),
    Scored: (),
    Tasked: (),
    Branched: (),
    Taken: (),
    Tried: (),
}
_BOUNDS = {  # of whole numbers; no ruleset looks at more than 40 runs
    "n_max": (1, 10_000),
    "last_step": (0, 1 << 63),
    "earlier": (0, 1_000_000),
    "others": (0, 1_000_000),
    "runs": (0, 10_000),
}
_STORED = {"series": "sitting"}  # fields that have another name on disk
_HASH = r"[0-9a-f]{64}"
TASK = r"[0-9A-Za-z][0-9A-Za-z.-]*"  # it becomes a path
_FORMS = {  # of texts, by field; all other fields are whole numbers or null
    "at": r"[0-9TZ:+-]+",
    "script": _HASH,
    "before": _HASH,
    "log_sha256": _HASH,
    "score_sha256": _HASH,
    "track": r"[\w-]+",
    "ruleset": r"[\w@-]+",
    "run": r"[0-9A-Za-z][0-9A-Za-z-]*",  # it becomes a path
    "series": r"[\w.-]+",
    "state": r"\w+",
    "subject": r"(?:submissions|records/[\w-]+)/[A-Za-z0-9_.-]+",
    "purpose": "|".join(get_args(Purpose)),
    "task": TASK,
    "instead": f"(?:{TASK})?",
    "tip": _HASH,
}
_MOST_FILES = 20  # of one run in a pack
_MISSING = object()  # fits no field


class Ledger:
    """The ledger of one project folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: _E) -> _E:
        """Add an entry to the chain of its script and return it as written; on disk before this returns.

        Safe with several writers at once. A torn last line (a crash during a write) is cut off first: it never was
        an entry. Raises StoreError on a full disk.
        """
        with self._open() as (file, raw):
            tip = read_chain(raw, self.path.name).of_script(entry.script).tree.tip
            placed = dataclasses.replace(entry, at=now(), before=tip)
            line = self._write(file, _line(placed), raw)
            return dataclasses.replace(placed, line=raw.count(b"\n") + 1, raw=line)

    def take_in(self, branch: Sequence[Entry], task: str, state: str) -> None:
        """Add the branch of a task as its machine wrote it, and for each script one entry that names its end.

        On disk before this returns, all or nothing. Whoever calls has made sure that the branch belongs here.
        """
        with self._open() as (file, raw):
            lines = [entry.raw for entry in branch]
            for script, own in Chain(tuple(branch)).scripts.items():
                tip = read_chain(raw, self.path.name).of_script(script).tree.tip
                taken = Taken(script=script, at=now(), before=tip, task=task, state=state, tip=own.entries[-1].hash)
                lines.append(_line(taken))
            self._write(file, b"\n".join(lines), raw)

    @contextlib.contextmanager
    def _open(self) -> Iterator[tuple[BinaryIO, bytes]]:
        """Hold the ledger alone, its torn last line cut off; gives the file at its end and what it holds."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                yield file, _cut_torn_line(file)
        except OSError as error:
            raise disk_error(self.path, error) from error

    def _write(self, file: BinaryIO, lines: bytes, raw: bytes) -> bytes:
        for number, line in enumerate(lines.split(b"\n"), raw.count(b"\n") + 1):
            _entry(line, number, self.path.name)  # what nobody could read again is not written
        file.write(lines + b"\n")
        file.flush()
        os.fsync(file.fileno())
        return lines

    def chain(self, script: str) -> Chain:
        """Read all entries of one script; empty where there are none."""
        return self.read().of_script(script)

    def snapshot(self) -> bytes:
        """Return all that stands in the ledger now, to be compared later."""
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise self._unreadable(error) from None

    def check_unchanged(self, snapshot: bytes) -> None:
        """Raise StoreError, naming the first line, where what stood in the ledger at the snapshot is not there now."""
        lines, kept = self.snapshot().split(b"\n")[:-1], snapshot.split(b"\n")[:-1]
        for number, (line, before) in enumerate(zip(lines, kept, strict=False), start=1):
            if line != before:
                said = "was changed, or an entry before it was removed"
                raise StoreError.at(f"{self.path.name}:{number}", said, "restore the ledger as speedrun wrote it")
        if len(lines) < len(kept):
            said = f"lost its last {plural(len(kept) - len(lines), 'line')}"
            raise StoreError.at(self.path.name, said, "restore the ledger as speedrun wrote it")

    def _unreadable(self, error: OSError) -> StoreError:
        said = f"cannot be read ({error.strerror})"
        return StoreError.at(self.path.name, said, f"look at {self.path.parent.name}/")

    def read(self) -> Chain:
        """Read all entries; raises StoreError naming the first line that is no entry."""
        return read_chain(self.snapshot(), self.path.name)


def chain_of(files: Mapping[str, str]) -> str:
    """Name a script's chain: the hash of its one file, or of all names and hashes where it has several."""
    if len(files) == 1:
        return next(iter(files.values()))
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def read_chain(raw: bytes, name: str) -> Chain:
    """Read the entries of a ledger's file; raises StoreError naming the first line that is no entry."""
    # What follows the last newline was torn by a crash during the write: the run that it belonged to never began.
    return Chain(tuple(_entry(line, number, name) for number, line in enumerate(raw.split(b"\n")[:-1], start=1)))


def _line(placed: Entry) -> bytes:
    """Write an entry as a line of the file holds it."""
    assert not any(getattr(placed, field) is None for field in _ADDED[type(placed)]), "of the old form"
    data = {_STORED.get(field, field): getattr(placed, field) for field in _FIELDS[type(placed)]}
    data["kind"] = next(word for word, kind in _KINDS.items() if kind is type(placed))
    return json.dumps(data, sort_keys=True, ensure_ascii=True, allow_nan=False).encode()


@functools.lru_cache(maxsize=1 << 14)  # who sends many tasks reads the same lines again and again
def _entry(raw: bytes, line: int, name: str) -> Entry:
    """Read one line, which a pack's author may have written: only the form that speedrun writes is accepted."""
    with contextlib.suppress(ValueError, RecursionError):
        data = json.loads(raw)
        word = data.pop("kind", None) if isinstance(data, dict) else None
        kind = _KINDS.get(word) if isinstance(word, str) else None
        if kind is not None:
            is_old = not any(field in data for field in _ADDED[kind])
            fields = [field for field in _FIELDS[kind] if not (is_old and field in _ADDED[kind])]
            values = {field: data.pop(_STORED.get(field, field), _MISSING) for field in fields}
            if not data and all(_fits(field, value) for field, value in values.items()):
                return kind(line=line, raw=raw, **values)
    raise StoreError.at(f"{name}:{line}", "is not a ledger entry", "restore the ledger as speedrun wrote it")


def _fits(field: str, value: object) -> bool:
    if field in ("received", "files"):
        return isinstance(value, dict) and len(value) <= _MOST_FILES and all(map(_is_hashed, value.items()))
    if field == "launched":
        return isinstance(value, bool)
    if value is None:
        return field == "log_sha256" or not (field in _FORMS or field in ("earlier", "others"))
    if field in _FORMS:
        return isinstance(value, str) and len(value) <= 100 and re.fullmatch(_FORMS[field], value) is not None
    low, high = _BOUNDS.get(field, (-(1 << 63), 1 << 63))
    return type(value) is int and low <= value < high


def _is_hashed(item: tuple[str, object]) -> bool:
    name, digest = item
    return re.fullmatch(r"[a-z][a-z0-9_]{0,40}\.[a-z]{1,8}", name) is not None and _fits("script", digest)


def _cut_torn_line(file: BinaryIO) -> bytes:
    file.seek(0)
    raw = file.read()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) != len(raw):
        file.truncate(len(whole))
    return whole
