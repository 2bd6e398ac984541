"""What a pack says about its runs in one place, held against what it says in another.

The ledger, run.json, the folder's name and the frozen script all describe the same runs; whoever edits one of them and
forgets the others is contradicted.
"""

from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.measurement import Metrics
from harness.store import run_files
from harness.store.entries import Chain
from harness.store.packs import LEDGER


def undeclared(subject: Subject, chain: Chain) -> list[str]:
    """Find what the declaration of a chain says otherwise than the submission that it is packed with."""
    told = chain.declared
    if told is None:
        return []  # that there is none is a break of the chain
    accounts = (
        ("script", told.script, subject.chain),
        ("track", told.track, subject.track.name),
        ("ruleset", told.ruleset, subject.ruleset.id),
    )
    return [
        f"{LEDGER}:{told.line} declares the {what} {value}, this is {known}"
        for what, value, known in accounts
        if value != known
    ]


def contradicting(subject: Subject, folder: Path, run: Metrics, chain: Chain, *, log: bool = False) -> list[str]:
    """Find what run.json says otherwise than the ledger, the folder's name and the frozen script do.

    log: whether the log is the one that the ledger hashed, too; of judged runs rule G2 says that.
    """
    file = run_files.read_run_file(folder)
    start, end = chain.starts.get(folder.name), chain.ends.get(folder.name)
    accounts: list[tuple[str, object, object]] = [
        ("the id", file.id, folder.name),
        ("the script", file.script_sha256, subject.script_sha256),
        ("the track", file.track, subject.track.name),
        ("the ruleset", file.ruleset, subject.ruleset.id),
        ("a dry run", file.dry, False),
        ("arguments other than the seed", tuple(a for a in file.arguments if not a.startswith("seed=")), ()),
    ]
    if start is not None:
        accounts.append(("the script of its ledger entry", start.script, subject.chain))
        accounts.append(("the series", file.series, start.series))
        accounts.append(("the seed", run.given_seed, start.seed))
    if end is not None and file.outcome is not None:
        accounts.append(("the end", file.outcome.state, end.state))
        accounts.append(("the exit code", file.outcome.exit_code, end.exit_code))
    if end is not None and None not in (file.log_sha256, end.log_sha256):
        accounts.append(("the hash of the log", file.log_sha256, end.log_sha256))
    if log and end is not None and end.log_sha256 is not None:
        accounts.append(("by its log the hash", run.log_sha256, end.log_sha256))
    hardware = subject.track.hardware
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
