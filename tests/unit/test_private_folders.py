"""In a private /tmp of a confined run, what the run wrote is looked at, and what was bound into it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.launch import copies

LARGE = 2 << 20


def test_a_file_of_another_file_system_in_a_private_folder_is_not_written_by_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "run" / "work" / "data"
    data.mkdir(parents=True)
    (data / "val.bin").write_bytes(os.urandom(8192))
    (tmp_path / "train.bin").write_bytes(b"x")
    (data / "train.bin").symlink_to(tmp_path / "train.bin")
    own, bound = tmp_path / "root" / "tmp" / "own.bin", tmp_path / "root" / "tmp" / "zizmor"
    own.parent.mkdir(parents=True)
    (tmp_path / "root" / "dev" / "shm").mkdir(parents=True)
    looked = copies.Copies(tmp_path / "run")
    for path in (own, bound):
        path.write_bytes(bytes(LARGE))
    files = copies._files

    def mounted(folders: list[Path], *more: object) -> list[tuple[str, os.stat_result]]:
        """Play that one of the files lies on another device, as an interpreter below /tmp does that is bound inside."""
        found = list(files(folders, *more))  # type: ignore[arg-type]
        other = {"zizmor": lambda status: os.stat_result((*status[:2], status.st_dev + 1, *status[3:]))}
        return [(path, other.get(path.rpartition("/")[2], lambda status: status)(status)) for path, status in found]

    monkeypatch.setattr(copies, "_files", mounted)
    monkeypatch.setattr(copies, "_private", lambda root: str(tmp_path / "root"))
    rows: list[tuple[str, str, int]] = []
    looked.look(os.getpid(), lambda *row: rows.append(row))
    assert rows == [("file", "own.bin", LARGE)]
