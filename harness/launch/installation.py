"""See whether what a run is started with was changed while it went on: its environment and the harness.

In a confined run both are read-only. Outside confinement a script could add a `.pth` file that slows every other script
of the environment, or edit the harness. Sizes and times of the files are compared, and the time of the last change of
an inode cannot be set by hand. Bytecode is another matter, because other commands of the harness may write it at any
moment: what is new is removed, unseen, and Python makes it again from the source.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_NAMED = 3
BYTECODE = "__pycache__"
Seen = dict[str, tuple[int, int, int]]


def take(folders: Iterable[Path]) -> Seen:
    """Note size and times, ns, of every file in these folders; some 0.2 s for an environment with torch."""
    return {path: (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) for path, seen in _files(folders)}


def changes(before: Seen, folders: Iterable[Path]) -> str | None:
    """Name files that were added, changed or removed since, None where there are none; remove bytecode that is new."""
    now = take(folders)
    differ = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    changed = [path for path in differ if Path(path).parent.name != BYTECODE]
    for path in set(differ) - set(changed):
        with contextlib.suppress(OSError):
            os.unlink(path)
    if not changed:
        return None
    more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
    return ", ".join(Path(path).name for path in changed[:MOST_NAMED]) + more


def _files(folders: Iterable[Path]) -> Iterator[tuple[str, os.stat_result]]:
    waiting = [str(folder) for folder in folders if folder.is_dir()]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    yield entry.path, entry.stat(follow_symlinks=False)
