"""Entries of a ledger as they are written today, with what a test does not care about filled in, and forged ledgers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from harness.store.entries import GENESIS, Declared, Ended, Started
from harness.store.files import sha256_file
from harness.store.sessions import Session

SCRIPT = "a" * 64
SUBJECT = "submissions/2026-11-21_test"


def declared(script: str = SCRIPT, **changes: Any) -> Declared:
    told = {"track": "tiny", "ruleset": "tiny@1", "n_max": None, "subject": SUBJECT, "earlier": 0, "others": 0}
    return Declared(script=script, **(told | changes))


def started(run: str, script: str = SCRIPT, **changes: Any) -> Started:
    return Started(script=script, run=run, **({"series": "s", "seed": 1, "purpose": "judged"} | changes))


def ended(run: str, script: str = SCRIPT, **changes: Any) -> Ended:
    told = {"state": "finished", "exit_code": 0, "last_step": 5, "log_sha256": "c" * 64}
    return Ended(script=script, run=run, **(told | {"received": {}, "files": {}, "launched": True} | changes))


def seal(ledger: Path, runs: Path) -> None:
    """Compute every hash of a ledger anew from the files of its runs, as if they had been so when they ended."""
    last: dict[str, str] = {}  # script -> hash of its last entry so far
    lines = []
    for line in ledger.read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "end":
            entry["files"] = {name: sha256_file(runs / entry["run"] / name) for name in entry["files"]}
            if entry["log_sha256"] is not None:
                entry["log_sha256"] = sha256_file(runs / entry["run"] / "log.txt")
        entry["before"] = last.get(entry["script"], GENESIS)
        lines.append(json.dumps(entry, sort_keys=True))
        last[entry["script"]] = hashlib.sha256(lines[-1].encode()).hexdigest()
    ledger.write_text("".join(f"{line}\n" for line in lines))


def sum_up(pack: Path) -> None:
    """Write the hashes of the ledgers in a pack, as `pack` does."""
    there = [name for name in ("ledger.jsonl", "baseline/ledger.jsonl") if (pack / name).is_file()]
    (pack / "ledger.sha256").write_text("".join(f"{sha256_file(pack / name)}  {name}\n" for name in there))


def a_session(ruleset: str) -> Session:
    """A session of fresh runs under a ruleset, by somebody; which runs are its own does not matter to a rule."""
    return Session(
        id="accept-00000000-0",
        subject="submissions/2026-12-01_my-idea",
        script_sha256="0" * 64,
        track=ruleset.partition("@")[0],
        ruleset=ruleset,
        timer="@somebody",
        started_at="2026-12-01T00:00:00Z",
        declared=None,
        comparison=None,
    )
