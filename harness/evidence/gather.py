"""Run folders in, `Evidence` out: everything that a verdict looks at, gathered in one place.

The same layout lies in `.runs/` on the machine that ran it and in the `evidence/` of a submission or a record, so a
maintainer judges what the submitter judged.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.catalog.tracks import load_track, ruleset_of
from harness.core.errors import LogError, StoreError
from harness.core.measurement import Metrics, RunLog, TimedLine
from harness.core.record import Record, RecordRun
from harness.evidence import baseline
from harness.evidence.consistency import contradicting, undeclared
from harness.evidence.contents import Evidence, LedgerExtract
from harness.evidence.metrics import measure
from harness.launch.clock import Clock, read_clock
from harness.launch.observed import read_observed
from harness.runlog import reader
from harness.store import run_files
from harness.store.files import has_kept
from harness.store.layout import Project
from harness.store.ledger import Entry, Ledger, find_breaks, open_runs, read_chain, standing
from harness.store.packs import LEDGER, PACK, RUNS, Baseline, check_pack, restore_log
from harness.store.run_files import CLOCK, LOG, WORK
from harness.store.scrub import own_names, scrub_log

MOST_LOG_BYTES = 1 << 30  # the recorder ends a run that prints more


def gather(project: Project, found: Subject, run_ids: list[str] | None = None, *, packed: bool = True) -> Evidence:
    """The evidence of a subject: the given runs of this machine, else its pack, else all its runs in the ledger here.

    packed: False passes its pack over. Raises StoreError where there is none.
    """
    pack = found.folder / PACK
    if packed and run_ids is None and (pack.is_dir() or pack.is_symlink()):
        name = f"{found.name}/{PACK}"
        check_pack(pack, name)
        if not (pack / LEDGER).is_file():
            raise StoreError.at(name, f"holds no {LEDGER}, so its runs cannot be judged", "pack the submission again")
        chain = read_chain((pack / LEDGER).read_bytes(), f"{name}/{LEDGER}")
        known = standing(chain)
        inside = sorted((pack / RUNS).glob("*/"))
        strangers = [folder for folder in inside if folder.name not in {e.data.get("run") for e in chain}]
        mine = [folder for run_id in known.judged if (folder := pack / RUNS / run_id).is_dir()]
        others = [folder for folder in inside if folder not in mine and folder not in strangers]
        parent = baseline.in_pack(project, found, pack)
        return assemble(found, chain, [*mine, *strangers], packed=True, parent=parent, others=others)
    chain = Ledger(project.ledger).chain(found.chain)
    if run_ids is not None:
        mine = [folder for run_id in run_ids if (folder := run_files.run_folder(project, run_id)).is_dir()]
        return assemble(found, chain, mine, packed=False, only=set(run_ids))
    if not chain:
        raise StoreError.at(
            found.name, "has no evidence: no pack and no run on this machine", f"speedrun run {found.name}"
        )
    # A run whose folder is gone is missing in the evidence, and rule G2 says so.
    going_on = open_runs(chain)
    counted = [run_id for run_id in standing(chain).judged if run_id not in going_on]
    folders = [folder for run_id in counted if (folder := run_files.run_folder(project, run_id)).is_dir()]
    return assemble(found, chain, folders, packed=False, parent=baseline.on_this_machine(project, found))


def newer_runs(project: Project, found: Subject) -> int:
    """How many runs this machine's ledger goes on with behind the end of a submission's pack; 0 where it does not."""
    file = found.folder / PACK / LEDGER
    if found.manifest is None or not file.is_file():
        return 0
    kept = read_chain(file.read_bytes(), f"{found.name}/{PACK}/{LEDGER}")
    here = Ledger(project.ledger).chain(found.chain)
    if [entry.raw for entry in kept] != [entry.raw for entry in here[: len(kept)]]:
        return 0  # it was packed on another machine
    return max(0, len(standing(here).order) - len(standing(kept).order))


def from_figures(project: Project, held: Record) -> Evidence:
    """The evidence of a record of the past: the figures of its own runs, judged by the rules of its time.

    Nothing but final figures is left of those runs here, so most families of evidence are missing; its ruleset asked
    for none of them. Raises StoreError where no run is known.
    """
    mine = [run for run in held.runs if run.role == "own" and run.metric == "val_loss" and run.value is not None]
    if not mine:
        name = f"{held.track}/{held.slug}"
        raise StoreError.at(
            name, "is published only: no run of it is known", f"see what it claims: speedrun show {name}"
        )
    track = load_track(project.tracks, held.track)
    return Evidence(
        subject=f"{project.records.name}/{held.track}/{held.slug}",
        track=track,
        ruleset=ruleset_of(track, held.ruleset),
        runs=tuple(_recorded(run) for run in mine),
        claimed=held.claimed,
    )


def _recorded(run: RecordRun) -> Metrics:
    log = dataclasses.replace(
        RunLog.nothing(run.id),
        final_step=run.step,
        final_val_loss=run.value,
        has_final_val=True,
        final_train_time_s=run.train_time_s,
        gpu_name=run.gpu_name,
        gpu_count=run.gpu_count,
        torch=run.torch,
    )
    return measure(run.id.rpartition("/")[2][:40], log)


def assemble(
    found: Subject,
    chain: list[Entry],
    folders: list[Path],
    *,
    packed: bool,
    only: set[str] | None = None,
    parent: Baseline | None = None,
    others: Sequence[Path] = (),
) -> Evidence:
    """Read the runs in `folders` and put them beside the ledger's chain.

    only: judge one sitting; the chain is still checked as a whole. parent: its runs; those on the machine of the
    judged runs are the baseline. others: folders of runs that are not judged, looked at for contradictions alone.
    """
    ends = {e.data["run"]: e.data for e in chain if e.data["kind"] == "end"}
    starts = {e.data["run"]: e.data for e in chain if e.data["kind"] == "start"}
    ledger = extract(found, chain, packed=packed, only=only)
    script = found.script
    mine = tuple(read_run(folder, script, packed=packed) for folder in folders)
    contradictions = tuple(
        said
        for folder, run in zip(folders, mine, strict=True)
        for said in contradicting(found, folder, run, starts.get(folder.name), ends.get(folder.name))
    )
    for folder in others:
        run = read_run(folder, script, packed=packed)
        end = ends.get(folder.name)
        contradictions += tuple(contradicting(found, folder, run, starts.get(folder.name), end, log=True))
    here = {run.machine.fingerprint for run in mine if run.machine is not None}
    parents: tuple[Metrics, ...] = ()
    doubt = None
    if parent is not None:
        read = [read_run(folder, parent.script, packed=packed) for folder in parent.folders]
        parents, doubt = baseline.believed(parent, read)
    return Evidence(
        subject=found.name,
        track=found.track,
        ruleset=found.ruleset,
        runs=mine,
        script=script,
        script_sha256=found.script_sha256,
        manifest=found.manifest,
        claim=found.claim,
        claimed=found.record.claimed if found.record else None,
        ledger=ledger if chain else None,
        baseline=tuple(run for run in parents if run.machine is not None and {run.machine.fingerprint} == here),
        baseline_doubt=doubt,
        baseline_broken=len(standing(list(parent.chain)).broken) if parent is not None else 0,
        files=tuple((name, (found.files_folder / name).read_bytes()) for name in sorted(found.files)),
        contradictions=contradictions,
    )


def extract(found: Subject, chain: list[Entry], *, packed: bool, only: set[str] | None) -> LedgerExtract:
    """What the judge needs of a chain; of one sitting alone where `only` names its runs."""
    known = standing(chain)
    # On the machine that runs, a run may be going on right now and have no end yet.
    going_on = () if packed else open_runs(chain)
    counted = (run_id for run_id in known.order if run_id not in going_on)
    return LedgerExtract(
        runs_started=tuple(run_id for run_id in counted if only is None or run_id in only),
        open=going_on if only is None else (),
        problems=(
            *(p for p in find_breaks(chain, LEDGER) if packed or not p.endswith("has no end")),
            *(undeclared(found, chain[0]) if chain else ()),
        ),
        log_hashes={e.data["run"]: e.data["log_sha256"] for e in chain if e.data["kind"] == "end"},
        # A record is run afresh each time, so one sitting of it is judged alone.
        n_max=len(only) if only is not None else chain[0].data.get("n_max") if chain else None,
        broken=known.broken if only is None else (),
    )


def read_run(folder: Path, script: bytes, *, packed: bool) -> Metrics:
    """Read one run folder: its log, its clock, and what run.json says of it."""
    file = run_files.read_run_file(folder)
    raw = restore_log(folder, script) if packed else _own_log(folder)
    scrubbed = raw if packed else scrub_log(raw, script, own_names())
    try:
        log = reader.read_bytes(raw, LOG, curve=True)[-1]
        timed = reader.timed_lines(raw)
    except LogError:
        log, timed = RunLog.nothing(LOG), []
    if log.script_sha256 is None and not packed:
        log, timed = with_own_log(log, timed, folder / WORK / "logs")
    clock = read_clock(folder / CLOCK, name=f"{folder.name}/{CLOCK}") if has_kept(folder / CLOCK) else Clock(None, {})
    return measure(
        file.id,
        log,
        timed,
        arrivals_s=clock.arrivals_s,
        wall_time_s=clock.wall_time_s,
        log_sha256=hashlib.sha256(scrubbed).hexdigest(),
        outcome=file.outcome,
        machine=file.machine,
        data=file.data,
        given_seed=given_seed(file.arguments),
        given_files=file.files,
        started_at=file.started_at,
        observed=read_observed(folder, clock.start_ns),
    )


def _own_log(folder: Path) -> bytes:
    return (folder / LOG).read_bytes() if (folder / LOG).is_file() else b""


def with_own_log(log: RunLog, timed: list[TimedLine], logs: Path) -> tuple[RunLog, list[TimedLine]]:
    """What standard output tells, completed from the one log that the script wrote into `logs/` by itself.

    Many originals print their metrics and write source and versions to a file. The file counts where every
    validation of standard output stands in it as well; where standard output told no metric, the file alone does, and
    then no line of it was stamped.
    """
    try:
        [path] = [path for path in logs.glob("*.txt") if path.is_file() and not path.is_symlink()]
        raw = path.read_bytes() if path.stat().st_size < MOST_LOG_BYTES else b""
        own = reader.read_bytes(raw, path.name, curve=True)[-1]
    except (ValueError, OSError, LogError):  # none, several, or no training log
        return log, timed
    if log.final_step is None:
        return own, reader.timed_lines(raw)
    if not set(log.curve) <= set(own.curve):
        return log, timed
    told = ["source_sha256", "source_bytes", "source_origin", "script_sha256", "gpu_name", "gpu_count", "world_size"]
    told += ["driver", "cuda", "torch", "triton", "python", "peak_memory_mib", "started_at", "seed", "val_tokens"]
    filled = {name: getattr(own, name) for name in told if getattr(log, name) is None}
    return dataclasses.replace(log, **filled), timed


def given_seed(arguments: tuple[str, ...]) -> int | None:
    """The seed among the arguments that the harness gave a run."""
    seeds = [text.partition("=")[2] for text in arguments if text.startswith("seed=")]
    return int(seeds[-1]) if seeds and re.fullmatch(r"[0-9]{1,10}", seeds[-1]) else None
