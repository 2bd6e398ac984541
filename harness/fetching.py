"""A track in, verified tokens out, offered to a run without the run knowing where they lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from harness.dataset import shard, synthetic
from harness.errors import DatasetError
from harness.schema import DataReceipt, Track
from harness.store.layout import cache_folder


@dataclass(frozen=True, slots=True)
class Fetched:
    """Shards on disk and what they were when they were checked."""

    paths: tuple[Path, ...]
    receipt: DataReceipt


def fetch_for(track: Track, tokens: int | None = None, *, allow_network: bool = True) -> Fetched:
    """Have the shards that a run of `tokens` train tokens needs; raises DatasetError."""
    if track.data.source != "synthetic":
        raise DatasetError.at(track.name, "this data cannot be fetched yet", "use --dry or the smoke track")
    return make_synthetic(track)


def make_synthetic(track: Track) -> Fetched:
    """Make (or find) the shards of a source that is computed, not fetched."""
    paths = synthetic.write_shards(track, cache_folder() / "data" / "synthetic" / f"{track.name}-{track.data.seed}")
    receipts = tuple(shard.receipt(path) for path in paths)
    return Fetched(tuple(paths), DataReceipt("synthetic", None, receipts))


def offer(fetched: Fetched, track: Track, work: Path) -> None:
    """Link the shards under the path that a script expects inside its work folder."""
    folder = work / track.data.folder
    folder.mkdir(parents=True, exist_ok=True)
    for path in fetched.paths:
        (folder / path.name).symlink_to(path)


def recheck(fetched: Fetched) -> DataReceipt:
    """Hash the shards again after a run and say whether they are what they were."""
    again = tuple(shard.receipt(path) for path in fetched.paths)
    return replace(fetched.receipt, unchanged=again == fetched.receipt.shards)
