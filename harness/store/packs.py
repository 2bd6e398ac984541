"""Write and check evidence folders: what a submission or a record keeps of its runs, small.

    evidence/ledger.jsonl              the chains of all scripts of the folder, line for line
    evidence/ledger.sha256             the hashes of the ledgers, so that a shortened or damaged one is seen
    evidence/runs/<id>/run.json        plan, machine, data receipt, outcome
    evidence/runs/<id>/log.txt.xz      the scrubbed log, its source part replaced by one line with size and hash
    evidence/runs/<id>/clock.csv.xz    the stamps; reads.csv.xz and telemetry.csv.xz: what the observer saw
    evidence/runs/<id>/score.json      what the harness found when it scored the run's weights
    evidence/baseline/…                the same, ledger and all, for the parent on the same machine, where it ran there

The source lies once beside the evidence, so a log is restored byte for byte, and its hash is still the ledger's; those
of all other files stand in the ledger as well. The same runs give the same bytes. Packs without compression and without
these hashes, as the first records have them, are read as well.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.core.errors import Problem, StoreError, raise_if
from harness.store.entries import Chain
from harness.store.files import (
    PACKED,
    compress,
    disk_error,
    has_kept,
    read_kept,
    sha256_file,
    sync_folder,
    write_atomic,
)
from harness.store.ledger import read_chain
from harness.store.run_files import CLOCK, LOG, READS, RUN_FILE, SCORE, TELEMETRY
from harness.store.scrub import own_names, scrub_log

PACK, LEDGER, SUMS, RUNS, BASELINE = "evidence", "ledger.jsonl", "ledger.sha256", "runs", "baseline"
_NEW, _OLD = f".{PACK}.new", f".{PACK}.old"  # beside the pack, while another one takes its place
COMPRESSED = (CLOCK, READS, TELEMETRY)
MOST_FILES = 1000  # 40 runs and 40 of the parent, 7 names each, with their folders
MOST_BYTES = 16 << 20  # of what was compressed; 20 runs of 100 kB logs have below 1 MB
MOST_PROBLEMS = 50
_RUN = r"[0-9A-Za-z][0-9A-Za-z-]{0,63}"
_FOLDER = re.compile(rf"(?:{RUNS}|{BASELINE})(?:/{_RUN})?")
_NAMES = "|".join(
    [*(rf"{re.escape(name)}(?:\{PACKED})?" for name in (LOG, *COMPRESSED)), *map(re.escape, (RUN_FILE, SCORE))]
)
_FILE = re.compile(rf"{re.escape(SUMS)}|(?:{BASELINE}/)?{re.escape(LEDGER)}|(?:{RUNS}|{BASELINE})/{_RUN}/(?:{_NAMES})")


def remove_source(log: bytes, script: bytes) -> bytes:
    """Replace the script's own source, which a log starts with, by one line; another log stays as it is."""
    if not script or not log.startswith(script):
        return log
    return _placeholder(script) + log[len(script) :]


def restore_source(log: bytes, script: bytes) -> bytes:
    """Undo `remove_source` with the same script; a log of another script stays as it is."""
    placeholder = _placeholder(script)
    return script + log[len(placeholder) :] if log.startswith(placeholder) else log


def _placeholder(script: bytes) -> bytes:
    return b"[source removed: %d bytes, sha256 %s]\n" % (len(script), hashlib.sha256(script).hexdigest().encode())


@dataclass(frozen=True, slots=True)
class ParentScript:
    """The script of the record that a submission builds on."""

    name: str  # of the record: "records/short/…"
    sha256: str  # of its entry
    chain_name: str  # in the ledger
    script: bytes | None  # as its runs had it; None where it is not on this machine
    in_record: bool  # it lies in the record's folder, so that packed logs need not hold it
    files: dict[str, str] = field(default_factory=dict)  # name -> sha256
    folder: Path | None = None  # where its files lie; None where they are not on this machine


@dataclass(frozen=True, slots=True)
class Baseline:
    """The runs of a submission's parent, which are packed beside its own."""

    parent: ParentScript
    chain: Chain
    folders: tuple[Path, ...]


def write_pack(
    target: Path, chain: Chain, folders: Sequence[Path], script: bytes, baseline: Baseline | None = None
) -> None:
    """Write the evidence of the runs in `folders` to `target/evidence`, replacing a pack that is there.

    The new pack appears whole or not at all, and at no moment is there less than one whole pack: the old one is moved
    aside, not removed, until the new one stands; `settle` finishes what a kill left. Raises StoreError on a full disk.
    """
    aside, old = target / _NEW, target / _OLD
    try:
        settle(target)
        shutil.rmtree(aside, ignore_errors=True)
        write_atomic(aside / LEDGER, chain.raw)
        for folder in folders:
            keep_run(folder, aside / RUNS / folder.name, script)
        if baseline is not None:
            parent = baseline.parent
            write_atomic(aside / BASELINE / LEDGER, baseline.chain.raw)
            for folder in baseline.folders:
                keep_run(folder, aside / BASELINE / folder.name, parent.script or b"", whole=not parent.in_record)
        write_atomic(aside / SUMS, _sums(aside))
        if _is_folder(target / PACK):
            (target / PACK).rename(old)
            settle(target)
        else:
            aside.rename(target / PACK)
            sync_folder(target)
    except OSError as error:
        raise disk_error(target / PACK, error) from error
    finally:
        if not _is_folder(old):  # else both wait for `settle`
            shutil.rmtree(aside, ignore_errors=True)


def settle(target: Path) -> None:
    """End what a pack began that was killed: afterwards `target/evidence` is the new pack, or the old one.

    An old pack is moved aside only when the new one is whole, so wherever both are there the new one takes its place.
    Touches nothing else, and nothing through a link. Raises StoreError where the folder cannot be written.
    """
    pack, aside, old = target / PACK, target / _NEW, target / _OLD
    if not _is_folder(old):
        return
    try:
        if not os.path.lexists(pack):
            (aside if _is_folder(aside) else old).rename(pack)
            sync_folder(target)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise disk_error(pack, error) from error


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def keep_run(folder: Path, kept: Path, script: bytes, *, whole: bool = False) -> None:
    """Copy what is kept of one run, scrubbed and compressed; `whole` leaves the source in its log."""
    scrubbed = scrub_log(run_log(folder), script, own_names())
    write_atomic(kept / f"{LOG}{PACKED}", compress(scrubbed if whole else remove_source(scrubbed, script)))
    for name, content in kept_files(folder).items():
        if name in COMPRESSED:
            write_atomic(kept / f"{name}{PACKED}", compress(content))
        else:
            write_atomic(kept / name, content)
    if (folder / SCORE).is_file():  # made after the run's end, and hashed in an entry of its own
        write_atomic(kept / SCORE, (folder / SCORE).read_bytes())


def kept_files(folder: Path) -> dict[str, bytes]:
    """Read what a pack keeps of a run beside its log, as it is: the end entry of the run holds the hash of each."""
    names = (RUN_FILE, *COMPRESSED)
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


def read_pack_ledger(pack: Path, name: str, *, baseline: bool = False) -> Chain:
    """Read the ledger of a pack called `name`, or that of its baseline.

    Raises StoreError where it is not as it was packed. Packs with entries of the old form alone hold no hash of it.
    """
    inside = f"{BASELINE}/{LEDGER}" if baseline else LEDGER
    raw = (pack / inside).read_bytes()
    chain = read_chain(raw, f"{name}/{inside}")
    sums = (pack / SUMS).read_bytes() if (pack / SUMS).is_file() else None
    again = "pack the submission again"
    if sums is None and not chain.is_old:
        raise StoreError.at(f"{name}/{SUMS}", "is missing", again)
    if sums is not None and sums != _sums(pack):
        raise StoreError.at(f"{name}/{SUMS}", "does not hold the hashes of the ledgers that are there", again)
    return chain


def _sums(pack: Path) -> bytes:
    """Return the hashes of the ledgers in a pack, as `sha256sum -c` reads them."""
    there = [inside for inside in (LEDGER, f"{BASELINE}/{LEDGER}") if (pack / inside).is_file()]
    return "".join(f"{sha256_file(pack / inside)}  {inside}\n" for inside in there).encode()


def check_pack(pack: Path, name: str) -> None:
    """Raise StoreError with everything in an evidence folder that speedrun does not write: links, names, sizes.

    Looks at names and sizes only and reads nothing; call it before anything in the folder is opened.
    """
    again = "pack the submission again"
    if not _is_folder(pack):
        raise StoreError.at(name, "is a link or no folder", again)
    problems: list[Problem] = []
    total, count = 0, 0
    waiting = [(pack, "")]
    while waiting and len(problems) < MOST_PROBLEMS:
        folder, inside = waiting.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path, is_folder = f"{inside}{entry.name}", entry.is_dir(follow_symlinks=False)
            where = f"{name}/{ascii(path)[1:-1][:120]}"
            count += 1
            if count > MOST_FILES:
                raise StoreError(*problems, Problem(name, f"holds more than {MOST_FILES} files", again))
            if entry.is_symlink() or not (is_folder or entry.is_file()):
                problems.append(Problem(where, "is a link or no regular file", again))
            elif not (_FOLDER if is_folder else _FILE).fullmatch(path):
                problems.append(Problem(where, f"is no {'folder' if is_folder else 'file'} of a pack", again))
            elif is_folder:
                waiting.append((Path(entry.path), f"{path}/"))
            else:
                total += entry.stat(follow_symlinks=False).st_size
    if total > MOST_BYTES:
        problems.append(Problem(name, f"has {total:,} bytes", f"evidence may have {MOST_BYTES:,}; log less"))
    raise_if(problems, StoreError)


def run_log(folder: Path) -> bytes:
    """Read the log of a run of this machine; empty where there is none."""
    return (folder / LOG).read_bytes() if (folder / LOG).is_file() else b""


def restore_log(folder: Path, script: bytes) -> bytes:
    """Read the scrubbed log of a packed run, byte for byte as the ledger hashed it; empty where there is none.

    Raises StoreError for a file that is no pack of ours: a bomb, a link, a torn one.
    """
    if not has_kept(folder / LOG):
        return b""
    return restore_source(read_kept(folder / LOG, name=f"{folder.name}/{LOG}"), script)
