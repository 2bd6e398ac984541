"""Add to an existing record: another timing of it, or the mark that it was withdrawn.

No file of a record ever changes: a re-timing is a folder of its own, a withdrawal one more file.
"""

import datetime
import re
from dataclasses import replace
from pathlib import Path
from typing import Literal

from harness.catalog.lookup import Catalog
from harness.catalog.manifests import SCRIPT_FORM, ScriptFile
from harness.catalog.originals import published
from harness.catalog.subjects import Subject
from harness.compare.decisive import find_comparison, sentence
from harness.core import stats
from harness.core.errors import StoreError
from harness.core.record import Claimed, Record, RecordRun, Withdrawal
from harness.core.text import plural
from harness.maintain.acceptance import add_folder
from harness.store import records
from harness.store.comparisons import ComparedRun, Comparison, comparison_file
from harness.store.files import write_atomic
from harness.store.layout import Project


def retime(catalog: Catalog, name: str, *, looking: bool = False) -> tuple[Record, str]:
    """Make the stored comparison of the current record (A) with a record (B) a re-timing of B; say its outcome.

    looking: nothing is written. Raises StoreError where there is no decided comparison, or where it is older than an
    existing re-timing.
    """
    project = catalog.project
    subject = _named(catalog, name)
    if subject.record is None:
        raise StoreError.at(subject.name, "is not a record", "name one like short/12")
    if subject.track.metric != "train_time":
        todo = "only tracks that rank by time have re-timings"
        raise StoreError.at(subject.name, f"{subject.track.name} ranks by steps", todo)
    best = catalog.current(subject.track)
    assert best is not None  # there is at least the record that was named
    comparison = find_comparison(catalog, subject, best)
    timed = subject.record
    number = timed.number if timed.retimes is None else timed.retimes
    earlier = [r for r in catalog.records(timed.track) if r.retimes == number]
    date = datetime.date.fromisoformat(comparison.started_at[:10])
    stem = f"{date}_{re.sub(r'^[0-9-]+_|-retimed.*$', '', timed.slug)}-retimed"
    taken = [r.slug for r in earlier]
    slug = next(s for s in (stem, *(f"{stem}-{n}" for n in range(2, 10 + len(taken)))) if s not in taken)
    if any((str(r.date), r.slug) >= (str(date), slug) for r in earlier):
        what = f"was timed again after that comparison of {date}"
        raise StoreError.at(subject.name, what, "compare again, so that the numbers of re-timings keep their order")
    if any(comparison_file(project, comparison.id).read_bytes() == _stored(project, r) for r in earlier):
        raise StoreError.at(
            subject.name, "its newest comparison is a re-timing already", "compare again for another one"
        )
    record = _retiming(subject, comparison, slug, number, best, catalog.name(best))

    def fill(aside: Path) -> None:
        if not catalog.has_script(timed):
            return  # it is run with the original of the record that it times
        of = f"{subject.track.name}/{subject.files_folder.parent.name}"
        origin: Literal["original", "reimplementation"] = "reimplementation" if subject.reimplementation else "original"
        script = ScriptFile(origin=origin, of=f"{record.track}/{number}", same_as=of)
        write_atomic(aside / records.SCRIPT / "script.yaml", SCRIPT_FORM.text(script))

    if not looking:
        add_folder(project, record, fill, comparison=comparison)
    return record, sentence(comparison, catalog.name(best))


def _named(catalog: Catalog, name: str) -> Subject:
    """Return what a name means with the script that `compare` runs it with; the files of an original may be missing."""
    named = catalog.find(name)
    record = None if named.record is None else catalog.run_with(named.record)
    if record is None or catalog.has_script(record) or not published(record):
        return catalog.subject(named if record is None else replace(named, record=record))
    return catalog.described_script(record)


def _stored(project: Project, record: Record) -> bytes | None:
    path = project.records / record.track / record.slug / records.COMPARISON
    return path.read_bytes() if path.is_file() else None


def _retiming(subject: Subject, comparison: Comparison, slug: str, number: int, best: Record, against: str) -> Record:
    timed = subject.record
    assert timed is not None
    own = [run for run in comparison.runs if run.arm == "B"]
    losses = [run.val_loss for run in own if run.val_loss is not None]
    is_itself = comparison.a.script_sha256 == comparison.b.script_sha256
    return Record(
        track=timed.track,
        slug=slug,
        ruleset=timed.ruleset,
        number=number,
        kind="retiming",
        retimes=number,
        date=datetime.date.fromisoformat(slug[:10]),
        title=f"{timed.title} (timed again)" if timed.kind == "record" else timed.title,
        contributors=timed.contributors,
        pull_request=None,
        claimed=Claimed(
            train_time_s=round(stats.mean([run.train_time_s for run in own]), 3),
            steps=None,
            val_loss=round(stats.mean(losses), 5) if losses else None,
            runs=len(own),
        ),
        original=None,
        notes=sentence(comparison, against),
        withdrawn=None,
        runs=tuple(_compared_run(run, comparison) for run in comparison.runs),
        faster_than=f"{best.track}/{best.slug}" if comparison.outcome == "faster" and not is_itself else None,
    )


def _compared_run(run: ComparedRun, comparison: Comparison) -> RecordRun:
    own, gpus = run.arm == "B", comparison.machine.gpus
    return RecordRun(
        id=run.run,
        role="own" if own else "baseline",
        step=None,
        metric="val_loss",
        value=run.val_loss,
        train_time_s=run.train_time_s,
        gpu_name=gpus[0].name if gpus else None,
        gpu_count=len(gpus) or None,
        driver=None,
        torch=None,
        started_at=None,
        script_sha256=comparison.b.script_sha256 if own else comparison.a.script_sha256,
        note=None if gpus else comparison.machine.cpu,
    )


def withdraw(catalog: Catalog, name: str, why: str, *, looking: bool = False) -> Path:
    """Mark a record as withdrawn by a file of its own; it keeps its row and is never the current record again.

    looking: nothing is written. Returns the file; raises StoreError for a bad reason, and where it is withdrawn already.
    """
    record = catalog.record(name)
    folder = catalog.folder(record)
    if record.withdrawn is not None:
        what = f"is withdrawn already ({record.withdrawn[:100]})"
        raise StoreError.at(catalog.project.show(folder), what, "there is nothing to do")
    why = " ".join(why.split())
    if not why or len(why) > 300 or not why.isprintable():
        what = f"the reason has {plural(len(why), 'character')}"
        raise StoreError.at("--why", what, "give it in one line of 1 to 300 printable characters")
    today = datetime.datetime.now(datetime.UTC).date()
    path = folder / records.WITHDRAWN
    if not looking:
        write_atomic(path, records.WITHDRAWAL_FORM.text(Withdrawal(today, why)))
    return path
