"""What a maintainer adds to a record that is there: another timing of it, or the mark that it was withdrawn.

No file of a record ever changes: a re-timing is a folder of its own, a withdrawal one more file.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path
from typing import Literal

from harness.catalog import originals, scripts, subjects
from harness.catalog.manifests import SCRIPT_FORM, ScriptFile
from harness.catalog.ranking import current
from harness.catalog.subjects import Subject
from harness.compare.decisive import called, find_comparison, sentence
from harness.core import stats
from harness.core.errors import StoreError
from harness.core.record import Claimed, Record, RecordRun, Withdrawal
from harness.maintain.acceptance import add_folder
from harness.store import records
from harness.store.comparisons import ComparedRun, Comparison, comparison_file
from harness.store.files import write_atomic
from harness.store.layout import Project


def retime(project: Project, name: str) -> tuple[Record, str]:
    """Make the stored comparison of the current record (A) with a record (B) a re-timing of B, and say its outcome.

    Raises StoreError where there is no decided comparison, or where it is older than a re-timing that is there.
    """
    found = _named(project, name)
    if found.record is None:
        raise StoreError.at(found.name, "is no record", "name one like short/12")
    if found.track.metric != "train_time":
        raise StoreError.at(found.name, f"{found.track.name} ranks by steps", "a time means nothing there")
    held = records.read_records(project)
    best = current(found.track, held)
    assert best is not None  # there is at least the record that was named
    comparison = find_comparison(project, found, best)
    timed = found.record
    number = timed.number if timed.retimes is None else timed.retimes
    earlier = [r for r in held if r.track == timed.track and r.retimes == number]
    date = datetime.date.fromisoformat(comparison.started_at[:10])
    stem = f"{date}_{re.sub(r'^[0-9-]+_|-retimed.*$', '', timed.slug)}-retimed"
    taken = [r.slug for r in earlier]
    slug = next(s for s in (stem, *(f"{stem}-{n}" for n in range(2, 10 + len(taken)))) if s not in taken)
    if any((str(r.date), r.slug) >= (str(date), slug) for r in earlier):
        why = f"was timed again after that comparison of {date}"
        raise StoreError.at(found.name, why, "compare again, so that the numbers of re-timings keep their order")
    if any(comparison_file(project, comparison.id).read_bytes() == _stored(project, r) for r in earlier):
        raise StoreError.at(found.name, "this comparison is a re-timing already", "compare again for another one")
    record = _retiming(found, comparison, slug, number, best, called(best, held))

    def fill(aside: Path) -> None:
        if not scripts.has_script(project, timed):
            return  # it is run with the original of the record that it times
        of = f"{found.track.name}/{found.files_folder.parent.name}"
        origin: Literal["original", "reimplementation"] = "reimplementation" if found.reimplementation else "original"
        script = ScriptFile(origin=origin, of=f"{record.track}/{number}", same_as=of)
        write_atomic(aside / records.SCRIPT / "script.yaml", SCRIPT_FORM.text(script))

    add_folder(project, record, fill, comparison=comparison)
    return record, sentence(comparison, called(best, held))


def _named(project: Project, name: str) -> Subject:
    """The record that a name means, with the script that `compare` runs it with; the files of an original may be away."""
    held = scripts.find_held(project, name)
    held = None if held is None else scripts.run_with(project, held)
    if held is None or scripts.has_script(project, held) or not originals.published(held):
        return subjects.find_subject(project, name)
    return originals.described(project, scripts.folder_of(project, held), held)


def _stored(project: Project, record: Record) -> bytes | None:
    path = project.records / record.track / record.slug / records.COMPARISON
    return path.read_bytes() if path.is_file() else None


def _retiming(found: Subject, comparison: Comparison, slug: str, number: int, best: Record, against: str) -> Record:
    timed = found.record
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


def withdraw(project: Project, name: str, why: str) -> Path:
    """Mark a record as withdrawn by a file of its own; it keeps its row and is never the current record again."""
    folder = records.find_record(project, name)
    record = records.read_record(folder, name=project.show(folder))
    if record.withdrawn is not None:
        raise StoreError.at(
            project.show(folder), f"is withdrawn already ({record.withdrawn[:100]})", "nothing is left to do"
        )
    why = " ".join(why.split())
    if not why or len(why) > 300 or not why.isprintable():
        raise StoreError.at(
            "--why", f"the reason has {len(why)} characters", "say it in one line of 1 to 300 characters"
        )
    today = datetime.datetime.now(datetime.UTC).date()
    path = folder / records.WITHDRAWN
    write_atomic(path, records.WITHDRAWAL_FORM.text(Withdrawal(today, why)))
    return path
