"""Turn a packed submission into a record: judge it, compare it, number it, move it.

Nobody types a number that a log already holds. On the tracks that rank by time a submission becomes a record on a stored
same-machine comparison with the current one that decided "faster"; where steps are ranked, the verdict is enough.
"""

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import SCRIPT_FORM, ScriptFile
from harness.catalog.subjects import Subject
from harness.compare.decisive import find_comparison, sentence
from harness.core import stats
from harness.core.errors import Problem, StoreError, raise_if
from harness.core.judgement import Verdict
from harness.core.measurement import Metrics
from harness.core.record import Claimed, Record, RecordRun, cpu_note
from harness.core.task import Manifest
from harness.evidence.contents import Evidence
from harness.run import judging
from harness.store import records
from harness.store.comparisons import Comparison, comparison_file
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import PACK
from harness.submission import inspection


def accept(catalog: Catalog, subject: Subject, *, pull_request: str | None = None) -> tuple[Verdict, Record | None]:
    """Judge a packed submission and, if it passes, make it the track's next record; pull_request: its number.

    The submission's folder becomes the record's. Returns the verdict, with None where it is not pass. Raises StoreError
    with every reason why the folder cannot be accepted at all.
    """
    manifest = _acceptable(catalog, subject)
    gathered, verdict = judging.verify(catalog, subject)
    if verdict.outcome != "pass":
        return verdict, None
    record = replace(make_record(catalog, subject, manifest, gathered), pull_request=pull_request)
    comparison = None
    best = catalog.current(subject.track)
    if subject.track.metric == "train_time" and best is not None:
        comparison = find_comparison(catalog, subject, best)
        result = sentence(comparison, catalog.name(best))
        if comparison.outcome != "faster":
            what = f"is not faster than the current record ({result})"
            raise StoreError.at(subject.name, what, "it cannot become a record")
        notes = f"{record.notes.rstrip()}\n{result}" if record.notes else result
        record = replace(record, faster_than=f"{best.track}/{best.slug}", notes=notes)

    def fill(aside: Path) -> None:
        for name in subject.files:
            copy(subject.files_folder / name, aside / records.SCRIPT / name)
        # What was submitted is the original from now on.
        script = ScriptFile(
            origin="original",
            of=f"{record.track}/{record.number}",
            entry=subject.entry,
            files=dict(subject.files),
            train_tokens=subject.train_tokens,
            claim=subject.claim,
            parent=subject.parent,
        )
        write_atomic(aside / records.SCRIPT / "script.yaml", SCRIPT_FORM.text(script))
        if (subject.folder / "README.md").is_file():
            copy(subject.folder / "README.md", aside / "README.md")
        shutil.copytree(subject.folder / PACK, aside / PACK)

    add_folder(catalog.project, record, fill, curve=canonical_curve(gathered.runs), comparison=comparison)
    shutil.rmtree(subject.folder)
    return verdict, record


def _acceptable(catalog: Catalog, subject: Subject) -> Manifest:
    if subject.manifest is None:
        raise StoreError.at(subject.name, "is not a submission", "accept takes a folder under submissions/")
    problems = list(inspection.check(catalog, subject.folder).problems)
    if not (subject.folder / PACK).is_dir():
        problems.append(Problem(subject.name, "holds no evidence", f"pack it: speedrun pack {subject.name}"))
    raise_if(problems, StoreError)
    return subject.manifest


def make_record(catalog: Catalog, subject: Subject, manifest: Manifest, gathered: Evidence) -> Record:
    """Return the record of the judged runs, every figure computed from them."""
    judged = gathered.runs
    numbers = [record.number for record in catalog.records(subject.track.name)]
    losses = [run.val_loss for run in judged if run.val_loss is not None]
    times = [run.train_time_s for run in judged if run.train_time_s is not None]
    by_time = subject.track.metric == "train_time"
    return Record(
        track=subject.track.name,
        slug=subject.folder.name,
        ruleset=subject.ruleset.id,
        number=max(numbers, default=0) + 1,
        kind="record",
        retimes=None,
        date=datetime.date.fromisoformat(subject.folder.name[:10]),
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
            *(record_run(run, subject.script_sha256) for run in judged),
            *(record_run(run, run.log.script_sha256, parent=manifest.parent) for run in gathered.baseline),
        ),
        has_evidence=True,
    )


def record_run(run: Metrics, script_sha256: str | None, *, parent: str | None = None) -> RecordRun:
    """Return one row of runs.csv; `parent`: the record whose run it is, where it was packed for comparison."""
    where = None if run.machine is None or run.machine.gpus else cpu_note(run.machine.cpu_count, run.machine.cpu)
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
        note="; ".join(part for part in (parent and f"run of {parent}", where) if part) or None,
    )


def canonical_curve(judged: Sequence[Metrics]) -> records.Curve:
    """Return the curve of the run whose final loss is the median one."""
    ranked = sorted((run for run in judged if run.val_loss is not None), key=lambda run: (run.val_loss, run.run_id))
    return ranked[len(ranked) // 2].log.curve


def add_folder(
    project: Project,
    record: Record,
    fill: Callable[[Path], None],
    *,
    curve: records.Curve = (),
    comparison: Comparison | None = None,
) -> Path:
    """Write a new record's folder, whole or not at all; `fill` adds all files but the figures.

    Raises StoreError where the folder exists, for a bad slug and for a full disk.
    """
    folder = project.records / record.track / record.slug
    if folder.exists() or not is_slug(record.slug):
        what = "exists already, or is not of the form YYYY-MM-DD_kebab-name"
        raise StoreError.at(project.show(folder), what, "use another name")
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
