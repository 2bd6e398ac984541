"""Record folders; being written."""

from __future__ import annotations

from pathlib import Path

from harness.errors import StoreError
from harness.schema import Record
from harness.store.layout import Project


def find_record(project: Project, name: str) -> Path:
    """The folder of the record that `name` means."""
    raise StoreError.at(name, "there is no such record", "name a submission's folder")


def read_record(folder: Path) -> Record:
    """Read one record."""
    raise StoreError.at(folder, "there is no such record", "name a submission's folder")


def read_records(project: Project) -> list[Record]:
    """Read all records."""
    return []
