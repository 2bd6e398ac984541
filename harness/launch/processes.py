"""List, measure and signal the processes of a run through /proc, with the standard library alone."""

import contextlib
import os
import re
import select
import signal
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

MARK = "SPEEDRUN_RUN_ID"  # the variable that every process of a run inherits


def children(pid: int) -> set[int]:
    """List the children of a process, ended ones that wait to be collected included."""
    with contextlib.suppress(OSError):
        return {int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    return set()


def descendants(root: int, *, zombies: bool = False) -> set[int]:
    """List all living processes below `root` (or, with zombies, those that wait to be collected)."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                parents[int(entry)] = (int(fields[1]), fields[0])
    below = {root}
    while True:
        more = {pid for pid, (parent, _) in parents.items() if parent in below} - below
        if not more:
            break
        below |= more
    return {pid for pid in below - {root} if (parents[pid][1] == "Z") == zombies}


def has_ended(child: int) -> bool:
    """Say whether a child of ours has ended, and leave its exit status for whoever waits for it.

    `Popen.poll` and `Popen.wait` with a time limit take a lock: a Ctrl-C that comes right then leaves it locked, and the
    next wait for that process never returns (CPython 3.11). What is asked often, for as long as a run goes, is asked here.
    """
    try:
        end = os.pidfd_open(child)
    except ProcessLookupError:
        return True  # its status has been collected
    try:
        return bool(select.select([end], [], [], 0)[0])
    finally:
        os.close(end)


def tree(root: int) -> list[int]:
    """List a process and all that it started, directly or not, without reading all of /proc."""
    pids, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        pids.append(pid)
        with contextlib.suppress(OSError, ValueError):
            for task in os.listdir(f"/proc/{pid}/task"):
                waiting += [int(child) for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return pids


def holds(root: int, path: str) -> bool:
    """Whether a process below `root` has the file open or mapped right now, by whatever name it opened it."""
    return any(_hold(tree(root), path))


def held_by_anyone(paths: Collection[str]) -> set[str]:
    """Return those of the files that any process has open or mapped right now, as far as /proc shows it to this user."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if paths else []
    return {path for path in paths if any(_hold(pids, path))}


def _hold(pids: Iterable[int], path: str) -> Iterator[bool]:
    """Yield for each process whether it has the file open or mapped; nothing where there is no such file."""
    try:
        wanted = os.stat(path)
    except OSError:
        return
    # Some file systems name another device in the list of what is mapped, so a file of the same name will do.
    device = b"%02x:%02x" % (os.major(wanted.st_dev), os.minor(wanted.st_dev))
    place, name = rb"(?:%s %d\b|\S+ %d\b.*/%s$)", re.escape(os.path.basename(os.fsencode(path)))
    mapped = re.compile(rb"^(?:\S+ ){3}" + place % (device, wanted.st_ino, wanted.st_ino, name), re.MULTILINE)
    for pid in pids:
        with contextlib.suppress(OSError):
            yield bool(mapped.search(Path(f"/proc/{pid}/maps").read_bytes()))
            for number in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    yield os.path.samestat(os.stat(f"/proc/{pid}/fd/{number}"), wanted)


def waited_ns(pid: int) -> int | None:
    """Return how long a process's first thread has been ready and had no processor; None where /proc does not say."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None


def transferred(pid: int) -> tuple[int, int] | None:
    """Return how many bytes a process has read and written; None where /proc does not say."""
    try:
        text = Path(f"/proc/{pid}/io").read_text()
        read, written = (int(text.split(f"{key}:", 1)[1].split()[0]) for key in ("rchar", "wchar"))
    except (OSError, ValueError, IndexError):
        return None
    return read, written


def user_ticks(pid: int) -> tuple[int, int, int, bool] | None:
    """Return when a process started, its processor time, that of ended processes that it waited for, and whether it runs.

    All in ticks. Time in the kernel is left out: imports and page faults take 0.3 to 2.3 s of it for the same script, as busy
    as the machine is, and no training. The start tells a process from a later one of its number. None where /proc does not
    say.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        started, own, waited = (int(fields[index]) for index in (19, 11, 13))
    except (OSError, ValueError, IndexError):
        return None
    return started, own, waited, fields[0] == "R"


def marked(run_id: str | None) -> set[int]:
    """List the processes whose environment carries this run's mark, whoever their parent is."""
    found: set[int] = set()
    if run_id is None:
        return found
    needle = f"{MARK}={run_id}".encode()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if needle in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                    found.add(int(entry))
    return found


def started_before(pid: int, at: float) -> bool:
    """Whether a process is alive and was started before a moment, seconds since the epoch; a later one is another."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    except (OSError, StopIteration):
        return False
    return fields[0] != "Z" and int(booted.split()[1]) + int(fields[19]) / os.sysconf("SC_CLK_TCK") < at


def kill(pid: int, number: signal.Signals) -> None:
    """Signal a process, if it is still there and may be signalled."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
