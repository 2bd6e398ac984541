"""Write a site's folder: a reader finds the old site or the new one, whole, and nothing that others put there is lost.

The folder names its files in `made-by-speedrun.json`. One that lacks this, or holds anything else, is left alone.
"""

import ctypes
import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import StoreError
from harness.store.files import disk_error, sync_folder, temporary_folder
from harness.store.layout import Project

MARK = "made-by-speedrun.json"
MADE_BY = "speedrun board --site"
MOST_MARK_BYTES = 50 << 20  # a name has at most 200 bytes
_ADVICE = "name a folder that does not exist yet, or one that this command made"
_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE


def write_site(target: Path, files: Mapping[str, bytes | str]) -> None:
    """Write all files of a site to `target`, at once; raises StoreError where that would lose something, or on a full disk."""
    target = Path(os.path.realpath(target))
    require_ours(target)
    try:
        with temporary_folder(target) as made:
            for name, content in {**files, MARK: _mark(files)}.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    file.write(content.encode("utf-8") if isinstance(content, str) else content)
                    file.flush()
                    os.fsync(file.fileno())
            _put_in_place(made, target)
            sync_folder(target.parent)
    except OSError as error:
        raise disk_error(target, error) from error


def require_outside(project: Project, target: Path) -> None:
    """Raise StoreError where `target` lies in a folder of the project that is read as records, tracks or the like."""
    real = Path(os.path.realpath(target))
    for folder in (project.records, project.submissions, project.tracks, project.leaderboard_data, project.runs):
        if real.is_relative_to(folder.resolve()):
            raise StoreError.at(target, f"lies in {project.show(folder)}", "name a folder elsewhere")


def require_ours(target: Path) -> None:
    """Raise StoreError unless `target` is missing, empty, or a site that was made here with nothing added."""
    if not os.path.lexists(target):
        return
    if not target.is_dir():
        raise StoreError.at(target, "is no folder", _ADVICE)
    there = {
        str(Path(folder, name).relative_to(target))
        for folder, folders, names in os.walk(target)
        for name in (*names, *(one for one in folders if os.path.islink(os.path.join(folder, one))))
    }
    if not there and not any(target.iterdir()):
        return
    known = _listed(target / MARK)
    if known is None:
        raise StoreError.at(target, "holds something else than a site of this project", _ADVICE)
    others = sorted(there - known - {MARK})
    if others:
        few = ", ".join(ascii(name)[1:-1] for name in others[:3])
        raise StoreError.at(target, f"also holds {few}", "move that elsewhere: it would be lost")


def _mark(files: Mapping[str, bytes | str]) -> str:
    return json.dumps({"made_by": MADE_BY, "files": sorted(files)}, indent=0) + "\n"


def _listed(mark: Path) -> set[str] | None:
    """Return the files that the mark of a site names; None where there is no such mark."""
    try:
        if mark.is_symlink() or not mark.is_file() or mark.stat().st_size > MOST_MARK_BYTES:
            return None
        held = json.loads(mark.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    match held:
        case {"made_by": str(maker), "files": [*names]} if maker == MADE_BY:
            return {name for name in names if isinstance(name, str)}
    return None


def _put_in_place(made: Path, target: Path) -> None:
    """Let `made` take the place of `target`; what was there is then in `made`, or gone."""
    if not target.exists():
        os.rename(made, target)
        return
    if _exchanged(made, target):
        return
    # A file system that cannot exchange two folders: nobody finds the site for the moment between these two lines.
    os.rename(target, made.with_name(f"{made.name}.old"))
    os.rename(made, target)
    os.rename(made.with_name(f"{made.name}.old"), made)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, where the system can."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(number, os.strerror(number), str(other))
