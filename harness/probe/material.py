"""Prepare the tokens of probe runs, and put them where a script looks for them."""

import dataclasses
import fcntl
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.subjects import Subject
from harness.core.task import Track
from harness.dataset import fetching, probe_data
from harness.dataset.progress import Progress
from harness.machine import computer
from harness.probe.probe_plan import ProbePlan
from harness.runlog import grammar
from harness.store import run_files
from harness.store.layout import Project

BEFORE, AFTER = "before", "after"  # folders of links to the tokens that a swap exchanges


@dataclass(frozen=True, slots=True)
class Tokens:
    """The track's own tokens, and one more stretch of training text where the track has it."""

    fetched: fetching.Fetched
    spare: Path | None  # a training shard that neither script opens; None where the track draws its text


class Swap:
    """Gives a script the official tokens once its clock has started.

    It takes effect up to 0.1 s after the line was printed. A script that opens its training files later than that
    (after its validation at step 0, say) warms up on other tokens than it trains on.
    """

    def __init__(self, data: Path, after: Path, source_bytes: int) -> None:
        self.data, self.after = data, after
        self.skip = source_bytes  # a log begins with the script, which may hold the mark as text
        self.done = False

    def before(self, watch: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Wrap a watcher: look for the mark before a line is passed on."""

        def take(line: bytes) -> None:
            if self.skip > 0:
                self.skip -= len(line) + 1
            elif not self.done and grammar.clock_mark(grammar.undress(line)) == "clock_start":
                self.done = True
                link = self.data.with_name(self.data.name + ".next")
                link.symlink_to(self.after)
                os.replace(link, self.data)
            watch(line)

        return take


def prepare(plan: ProbePlan, *, progress: Progress | None = None) -> Tokens:
    """Check the machine, then fetch the track's tokens.

    Raises MachineError before anything is fetched, and DatasetError before anything is launched.
    """
    track = plan.subject.track
    computer.check(computer.capture(), track)
    if track.data.source == "synthetic" or ("own", "other") not in plan.runs:
        return Tokens(fetching.fetch_for(track, plan.train_tokens, progress=progress), None)
    more = fetching.fetch_for(track, plan.train_tokens + track.data.shard_tokens, progress=progress)
    receipt = dataclasses.replace(more.receipt, shards=more.receipt.shards[:-1])
    return Tokens(dataclasses.replace(more, paths=more.paths[:-1], receipt=receipt), more.paths[-1])


def write_variant(
    track: Track, tokens: Tokens, variant: str, folder: Path, draw: probe_data.Random
) -> tuple[Path, ...]:
    """Write the shards that a variant changes into `folder`; all shards under the track's names, validation first."""
    val, *train = tokens.fetched.paths
    count = {shard.name: shard.tokens for shard in tokens.fetched.receipt.shards}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if variant == "known":
        ids = probe_data.known_symbols(track, draw)
        for path in (val, *train):
            probe_data.write_uniform(folder / path.name, count[path.name], ids, draw)
    elif variant == "relabelled":
        table = probe_data.relabelling(track, draw)
        for path in (val, *train):
            probe_data.write_relabelled(path, folder / path.name, table)
    elif variant == "other" and tokens.spare is not None:
        (folder / val.name).symlink_to(tokens.spare)
    elif variant == "other":
        probe_data.write_other_stretch(track, folder / val.name, count[val.name], draw)
    elif variant in ("noise", "swapped"):
        for path in train:
            probe_data.write_uniform(folder / path.name, count[path.name], probe_data.alphabet(track), draw)
    return tuple(folder / path.name if (folder / path.name).exists() else path for path in tokens.fetched.paths)


def lay_out(script: Subject, folder: Path, tokens: Tokens, paths: tuple[Path, ...], *, swaps: bool) -> Swap | None:
    """Put the frozen files and links to the tokens into a work folder, as for any run.

    swaps: the data folder is itself a link, so that all files in it are exchanged in one moment.
    """
    work = folder / run_files.WORK
    work.mkdir(parents=True)
    for name in script.files:
        shutil.copyfile(script.files_folder / name, work / name)
    if not swaps:
        fetching.offer(dataclasses.replace(tokens.fetched, paths=paths), script.track, work)
        return None
    before, after, data = folder / BEFORE, folder / AFTER, work / script.track.data.folder
    for given, place in ((paths, before), (tokens.fetched.paths, after)):
        place.mkdir()
        for path in given:
            (place / path.name).symlink_to(path)
    data.parent.mkdir(parents=True, exist_ok=True)
    data.symlink_to(before)
    return Swap(data, after, len(script.script))


def remove_leftovers(project: Project) -> None:
    """Remove the material of probes that were killed: nobody holds its lock."""
    for folder in (project.runs / "probes").glob("*/data"):
        lock = hold(folder)
        if lock is not None:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def hold(folder: Path) -> int | None:
    """Lock a folder until the descriptor is closed, if only by the end of this process; None where it is taken."""
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
