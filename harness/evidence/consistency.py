"""What a pack says about its runs in one place, held against what it says in another.

The ledger, run.json, the folder's name and the frozen script all describe the same runs; whoever edits one of them and
forgets the others is contradicted. The ledger hashes every file that is kept of a run.
"""

import hashlib
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.measurement import Metrics
from harness.store import run_files
from harness.store.entries import Chain, Ended, Scored
from harness.store.files import PACKED, read_kept
from harness.store.packs import LEDGER, kept_files
from harness.store.run_files import CLOCK, LOG, SAVE_ARGUMENT, SCORE


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


def misplaced(subject: Subject, whole: Chain) -> list[str]:
    """Find what does not belong into the ledger of a pack: another folder's scripts, a chain that is not whole.

    Scripts of one folder are numbered as they are declared, so that none of them can be left out.
    """
    found = []
    own = {entry.line for entry in whole.of_folder(subject.chain, subject.slug).entries}
    foreign = [entry.line for entry in whole.entries if entry.line not in own]
    found += [f"{LEDGER}:{line} is of a script of another folder" for line in foreign]
    for script, chain in whole.scripts.items():
        if script != subject.chain:
            found += [flaw.sentence(LEDGER) for flaw in chain.breaks()]
    told = [chain.declared for chain in whole.scripts.values() if chain.declared is not None]
    numbers: dict[str | None, int] = {}  # of each name that the folder had
    for declared in sorted(told, key=lambda declared: declared.line):
        number = numbers[declared.subject] = numbers.get(declared.subject, 0) + 1
        if declared.earlier is not None and declared.earlier + 1 != number:
            said = f"declares the script as number {declared.earlier + 1} of its folder, here it is number {number}"
            found.append(f"{LEDGER}:{declared.line} {said}")
    return found


def altered(folder: Path, end: Ended | None, *, packed: bool) -> list[str]:
    """Find the files of a run, but for its log, that are not those that the ledger hashed at its end.

    Nothing is known of files of runs whose entries are of the old form.
    """
    if end is None or end.files is None:
        return []
    if not packed:
        there = kept_files(folder)
    else:
        names = sorted(path.name for path in folder.iterdir())
        plain = [name.removesuffix(PACKED) for name in names if name != SCORE]
        twice = next((name for name in plain if plain.count(name) > 1), None)
        if twice is not None:
            return [f"{twice} of {folder.name} is there twice"]
        if (LOG in plain) != (end.log_sha256 is not None):
            return [f"{LOG} of {folder.name} is {'there' if LOG in plain else 'missing'}, other than the ledger says"]
        there = {name: read_kept(folder / name, name=f"{folder.name}/{name}") for name in plain if name != LOG}
    hashed = {name: hashlib.sha256(content).hexdigest() for name, content in there.items()}
    wrong = sorted({name for name, _ in set(hashed.items()) ^ set(end.files.items())})
    stamps = (end.received or {}).get(CLOCK, end.files.get(CLOCK))
    if end.state == "finished" and stamps != end.files.get(CLOCK):
        return [f"{CLOCK} of {folder.name} is not what the recorder received"]
    return [f"{name} of {folder.name} is not the one that the ledger hashed at the end of the run" for name in wrong]


def altered_score(folder: Path, scored: Scored | None) -> list[str]:
    """Find out whether the score of a run is missing, too many, or not the one that the ledger hashed."""
    there = hashlib.sha256((folder / SCORE).read_bytes()).hexdigest() if (folder / SCORE).is_file() else None
    hashed = scored.score_sha256 if scored is not None else None
    how = (
        "missing" if there is None else "in no entry of the ledger" if hashed is None else "not the one that was hashed"
    )
    return [] if there == hashed else [f"{SCORE} of {folder.name} is {how}"]


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
        ("arguments other than seed and save", tuple(a for a in file.arguments if not _is_usual(a)), ()),
    ]
    if start is not None:
        accounts.append(("the script of its ledger entry", start.script, subject.chain))
        accounts.append(("the series", file.series, start.series))
        accounts.append(("the seed", run.given_seed, start.seed))
        accounts.append(("the purpose", file.purpose if start.purpose else None, start.purpose))
    if end is not None and file.outcome is not None:
        accounts.append(("the end", file.outcome.state, end.state))
        accounts.append(("the exit code", file.outcome.exit_code, end.exit_code))
    if end is not None and None not in (file.log_sha256, end.log_sha256):
        accounts.append(("the hash of the log", file.log_sha256, end.log_sha256))
    if run.score is not None:
        known = file.weights.sha256 if file.weights is not None else None
        accounts.append(("the weights of its score", known, run.score.weights_sha256))
        accounts.append(("the id of its score", run.score.run, folder.name))
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


def _is_usual(argument: str) -> bool:
    return argument.startswith("seed=") or argument == SAVE_ARGUMENT


def _short(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
