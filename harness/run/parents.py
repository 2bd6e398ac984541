"""Find the script of the record that a submission builds on, which its loss and its gaps are held against."""

from harness.catalog.lookup import Catalog
from harness.catalog.originals import is_whole
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.store.packs import ParentScript


def find_parent(catalog: Catalog, subject: Subject) -> ParentScript | None:
    """Find the parent's script in its record's folder, else its original; None where no parent is named or known."""
    record = catalog.parent(subject)
    if record is None:
        return None
    try:
        if catalog.has_script(record):
            parent = catalog.script_here(record)
            return ParentScript(parent.name, parent.script_sha256, parent.chain, parent.script, True)
        if record.original is None or not record.original.files:
            return None
        original = catalog.described_original(record)
    except HarnessError:  # what is wrong with the parent's folder is said by `check`
        return None
    script = original.script if is_whole(original.files_folder, original.files) else None  # of the cache
    return ParentScript(original.name, original.script_sha256, original.chain, script, False)
