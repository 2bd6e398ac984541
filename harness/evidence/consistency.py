"""What a pack says about its runs in one place, held against what it says in another.

The ledger, run.json, the folder's name and the frozen script all tell of the same runs; whoever edits one of them and
forgets the others is contradicted.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.catalog.subjects import Subject
from harness.core.measurement import Metrics
from harness.store import run_files
from harness.store.ledger import Entry
from harness.store.packs import LEDGER


def undeclared(found: Subject, first: Entry) -> list[str]:
    """What the declaration of a chain says otherwise than the submission that it is packed with."""
    told = first.data
    if told["kind"] != "declare":
        return []  # that it is none is a break of the chain
    problems = []
    for what, value, known in (
        ("script", told["script"], found.chain),
        ("track", told["track"], found.track.name),
        ("ruleset", told["ruleset"], found.ruleset.id),
    ):
        if value != known:
            problems.append(f"{LEDGER}:{first.line} declares the {what} {value}, this is {known}")
    return problems


def contradicting(
    found: Subject,
    folder: Path,
    run: Metrics,
    start: dict[str, Any] | None,
    end: dict[str, Any] | None,
    *,
    log: bool = False,
) -> list[str]:
    """What run.json says otherwise than the ledger, the folder's name and the frozen script do.

    log: whether the log is the one that the ledger hashed, too; of judged runs rule G2 says that.
    """
    file = run_files.read_run_file(folder)
    accounts: list[tuple[str, object, object]] = [
        ("the id", file.id, folder.name),
        ("the script", file.script_sha256, found.script_sha256),
        ("the track", file.track, found.track.name),
        ("the ruleset", file.ruleset, found.ruleset.id),
        ("a dry run", file.dry, False),
        ("arguments other than the seed", tuple(a for a in file.arguments if not a.startswith("seed=")), ()),
    ]
    if start is not None:
        accounts.append(("the script of its ledger entry", start["script"], found.chain))
        accounts.append(("the sitting", file.sitting, start["sitting"]))
        accounts.append(("the seed", run.given_seed, start["seed"]))
    if end is not None and file.outcome is not None:
        accounts.append(("the end", file.outcome.state, end["state"]))
        accounts.append(("the exit code", file.outcome.exit_code, end["exit_code"]))
    if end is not None and None not in (file.log_sha256, end["log_sha256"]):
        accounts.append(("the hash of the log", file.log_sha256, end["log_sha256"]))
    if log and end is not None and end["log_sha256"] is not None:
        accounts.append(("by its log the hash", run.log_sha256, end["log_sha256"]))
    hardware = found.track.hardware
    if hardware.kind == "gpu":
        accounts.append(("the number of ranks", file.processes, hardware.processes))
    return [
        f"{folder.name}: run.json says {what} {_short(told)}, known is {_short(known)}"
        for what, told, known in accounts
        if told != known
    ]


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
