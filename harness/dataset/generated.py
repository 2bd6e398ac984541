"""A track with a synthetic source in, its shards on a shelf of the cache out: drawn once per machine, not fetched."""

from __future__ import annotations

import os
from pathlib import Path

from harness.core.errors import DatasetError
from harness.core.task import Shard, Track
from harness.dataset.download import Gathered
from harness.dataset.progress import Progress
from harness.dataset.shard import check_tokens
from harness.dataset.snapshot import Known, Shelf, hash_file, try_remember
from harness.dataset.synthetic import write_shards
from harness.store.files import disk_error


def generated_shelf(cache: Path, track: Track) -> Shelf:
    """Where the shards of a synthetic track lie; the numbers that shape its bytes are in the name."""
    data = track.data
    name = f"{track.name}-{data.seed}-{data.shard_tokens}-{track.validation_tokens}"
    return Shelf(cache / "data" / "synthetic" / name)


def generate(cache: Path, track: Track, shards: tuple[Shard, ...], progress: Progress) -> Gathered:
    """Have the shards of a synthetic track, one for validation and at most one for training.

    Raises DatasetError where a pin names other bytes or more shards are wanted, StoreError for the disk.
    """
    if len(shards) > 2:
        raise DatasetError.at(
            f"tracks/{track.name}.yaml", "a synthetic source has one training shard", "ask for fewer tokens"
        )
    shelf = generated_shelf(cache, track)
    known = _known(shelf, shards)
    if known is None:
        with shelf.lock("generate"):
            known = _known(shelf, shards) or _draw(shelf, track, shards, progress)
    for item, shard in zip(known, shards, strict=True):
        if shard.sha256 not in (None, item.sha256) or shard.tokens not in (None, item.tokens):
            raise DatasetError.at(
                shelf.path(item.name), "it is not what the track pins", "the source or the track's numbers have changed"
            )
    return Gathered(shelf, known, None, 0)


def _known(shelf: Shelf, shards: tuple[Shard, ...]) -> tuple[Known, ...] | None:
    """What the receipt says of all the shards, if stat confirms every one of them."""
    remembered = shelf.receipt().shards
    found = [known for shard in shards if (known := remembered.get(shard.name)) and shelf.still_known(known)]
    return tuple(found) if len(found) == len(shards) else None


def _draw(shelf: Shelf, track: Track, shards: tuple[Shard, ...], progress: Progress) -> tuple[Known, ...]:
    progress.say(f"drawing {track.data.shard_tokens:,} tokens from the synthetic source of the track {track.name}")
    found = []
    try:
        for shard in shards:  # what is there is not known to be right: drawing costs less than asking
            shelf.path(shard.name).unlink(missing_ok=True)
        write_shards(track, shelf.folder)
        for shard in shards:
            path = shelf.path(shard.name)
            os.chmod(path, 0o444)
            sha256 = hash_file(path, check=lambda: None, advance=lambda count: None)
            known = shelf.look(shard.name, path, sha256, check_tokens(path, name=shard.name))
            try_remember(shelf, known, None)
            found.append(known)
    except OSError as error:
        raise disk_error(shelf.folder, error) from error
    return tuple(found)
