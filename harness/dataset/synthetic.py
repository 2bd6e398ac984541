"""Keep the shards of a synthetic source (`harness.core.markov_source`) in the cache: drawn once, then known by stat."""

import os
from pathlib import Path

from harness.core.errors import DatasetError
from harness.core.markov_source import make_shards
from harness.core.task import Shard, Track
from harness.dataset.progress import Progress
from harness.dataset.shard import check_tokens, to_bytes
from harness.dataset.snapshot import KnownShard, Snapshot, try_remember
from harness.store.files import disk_error, sha256_file, write_atomic


def generated_snapshot(cache: Path, track: Track) -> Snapshot:
    """Return where the shards of a synthetic track are kept; the numbers that determine its bytes are in the name."""
    data = track.data
    name = f"{track.name}-{data.seed}-{data.shard_tokens}-{track.validation_tokens}"
    return Snapshot(cache / "data" / "synthetic" / name)


def generate(
    cache: Path, track: Track, shards: tuple[Shard, ...], progress: Progress
) -> tuple[Snapshot, tuple[KnownShard, ...]]:
    """Have the shards of a synthetic track, one for validation and at most one for training; drawn where missing.

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
        if not item.agrees(shard):
            raise DatasetError.at(
                snapshot.path(item.name), "is not what the track pins", "the source or the track's numbers have changed"
            )
    return snapshot, known


def _known(snapshot: Snapshot, shards: tuple[Shard, ...]) -> tuple[KnownShard, ...] | None:
    """Return what the receipt says of the shards; None where stat does not confirm every one of them."""
    remembered = snapshot.receipt().shards
    confirmed = [known for shard in shards if (known := remembered.get(shard.name)) and snapshot.still_known(known)]
    return tuple(confirmed) if len(confirmed) == len(shards) else None


def _draw(snapshot: Snapshot, track: Track, shards: tuple[Shard, ...], progress: Progress) -> tuple[KnownShard, ...]:
    """Draw shards, validation first, whether they exist or not; half a second for 4 M tokens."""
    data, drawn = track.data, []
    progress.say(f"drawing {data.shard_tokens:,} tokens from the synthetic source of the track {track.name}")
    wanted = (data.seed or 0, data.shard_tokens, track.validation_tokens + 1)
    train, val = make_shards(*wanted, varied=data.varied)
    try:
        for shard, tokens in zip(shards, (val, train), strict=False):
            path = snapshot.path(shard.name)
            write_atomic(path, to_bytes(tokens))
            os.chmod(path, 0o444)
            known = snapshot.describe(shard.name, path, sha256_file(path), check_tokens(path, name=shard.name))
            try_remember(snapshot, known, None)
            drawn.append(known)
    except OSError as error:
        raise disk_error(snapshot.folder, error) from error
    return tuple(drawn)
