"""The evidence of a submission, packed: every run of its script from this machine's ledger, and its parent's beside."""

from __future__ import annotations

from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.evidence import baseline
from harness.run.execution import settle
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger, open_runs, standing
from harness.store.packs import write_pack


def pack(project: Project, found: Subject) -> tuple[int, int]:
    """Write the evidence of all counted runs of a submission's script into its folder; how many of it and its parent.

    Raises StoreError where the ledger of this machine knows no run of the script, and for what is no submission: the
    evidence of a record is frozen.
    """
    if found.manifest is None or found.folder.resolve().parent != project.submissions.resolve():
        raise StoreError.at(found.name, "is no submission", "pack takes a folder under submissions/")
    settle(project)
    chain = Ledger(project.ledger).chain(found.chain)
    parent = baseline.on_this_machine(project, found)
    for run_id in (*open_runs(chain), *(open_runs(list(parent.chain)) if parent is not None else ())):
        raise StoreError.at(run_id, "goes on right now", "wait until it has ended, then pack")
    ids = standing(chain).order
    if not ids:
        raise StoreError.at(found.name, "has no run on this machine", f"make some: speedrun run {found.name}")
    folders = [folder for run_id in ids if (folder := run_files.run_folder(project, run_id)).is_dir()]
    write_pack(found.folder, chain, folders, found.script, parent)
    return len(ids), len(parent.folders) if parent is not None else 0
