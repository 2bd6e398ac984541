"""Folders of the cache for tokens that are made for a probe or for one series, and thrown away afterwards.

They lie in the cache, so that a run can be given their files as it is given those of the track. A folder is locked as
long as somebody needs it; what a killed process left is removed by the next one.
"""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from harness.core.measurement import DataReceipt
from harness.core.secret_source import drawn_shards
from harness.core.task import Track
from harness.core.token_format import to_bytes
from harness.store.files import disk_error, write_atomic
from harness.store.layout import cache_folder

_locks: dict[Path, int] = {}


def new_folder() -> Path:
    """Make a folder that this process needs until it discards it, or ends."""
    remove_leftovers()
    place = cache_folder() / "data" / "prepared"
    place.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="new-", dir=place.parent))
    made.chmod(0o755)
    lock = _hold(made)  # before anybody finds it where leftovers are looked for
    assert lock is not None
    folder = made.rename(place / made.name)
    _locks[folder] = lock
    return folder


def discard(folder: Path) -> None:
    """Throw a folder away that `new_folder` made; nothing happens to any other."""
    lock = _locks.pop(folder, None)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers() -> None:
    """Remove what killed processes left: nobody holds its lock."""
    for folder in (cache_folder() / "data" / "prepared").glob("*"):
        lock = _hold(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _hold(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed, if only by the end of this process; None where it is taken."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # another process has just removed it
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock


def write_secret_shards(track: Track) -> tuple[tuple[Path, ...], DataReceipt]:
    """Write the shards of a track that `draw_track` gave, validation first, for as long as this process needs them."""
    folder, paths = new_folder(), []
    shards = drawn_shards(track)
    try:
        for receipt, tokens in shards:
            paths.append(folder / receipt.name)
            write_atomic(paths[-1], to_bytes(tokens))
            os.chmod(paths[-1], 0o444)
    except OSError as error:
        raise disk_error(folder, error) from error
    receipts = tuple(receipt for receipt, _ in shards)
    return tuple(paths), DataReceipt("synthetic", None, receipts, seed=track.data.seed)
