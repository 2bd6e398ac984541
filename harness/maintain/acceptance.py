"""Turn a packed submission into a record: judge it, compare it, number it, move it.

Nobody types a number that a log already holds. A ruleset says what a record rests on. With `acceptance: evidence` that is
the submitter's pack and, on the tracks that rank by time, a stored same-machine comparison with the current record that
decided "faster". With `acceptance: session` it is a session of fresh runs by somebody who is listed for that; the
record then keeps the submitter's pack beside the session's.
"""

import datetime
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import LOCK, MANIFEST, SCRIPT_FORM, ScriptFile
from harness.catalog.subjects import Subject
from harness.compare.decisive import find_comparison, sentence
from harness.core import codec, stats
from harness.core.errors import Problem, StoreError, raise_if
from harness.core.judgement import Verdict
from harness.core.measurement import Metrics
from harness.core.record import Claimed, Record, RecordRun, cpu_note
from harness.core.task import Manifest
from harness.evidence.contents import Evidence
from harness.maintain import kept_runs, session_judgement
from harness.maintain.session_judgement import PROBE, Judgement
from harness.probe.stored import EVIDENCE, VERDICT
from harness.run import judging
from harness.store import records, sessions
from harness.store.comparisons import Comparison, comparison_file
from harness.store.files import disk_error, write_atomic
from harness.store.layout import Project, is_slug
from harness.store.packs import PACK
from harness.store.sessions import Session
from harness.submission import inspection
from harness.verdict.distance import by_distance

SUBMITTED = "submitted"  # the pack that came with a submission, where the record rests on other runs


def accept(
    catalog: Catalog, subject: Subject, *, pull_request: str | None = None, looking: bool = False
) -> tuple[Verdict, Record | None]:
    """Judge a packed submission and, if it passes, make it the track's next record; pull_request: its number.

    The submission's folder becomes the record's; looking: nothing is written or moved. Returns the verdict, with None
    where it is not pass. Raises StoreError with every reason why the folder cannot be accepted at all.
    """
    manifest = acceptable(catalog, subject)
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

    if looking:
        return verdict, record

    def fill(aside: Path) -> None:
        copy_script(subject, record, aside)
        shutil.copytree(subject.folder / PACK, aside / PACK)

    add_folder(catalog.project, record, fill, curve=canonical_curve(by_distance(gathered).runs), comparison=comparison)
    shutil.rmtree(subject.folder)
    return verdict, record


def accept_session(
    catalog: Catalog, subject: Subject, session: Session, *, pull_request: str | None = None, looking: bool = False
) -> tuple[Judgement, Record | None]:
    """Judge a session that is done and, if it passes, make its submission the track's next record.

    Nothing is run, and nothing is looked at but the submission, the records and the session's folder. looking: nothing
    is written or moved. Returns the judgement, with None where it gives reasons against it. Raises StoreError as `accept`
    does.
    """
    manifest = acceptable(catalog, subject)
    judgement = session_judgement.judge(catalog, subject, session)
    if judgement.reasons:
        return judgement, None
    record = replace(make_record(catalog, subject, manifest, judgement.gathered), pull_request=pull_request)
    best = catalog.current(subject.track)
    if judgement.comparison is not None and best is not None:
        said = sentence(judgement.comparison, catalog.name(best))
        notes = f"{record.notes.rstrip()}\n{said}" if record.notes else said
        record = replace(record, faster_than=f"{best.track}/{best.slug}", notes=notes)
    if looking:
        return judgement, record
    result = sessions.result_folder(catalog.project, session)

    def fill(aside: Path) -> None:
        copy_script(subject, record, aside)
        shutil.copytree(subject.folder / PACK, aside / SUBMITTED)
        shutil.copytree(result / PACK, aside / PACK)
        kept_runs.copy_kept(result, aside, judgement.probed, judgement.comparison)
        copy(result / PROBE / EVIDENCE, aside / PROBE / EVIDENCE)
        write_atomic(aside / PROBE / VERDICT, codec.to_text(judgement.probe))
        if judgement.comparison is not None:
            copy(result / records.COMPARISON, aside / records.COMPARISON)
        copy(sessions.session_folder(catalog.project, session) / sessions.SESSION, aside / sessions.SESSION)

    add_folder(catalog.project, record, fill, curve=canonical_curve(by_distance(judgement.gathered).runs))
    shutil.rmtree(subject.folder)
    return judgement, record


def moved(project: Project, name: str, *, looking: bool = False) -> Path | None:
    """Find the record that a submission became by a session; None where it did not, or not here.

    Where a kill left the submission's folder beside it, or a part of it, that is removed (not when looking): all of it is
    in the record.
    """
    folder = Path(name.rstrip("/"))
    if folder.parent.name != project.submissions.name or not is_slug(folder.name):
        return None
    found = sorted(project.records.glob(f"*/{folder.name}/{sessions.SESSION}"))
    if len(found) != 1:
        return None
    record, left = found[0].parent, project.submissions / folder.name
    if any(not _is_kept(path.relative_to(left), path, record) for path in left.rglob("*") if not path.is_dir()):
        return None  # another submission of that name
    if not looking:
        shutil.rmtree(left, ignore_errors=True)
    return record


def _is_kept(inside: Path, path: Path, record: Path) -> bool:
    """Tell whether a file of a submission is in the record that it became; what the manifest says is in record.yaml."""
    if str(inside) in (MANIFEST, LOCK):
        return True
    places = (record / records.SCRIPT / inside, record / inside, record / SUBMITTED / Path(*inside.parts[1:]))
    return any(place.is_file() and place.read_bytes() == path.read_bytes() for place in places)


def copy_script(subject: Subject, record: Record, aside: Path) -> None:
    """Put the frozen script and the README of a submission into the folder of the record that it becomes."""
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


def acceptable(catalog: Catalog, subject: Subject) -> Manifest:
    """Return the manifest of a submission; raises StoreError with every reason why its folder cannot be accepted."""
    if subject.manifest is None:
        raise StoreError.at(subject.name, "is not a submission", "accept takes a folder under submissions/")
    problems = list(inspection.check(catalog, subject.folder).problems)
    if not (subject.folder / PACK).is_dir():
        problems.append(Problem(subject.name, "holds no evidence", f"pack it: speedrun pack {subject.name}"))
    raise_if(problems, StoreError)
    return subject.manifest


def make_record(catalog: Catalog, subject: Subject, manifest: Manifest, gathered: Evidence) -> Record:
    """Return the record of the judged runs, every figure computed from them.

    Where each series has a source of its own, a mean of printed losses says nothing and none is claimed.
    """
    judged, metric = by_distance(gathered).runs, subject.ruleset.loss_metric
    numbers = [record.number for record in catalog.records(subject.track.name)]
    losses = [run.val_loss for run in judged if run.val_loss is not None]
    times = [run.train_time_s for run in judged if run.train_time_s is not None]
    by_time = subject.track.metric == "train_time"
    parent, beside = catalog.parent(subject), manifest.parent
    if gathered.beside is not None and (
        parent is None or catalog.project.show(catalog.folder(parent)) != gathered.beside
    ):
        beside = catalog.name(catalog.record(gathered.beside))
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
            val_loss=round(stats.mean(losses), 5) if metric == "val_loss" else None,
            runs=len(judged),
        ),
        original=None,
        notes=manifest.notes,
        withdrawn=None,
        runs=(
            *(record_run(run, subject.script_sha256, metric) for run in judged),
            *(record_run(run, run.log.script_sha256, parent=beside) for run in gathered.baseline),
        ),
        has_evidence=True,
    )


def record_run(
    run: Metrics, script_sha256: str | None, metric: str = "val_loss", *, parent: str | None = None
) -> RecordRun:
    """Return one row of runs.csv; `parent`: the record whose run it is, where it was packed for comparison."""
    where = None if run.machine is None or run.machine.gpus else cpu_note(run.machine.cpu_count, run.machine.cpu)
    return RecordRun(
        id=run.run_id,
        role="own" if parent is None else "baseline",
        step=run.step,
        metric=metric,
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
