"""What a name means in a project, for tests that begin with a name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.record import Record
from harness.store.layout import Project

PAST = {"short": 89, "medium": 18, "optimization": 46}  # the last numbers of modded-nanogpt at commit f411b3d


def is_past(record: Record) -> bool:
    """Whether a record is one of the 155 of commit f411b3d, and not accepted, timed again or imported since."""
    return record.original is not None and record.number <= PAST[record.track]


def find_subject(project: Project, name: str) -> Subject:
    catalog = Catalog(project)
    return catalog.subject(catalog.find(name))


def as_of(project: Path, name: str) -> None:
    """Take from a copy of the project what was added to a track after the record `smoke/2`.

    Tests that tell a story about the current record begin with the records of one day, whatever was accepted since.
    """
    track, _, number = name.partition("/")
    for file in (project / "records" / track).glob("*/record.yaml"):
        found = re.search(r"^number: (\d+)$", file.read_text(), re.M)
        assert found is not None
        if int(found[1]) > int(number) or (file.parent / "comparison.json").exists():
            shutil.rmtree(file.parent)
        else:
            (file.parent / "withdrawn.yaml").unlink(missing_ok=True)
            shutil.rmtree(file.parent / "replays", ignore_errors=True)


def record_folder(project: Project, name: str) -> Path:
    catalog = Catalog(project)
    return catalog.folder(catalog.record(name))
