"""Which shards of a track are on this machine, in which state, and what the missing ones take."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.task import Shard, Track
from harness.dataset.fetching import needed_shards, repository_of, shards_of
from harness.dataset.generated import generated_snapshot
from harness.dataset.shard import HEADER_BYTES
from harness.dataset.snapshot import snapshot_of
from harness.store.layout import cache_folder


@dataclass(frozen=True, slots=True)
class LocalShard:
    """One shard of a track, as far as it is on this machine."""

    name: str
    state: str  # verified | unverified | partial | missing
    bytes: int
    sha256: str | None
    path: Path


def what_is_there(track: Track) -> tuple[Path, tuple[LocalShard, ...]]:
    """The folder of a track's shards in the cache, and the state of each that the track's tokens need or that is there.

    Reads no shard and asks nobody.
    """
    data = track.data
    if data.source == "hub":
        snapshot = snapshot_of(cache_folder(), repository_of(track), data.revision)
    else:
        snapshot = generated_snapshot(cache_folder(), track)
    known = snapshot.receipt().shards
    usual = {shard.name for shard in needed_shards(track, None)}
    entries = []
    for shard in shards_of(data, data.train_shards):
        path, partial = snapshot.path(shard.name), snapshot.partial(shard.name)
        if path.is_file():
            state = "verified" if snapshot.still_known(known.get(shard.name)) else "unverified"
            sha256 = known[shard.name].sha256 if state == "verified" else None
            entries.append(LocalShard(shard.name, state, path.stat().st_size, sha256, path))
        elif partial.is_file():
            entries.append(LocalShard(shard.name, "partial", partial.stat().st_size, None, partial))
        elif shard.name in usual:
            entries.append(LocalShard(shard.name, "missing", 0, None, path))
    return snapshot.folder, tuple(entries)


def missing_shards(track: Track, tokens: int | None) -> tuple[Shard, ...]:
    """Those of the needed shards that are not here, or in part only. Reads no shard and asks nobody."""
    here = {entry.name for entry in what_is_there(track)[1] if entry.state in ("verified", "unverified")}
    return tuple(shard for shard in needed_shards(track, tokens) if shard.name not in here)


def size_bytes(track: Track, shards: Iterable[Shard]) -> int:
    """What shards take on disk, by the tokens that they hold."""
    return sum(HEADER_BYTES + 2 * (shard.tokens or track.data.shard_tokens) for shard in shards)
