"""Judge a subject by the evidence that there is of it."""

from collections.abc import Collection

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.judgement import Verdict
from harness.core.record import Record
from harness.evidence import gather
from harness.evidence.contents import Evidence
from harness.run.parents import find_parent
from harness.store.layout import Project
from harness.verdict import judge


def verify(
    catalog: Catalog, subject: Subject, run_ids: Collection[str] | None = None, *, packed: bool = True
) -> tuple[Evidence, Verdict]:
    """Judge the given runs of a subject, else its pack, else every run of it in the ledger here.

    packed: False ignores its pack. Raises StoreError where there is no run.
    """
    parent = find_parent(catalog, subject)
    evidence = gather.gather(catalog.project, subject, run_ids, packed=packed, parent=parent)
    return evidence, judge(evidence)


def verify_past(project: Project, record: Record) -> tuple[Evidence, Verdict]:
    """Judge a record of the imported past by its figures and the rules of its time."""
    evidence = gather.from_figures(project, record)
    return evidence, judge(evidence)
