"""Draw the shards of a synthetic track, once per machine, into the same kind of snapshot as fetched ones."""

import os
from pathlib import Path

from harness.core.errors import DatasetError
from harness.core.task import Shard, Track
from harness.dataset.download import Gathered
from harness.dataset.progress import Progress
from harness.dataset.shard import check_tokens
from harness.dataset.snapshot import KnownShard, Snapshot, hash_file, try_remember
from harness.dataset.synthetic import write_shards
from harness.store.files import disk_error


def generated_snapshot(cache: Path, track: Track) -> Snapshot:
    """Return where the shards of a synthetic track are kept; the numbers that determine its bytes are in the name."""
    data = track.data
    name = f"{track.name}-{data.seed}-{data.shard_tokens}-{track.validation_tokens}"
    return Snapshot(cache / "data" / "synthetic" / name)


def generate(cache: Path, track: Track, shards: tuple[Shard, ...], progress: Progress) -> Gathered:
    """Return the shards of a synthetic track, one for validation and at most one for training, drawn where missing.

    Raises DatasetError where a pin names other bytes or more shards are wanted, StoreError for the disk.
    """
    if len(shards) > 2:
        raise DatasetError.at(
            f"tracks/{track.name}.yaml", "a synthetic source has one training shard", "ask for fewer tokens"
        )
    snapshot = generated_snapshot(cache, track)
    known = _known(snapshot, shards)
    if known is None:
        with snapshot.lock("generate"):
            known = _known(snapshot, shards) or _draw(snapshot, track, shards, progress)
    for item, shard in zip(known, shards, strict=True):
        if shard.sha256 not in (None, item.sha256) or shard.tokens not in (None, item.tokens):
            raise DatasetError.at(
                snapshot.path(item.name), "is not what the track pins", "the source or the track's numbers have changed"
            )
    return Gathered(snapshot, known, None, 0)


def _known(snapshot: Snapshot, shards: tuple[Shard, ...]) -> tuple[KnownShard, ...] | None:
    """Return what the receipt says of the shards; None where stat does not confirm every one of them."""
    remembered = snapshot.receipt().shards
    confirmed = [known for shard in shards if (known := remembered.get(shard.name)) and snapshot.still_known(known)]
    return tuple(confirmed) if len(confirmed) == len(shards) else None


def _draw(snapshot: Snapshot, track: Track, shards: tuple[Shard, ...], progress: Progress) -> tuple[KnownShard, ...]:
    progress.say(f"drawing {track.data.shard_tokens:,} tokens from the synthetic source of the track {track.name}")
    drawn = []
    try:
        for shard in shards:  # what is there is not known to be right: drawing costs less than asking
            snapshot.path(shard.name).unlink(missing_ok=True)
        write_shards(track, snapshot.folder)
        for shard in shards:
            path = snapshot.path(shard.name)
            os.chmod(path, 0o444)
            sha256 = hash_file(path, check=lambda: None, advance=lambda count: None)
            known = snapshot.describe(shard.name, path, sha256, check_tokens(path, name=shard.name))
            try_remember(snapshot, known, None)
            drawn.append(known)
    except OSError as error:
        raise disk_error(snapshot.folder, error) from error
    return tuple(drawn)
