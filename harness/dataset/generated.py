"""A track with a synthetic source in, its shards on a shelf of the cache out: drawn once per machine, not fetched."""

from __future__ import annotations

import os
from pathlib import Path

from harness.dataset import shard as shards_of_tokens
from harness.dataset.gather import Gathered
from harness.dataset.shelf import Known, Shelf, hash_file, try_remember
from harness.dataset.synthetic import make_shards
from harness.dataset.transfer import Progress
from harness.errors import DatasetError, TrackError
from harness.schema import Shard, Track
from harness.store.files import disk_error, write_atomic


def generated_shelf(cache: Path, track: Track) -> Shelf:
    """Where the shards of a synthetic track lie; the numbers that shape its bytes are in the name."""
    data = track.data
    return Shelf(cache / "data" / "synthetic" / f"{data.seed}-{data.shard_tokens}-{track.validation_tokens}")


def generate(cache: Path, track: Track, shards: tuple[Shard, ...], progress: Progress) -> Gathered:
    """Have the validation shard and, where `shards` asks for it, the one training shard of a synthetic track.

    Raises DatasetError where a pin names other bytes, TrackError where the track asks for what a source cannot give.
    """
    if track.data.seed is None or track.data.train_shards != 1:
        raise TrackError.at(
            f"tracks/{track.name}.yaml", "a synthetic source needs a `seed` and one training shard", "correct `data`"
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
    data = track.data
    progress.say(f"drawing {data.shard_tokens:,} tokens from the source of the track {track.name}")
    # One token more than is validated: the last position needs a target.
    train, val = make_shards(data.seed or 0, data.shard_tokens, track.validation_tokens + 1)
    tokens = {data.val_pattern % 0: val, data.train_pattern % 1: train}
    found = []
    for shard in shards:
        path = shelf.path(shard.name)
        write_atomic(path, shards_of_tokens.to_bytes(tokens[shard.name]))
        try:
            os.chmod(path, 0o444)
            sha256 = hash_file(path, check=lambda: None, advance=lambda count: None)
        except OSError as error:
            raise disk_error(path, error) from error
        known = shelf.look(shard.name, path, sha256, shards_of_tokens.check_tokens(path, name=shard.name))
        try_remember(shelf, known, None)
        found.append(known)
    return tuple(found)
