"""See whether what a run is started with was changed while it went on: its environment and the harness.

In a confined run both are read-only. Outside confinement a script could add a `.pth` file that slows every other script
of the environment, or edit the harness. Sizes and times of the files are compared, and the time of the last change of
an inode cannot be set by hand. Bytecode is left out: other commands of the harness write it at any moment.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

MOST_NAMED = 3


def take(folders: Iterable[Path]) -> dict[str, tuple[int, int, int]]:
    """Note size and times, ns, of every file in these folders; some 0.2 s for an environment with torch."""
    return {path: (seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns) for path, seen in _files(folders)}


def changes(before: dict[str, tuple[int, int, int]], folders: Iterable[Path]) -> str | None:
    """Name files that were added, changed or removed since; None where there are none."""
    now = take(folders)
    changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
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
                    if entry.name != "__pycache__":
                        waiting.append(entry.path)
                else:
                    yield entry.path, entry.stat(follow_symlinks=False)
