"""Find the script of the record that a submission builds on, which its loss and its gaps are held against."""

from __future__ import annotations

from harness.catalog import subjects
from harness.catalog.originals import described, is_whole
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.store.layout import Project
from harness.store.packs import ParentScript
from harness.store.records import SCRIPT, find_record, read_record


def find_parent(project: Project, subject: Subject) -> ParentScript | None:
    """Find the parent's script in its record's folder, else its original; None where no parent is named or known."""
    if subject.parent is None:
        return None
    try:
        folder = find_record(project, subject.parent)
        record = read_record(folder)
        if (folder / SCRIPT).is_dir():
            parent = subjects.record(project, folder)
            return ParentScript(parent.name, parent.script_sha256, parent.chain, parent.script, True)
        if record.original is None or not record.original.files:
            return None
        original = described(project, folder, record)
    except HarnessError:  # what is wrong with the parent's name or folder is said by `check`
        return None
    script = original.script if is_whole(original.files_folder, original.files) else None  # of the cache
    return ParentScript(original.name, original.script_sha256, original.chain, script, False)
