"""Judge a subject by the evidence that there is of it, and find the script of its parent, which it is held against."""

from collections.abc import Collection
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.originals import is_whole, published
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.core.judgement import Finding, Verdict
from harness.core.record import Record
from harness.evidence import gather
from harness.evidence.contents import Evidence
from harness.store.layout import Project
from harness.store.packs import ParentScript
from harness.store.sessions import Session
from harness.verdict import judge, judge_text


def verify(
    catalog: Catalog,
    subject: Subject,
    run_ids: Collection[str] | None = None,
    *,
    packed: bool = True,
    session: Session | None = None,
) -> tuple[Evidence, Verdict]:
    """Judge the given runs of a subject, else its pack, else every run of it in the ledger here.

    packed: False ignores its pack. session: judge its runs alone, from the ledger here. Raises StoreError where there
    is no run.
    """
    parent, compared = find_parent(catalog, subject), find_compared(catalog, subject)
    evidence = gather.gather(
        catalog.project, subject, run_ids, packed=packed, parent=parent, compared=compared, session=session
    )
    return evidence, judge(evidence)


def verify_pack(
    catalog: Catalog, subject: Subject, pack: Path, name: str, session: Session
) -> tuple[Evidence, Verdict]:
    """Judge the runs of a session from a pack called `name`, wherever it lies."""
    parent, compared = find_parent(catalog, subject), find_compared(catalog, subject)
    evidence = gather.from_pack(subject, pack, name, parent, compared, session)
    return evidence, judge(evidence)


def read_text(catalog: Catalog, subject: Subject) -> tuple[Finding, ...]:
    """Apply the rules that need nothing but a subject's text, before anything of it is run."""
    return judge_text(gather.of_text(subject, find_parent(catalog, subject)))


def verify_past(project: Project, record: Record) -> tuple[Evidence, Verdict]:
    """Judge a record of the imported past by its figures and the rules of its time."""
    evidence = gather.from_figures(project, record)
    return evidence, judge(evidence)


def no_record(catalog: Catalog, subject: Subject, gathered: Evidence, verdict: Verdict) -> bool | None:
    """Tell whether a submission is valid and no record, where steps decide that.

    None where it is not valid, and on a track by time: only a comparison on one machine can tell there.
    """
    if verdict.outcome != "pass" or subject.record is not None or subject.track.metric == "train_time":
        return None if subject.record is None else False
    best, steps = catalog.current(subject.track), gathered.runs[0].step
    if best is None or best.claimed.steps is None or steps is None:
        return False
    return steps >= best.claimed.steps


def find_parent(catalog: Catalog, subject: Subject) -> ParentScript | None:
    """Find the parent's script in its record's folder, else its published one; None where no parent is named or known."""
    record = catalog.parent(subject)
    if record is None:
        return None
    try:
        if catalog.has_script(record):
            return _in_folder(catalog.script_here(record))
        if not published(record):
            return None
        original = catalog.described_script(record)
    except HarnessError:  # what is wrong with the parent's folder is said by `check`
        return None
    folder = original.files_folder if is_whole(original.files_folder, original.files) else None  # of the cache
    script = original.script if folder is not None else None
    return ParentScript(original.name, original.script_sha256, original.chain, script, False, original.files, folder)


def find_compared(catalog: Catalog, subject: Subject) -> list[ParentScript]:
    """List the scripts whose runs on the same machine a subject's may be held against, the best suited first.

    The parent's; where work is compared and it cannot be run here, those of the best records that can.
    """
    parent = find_parent(catalog, subject)
    found = [] if "work" not in subject.ruleset.evidence else work_scripts(catalog, subject)
    return [_in_folder(script) for script in found] or [parent for parent in (parent,) if parent is not None]


def work_scripts(catalog: Catalog, subject: Subject) -> list[Subject]:
    """List the scripts whose work a subject's can be compared with, the best suited first; none where nobody has one.

    The parent's alone, if it lies in its record's folder. Else any of the records before it: a submission that names no
    parent, or one whose script was never put here, is compared all the same.
    """
    record, mine = catalog.parent(subject), subject.record
    try:
        if record is not None and record.track == subject.track.name and catalog.has_script(record):
            return [catalog.script_here(record)]
        before = catalog.best_with_script(subject.track, lambda one: mine is None or one.number < mine.number)
    except HarnessError:  # `check` says what is wrong with a record's folder
        return []
    return [script for script in before if script.chain != subject.chain]


def _in_folder(script: Subject) -> ParentScript:
    """Describe a script that lies in its record's folder."""
    return ParentScript(
        script.name, script.script_sha256, script.chain, script.script, True, script.files, script.files_folder
    )
