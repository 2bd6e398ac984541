"""One run, from its first ledger entry to its last.

The order is what makes a crash harmless: run.json and the ledger's start entry are on disk before anything is
launched, the recorder writes the outcome by itself, and `settle` finishes the books of runs whose harness was killed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.errors import LogError, StoreError
from harness.core.measurement import DataReceipt, Machine, RunOutcome
from harness.core.task import Track
from harness.dataset import fetching
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher, LaunchPlan
from harness.launch.torchrun import read_outcome
from harness.runlog import reader
from harness.store import run_files
from harness.store.files import disk_error, sha256_file
from harness.store.layout import Project
from harness.store.ledger import Ledger, chain_of
from harness.store.run_files import CACHE, LOG, STDERR, WORK
from harness.store.scrub import own_names, scrub_log

DRY_TOKENS = 1 << 20  # train tokens of a scaled-down run
DRY_SEED = 1
USUAL_OF = 10  # so many runs say how long a script usually takes


@dataclass(frozen=True, slots=True)
class Prepared:
    """A subject on a machine that can run it, with its tokens."""

    subject: Subject
    machine: Machine
    track: Track  # the subject's, or its scaled-down form
    fetched: fetching.Fetched
    dry: bool
    processes: int
    bare: bool = False  # an original, started as its author did: no argument, the tokens by DATA_PATH or DATA_DIR
    planned: int | None = None  # runs that a test with a fixed number shall look at, if these are its first


def prepare(
    found: Subject,
    here: Machine,
    *,
    dry: bool = False,
    allow_network: bool = True,
    progress: Progress | None = None,
) -> Prepared:
    """Have the tokens of a subject, or few synthetic ones under the same names for a dry run."""
    if dry:
        track = scaled_down(found.track)
        return Prepared(found, here, track, fetching.make_synthetic(track), True, min(2, track.hardware.processes))
    fetched = fetching.fetch_for(found.track, found.train_tokens, allow_network=allow_network, progress=progress)
    return Prepared(found, here, found.track, fetched, False, found.track.hardware.processes)


def scaled_down(track: Track) -> Track:
    """The track on a few synthetic tokens under its own file names, for a run that only tries the pipeline."""
    if track.data.source == "synthetic":
        return track
    data = dataclasses.replace(track.data, source="synthetic", seed=DRY_SEED, shard_tokens=DRY_TOKENS, shards=())
    return dataclasses.replace(track, data=data, validation_tokens=min(track.validation_tokens, 1 << 17))


def execute(
    project: Project, ready: Prepared, run_id: str, sitting: str, launcher: Launcher, watch: Callable[[bytes], None]
) -> RunOutcome:
    """Execute one run; its books are closed however it ends, Ctrl-C included."""
    folder = run_files.run_folder(project, run_id)
    plan, file = plan_run(folder, ready, run_id, sitting)
    try:
        lay_out(ready, folder / WORK)
        run_files.write_run_file(folder, file)
    except BaseException as error:  # no entry of the ledger would ever lead to this folder
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise disk_error(folder, error) from error
        raise
    ledger = Ledger(project.ledger)
    with run_files.held(folder):
        if not ready.dry:
            declare(ledger, ready.subject, ready.planned)
            ledger.append("start", ready.subject.chain, run=run_id, sitting=sitting, seed=plan.seed)
        try:
            launcher.run(plan, watch)
        finally:
            outcome = read_outcome(plan, None)
            close(
                ledger,
                folder,
                file,
                outcome,
                fetching.recheck(ready.fetched, ready.track, folder / WORK).unchanged,
                ready.subject.script,
            )
    return outcome


def plan_run(folder: Path, ready: Prepared, run_id: str, sitting: str) -> tuple[LaunchPlan, run_files.RunFile]:
    """What the launcher is told and what run.json will say."""
    found = ready.subject
    plan = LaunchPlan(
        run_id=run_id,
        folder=folder,
        entry=found.entry,
        processes=ready.processes,
        seed=None if ready.bare else run_files.draw_seed(),  # drawn here, so that nobody can choose it
        overrides=ready.track.dry if ready.dry else (),
        silence_limit_s=found.track.silence_limit_s,
        time_limit_s=found.track.time_limit_s,
        environment=data_variables(folder / WORK, ready.track) if ready.bare else {},
    )
    file = run_files.RunFile(
        schema=1,
        id=run_id,
        sitting=sitting,
        subject=found.name,
        track=found.track.name,
        ruleset=found.ruleset.id,
        script_sha256=found.script_sha256,
        files=found.files,
        processes=ready.processes,
        arguments=plan.arguments,
        dry=ready.dry,
        started_at=run_files.now(),
        machine=ready.machine,
        data=ready.fetched.receipt,
        outcome=None,
        log_sha256=None,
    )
    return plan, file


def data_variables(work: Path, track: Track) -> dict[str, str]:
    """The two variables by which originals let a user say where the tokens are."""
    return {"DATA_PATH": str(work), "DATA_DIR": str(work / track.data.folder)}


def lay_out(ready: Prepared, work: Path) -> None:
    """Put the frozen files and the links to the tokens into a run's work folder."""
    work.mkdir(parents=True)
    for name in ready.subject.files:
        shutil.copyfile(ready.subject.files_folder / name, work / name)
    fetching.offer(ready.fetched, ready.track, work)


def declare(ledger: Ledger, found: Subject, planned: int | None = None) -> None:
    """Open a script's chain with its rule and the most runs that the rule may look at.

    A test with a fixed number of runs looks at those that were planned before the first, and at no later ones.
    """
    if not ledger.chain(found.chain):
        rule = found.ruleset.significance
        n_max = rule.bounds[-1][1] if rule.bounds else None
        if rule.test == "t":
            n_max = max(rule.min_runs, planned or found.track.runs)
        ledger.append("declare", found.chain, track=found.track.name, ruleset=found.ruleset.id, n_max=n_max)


def declared(project: Project, found: Subject) -> int | None:
    """How many runs of a script were declared before its first; None where there is none, or no number."""
    chain = Ledger(project.ledger).chain(found.chain)
    return chain[0].data.get("n_max") if chain else None


def close(
    ledger: Ledger, folder: Path, file: run_files.RunFile, outcome: RunOutcome, unchanged: bool | None, script: bytes
) -> None:
    """Write down how a run ended: run.json first, then the ledger's end entry with the hash of the scrubbed log."""
    shutil.rmtree(folder / CACHE, ignore_errors=True)  # up to some hundred MB that no later run may use
    _throw_away_copy(folder, file)
    raw = (folder / LOG).read_bytes() if (folder / LOG).exists() else b""
    digest = hashlib.sha256(scrub_log(raw, script, own_names())).hexdigest()
    data = dataclasses.replace(file.data, unchanged=unchanged)
    run_files.write_run_file(folder, dataclasses.replace(file, outcome=outcome, data=data, log_sha256=digest))
    if not file.dry:
        ledger.append(
            "end",
            chain_of(file.files),
            run=file.id,
            state=outcome.state,
            exit_code=outcome.exit_code,
            last_step=last_step(raw),
            log_sha256=digest,
        )


def _throw_away_copy(folder: Path, file: run_files.RunFile) -> None:
    """Remove a run's own copy of the validation shard, where nobody was left to do it."""
    for own in (folder / WORK).rglob(file.data.shards[0].name) if file.data.shards else ():
        if not own.is_symlink():
            own.unlink()


def last_step(raw: bytes) -> int | None:
    """The last step that a log tells of, 0 once its clock has started; None where it tells of none."""
    with contextlib.suppress(LogError):  # no metric line at all; its clock may have started all the same
        step = reader.read_bytes(raw, LOG)[-1].final_step
        if step is not None:
            return step
    with contextlib.suppress(LogError):
        return 0 if any(line.kind == "clock_start" for line in reader.timed_lines(raw)) else None
    return None


def settle(project: Project) -> list[tuple[str, str]]:
    """Close the books of runs whose harness was killed; their ids and how they ended."""
    ledger = Ledger(project.ledger)
    ended = {entry.data["run"] for entry in ledger.entries() if entry.data["kind"] == "end"}
    settled: list[tuple[str, str]] = []
    for entry in ledger.entries():
        if entry.data["kind"] != "start" or entry.data["run"] in ended:
            continue
        folder = run_files.run_folder(project, entry.data["run"])
        if run_files.is_running(folder):
            continue
        try:
            file = run_files.read_run_file(folder)
            script = (folder / WORK / _entry_of(file)).read_bytes()
            outcome = run_files.read_outcome_file(folder)
        except (StoreError, OSError):
            step, digest = _left_of(folder)
            with contextlib.suppress(StoreError):
                _throw_away_copy(folder, run_files.read_run_file(folder))
            ledger.append(
                "end",
                entry.data["script"],
                run=entry.data["run"],
                state="lost",
                exit_code=None,
                last_step=step,
                log_sha256=digest,
            )
            settled.append((entry.data["run"], "lost: nobody saw it end"))
        else:
            unchanged = file.data.unchanged
            if unchanged is None and outcome.state == "finished":
                unchanged = _still_the_same(folder / WORK, file.data)
            close(ledger, folder, file, outcome, unchanged, script)
            settled.append((entry.data["run"], f"{outcome.state}: {outcome.reason or 'it ended by itself'}"))
    return settled


def _still_the_same(work: Path, receipt: DataReceipt) -> bool | None:
    """Whether the shards that a work folder holds and links to are those of the receipt; None where one is gone."""
    for shard in receipt.shards:
        try:
            if sha256_file(next(work.rglob(shard.name))) != shard.sha256:
                return False
        except (StopIteration, OSError):
            return None
    return True


def _left_of(folder: Path) -> tuple[int | None, str | None]:
    """The last step and the hash of the log that a run left which nobody saw end; None where it left none."""
    try:
        script = (folder / WORK / _entry_of(run_files.read_run_file(folder))).read_bytes()
        raw = (folder / LOG).read_bytes()
    except (StoreError, OSError):
        return None, None
    return last_step(raw), hashlib.sha256(scrub_log(raw, script, own_names())).hexdigest()


def finished_runs(project: Project, found: Subject) -> tuple[str, ...]:
    """The runs of a script that finished on this machine, in order."""
    chain = Ledger(project.ledger).chain(found.chain)
    return tuple(e.data["run"] for e in chain if e.data["kind"] == "end" and e.data["state"] == "finished")


def runs_going_on(project: Project) -> tuple[str, ...]:
    """The runs in the ledger that have no end yet, after `settle`: somebody is executing them right now."""
    entries = Ledger(project.ledger).entries()
    ended = {e.data["run"] for e in entries if e.data["kind"] == "end"}
    return tuple(e.data["run"] for e in entries if e.data["kind"] == "start" and e.data["run"] not in ended)


def usual_wall_time_s(project: Project, chain_name: str, here: Machine) -> float | None:
    """The mean wall time of the last finished runs of a script on this machine; None where it never ran here."""
    times: list[float] = []
    chain = Ledger(project.ledger).chain(chain_name)
    for entry in reversed([e for e in chain if e.data["kind"] == "end" and e.data["state"] == "finished"]):
        try:
            file = run_files.read_run_file(run_files.run_folder(project, entry.data["run"]))
        except StoreError:
            continue  # its folder was thrown away
        if file.machine.fingerprint == here.fingerprint and file.outcome is not None:
            times.append(file.outcome.wall_time_s)
        if len(times) == USUAL_OF:
            break
    return sum(times) / len(times) if times else None


def advice(outcome: RunOutcome) -> str:
    """What to do about a run that did not finish."""
    if outcome.state == "stopped":
        return "start the same command again to make the runs that are missing"
    return f"read {LOG} and {STDERR} there"


def _entry_of(file: run_files.RunFile) -> str:
    return next(name for name, digest in file.files.items() if digest == file.script_sha256)
