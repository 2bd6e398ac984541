"""What a name means in a project, for tests that begin with a name."""

from __future__ import annotations

from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.store.layout import Project


def find_subject(project: Project, name: str) -> Subject:
    catalog = Catalog(project)
    return catalog.subject(catalog.find(name))


def record_folder(project: Project, name: str) -> Path:
    catalog = Catalog(project)
    return catalog.folder(catalog.record(name))
