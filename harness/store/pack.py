"""Evidence folders: what a submission or a record keeps of its runs, small and readable.

    evidence/ledger.jsonl           the chain of the script, line for line
    evidence/runs/<id>/run.json     plan, machine, data receipt, outcome
    evidence/runs/<id>/log.txt      the scrubbed log, its source part replaced by one line with size and hash
    evidence/runs/<id>/clock.csv    the stamps

The source lies once beside the evidence, so a log is restored byte for byte, and its hash is still the ledger's.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.errors import StoreError
from harness.store.files import disk_error, write_atomic
from harness.store.ledger import Entry
from harness.store.runs import CLOCK, LOG, RUN_FILE
from harness.store.scrub import own_names, scrub_log

PACK, LEDGER, RUNS = "evidence", "ledger.jsonl", "runs"
_REMOVED = re.compile(rb"\[source removed: (\d+) bytes, sha256 ([0-9a-f]{64})\]\n")


def remove_source(log: bytes, script: bytes) -> bytes:
    """The log with the script's own source, which it starts with, replaced by one line; other logs as they are."""
    if not script or not log.startswith(script):
        return log
    digest = hashlib.sha256(script).hexdigest().encode()
    return b"[source removed: %d bytes, sha256 %s]\n" % (len(script), digest) + log[len(script) :]


def restore_source(log: bytes, script: bytes) -> bytes:
    """Undo `remove_source` with the same script; a log of another script stays as it is."""
    match = _REMOVED.match(log)
    if match is None or match[2].decode() != hashlib.sha256(script).hexdigest():
        return log
    return script + log[match.end() :]


def write_pack(target: Path, chain: Sequence[Entry], folders: Sequence[Path], script: bytes) -> None:
    """Write the evidence of the runs in `folders` to `target/evidence`, replacing a pack that is there.

    The new pack appears whole or not at all; raises StoreError on a full disk.
    """
    aside = target / f".{PACK}.new"
    names = own_names()
    try:
        shutil.rmtree(aside, ignore_errors=True)
        write_atomic(aside / LEDGER, b"".join(entry.raw + b"\n" for entry in chain))
        for folder in folders:
            log = (folder / LOG).read_bytes() if (folder / LOG).is_file() else b""
            kept = aside / RUNS / folder.name
            write_atomic(kept / LOG, remove_source(scrub_log(log, script, names), script))
            for name in (RUN_FILE, CLOCK):
                if (folder / name).is_file():
                    write_atomic(kept / name, (folder / name).read_bytes())
        if (target / PACK).exists():
            shutil.rmtree(target / PACK)
        aside.rename(target / PACK)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise disk_error(target / PACK, error) from error
    except StoreError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
