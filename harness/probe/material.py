"""Prepare the tokens of probe runs, and exchange them while a run goes on.

What is prepared lies in the cache, on the file system of the shards that it stands for, and is offered to a run as any
shard is.
"""

import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.core import secret_source
from harness.core.measurement import DataReceipt, Machine
from harness.core.task import Track
from harness.dataset import fetching, probe_data
from harness.dataset.progress import Progress
from harness.dataset.shard import HEADER_BYTES, first_tokens
from harness.machine import computer
from harness.probe.probe_plan import ProbePlan
from harness.run import execution, tokenizer_ready
from harness.runlog import grammar


@dataclass(frozen=True, slots=True)
class Material:
    """The track's own tokens, as many as the script needs that reads more, on a machine that can run it."""

    fetched: fetching.Fetched
    machine: Machine
    track: Track  # the subject's, on the source that the tokens are of

    def offered(self, track: Track, folder: Path, train_tokens: int) -> fetching.Fetched:
        """Choose what a script is given that reads so many tokens: what was prepared in `folder`, else the track's own."""
        count = len(fetching.needed_shards(track, train_tokens))
        names = [path.name for path in self.fetched.paths[:count]]
        paths = zip(names, self.fetched.paths, strict=False)
        chosen = tuple(folder / name if (folder / name).exists() else path for name, path in paths)
        return fetching.Fetched(chosen, DataReceipt("prepared for a probe", None, ()), pinned=False)


class Swap:
    """Gives a script the official tokens once its clock has started, in the files that it was given.

    It takes effect up to 0.1 s after the line was printed, and takes as long as the files take to be written. A script
    that has read its training files by then warms up on the tokens that it trains on.
    """

    def __init__(self, prepared: Path, given: Path, official: tuple[Path, ...], source_bytes: int) -> None:
        # What the run is given is a second name of what was prepared, or a part of it.
        self.pairs = [(given / path.name, path) for path in official if (prepared / path.name).exists()]
        self.skip = source_bytes  # a log begins with the script, which may hold the mark as text
        self.done = False

    def before(self, watch: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """Wrap a watcher: look for the mark before a line is passed on."""

        def take(line: bytes) -> None:
            if self.skip > 0:
                self.skip -= len(line) + 1
            elif not self.done and grammar.clock_mark(grammar.undress(line)) == "clock_start":
                self.done = True
                for given, official in self.pairs:
                    if given.exists():  # a run of few steps is not given the last shards
                        exchange(given, official)
            watch(line)

        return take


def exchange(given: Path, official: Path) -> None:
    """Write the first tokens of one shard into another, which keeps its length, its mode and its times."""
    like = given.stat()
    given.chmod(0o644)
    with given.open("r+b") as file:
        file.writelines(first_tokens(official, (like.st_size - HEADER_BYTES) // 2))
    os.utime(given, ns=(like.st_atime_ns, like.st_mtime_ns))
    given.chmod(stat.S_IMODE(like.st_mode))


def prepare(plan: ProbePlan, *, progress: Progress | None = None) -> Material:
    """Check the machine, then fetch the track's tokens.

    Raises MachineError before anything is fetched, and DatasetError before anything is launched.
    """
    here, subject = computer.capture(), plan.subject
    computer.check(here, subject.track)
    for script in filter(None, (subject, plan.parent)):
        tokenizer_ready.fetch_for(script, progress=progress)
    fetched = execution.fetch(subject, plan.train_tokens, progress=progress)
    return Material(fetched, here, secret_source.with_seed(subject.track, fetched.receipt))


def write_variant(
    track: Track, official: tuple[Path, ...], variant: str, folder: Path, draw: probe_data.Random
) -> None:
    """Write the shards that a variant changes into `folder`, under the names of the official ones, validation first."""
    val, *train = official
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if variant == "known":
        ids = probe_data.known_symbols(track, draw)
        for path in official:
            probe_data.write_noise(path, folder / path.name, ids, draw)
    elif variant == "relabelled":
        table = probe_data.relabelling(track, draw)
        for path in official:
            probe_data.write_relabelled(path, folder / path.name, table)
    elif variant == "other":
        probe_data.write_other_stretch(track, val, folder / val.name, draw)
    elif variant == "both":
        table, other = probe_data.relabelling(track, draw), folder / "other"
        probe_data.write_other_stretch(track, val, other, draw)
        for path in official:
            probe_data.write_relabelled(other if path == val else path, folder / path.name, table)
        other.unlink()
    elif variant in ("noise", "swapped"):
        for path in train:
            probe_data.write_noise(path, folder / path.name, probe_data.alphabet(track), draw)
