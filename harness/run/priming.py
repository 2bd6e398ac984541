"""Fill a script's compile cache by one untimed run on noise, and store it for the timed runs to start from.

A start from empty caches takes 550 to 700 s on 8×H100, one from filled ones 150 s, and whether a run compiled moves its
time by up to 0.35 %. So every script is primed once, and each of its timed runs starts from a copy of what that left.

Hard because the script fills that cache itself and could carry more than compiled programs from this run into the
timed ones. So the run sees nothing but noise, in documents as long and as many as the track's; it has no text, no
weights, and no place of the validation text at which a document starts. It is ended at its first `clock:start`, or in
an original at its first metric line.
"""

import dataclasses
import importlib.metadata
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from harness.core.measurement import DataReceipt
from harness.core.task import Track
from harness.dataset import prepared, probe_data
from harness.dataset.fetching import Fetched
from harness.launch.launcher import Enough, Launcher
from harness.launch.torchrun import packages
from harness.run.execution import Prepared, execute
from harness.run.failure import run_error
from harness.runlog import grammar
from harness.store import caches, run_files
from harness.store.caches import MadeWith, StoredCache
from harness.store.files import locked
from harness.store.layout import Project

PRIMED = "it has compiled all that it needs: its clock started"
AGAIN = "start the same command again: nothing of this run was stored"


def is_primed(track: Track) -> bool:
    """Tell whether scripts of a track are primed: on a track for any machine nothing is compiled that takes long."""
    return track.hardware.kind == "gpu"


def made_with(project: Project, ready: Prepared) -> MadeWith:
    """Say what the compile cache of a script depends on here."""
    return caches.made_with(project, ready.subject.chain, ready.machine, triton_of(ready.python))


def triton_of(python: str) -> str | None:
    """Name the version of triton in an interpreter's environment; None where it has none."""
    found = importlib.metadata.distributions(path=[str(folder) for folder in packages(python)])
    named = {(one.metadata["Name"] or "").lower(): one.version for one in found}
    return next((named[name] for name in ("triton", "pytorch-triton") if name in named), None)


def prime(
    project: Project,
    ready: Prepared,
    launcher: Launcher,
    watcher: Callable[[str], Callable[[bytes], None]],
    series: str | None = None,
) -> StoredCache:
    """Return the stored cache of a script; where there is none that fits its digest, make it by a priming run.

    watcher: takes the id of the run, gives what takes the lines of its log. series: of the run in the ledger; None: a new
    one. Raises RunError where the run broke before
    its clock started, and StoreError for a full disk or a cache without measure; nothing is stored then.
    """
    wanted = made_with(project, ready)
    with locked(caches.folder_of(project, wanted)):
        stored = caches.find(project, wanted)
        if stored is None:
            with caches.new(project, wanted) as aside:
                name = series or secrets.token_hex(4)
                stored = _make(project, ready, launcher, watcher, wanted, aside, name)
        return stored


def _make(
    project: Project,
    ready: Prepared,
    launcher: Launcher,
    watcher: Callable[[str], Callable[[bytes], None]],
    wanted: MadeWith,
    aside: Path,
    series: str,
) -> StoredCache:
    run_id, place = run_files.new_run_id(ready.subject.script_sha256), prepared.new_folder()
    try:
        noise = write_noise(ready.track, ready.fetched, place / "shards")
        priming = dataclasses.replace(
            ready, fetched=noise, purpose="prime", cache=None, cache_kept_in=aside, scored=False
        )
        watch = UntilClock(ready.subject.script, watcher(run_id))
        outcome = execute(project, priming, run_id, series, launcher, watch.take)
    finally:
        prepared.discard(place)
    if outcome.state != "finished" and not watch.started:  # what it does with noise after that is no matter
        raise run_error(project, run_files.run_folder(project, run_id), outcome, "the priming run", again=AGAIN)
    digest, files, size = caches.digest_of(aside / caches.FILES)
    stored = StoredCache(
        caches.SCHEMA, wanted, digest, files, size, run_id, run_files.now(), round(outcome.wall_time_s, 3)
    )
    caches.keep(project, aside, stored)
    return stored


class UntilClock:
    """Ends a run at the first line that starts the clock or holds a metric and is none of the script's own text."""

    def __init__(self, script: bytes, watch: Callable[[bytes], None]) -> None:
        self.own = {line.strip() for line in script.splitlines()}
        self.watch = watch
        self.started = False

    def take(self, line: bytes) -> None:
        """Pass on a line of the log, then look at it; raises Enough."""
        self.watch(line)
        marked = grammar.clock_mark(grammar.undress(line.rstrip(b"\r"))) == "clock_start"
        found = marked or grammar.parse_metric(line.decode("utf-8", "replace")) is not None
        if found and line.strip() not in self.own:
            self.started = True
            raise Enough(PRIMED)


def write_noise(track: Track, fetched: Fetched, folder: Path) -> Fetched:
    """Write shards of the track's names and lengths that hold documents of random ids; nothing else of its text.

    Training shards of one length are one file under several names: 2 GB would say no more than 200 MB.
    """
    random, ids = probe_data.fresh_random(), probe_data.alphabet(track)
    lengths = probe_data.document_lengths(fetched.paths[-1])
    made: dict[int, Path] = {}
    paths = []
    for number, source in enumerate(fetched.paths):
        target, size = folder / source.name, source.stat().st_size
        if number and size in made:
            os.link(made[size], target)
        else:
            probe_data.write_new_documents(source, target, ids, lengths, random)
        if number:
            made.setdefault(size, target)
        paths.append(target)
    return Fetched(tuple(paths), DataReceipt("noise for priming", None, ()), pinned=False)
