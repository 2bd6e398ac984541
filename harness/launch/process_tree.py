"""Look at the processes of a run through /proc: who they are, what they hold, how much they read and wrote."""

import contextlib
import os
from pathlib import Path


def descendants(root: int) -> list[int]:
    """List a process and all that it started, directly or not."""
    pids, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        pids.append(pid)
        with contextlib.suppress(OSError, ValueError):
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return pids


def holds(root: int, path: str) -> bool:
    """Whether a process below `root` has the file open or mapped right now."""
    for pid in descendants(root):
        with contextlib.suppress(OSError):
            if os.fsencode(path) in Path(f"/proc/{pid}/maps").read_bytes():
                return True
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(f"/proc/{pid}/fd/{number}") == path:
                        return True
    return False


def transferred(pid: int) -> tuple[int, int] | None:
    """Return how many bytes a process has read and written; None where /proc does not say."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
        read, written = (int(text.split(f"{key}:", 1)[1].split()[0]) for key in ("rchar", "wchar"))
    except (OSError, ValueError, IndexError):
        return None
    return read, written
