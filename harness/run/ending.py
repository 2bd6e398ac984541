"""Record how runs ended: the run that was just made, and runs whose harness was killed; and tell how long they took."""

import contextlib
import dataclasses
import hashlib
import shutil
from pathlib import Path

from harness.core.errors import LogError, StoreError
from harness.core.measurement import DataReceipt, Machine, RunOutcome
from harness.dataset import fetching
from harness.runlog import reader
from harness.store import run_files, weights
from harness.store.entries import Ended, Started
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.ledger import Ledger, chain_of
from harness.store.packs import kept_files, run_log
from harness.store.run_files import CACHE, CLOCK, LOG, READS, STDERR, WORK, RunFile
from harness.store.scrub import scrubbed_sha256

USUAL_OF = 10  # so many runs say how long a script usually takes


def record_end(
    ledger: Ledger,
    folder: Path,
    file: RunFile,
    outcome: RunOutcome,
    unchanged: bool | None,
    script: bytes,
    before: bytes = b"",
    scored: bool = True,
) -> RunOutcome:
    """Write down how a run ended: run.json first, then the ledger's end entry with the hashes of all that is kept.

    before: what stood in the ledger when the run began. scored: whether the weights that it saved are kept until they are
    scored; of a run that is not judged they never are. Returns the outcome as it was written down: a run whose log or
    stamps are not what the recorder received, or during which the ledger was changed, did not finish.
    """
    shutil.rmtree(folder / CACHE, ignore_errors=True)  # up to some hundred MB that no later run may use
    _take_back(folder, file)
    outcome = outcome.refused(find_changed(ledger, folder, outcome, before))
    raw = run_log(folder)
    digest = scrubbed_sha256(raw, script)
    data = dataclasses.replace(file.data, unchanged=unchanged)
    saved = weights.take(folder)
    if outcome.state != "finished" or file.purpose != "judged" or not scored:
        weights.remove(folder)
    file = dataclasses.replace(file, outcome=outcome, data=data, log_sha256=digest, weights=saved)
    run_files.write_run_file(folder, file)
    ledger.append(ended(chain_of(file.files), file.id, folder, outcome, last_step(raw, file), digest))
    if file.purpose == "prime":
        shutil.rmtree(folder / WORK, ignore_errors=True)  # 200 MB of noise
    return outcome


def ended(
    script: str, run_id: str, folder: Path, outcome: RunOutcome, step: int | None, log_sha256: str | None
) -> Ended:
    """Make the end entry of a run from what lies in its folder now.

    step: the last that its log names; log_sha256: of the log as a pack keeps it.
    """
    return Ended(
        script=script,
        run=run_id,
        state=outcome.state,
        exit_code=outcome.exit_code,
        last_step=step,
        log_sha256=log_sha256,
        received={name: outcome.received[name] for name in (LOG, CLOCK) if name in outcome.received},
        files={name: hashlib.sha256(content).hexdigest() for name, content in kept_files(folder).items()},
        launched=was_launched(folder, outcome),
    )


def was_launched(folder: Path, outcome: RunOutcome) -> bool:
    """Whether the script may have been started and so may have known its seed.

    The recorder opens the files that it writes before it starts anything, and says so where nothing could be started:
    nothing else ends as `failed` or `stopped` without an exit code. Where the whole folder is gone, nobody knows, and
    the run counts.
    """
    if outcome.state in ("failed", "stopped") and outcome.exit_code is None:
        return bool(run_log(folder))
    recorded = any((folder / name).exists() for name in (LOG, CLOCK, STDERR, READS))
    return recorded or not folder.is_dir()


def find_changed(ledger: Ledger, folder: Path, outcome: RunOutcome, before: bytes) -> list[str]:
    """Find what was changed behind the harness's back while a run went on, one clause for each file."""
    changed = []
    for name in (LOG, CLOCK, READS):
        there = sha256_file(folder / name) if (folder / name).is_file() else None
        if outcome.received.get(name, there) != there:
            changed.append(f"{name} is not what the {'observer wrote' if name == READS else 'recorder received'}")
    try:
        ledger.check_unchanged(before)
    except StoreError as error:
        changed += [f"{problem.where} {problem.what} while the run went on" for problem in error.problems]
    return changed


def settle(project: Project) -> list[tuple[str, str]]:
    """Record the end of runs whose harness was killed; return their ids and how they ended."""
    ledger = Ledger(project.ledger)
    chain = ledger.read()
    settled: list[tuple[str, str]] = []
    for run_id in chain.open:
        folder = run_files.run_folder(project, run_id)
        if run_files.is_running(folder):
            continue
        try:
            file = run_files.read_run_file(folder)
            script = _script_of(folder, file)
            outcome = believed(run_files.read_outcome_file(folder), file)
        except (StoreError, OSError):
            _record_loss(ledger, folder, chain.starts[run_id])
            settled.append((run_id, "lost: nobody saw it end"))
            continue
        unchanged = file.data.unchanged
        if unchanged is None and outcome.state == "finished":
            unchanged = _still_the_same(folder / WORK, file.data)
            if unchanged is None:  # D2 could never pass such a run; one that is aborted is made again
                reason = "the harness was killed before it had hashed the tokens again, and they are gone"
                outcome = dataclasses.replace(outcome, state="lost", reason=reason)
        outcome = record_end(ledger, folder, file, outcome, unchanged, script)
        settled.append((run_id, f"{outcome.state}: {outcome.reason or 'it ended by itself'}"))
    return settled


def believed(outcome: RunOutcome, file: RunFile) -> RunOutcome:
    """Believe an outcome that was read from a file if the run could not have written it."""
    tier = file.confinement.tier if file.confinement is not None else "none"
    if outcome.state != "finished" or tier != "none":
        return outcome
    reason = "the harness was killed before it heard the recorder's word, and the run was not confined"
    return dataclasses.replace(outcome, state="lost", reason=reason)


def usual_wall_time_s(project: Project, chain_name: str, here: Machine, *, warm: bool = False) -> float | None:
    """Average the wall time of the last finished runs of a script on this machine; None where it never ran here.

    warm: of those that started from filled compile caches, which are minutes shorter; else of the others.
    """
    times: list[float] = []
    for run_id in reversed(Ledger(project.ledger).chain(chain_name).finished):
        try:
            file = run_files.read_run_file(run_files.run_folder(project, run_id))
        except StoreError:
            continue  # its folder was thrown away
        alike = file.machine.fingerprint == here.fingerprint and (file.cache is not None) == warm
        if alike and file.outcome is not None:
            times.append(file.outcome.wall_time_s)
        if len(times) == USUAL_OF:
            break
    return sum(times) / len(times) if times else None


def _record_loss(ledger: Ledger, folder: Path, start: Started) -> None:
    """End a run that nobody saw end, with the last step and the hash of the log that it left, if it left one."""
    step, digest = None, None
    shutil.rmtree(folder / CACHE, ignore_errors=True)
    with contextlib.suppress(StoreError, OSError):
        file = run_files.read_run_file(folder)
        _take_back(folder, file)
        script, raw = _script_of(folder, file), (folder / LOG).read_bytes()
        step, digest = last_step(raw, file), scrubbed_sha256(raw, script)
    lost = RunOutcome("lost", None, 0.0)
    ledger.append(ended(start.script, start.run, folder, lost, step, digest))


def last_step(raw: bytes, file: RunFile) -> int | None:
    """Find the last step that the log of a run names, 0 once its clock has started; None where it names none."""
    with contextlib.suppress(LogError):  # no metric line at all; its clock may have started all the same
        stamped = (
            file.confinement is not None
        )  # then the rules read it so, and these steps decide what runs are offered
        step = (reader.read_stamped(raw, LOG)[0] if stamped else reader.read_bytes(raw, LOG)[-1]).final_step
        if step is not None:
            return step
    with contextlib.suppress(LogError):
        return 0 if any(line.kind == "clock_start" for line in reader.timed_lines(raw)) else None
    return None


def _still_the_same(work: Path, receipt: DataReceipt) -> bool | None:
    """Whether the shards that a work folder holds and links to are those of the receipt; None where one is gone."""
    cut = receipt.cut
    for shard in receipt.shards if cut is None else (*receipt.shards[:-1], cut):
        try:
            if sha256_file(next(work.rglob(shard.name))) != shard.sha256:
                return False
        except (StopIteration, OSError):
            return None
    return True


def _take_back(folder: Path, file: RunFile) -> None:
    """Remove what a run was given: where its links lead, and its copy of the validation shard if it is still there."""
    shutil.rmtree(fetching.given_folder(folder / WORK), ignore_errors=True)
    for own in (folder / WORK).rglob(file.data.shards[0].name) if file.data.shards else ():
        if not own.is_symlink():
            own.unlink()


def _script_of(folder: Path, file: RunFile) -> bytes:
    entry = next(name for name, digest in file.files.items() if digest == file.script_sha256)
    return (folder / WORK / entry).read_bytes()
