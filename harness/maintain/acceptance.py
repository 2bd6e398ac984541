"""From a packed submission to a record: judge it, compare it, number it, move it.

Nothing is typed that a log already holds. On the tracks that rank by time a submission becomes a record on a stored
same-machine comparison with the current one that decided "faster"; where steps are ranked, the verdict is enough.
"""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.catalog.manifests import SCRIPT_FORM, ScriptFile
from harness.catalog.ranking import current
from harness.catalog.subjects import Subject
from harness.compare.decisive import called, find_comparison, sentence
from harness.core import stats
from harness.core.errors import Problem, StoreError
from harness.core.judgement import Verdict
from harness.core.measurement import Metrics
from harness.core.record import Claimed, Record, RecordRun
from harness.core.task import Manifest
from harness.evidence import gather
from harness.evidence.contents import Evidence
from harness.store import records
from harness.store.comparisons import Comparison, comparison_file
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import PACK
from harness.submission import inspection
from harness.verdict import judge


def accept(project: Project, found: Subject) -> tuple[Verdict, Record | None]:
    """Judge a packed submission and, if it passes, make it the track's next record.

    The submission's folder becomes the record's; the verdict comes back with None where it is not pass. Raises
    StoreError with every reason why the folder cannot be accepted at all.
    """
    manifest = _acceptable(project, found)
    gathered = gather.gather(project, found)
    verdict = judge(gathered)
    if verdict.outcome != "pass":
        return verdict, None
    record = make_record(project, found, manifest, gathered)
    comparison = None
    held = records.read_records(project)
    best = current(found.track, held)
    if found.track.metric == "train_time" and best is not None:
        comparison = find_comparison(project, found, best)
        said = sentence(comparison, called(best, held))
        if comparison.outcome != "faster":
            raise StoreError.at(found.name, f"is not faster than the current record ({said})", "it is no record")
        notes = f"{record.notes.rstrip()}\n{said}" if record.notes else said
        record = replace(record, faster_than=f"{best.track}/{best.slug}", notes=notes)

    def fill(aside: Path) -> None:
        for name in found.files:
            copy(found.files_folder / name, aside / records.SCRIPT / name)
        write_atomic(aside / records.SCRIPT / "script.yaml", script_yaml(found, record))
        if (found.folder / "README.md").is_file():
            copy(found.folder / "README.md", aside / "README.md")
        shutil.copytree(found.folder / PACK, aside / PACK)

    add_folder(project, record, fill, curve=canonical_curve(gathered.runs), comparison=comparison)
    shutil.rmtree(found.folder)
    return verdict, record


def _acceptable(project: Project, found: Subject) -> Manifest:
    if found.manifest is None:
        raise StoreError.at(found.name, "is no submission", "accept takes a folder under submissions/")
    problems = list(inspection.check(project, found.folder).problems)
    if not (found.folder / PACK).is_dir():
        problems.append(Problem(found.name, "holds no evidence", f"speedrun pack {found.name}"))
    if problems:
        raise StoreError(*problems)
    return found.manifest


def make_record(project: Project, found: Subject, manifest: Manifest, gathered: Evidence) -> Record:
    """The record that the judged runs are, every figure computed from them."""
    judged = gathered.runs
    numbers = [record.number for record in records.read_records(project) if record.track == found.track.name]
    losses = [run.val_loss for run in judged if run.val_loss is not None]
    times = [run.train_time_s for run in judged if run.train_time_s is not None]
    by_time = found.track.metric == "train_time"
    return Record(
        track=found.track.name,
        slug=found.folder.name,
        ruleset=found.ruleset.id,
        number=max(numbers, default=0) + 1,
        kind="record",
        retimes=None,
        date=datetime.date.fromisoformat(found.folder.name[:10]),
        title=manifest.title,
        contributors=manifest.contributors,
        pull_request=None,
        claimed=Claimed(
            train_time_s=round(stats.mean(times), 3) if by_time else None,
            steps=None if by_time else judged[0].step,
            val_loss=round(stats.mean(losses), 5),
            runs=len(judged),
        ),
        original=None,
        notes=manifest.notes,
        withdrawn=None,
        runs=(
            *(record_run(run, found.script_sha256) for run in judged),
            *(record_run(run, run.log.script_sha256, parent=manifest.parent) for run in gathered.baseline),
        ),
        has_evidence=True,
    )


def record_run(run: Metrics, script_sha256: str | None, *, parent: str | None = None) -> RecordRun:
    """One row of runs.csv; `parent`: the record that it is a run of, where it came along for comparison."""
    where = None if run.machine is None or run.machine.gpus else f"{run.machine.cpu_count} cores of {run.machine.cpu}"
    return RecordRun(
        id=run.run_id,
        role="own" if parent is None else "baseline",
        step=run.step,
        metric="val_loss",
        value=run.val_loss,
        train_time_s=run.train_time_s,
        gpu_name=run.log.gpu_name,
        gpu_count=run.log.gpu_count,
        driver=run.machine.driver if run.machine else None,
        torch=run.log.torch,
        started_at=run.log.started_at,
        script_sha256=script_sha256,
        note="; ".join(said for said in (parent and f"run of {parent}", where) if said) or None,
    )


def canonical_curve(judged: Sequence[Metrics]) -> records.Curve:
    """The curve of the run whose final loss is the median one."""
    ranked = sorted((run for run in judged if run.val_loss is not None), key=lambda run: (run.val_loss, run.run_id))
    return ranked[len(ranked) // 2].log.curve


def script_yaml(found: Subject, record: Record) -> str:
    """The script.yaml of an accepted record: its script is the original."""
    return SCRIPT_FORM.text(
        ScriptFile(
            origin="original",
            of=f"{record.track}/{record.number}",
            entry=found.entry,
            files=dict(found.files),
            train_tokens=found.train_tokens,
            claim=found.claim,
            parent=found.parent,
        )
    )


def add_folder(
    project: Project,
    record: Record,
    fill: Callable[[Path], None],
    *,
    curve: records.Curve = (),
    comparison: Comparison | None = None,
) -> Path:
    """Write a new record's folder, whole or not at all; `fill` adds what is more than figures.

    Raises StoreError where the folder exists, on a bad slug or on a full disk.
    """
    folder = project.records / record.track / record.slug
    if folder.exists() or not is_slug(record.slug):
        raise StoreError.at(project.show(folder), "exists already, or is no YYYY-MM-DD_kebab-name", "use another name")
    aside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        fill(aside)
        if comparison is not None:
            copy(comparison_file(project, comparison.id), aside / records.COMPARISON)
        records.write_record(aside, record, curve)
        aside.rename(folder)
    except OSError as error:
        raise disk_error(folder, error) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def copy(source: Path, target: Path) -> None:
    """Copy one file's bytes, whole or not at all."""
    write_atomic(target, source.read_bytes())
