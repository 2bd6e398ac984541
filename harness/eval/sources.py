"""Where the tokenizer's files and the items of HellaSwag come from, with the hashes that they must have.

The tokenizer's two files are those that runs are given (`harness.dataset.tokenizer_files`). Of HellaSwag nobody here has
seen the bytes: what the first fetch on a machine gave is noted there, a maintainer may pin it for all, and every result
names its hash.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.tracks import PINS_FORM, pins_file
from harness.core.errors import DatasetError
from harness.core.task import Pins, Shard
from harness.dataset import tokenizer_files
from harness.dataset.progress import Progress
from harness.dataset.single_files import HeldFile, HubFile, fetch_file
from harness.store.files import write_atomic
from harness.store.layout import Project, cache_folder

NAME = "hellaswag"  # what `speedrun fetch` calls all of it, and its file of pins
_HELLASWAG = "Rowan/hellaswag"
ITEMS = HubFile(_HELLASWAG, "data/validation-00000-of-00001.parquet")


@dataclass(frozen=True, slots=True)
class Held:
    """The files of an evaluation, verified."""

    merges: HeldFile
    ids: HeldFile
    items: HeldFile | None  # None where nobody asked for HellaSwag


def fetch(project: Project, *, items: bool, allow_network: bool = True, progress: Progress | None = None) -> Held:
    """Have the tokenizer's files and, where they are needed, the items of HellaSwag on this machine.

    Raises DatasetError and StoreError.
    """
    merges, ids = tokenizer_files.fetch(allow_network=allow_network, progress=progress)
    wanted = pinned(project)
    held = fetch_file(wanted, items_path(), allow_network=allow_network, progress=progress) if items else None
    return Held(merges, ids, held)


def missing(*, items: bool) -> list[str]:
    """Name those of the files that are not on this machine; asks nobody and hashes nothing."""
    places = tokenizer_files.places() | ({ITEMS.name: items_path()} if items else {})
    return [name for name, path in places.items() if not path.is_file()]


def items_path() -> Path:
    """Return where the items lie in the cache."""
    return cache_folder() / "data" / _HELLASWAG.replace("/", "--") / Path(ITEMS.name).name


def pinned(project: Project) -> HubFile:
    """Return the items with the project's pin, where it has one; raises TrackError for a file of pins that is damaged."""
    path = pins_file(project.tracks, NAME)
    if not path.is_file():
        return ITEMS
    pins = PINS_FORM.read(path, name=project.show(path))
    sha256 = {shard.name: shard.sha256 for shard in pins.shards}.get(Path(ITEMS.name).name)
    if sha256 is None:
        what = f"holds no hash of {Path(ITEMS.name).name}"
        raise DatasetError.at(project.show(path), what, "restore the file as speedrun wrote it")
    return dataclasses.replace(ITEMS, sha256=sha256, revision=pins.revision)


def pin(project: Project, held: Held) -> Path:
    """Write the hash of the items beside the tracks; a pin that is there has been met, and stays. Returns the file."""
    path = pins_file(project.tracks, NAME)
    assert held.items is not None
    if not path.is_file():
        shard = Shard(Path(ITEMS.name).name, sha256=held.items.sha256)
        write_atomic(path, PINS_FORM.text(Pins("speedrun fetch --pin", held.items.revision, (shard,))))
    return path
