"""Keep the runs that a record's decision rests on beside the candidate's own: those of the probe, and of the record before.

    probe/runs/<role>-<variant>/    one run on prepared tokens
    compared/runs/<id>/             one run of the record that was current, with `compared/ledger.jsonl`, its chain

The candidate's own runs lie in the pack. Of all these a figure that decides is read from the log again; logs are whole
here, with the source that they begin with, so that nothing else is needed to read them.
"""

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError, StoreError
from harness.core.measurement import Metrics, RunOutcome
from harness.evidence.consistency import altered
from harness.evidence.metrics import read_run
from harness.probe.stored import StoredProbe, StoredRun
from harness.runlog import reader
from harness.store import run_files
from harness.store.comparisons import Comparison
from harness.store.entries import Chain
from harness.store.files import PACKED, write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger, read_chain
from harness.store.packs import COMPRESSED, LEDGER, RUNS, keep_run, restore_log
from harness.store.run_files import LOG, RUN_FILE, WORK
from harness.store.sessions import Session

COMPARED, PROBED = "compared", "probe"
NAMES = (RUN_FILE, *(f"{name}{PACKED}" for name in (LOG, *COMPRESSED)))


def keep_probe(probe: Path, found: StoredProbe, own: bytes, parent: bytes, target: Path) -> None:
    """Keep the runs of a probe; own, parent: the scripts, whose logs were scrubbed as such that begin with them."""
    for run in found.runs:
        for folder in sorted(probe.glob(f"[0-9][0-9]-{run.role}-{run.variant}-*")):
            script = own if run.role == "own" else parent
            keep_run(folder, target / PROBED / RUNS / _name(run), script, whole=True)


def keep_compared(project: Project, comparison: Comparison, target: Path) -> None:
    """Keep the runs of the record that a candidate was compared with, and their chain."""
    write_atomic(target / COMPARED / LEDGER, Ledger(project.ledger).chain(comparison.a.script_sha256).raw)
    for run_id in _of_record(comparison):
        folder = run_files.run_folder(project, run_id)
        if folder.is_dir():
            keep_run(folder, target / COMPARED / RUNS / run_id, script_of(folder), whole=True)


def script_of(folder: Path) -> bytes:
    """Read the script that a run of this machine had; its log was scrubbed as one that begins with it."""
    file = run_files.read_run_file(folder)
    entry = next(name for name, digest in file.files.items() if digest == file.script_sha256)
    return (folder / WORK / entry).read_bytes()


def copy_kept(source: Path, target: Path, found: StoredProbe, comparison: Comparison | None) -> None:
    """Copy what was kept, and nothing else that lies there, from a session's result into a record's folder."""
    places = [Path(PROBED, RUNS, _name(run)) for run in found.runs]
    if comparison is not None:
        write_atomic(target / COMPARED / LEDGER, (source / COMPARED / LEDGER).read_bytes())
        places += [Path(COMPARED, RUNS, run_id) for run_id in _of_record(comparison)]
    for place in places:
        for name in NAMES:
            if (source / place / name).is_file():
                write_atomic(target / place / name, (source / place / name).read_bytes())


def wrong_probe(folder: Path, found: StoredProbe, session: Session, subject: Subject, chain: Chain) -> list[str]:
    """Name the runs of a probe that are not kept, or whose logs say something else than was stored.

    chain: the candidate's, whose ledger hashed the logs of its own probe runs as well.
    """
    wrong = []
    for run in found.runs:
        kept = folder / PROBED / RUNS / _name(run)
        try:
            why = _other_probe(kept, run, session, subject, chain)
        except (HarnessError, OSError) as error:
            why = f"cannot be read ({_first(error)})"
        wrong += [f"the run {_name(run)} of the probe {why}"] if why else []
    return wrong


def _other_probe(kept: Path, run: StoredRun, session: Session, subject: Subject, chain: Chain) -> str | None:
    file = run_files.read_run_file(kept)
    if file.purpose != "probe" or not file.series.startswith(f"{session.id}."):
        return "is of no probe of this session"
    if run.role == "own":
        end = chain.ends.get(file.id)
        if file.files != subject.files or end is None or end.log_sha256 is None:
            return "is no run of the script in its ledger"
        log = restore_log(kept, b"")
        if hashlib.sha256(log).hexdigest() != end.log_sha256:
            return "has another log than the ledger hashed"
    if run.failure is not None:
        return (
            None if file.outcome is None or file.outcome.state != "finished" else "finished, and was stored as broken"
        )
    log_lines, _ = reader.read_stamped(restore_log(kept, b""), LOG)
    curve = tuple((step, loss) for step, loss, _ in log_lines.curve)
    return None if curve == run.curve else "printed other losses than were stored"


def wrong_compared(folder: Path, comparison: Comparison) -> list[str]:
    """Name the runs of the record before that are not kept, or whose logs say something else than the comparison."""
    name = f"{COMPARED}/{LEDGER}"
    path = folder / COMPARED / LEDGER
    if not path.is_file():
        return [f"{name} is missing"]
    chain = read_chain(path.read_bytes(), name)
    if chain.breaks() or any(entry.script != comparison.a.script_sha256 for entry in chain.entries):
        return [f"{name} is not whole, or another script's"]
    known = {run.run: (run.train_time_s, run.val_loss) for run in comparison.runs}
    wrong = []
    for run_id in _of_record(comparison):
        kept = folder / COMPARED / RUNS / run_id
        start, end = chain.starts.get(run_id), chain.ends.get(run_id)
        if not kept.is_dir() or start is None or end is None or start.series != comparison.series:
            wrong.append(f"{run_id}, a run of the record, is not kept, or no run of this comparison")
            continue
        run = read_run(kept, b"", packed=True)
        changed = altered(kept, end, packed=True)
        if changed or run.log_sha256 != end.log_sha256:
            wrong.append(changed[0] if changed else f"the log of {run_id} is not the one that its ledger hashed")
        elif known[run_id] != (run.train_time_s, run.val_loss) or not _finished(run.outcome):
            wrong.append(f"the comparison says of {run_id} what its log does not")
    return wrong


def read_compared(folder: Path, comparison: Comparison) -> list[Metrics]:
    """Read the kept runs of the record before, but for those that cannot be read: `wrong_compared` names them."""
    found = []
    for run_id in _of_record(comparison):
        with contextlib.suppress(HarnessError, OSError):
            found.append(read_run(folder / COMPARED / RUNS / run_id, b"", packed=True))
    return found


def _finished(outcome: RunOutcome | None) -> bool:
    return outcome is not None and outcome.state == "finished"


def _of_record(comparison: Comparison) -> Sequence[str]:
    """Name the runs of the record; what is no plain name of a run becomes no path."""
    names = [run.run for run in comparison.runs if run.arm == "A"]
    if any(not name.replace("-", "").isalnum() or not name.isascii() for name in names):
        raise StoreError.at("comparison.json", "names a run by what is no id", "restore the file as speedrun wrote it")
    return names


def _name(run: StoredRun) -> str:
    """Name the folder of a run; its variant is one of the probe's own."""
    if not run.variant.replace("-", "").isalnum() or not run.variant.isascii():
        raise StoreError.at("probe.json", "names a variant that no probe has", "restore the file as speedrun wrote it")
    return f"{run.role}-{run.variant}"


def _first(error: Exception) -> str:
    return str(error.problems[0].what if isinstance(error, HarnessError) else error)[:100]
