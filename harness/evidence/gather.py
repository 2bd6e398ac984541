"""Gather the evidence of a subject from its run folders, its ledger and its pack.

The same layout lies in `.runs/` on the machine that ran it and in the `evidence/` of a submission or a record, so a
maintainer judges what the submitter judged.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.catalog.tracks import load_track, ruleset_of
from harness.core import secret_source
from harness.core.errors import StoreError
from harness.core.measurement import Metrics, RunLog
from harness.core.record import Record, RecordRun
from harness.evidence.baseline import comparable, in_pack, on_this_machine, run_folders
from harness.evidence.consistency import altered, altered_score, contradicting, misplaced, undeclared
from harness.evidence.contents import Evidence, LedgerExtract, ParentText
from harness.evidence.counted_losses import counted_losses
from harness.evidence.metrics import from_log, read_run
from harness.store.entries import Chain
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.packs import LEDGER, PACK, RUNS, Baseline, ParentScript, check_pack, read_pack_ledger
from harness.store.sessions import Session, beside


def gather(
    project: Project,
    subject: Subject,
    run_ids: Collection[str] | None = None,
    *,
    packed: bool = True,
    parent: ParentScript | None = None,
    compared: Sequence[ParentScript] = (),
    session: Session | None = None,
) -> Evidence:
    """Gather the given runs of this machine, else the subject's pack, else all its runs in the ledger here.

    packed: False ignores its pack. parent: the script that the subject builds on. compared: scripts whose runs on the same
    machine may be the baseline, the best suited first; of given runs there is none. session: gather its runs alone, from
    the ledger here; of a record that was accepted by one its pack holds them. Raises StoreError where there is no run.
    """
    pack = subject.folder / PACK
    if packed and run_ids is None and session is None and (pack.is_dir() or pack.is_symlink()):
        own = beside(subject.folder, name=subject.name) if subject.record is not None else None
        return from_pack(subject, pack, f"{subject.name}/{PACK}", parent, compared, own)
    whole = Ledger(project.ledger).read().of_folder(subject.chain, subject.slug)
    chain = whole.of_script(subject.chain)
    if session is not None:
        folders = run_folders(project.runs, [run_id for run_id in _of(session, chain) if run_id not in chain.open])
        baseline = on_this_machine(project, compared)
        evidence = assemble(subject, whole, folders, packed=False, parent=parent, baseline=baseline, session=session)
        return _beside(evidence, compared, baseline)
    if run_ids is not None:
        folders = run_folders(project.runs, list(run_ids))
        return assemble(subject, whole, folders, packed=False, only=run_ids, parent=parent)
    if not chain.has_judged:
        said, todo = "has no evidence: no pack and no judged run on this machine", f"speedrun run {subject.name}"
        raise StoreError.at(subject.name, said, todo)
    # A run whose folder is gone is missing in the evidence, and rule G2 says so.
    folders = run_folders(project.runs, [run_id for run_id in chain.judged if run_id not in chain.open])
    baseline = on_this_machine(project, compared)
    evidence = assemble(subject, whole, folders, packed=False, parent=parent, baseline=baseline)
    return _beside(evidence, compared, baseline)


def from_pack(
    subject: Subject,
    pack: Path,
    name: str,
    parent: ParentScript | None,
    compared: Sequence[ParentScript],
    session: Session | None = None,
) -> Evidence:
    """Gather the runs of a subject from a pack called `name`; of a session: those alone, and no others may be there."""
    check_pack(pack, name)
    if not (pack / LEDGER).is_file():
        raise StoreError.at(name, f"holds no {LEDGER}, so its runs cannot be judged", "pack the submission again")
    whole = read_pack_ledger(pack, name)
    chain = _own(subject, whole)
    folders = sorted((pack / RUNS).glob("*/"))
    judged = run_folders(pack / RUNS, chain.judged if session is None else _of(session, chain))
    known = _packed(chain) if session is None else _packed(chain) & {*session.runs_of(chain)}
    unknown = [folder for folder in folders if folder.name not in known]
    others = [folder for folder in folders if folder not in judged and folder not in unknown]
    baseline = in_pack(pack, name, compared)
    folders = [*judged, *unknown]
    evidence = assemble(
        subject,
        whole,
        folders,
        pack=pack,
        packed=True,
        parent=parent,
        baseline=baseline,
        others=others,
        session=session,
    )
    return _beside(evidence, compared, baseline)


def _beside(evidence: Evidence, compared: Sequence[ParentScript], baseline: Baseline | None) -> Evidence:
    """Name in evidence the script whose runs stand beside, or should."""
    script = baseline.parent if baseline is not None else next(iter(compared), None)
    return dataclasses.replace(evidence, beside=script.name if script is not None else None)


def _of(session: Session, chain: Chain) -> list[str]:
    """Name the runs of a session whose logs are judged."""
    own = {*session.runs_of(chain)}
    return [run_id for run_id in chain.judged if run_id in own]


def _own(subject: Subject, whole: Chain) -> Chain:
    """Choose the chain of the script; ledgers of the old form hold no other."""
    return whole if whole.is_old else whole.of_script(subject.chain)


def _packed(chain: Chain) -> set[str]:
    """Name the runs whose folders `pack` keeps: those that count. Of the old form any run of the ledger is let be."""
    old = {run_id for run_id, start in chain.starts.items() if start.is_old}
    return {*chain.counted, *old, *(chain.ends.keys() - chain.starts.keys())}


def newer_runs(project: Project, subject: Subject) -> int:
    """Count the runs that this machine's ledger has beyond a submission's pack; 0 where the pack is from elsewhere."""
    file = subject.folder / PACK / LEDGER
    if subject.manifest is None or not file.is_file():
        return 0
    try:
        kept = _own(subject, read_pack_ledger(subject.folder / PACK, f"{subject.name}/{PACK}"))
    except StoreError:  # `check` and `verify` say what is wrong with it
        return 0
    here = Ledger(project.ledger).chain(subject.chain)
    if not here.raw.startswith(kept.raw):
        return 0  # it was packed on another machine
    return max(0, len(here.counted) - len(kept.counted))


def from_figures(project: Project, record: Record) -> Evidence:
    """Build the evidence of a past record from the figures of its own runs, under the rules of its time.

    Nothing else is left of them here; its ruleset asked for no more. Raises StoreError where no run is known.
    """
    own = [run for run in record.runs if run.role == "own" and run.metric == "val_loss" and run.value is not None]
    if not own:
        name = f"{record.track}/{record.slug}"
        other = {run.metric for run in record.runs if run.role == "own" and run.value is not None}
        why = f"its runs are known by {min(other)}, the rules judge val_loss" if other else "no run of it is known"
        raise StoreError.at(name, f"cannot be judged: {why}", f"see what it claims: speedrun show {name}")
    track = load_track(project.tracks, record.track)
    return Evidence(
        subject=f"{project.records.name}/{record.track}/{record.slug}",
        track=track,
        ruleset=ruleset_of(track, record.ruleset),
        runs=tuple(_recorded(run) for run in own),
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
    return from_log(run.id.rpartition("/")[2][:40], log)


def assemble(
    subject: Subject,
    whole: Chain,
    folders: Sequence[Path],
    *,
    packed: bool,
    only: Collection[str] | None = None,
    parent: ParentScript | None = None,
    baseline: Baseline | None = None,
    others: Sequence[Path] = (),
    pack: Path | None = None,
    session: Session | None = None,
) -> Evidence:
    """Read the runs in `folders` and put them beside the ledger's chain.

    whole: the chains of all scripts of the folder. only: ids of the runs to judge; the chain is still checked as a
    whole. others: folders of runs that are not judged but searched for contradictions. pack: where they are packed.
    session: whose runs these are.
    """
    script, chain = subject.script, _own(subject, whole)
    if session is not None:
        only = session.runs_of(chain)
    runs = tuple(with_source(subject, read_run(folder, script, packed=packed)) for folder in folders)
    pairs = zip(folders, runs, strict=True)
    contradictions = [said for folder, run in pairs for said in contradicting(subject, folder, run, chain)]
    for folder in others:
        contradictions += contradicting(subject, folder, read_run(folder, script, packed=packed), chain, log=True)
    here = {folder.name: folder for folder in (*folders, *others)}
    changed = [said for id, folder in here.items() for said in altered(folder, chain.ends.get(id), packed=packed)]
    changed += [said for id, folder in here.items() for said in altered_score(folder, chain.scores.get(id))]
    # A judged run that is missing is said to be dropped; an aborted one has files as well.
    aborted = [run_id for run_id in chain.aborted if session is None or run_id in session.runs_of(chain)]
    gone = [run_id for run_id in aborted if packed and run_id not in here and chain.ends[run_id].files]
    changed += [f"the files of {run_id}, an aborted run, are missing" for run_id in gone]
    parent_runs, doubt, changed_too = comparable(baseline, runs, pack)
    return dataclasses.replace(
        of_text(subject, parent),
        runs=counted_losses(subject.ruleset, runs, session),
        packed=packed,
        manifest=subject.manifest,
        claim=subject.claim,
        ledger=extract(subject, whole, packed=packed, only=only, session=session) if whole.entries else None,
        baseline=parent_runs,
        baseline_doubt=doubt,
        baseline_aborted=len(baseline.chain.aborted) if baseline is not None else 0,
        contradictions=tuple(contradictions),
        altered=(*changed, *changed_too),
        session=session,
    )


def of_text(subject: Subject, parent: ParentScript | None) -> Evidence:
    """Build the evidence that a subject's text is, without any run."""
    known: ParentText | None = None
    if subject.ruleset.program_text is not None and subject.parent is not None:
        known = ParentText(subject.parent)
        if parent is not None:
            there = None if parent.folder is None else _contents(parent.folder, parent.files)
            known = ParentText(parent.name, frozenset(parent.files.values()), there)
    return Evidence(
        subject=subject.name,
        track=subject.track,
        ruleset=subject.ruleset,
        runs=(),
        script_sha256=subject.script_sha256,
        files=_contents(subject.files_folder, subject.files),
        parent=known,
    )


def _contents(folder: Path, files: Iterable[str]) -> tuple[tuple[str, bytes], ...]:
    return tuple((name, (folder / name).read_bytes()) for name in sorted(files))


def with_source(subject: Subject, run: Metrics) -> Metrics:
    """Put beside a run what the seed of its secret source gives, where its ruleset asks for such a source."""
    if subject.ruleset.above_entropy is None or run.data is None:
        return run
    return dataclasses.replace(run, drawn=secret_source.draw_again(subject.track, run.data))


def extract(
    subject: Subject, whole: Chain, *, packed: bool, only: Collection[str] | None, session: Session | None = None
) -> LedgerExtract:
    """Choose what the judge needs of a ledger; where `only` names runs, of those alone.

    Of a session's runs, which nobody could choose, all that began count, and the number is the one that it declared.
    What the submitter tried before them divides no level.
    """
    chain = _own(subject, whole)
    # On the machine that runs, a run may be in progress and have no end yet.
    in_progress = () if packed else tuple(run_id for run_id in chain.open if chain.starts[run_id].is_judged)
    counted = [run_id for run_id in chain.counted if run_id not in in_progress]
    breaks = [found.sentence(LEDGER) for found in chain.breaks() if packed or found.kind != "no end"]
    breaks += misplaced(subject, whole) if packed and not whole.is_old else []
    others = [other for script, other in whole.scripts.items() if script != subject.chain and other.counted]
    chosen = LedgerExtract(
        runs_started=tuple(run_id for run_id in counted if only is None or run_id in only),
        open=in_progress if only is None else (),
        problems=(*breaks, *undeclared(subject, chain)),
        log_hashes={run_id: end.log_sha256 for run_id, end in chain.ends.items()},
        # A record is run afresh each time, so one series of it is judged alone.
        n_max=chain.n_max if only is None else len(only),
        aborted=chain.aborted if only is None else (),
        absent=chain.absent_beside(only),
        scripts_before=len(others) if only is None and not whole.is_old else 0,
        others_tried=chain.declared.others if chain.declared is not None and only is None else None,
    )
    if session is None or only is None:
        return chosen
    aborted = tuple(run_id for run_id in chain.aborted if run_id in only)
    return dataclasses.replace(chosen, n_max=session.declared, aborted=aborted)
