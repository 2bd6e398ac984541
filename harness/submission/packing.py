"""Pack the evidence of a submission: every judged run of its script from this machine's ledger, and its parent's beside.

The ledger of a pack holds the chains of all scripts that were run in the submission's folder.
"""

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.evidence.baseline import on_this_machine, run_folders
from harness.run.ending import settle
from harness.run.judging import find_compared
from harness.store.ledger import Ledger
from harness.store.packs import write_pack


def pack(catalog: Catalog, subject: Subject) -> tuple[int, int]:
    """Write the evidence of all counted runs of a submission's script into its folder; how many of it and its parent.

    Raises StoreError where the ledger of this machine knows no run of the script, and for what is no submission: the
    evidence of a record is frozen.
    """
    project = catalog.project
    if subject.manifest is None or subject.folder.resolve().parent != project.submissions.resolve():
        raise StoreError.at(subject.name, "is no submission", "pack takes a folder under submissions/")
    settle(project)
    whole = Ledger(project.ledger).read().of_folder(subject.chain, subject.slug)
    chain = whole.of_script(subject.chain)
    baseline = on_this_machine(project, find_compared(catalog, subject))
    for run_id in (*whole.open, *(baseline.chain.open if baseline is not None else ())):
        raise StoreError.at(run_id, "is still running", "wait until it has ended, then pack")
    if not chain.counted:
        raise StoreError.at(
            subject.name, "has no judged run on this machine", f"make some: speedrun run {subject.name}"
        )
    write_pack(subject.folder, whole, run_folders(project.runs, chain.counted), subject.script, baseline)
    return len(chain.counted), len(baseline.folders) if baseline is not None else 0
