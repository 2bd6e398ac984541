"""Watch a run from another process: which shards are opened when, how much is read and written, what the GPUs do.

    python -I observer.py RUN_FOLDER RECORDER_PID [WRITTEN_LIMIT]     ends when its standard input closes

A process of its own, so that a slow driver call never delays a stamp. It needs the standard library, three modules
beside it, and pynvml for the GPUs. What the platform does not show is left out: no file, not a zero.

    telemetry.csv   one row per GPU, 5 times a second; absent where there is no GPU
    reads.csv       monotonic_ns,kind,name,value
        open           a shard was opened, at most TICK_S and the delay of the beats around it before this time
        bytes, written what all processes have read and written so far
        beat, end      once a second, and at the end in order: by how many ns it woke up too late since the last one
        user           processor time outside the kernel, ns, that all processes have used so far; 5 times a second
        wait           with them: how long, ns, the recorder or a process of the run had to wait for a processor
        copy, file     a file of the run holds validation text, or is large and of unknown content; value: its size
        shared         a file with validation text in a folder that others write to as well
        lost           from here on something was not seen; the name says what

On standard output: `written N` once WRITTEN_LIMIT bytes are passed, at the end `reads.csv SHA256` of what it wrote.

A shard that a script maps into its memory shows its opening and no bytes. The kernel tells that a file was opened and
not by whom. Only this run knows its own copy of the validation shard. The one in the cache, which other runs open too,
counts only while a process of this run holds it open or mapped. Training shards in the cache count whoever opens them.
"""

import contextlib
import ctypes
import hashlib
import os
import re
import select
import struct
import sys
import time
from collections.abc import Iterable
from pathlib import Path

if __name__ == "__main__":  # started by its path and isolated
    sys.path.append(str(Path(__file__).parents[2]))
    sys.dont_write_bytecode = True

from harness.launch.copies import Copies
from harness.launch.processes import holds, transferred, tree, user_ticks, waited_ns
from harness.launch.telemetry import TELEMETRY, TELEMETRY_HEADER, Gpus

READS = "reads.csv"
READS_HEADER = b"monotonic_ns,kind,name,value\n"
TICK_S = 0.1
TELEMETRY_TICKS, PROCESS_TICKS, FILE_TICKS = 2, 10, 20  # walking the processes costs some milliseconds
USER_TICKS = 2  # where GPUs do the work, once a second will do
MOST_OPENS = 100_000
_PR_SET_DUMPABLE = 4
_IN_OPEN, _IN_Q_OVERFLOW = 0x20, 0x4000
_EVENT = struct.Struct("iIII")
Process = tuple[int, int]  # its number and when it started
Used = tuple[int, int, bool]  # ticks of its own, those of ended ones that it waited for, and whether it runs


def main(folder: Path, recorder: int, written_limit: int | None = None) -> int:
    """Observe until the other end of standard input closes."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(
            _PR_SET_DUMPABLE, 0, 0, 0, 0
        )  # no other process of this user reads or writes its memory
    Observer(folder, recorder, written_limit).run()
    return 0


class Rows:
    """A file of rows whose hash is kept here, out of reach of whoever can write to the file."""

    def __init__(self, path: Path, header: bytes) -> None:
        self.file = path.open("wb", buffering=0)
        self.digest = hashlib.sha256()
        self.write(header)

    def write(self, data: bytes) -> None:
        self.digest.update(data)
        self.file.write(data)

    def add(self, kind: str, name: str, value: int) -> None:
        """Write one row of now; a name that a run chose is reduced to plain letters."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "?", name)[-80:]
        self.write(b"%d,%s,%s,%d\n" % (time.monotonic_ns(), kind.encode(), plain.encode(), value))


class Observer:
    """One run from start to end."""

    def __init__(self, folder: Path, recorder: int, written_limit: int | None) -> None:
        self.recorder, self.written_limit = recorder, written_limit
        self.peaks: dict[int, tuple[int, int]] = {}
        self.gpus = Gpus.find()
        copies = Copies(folder)  # opens the validation shard, so it comes before the watches
        watched = Shards(folder / "work", recorder)
        self.reads = Rows(folder / READS, READS_HEADER)
        self.telemetry = Rows(folder / TELEMETRY, TELEMETRY_HEADER) if self.gpus is not None else None
        self.shards, self.copies = watched, copies
        self.delay_ns, self.last_beat_ns = 0, 0
        self.waits: dict[int, int] = {}
        self.processor = Processor()
        self.walk_from_tick = 0

    def run(self) -> None:
        """Look until standard input closes. Every wake-up says how late it came: so late any news may be."""
        if not self.shards.descriptors:
            self.reads.add("lost", "watches", 0)
        period_ns, tick = int(TICK_S * 1e9), 0
        due = time.monotonic_ns() + period_ns
        self.beat("beat")  # from here on every delay is noted
        while True:
            wait_s = max(0, due - time.monotonic_ns()) / 1e9
            ready, _, _ = select.select([0, *self.shards.descriptors], [], [], wait_s)
            now = time.monotonic_ns()
            self.delay_ns = max(self.delay_ns, now - due)
            self.shards.take(self.reads)
            if 0 in ready and not os.read(0, 100):
                break
            if now >= due:
                due, tick = max(due + period_ns, now), tick + 1
                self.look(tick)
        self.shards.take(self.reads)
        pids = tree(self.recorder)
        self.count_bytes(pids)
        self.processor.count(pids, self.reads)
        self.copies.look(self.recorder, self.reads.add)
        self.beat("end")
        _say(f"{READS} {self.reads.digest.hexdigest()}")

    def look(self, tick: int) -> None:
        """Do what this tick asks for."""
        if time.monotonic_ns() - self.last_beat_ns >= 1e9:
            self.beat("beat")
        if self.telemetry is not None and self.gpus is not None and tick % TELEMETRY_TICKS == 1:
            self.telemetry.write(self.gpus.rows(time.monotonic_ns()))
        counts_bytes = tick % PROCESS_TICKS == 1
        if counts_bytes or (self.gpus is None and tick % USER_TICKS == 1):
            pids = tree(self.recorder)
            self.processor.count(pids, self.reads)
            if counts_bytes:
                self.count_bytes(pids)
        if tick >= self.walk_from_tick:
            begun = time.monotonic()
            self.copies.look(self.recorder, self.reads.add)
            # A tree that takes long is walked less often: at most 2 % of one core.
            self.walk_from_tick = tick + max(FILE_TICKS, int(50 * (time.monotonic() - begun) / TICK_S))

    def beat(self, kind: str) -> None:
        """Write how late the wake-ups since the last beat were."""
        self.reads.add(kind, "", self.delay_ns)
        self.delay_ns, self.last_beat_ns = 0, time.monotonic_ns()
        now = {pid: waited for pid in tree(self.recorder) if (waited := waited_ns(pid)) is not None}
        if now:
            self.reads.add("wait", "", max(waited - self.waits.get(pid, 0) for pid, waited in now.items()))
        self.waits = now

    def count_bytes(self, pids: Iterable[int]) -> None:
        """Write what all processes below the recorder have read and written so far, ended ones included."""
        for pid in pids:
            if (count := transferred(pid)) is not None:
                before = self.peaks.get(pid, (0, 0))
                self.peaks[pid] = max(before[0], count[0]), max(before[1], count[1])
        if not self.peaks:
            return  # /proc does not say
        read, written = map(sum, zip(*self.peaks.values(), strict=True))
        self.reads.add("bytes", "", read)
        self.reads.add("written", "", written)
        if self.written_limit is not None and written > self.written_limit:
            self.written_limit = None
            _say(f"written {written}")


class Processor:
    """Processor time of all processes of a run, ended ones included.

    The time of one that has ended is in that of the process that waited for it. A script can see to it that nobody waits,
    and that processes end between two looks, so what no waiting explains is counted: what such a process had used when it
    was seen, and where it ran then, all the time until the next look.
    """

    def __init__(self) -> None:
        self.root: Process | None = None  # the recorder
        self.seen: dict[Process, Used] = {}  # at the last look
        self.gone: dict[Process, Used] = {}  # ended before it; what was waited for may come late
        self.looked_ns = time.monotonic_ns()
        self.unexplained = 0  # by how much what was waited for grew at the last look, beyond those that had ended
        self.lost = 0  # of processes for which nobody waited
        self.most = 0

    def count(self, pids: Iterable[int], reads: Rows) -> None:
        """Write what has been used so far, by the processes that live and by those that have ended."""
        now = {(pid, ticks[0]): ticks[1:] for pid in pids if (ticks := user_ticks(pid)) is not None}
        self.root = self.root or next(iter(now), None)
        if self.root in now:  # else the recorder has ended, with all that it waited for
            self._take(now)
        if self.root is not None:
            reads.add("user", "", self.most * (10**9 // os.sysconf("SC_CLK_TCK")))

    def _take(self, now: dict[Process, Used]) -> None:
        grown = sum(waited - self.seen[key][1] for key, (_, waited, _) in now.items() if key in self.seen)
        ended = [used for key, used in self.gone.items() if key not in now]
        owed = sum(max(own + waited, int(ran)) for own, waited, ran in ended)
        looked_ns = time.monotonic_ns()
        if owed > self.unexplained + grown:
            apart = (looked_ns - self.looked_ns) * os.sysconf("SC_CLK_TCK") // 10**9
            self.lost += owed - self.unexplained - grown + apart * sum(ran for _, _, ran in ended)
        self.unexplained = min(grown, max(0, self.unexplained + grown - owed))
        self.gone = {key: used for key, used in self.seen.items() if key not in now}
        self.seen, self.looked_ns = now, looked_ns
        self.most = max(self.most, sum(own + waited for own, waited, _ in now.values()) + self.lost)


class Shards:
    """The token files that a work folder holds or links to, watched for being opened."""

    def __init__(self, work: Path, root: int) -> None:
        self.root = root  # the process that all processes of the run descend from
        self.names: dict[int, str] = {}  # watch -> name
        self.shared: dict[int, str] = {}  # watch -> path of a file in the cache of which the run has its own copy
        self.count = 0
        self.descriptors: list[int] = []
        libc = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "inotify_init1"):
            return
        descriptor = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if descriptor < 0:
            return
        offered = sorted(work.rglob("*.bin"))
        cache = {path.resolve().parent for path in offered if path.is_symlink()}
        cached = [folder / path.name for path in offered if not path.is_symlink() for folder in cache]
        cached = [path for path in cached if path.exists()]
        for path in offered + cached:
            watch = libc.inotify_add_watch(descriptor, os.fsencode(path.resolve()), _IN_OPEN)
            if watch < 0:
                return  # it may not watch as much as it must
            self.names[watch] = path.name
            if path in cached:
                self.shared[watch] = str(path.resolve())
        self.descriptors = [descriptor]

    def take(self, reads: Rows) -> None:
        """Write one row for every opening that the kernel has reported."""
        for descriptor in self.descriptors:
            with contextlib.suppress(BlockingIOError):
                data = os.read(descriptor, 1 << 16)
                position = 0
                while position < len(data):
                    watch, mask, _, length = _EVENT.unpack_from(data, position)
                    position += _EVENT.size + length
                    self._event(watch, mask, reads)

    def _event(self, watch: int, mask: int, reads: Rows) -> None:
        if mask & _IN_Q_OVERFLOW:
            reads.add("lost", "openings", 0)
        if watch not in self.names or (watch in self.shared and not holds(self.root, self.shared[watch])):
            return
        self.count += 1
        if self.count <= MOST_OPENS:
            reads.add("open", self.names[watch], 1)
        elif self.count == MOST_OPENS + 1:
            reads.add("lost", "openings", self.count)


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(1, f"{text}\n".encode())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(int, sys.argv[2:4])))
