"""Take in what came back of a task: runs, their ledger, comparisons and probes, or nothing at all where it contradicts.

What a node wrote is material to judge, as a pack is: its ledger has to go on from what was declared here, every file of
every run has to be the one that it hashed, and nothing that is here already may be another one afterwards. All of that
is looked at before the first byte is written.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.cluster.exchange import NOBODY, begun
from harness.cluster.task_folders import until
from harness.cluster.tasks import Attempt
from harness.core.errors import Problem, StoreError, raise_if
from harness.evidence.consistency import altered, altered_score
from harness.store import comparisons, joint, run_files
from harness.store.entries import Branched, Chain, Declared, Ended, Entry, Started, Taken, Tasked
from harness.store.files import disk_error, sha256_file, temporary_folder, write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger, chain_of
from harness.store.run_files import LOG
from harness.store.scrub import Names, own_names, scrub_log

COMPLETE = "complete"  # a task whose command did all that it was asked
KEEP = "nothing of it is taken in; move the task's folder away to have the task made again"
_LEFT = shutil.ignore_patterns(run_files.WORK, run_files.CACHE, run_files.LOCK, run_files.SAVED, "scoring", ".*")


@dataclass(frozen=True, slots=True)
class Back:
    """What a task's folder holds that is not here yet."""

    branch: tuple[Entry, ...]
    folders: dict[Path, Path]  # of runs and probes: there -> here
    files: dict[Path, Path]  # comparisons


def take_in(project: Project, attempt: Attempt, state: str, scripts: Mapping[str, bytes]) -> Chain:
    """Take in a task that has ended, once; return the branch. state: complete, or broken.

    scripts: sha256 of an entry script -> its bytes. Raises StoreError, before anything is written, with all that
    contradicts the declaration, the ledger or what is here.
    """
    ledger = Ledger(project.ledger)
    there = Ledger(attempt.checkout.ledger).read()
    here = ledger.read()
    branch = branch_of(here, there, attempt, state)
    if attempt.id in here.taken:
        return Chain(branch)
    names = (begun(attempt.folder) or NOBODY).names
    back = Back(branch, dict(_folders(project, attempt)), dict(_files(project, attempt)))
    raise_if(_contradictions(project, attempt, back, names, scripts), StoreError)
    try:
        for source, target in back.folders.items():
            if not target.exists():
                _copy(source, target, Chain(branch), names, scripts)
        for source, target in back.files.items():
            write_atomic(target, source.read_bytes())
    except OSError as error:
        raise disk_error(project.runs, error) from error
    ledger.take_in(branch, attempt.id, state)
    return Chain(branch)


def branch_of(here: Chain, there: Chain, attempt: Attempt, state: str) -> tuple[Entry, ...]:
    """Choose the entries that a task added, in their order; raises StoreError with what contradicts the declaration."""
    where, problems, own = f"{attempt.id}: ledger.jsonl", [], set()
    for script, chain in there.scripts.items():
        mine = here.of_script(script)
        declared = mine.tree.declared.get(attempt.id)
        if declared is None:
            problems.append(Problem(where, f"holds the script {script[:12]}, which was not declared for it", KEEP))
            continue
        known = until(mine, attempt.id).entries
        added = chain.entries[len(known) :]
        if [entry.raw for entry in chain.entries[: len(known)]] != [entry.raw for entry in known]:
            problems.append(Problem(where, "does not begin with what was declared here", KEEP))
        elif not added or not isinstance(added[0], Branched) or any(map(_foreign, added[1:])):
            problems.append(Problem(where, "holds entries that no task writes", KEEP))
        problems += [Problem(where, flaw.sentence("ledger.jsonl"), KEEP) for flaw in chain.breaks()]
        problems += [Problem(where, said, KEEP) for said in _other_than_declared(added, declared, state)]
        twice = here.starts.keys() & {entry.run for entry in added if isinstance(entry, Started)}
        if twice and attempt.id not in here.taken:
            problems.append(Problem(where, f"starts {min(twice)}, which is here already", KEEP))
        own |= {entry.line for entry in added}
    if missing := {*attempt.task.scripts} - there.scripts.keys():
        problems.append(Problem(where, f"has lost the script {min(missing)[:12]}", KEEP))
    branch = tuple(entry for entry in there.entries if entry.line in own)
    if not problems and attempt.id in here.taken and {e.raw for e in branch} - {e.raw for e in here.entries}:
        problems.append(Problem(where, "was taken in before, and is another one now", KEEP))
    raise_if(problems, StoreError)
    return branch


def _foreign(entry: Entry) -> bool:
    return isinstance(entry, Branched | Declared | Tasked | Taken)


def _other_than_declared(added: tuple[Entry, ...], declared: Tasked, state: str) -> Iterator[str]:
    judged = [entry.run for entry in added if isinstance(entry, Started) and entry.purpose == "judged"]
    finished = {entry.run for entry in added if isinstance(entry, Ended) and entry.state == "finished"} & {*judged}
    if declared.purpose != "judged" and judged:
        yield f"starts the judged run {judged[0]}; the task was declared as {declared.purpose}"
    elif declared.purpose == "judged" and declared.runs:
        if len(judged) > declared.runs:
            yield f"starts {len(judged)} judged runs; {declared.runs} were declared"
        elif state == COMPLETE and len(finished) < declared.runs:
            yield f"ends {len(finished)} judged runs, and the command made all {declared.runs} that were declared"


def _folders(project: Project, attempt: Attempt) -> Iterator[tuple[Path, Path]]:
    runs = attempt.checkout.runs
    for folder in sorted((*runs.glob("2*"), *(runs / run_files.PROBES).glob("*"))):
        if folder.is_dir() and not folder.is_symlink():
            yield folder, project.runs / folder.relative_to(runs)


def _files(project: Project, attempt: Attempt) -> Iterator[tuple[Path, Path]]:
    runs = attempt.checkout.runs
    for file in sorted((runs / comparisons.FOLDER).rglob("*.json")):
        if not file.is_symlink():
            yield file, project.runs / file.relative_to(runs)


def _contradictions(
    project: Project, attempt: Attempt, back: Back, names: Names, scripts: Mapping[str, bytes]
) -> Iterator[Problem]:
    chain = Chain(back.branch)
    for run_id, end in chain.ends.items():
        folder = run_files.run_folder(attempt.checkout, run_id)
        if not folder.is_dir():
            if end.files:
                yield Problem(f"{attempt.id}: {run_id}", "is gone, and the ledger holds hashes of its files", KEEP)
            continue
        said = [*altered(folder, end, packed=False), *altered_score(folder, chain.scores.get(run_id))]
        said += _other_log(folder, end, names, scripts)
        said += _other_account(run_files.read_run_file(folder), chain.starts.get(run_id), end)
        yield from (Problem(f"{attempt.id}: {run_id}", one, KEEP) for one in said)
    for source in back.folders:
        if source.parent == attempt.checkout.runs and source.name not in chain.starts:
            yield Problem(f"{attempt.id}: {source.name}", "is in no entry of its ledger", KEEP)
        if link := next((path for path in _walk(source) if path.is_symlink()), None):
            yield Problem(f"{attempt.id}: {source.name}/{link.name}", "is a link", KEEP)
    for source, target in back.folders.items():
        if target.exists() and not _same(source, target):
            yield Problem(project.show(target), f"is here already, and another one than {attempt.id} brings", KEEP)
    for source, target in back.files.items():
        name = f"{attempt.id}: {source.name}"
        if source.parent.name == joint.JOINT:
            joint.JOINT_FORM.read(source, name=name)
        else:
            comparisons.COMPARISON_FORM.read(source, name=name)
        if target.exists() and target.read_bytes() != source.read_bytes():
            yield Problem(project.show(target), f"is here already, and another one than {attempt.id} brings", KEEP)


def _walk(folder: Path) -> Iterator[Path]:
    """Everything in a folder that is taken in, without following links."""
    left = _LEFT(str(folder), [path.name for path in folder.iterdir()])
    for path in sorted(folder.iterdir()):
        if path.name not in left:
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from _walk(path)


def _other_log(folder: Path, end: Ended, names: Names, scripts: Mapping[str, bytes]) -> list[str]:
    if end.log_sha256 is None or not (folder / LOG).is_file():
        return [] if end.log_sha256 is None else [f"{LOG} is missing"]
    fitting = _fitting(folder, end, names, scripts)
    return [f"{LOG} is not the one that the ledger hashed at the end of the run"] if fitting is None else []


def _fitting(folder: Path, end: Ended, names: Names, scripts: Mapping[str, bytes]) -> Names | None:
    """Tell whose names were taken out of a log before it was hashed; None where it is another log.

    The node's, or those of this machine: a run that nobody there was left to end was ended here.
    """
    raw, script = (folder / LOG).read_bytes(), _script_of(folder, scripts)
    for each in (names, own_names()):
        if hashlib.sha256(scrub_log(raw, script, each)).hexdigest() == end.log_sha256:
            return each
    return None


def _other_account(file: run_files.RunFile, start: Started | None, end: Ended) -> Iterator[str]:
    """Find what run.json says otherwise than the ledger."""
    outcome = file.outcome
    accounts: list[tuple[str, object, object]] = [
        ("id", file.id, end.run),
        ("script", chain_of(file.files), end.script),
        ("end", None if outcome is None else (outcome.state, outcome.exit_code), (end.state, end.exit_code)),
    ]
    if start is not None:
        accounts += [("series", file.series, start.series), ("purpose", file.purpose, start.purpose)]
    for what, told, known in accounts:
        if told != known:
            yield f"{run_files.RUN_FILE} names another {what} than the ledger"


def _script_of(folder: Path, scripts: Mapping[str, bytes]) -> bytes:
    return scripts.get(run_files.read_run_file(folder).script_sha256, b"")


def _same(source: Path, target: Path) -> bool:
    """Whether a folder was brought before: every kept file but the log, which is scrubbed on the way, is the same."""
    there = {path.relative_to(source) for path in source.rglob(run_files.RUN_FILE)}
    return all((target / name).is_file() and sha256_file(target / name) == sha256_file(source / name) for name in there)


def _copy(source: Path, target: Path, chain: Chain, names: Names, scripts: Mapping[str, bytes]) -> None:
    """Copy a folder without what its node alone needed; logs lose the names of the node. It appears whole."""
    with temporary_folder(target) as aside:
        shutil.copytree(source, aside, symlinks=True, ignore=_LEFT, dirs_exist_ok=True)
        for log in aside.rglob(LOG):
            end = chain.ends.get(run_files.read_run_file(log.parent).id)
            hidden = None if end is None else _fitting(log.parent, end, names, scripts)
            log.write_bytes(scrub_log(log.read_bytes(), _script_of(log.parent, scripts), hidden or names))
        aside.rename(target)
