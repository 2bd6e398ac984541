"""A track and a number of tokens in, verified shards, their receipt and their place in a run folder out.

The fetch happens once per machine: all checkouts share one cache. A run reads the shards through links under the
path that its script expects, and they are hashed again when it has ended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.tracks import load_track
from harness.core.errors import DatasetError, Problem, StoreError, TrackError, raise_if
from harness.core.measurement import DataReceipt, ShardReceipt
from harness.core.task import Shard, Track, TrackData
from harness.dataset import hub
from harness.dataset.download import Gathered, Gathering, damaged
from harness.dataset.generated import generate, generated_snapshot
from harness.dataset.pins import with_pins
from harness.dataset.progress import Progress, Quiet
from harness.dataset.retry import Retrying, RetryPolicy
from harness.dataset.shard import HEADER_BYTES
from harness.dataset.snapshot import Snapshot, snapshot_of
from harness.store.files import disk_error, sha256_file, write_atomic
from harness.store.layout import cache_folder


@dataclass(frozen=True, slots=True)
class Fetched:
    """Shards that are there and verified, validation first."""

    paths: tuple[Path, ...]
    receipt: DataReceipt
    pinned: bool  # the track pins the sha256 of every one of them
    downloaded_bytes: int = 0

    @property
    def folder(self) -> Path:
        """Where they lie in the cache."""
        return self.paths[0].parent


def needed_shards(track: Track, tokens: int | None) -> tuple[Shard, ...]:
    """The validation shard and as many training shards as `tokens` fill (None: the track's number), and no more.

    Each with its pin, where the track has one. Raises DatasetError for more tokens than the dataset holds.
    """
    data = track.data
    tokens = track.train_tokens if tokens is None else tokens
    count = -(-tokens // data.shard_tokens)
    if tokens < 0 or count > data.train_shards:
        raise DatasetError.at(
            f"tracks/{track.name}.yaml",
            f"{tokens:,} tokens were asked for, the dataset holds {data.train_shards} × {data.shard_tokens:,}",
            "ask for fewer",
        )
    return _named(data, count)


def _named(data: TrackData, train_shards: int) -> tuple[Shard, ...]:
    pins = {shard.name: shard for shard in data.shards}
    names = [data.val_pattern % 0, *(data.train_pattern % number for number in range(1, train_shards + 1))]
    return tuple(pins.get(name, Shard(name)) for name in names)


def fetch_for(
    track: Track,
    tokens: int | None = None,
    *,
    allow_network: bool = True,
    progress: Progress | None = None,
    policy: RetryPolicy | None = None,
) -> Fetched:
    """Have the shards that a run over `tokens` needs on this machine, verified; None: the track's number of tokens.

    Costs a stat per shard where they are there already. Raises DatasetError or StoreError with every problem.
    """
    shards = needed_shards(track, tokens)
    progress = progress or Quiet()
    if track.data.source == "synthetic":
        return _fetched(track, shards, generate(cache_folder(), track, shards, progress))
    gathering = Gathering(
        cache_folder(),
        _repository(track),
        track.data.revision,
        shards,
        progress=progress,
        allow_network=allow_network,
        policy=policy,
    )
    return _fetched(track, shards, gathering.run())


def make_synthetic(track: Track) -> Fetched:
    """Have the validation shard and the first training shard of a source that is computed, not fetched."""
    shards = _named(track.data, 1)
    return _fetched(track, shards, generate(cache_folder(), track, shards, Quiet()))


def _fetched(track: Track, shards: tuple[Shard, ...], gathered: Gathered) -> Fetched:
    receipt = DataReceipt(
        source=_repository(track) if track.data.source == "hub" else track.data.source,
        revision=gathered.commit,
        shards=tuple(ShardReceipt(k.name, k.bytes, k.tokens, k.sha256) for k in gathered.known),
    )
    paths = tuple(gathered.snapshot.path(known.name) for known in gathered.known)
    pinned = all(shard.sha256 is not None for shard in shards)
    return Fetched(paths, receipt, pinned, gathered.downloaded_bytes)


def offer(fetched: Fetched, track: Track, work: Path) -> None:
    """Put the shards under the path that a script expects inside its work folder; the files are read-only.

    The training shards are links into the cache. The validation shard is a copy of the run's own: who opens it is the
    script, while anybody may open the one in the cache. A script that reads DATA_PATH is given `work`. Raises
    StoreError where something else is there already.
    """
    folder = work / track.data.folder
    validation, *training = fetched.paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = folder / validation.name
        if own.is_symlink() or own.exists():
            raise StoreError.at(own, "something else is there already", "start in an empty run folder")
        shutil.copyfile(validation, own)
        own.chmod(0o444)
        for path in training:
            link = folder / path.name
            if link.is_symlink() and link.readlink() == path:
                continue
            if link.is_symlink() or link.exists():
                raise StoreError.at(link, "something else is there already", "start in an empty run folder")
            link.symlink_to(path)
    except OSError as error:
        raise disk_error(folder, error) from error


def recheck(fetched: Fetched, track: Track, work: Path, progress: Progress | None = None) -> DataReceipt:
    """Hash the shards again, after a run, and say in the receipt whether they are what they were.

    The run's own copy of the validation shard is among them, and is thrown away.
    """
    own = work / track.data.folder / fetched.paths[0].name
    try:
        kept = not own.is_symlink() and sha256_file(own) == fetched.receipt.shards[0].sha256
    except OSError:
        kept = False
    unchanged = kept and not verify(fetched, progress)
    with contextlib.suppress(OSError):
        own.unlink()  # last, so that whoever closes the books of a killed harness can hash it once more
    return dataclasses.replace(fetched.receipt, unchanged=unchanged)


def verify(fetched: Fetched, progress: Progress | None = None) -> tuple[Problem, ...]:
    """Hash the shards again; one problem for each whose bytes have changed since they were verified."""
    return damaged(Snapshot(fetched.folder), fetched.receipt.shards, progress or Quiet())


# ---------------------------------------------------------------------------------------------------- pinning


def pin(tracks: Path, track: Track, fetched: Fetched, progress: Progress | None = None) -> Path:
    """Write the revision and every shard's hash into the track's file, keeping its comments; returns the file.

    The hashes come from the hub's listing of the revision that `fetched` came from, and must agree with what was
    fetched and with what is pinned already: a pin is never moved. Raises DatasetError, TrackError or StoreError.
    """
    path = tracks / f"{track.name}.yaml"
    pins = _listed_pins(track, fetched, progress or Quiet()) if track.data.source == "hub" else _own_pins(fetched)
    revision = fetched.receipt.revision
    if track.data.source == "hub" and revision is None:
        raise DatasetError.at(
            _repository(track), "the hub does not say which revision it serves", "pin without HF_ENDPOINT"
        )
    raise_if(_moved(track, path, pins), TrackError)
    text = with_pins(path.read_text(encoding="utf-8"), f"tracks/{path.name}", revision, pins)
    _prove(text, track, revision, pins)
    write_atomic(path, text)
    return path


def _own_pins(fetched: Fetched) -> tuple[Shard, ...]:
    return tuple(Shard(shard.name, shard.tokens, shard.sha256) for shard in fetched.receipt.shards)


def _listed_pins(track: Track, fetched: Fetched, progress: Progress) -> tuple[Shard, ...]:
    repository, revision = _repository(track), fetched.receipt.revision
    line = Retrying(RetryPolicy(), progress.say)
    listed = {f.name: f for f in line.keep_trying(repository, lambda: hub.list_files(repository, revision))}
    names = [shard.name for shard in _named(track.data, track.data.train_shards)]
    raise_if(
        (
            Problem(f"{repository}/{name}", "the hub lists no such file with a sha256", "correct the track's numbers")
            for name in names
            if name not in listed or listed[name].sha256 is None
        ),
        DatasetError,
    )
    pins = tuple(Shard(name, (listed[name].bytes - HEADER_BYTES) // 2, listed[name].sha256) for name in names)
    by_name = {shard.name: shard for shard in pins}
    raise_if(
        (
            Problem(f"{repository}/{shard.name}", "the hub lists other bytes than it served", "fetch again, then pin")
            for shard in fetched.receipt.shards
            if (shard.sha256, shard.tokens) != (by_name[shard.name].sha256, by_name[shard.name].tokens)
        ),
        DatasetError,
    )
    return pins


def _moved(track: Track, path: Path, pins: tuple[Shard, ...]) -> list[Problem]:
    """Pins of the file that the new ones would change."""
    new = {shard.name: shard for shard in pins}
    return [
        Problem(str(path), f"{old.name} is pinned to other bytes", "a pin is never moved; make a new track or ruleset")
        for old in track.data.shards
        if old.sha256 is not None and old.name in new and old.sha256 != new[old.name].sha256
    ]


def _prove(text: str, track: Track, revision: str | None, pins: tuple[Shard, ...]) -> None:
    """Read the new text as any verb would: nothing but the pins may differ."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / f"{track.name}.yaml").write_text(text, encoding="utf-8")
        read = load_track(Path(folder), track.name)
    if read != dataclasses.replace(track, data=dataclasses.replace(track.data, revision=revision, shards=pins)):
        raise TrackError.at(
            f"tracks/{track.name}.yaml",
            "its form is too unusual to be edited",
            "put each key of `data` on its own line",
        )


def _repository(track: Track) -> str:
    if track.data.repository is None:
        raise TrackError.at(f"tracks/{track.name}.yaml", "it names no repository", "add `repository: owner/name`")
    return track.data.repository


# ---------------------------------------------------------------------------------------------------- what is there


@dataclass(frozen=True, slots=True)
class ShelfEntry:
    """One shard of a track, as far as it is on this machine."""

    name: str
    state: str  # verified | unverified | partial | missing
    bytes: int
    sha256: str | None
    path: Path


def what_is_there(track: Track) -> tuple[Path, tuple[ShelfEntry, ...]]:
    """The folder of a track's shards in the cache, and the state of each that the track's tokens need or that is there.

    Reads no shard and asks nobody.
    """
    data = track.data
    if data.source == "hub":
        shelf = snapshot_of(cache_folder(), _repository(track), data.revision)
    else:
        shelf = generated_snapshot(cache_folder(), track)
    known = shelf.receipt().shards
    usual = {shard.name for shard in needed_shards(track, None)}
    entries = []
    for shard in _named(data, data.train_shards):
        path, partial = shelf.path(shard.name), shelf.partial(shard.name)
        if path.is_file():
            state = "verified" if shelf.still_known(known.get(shard.name)) else "unverified"
            sha256 = known[shard.name].sha256 if state == "verified" else None
            entries.append(ShelfEntry(shard.name, state, path.stat().st_size, sha256, path))
        elif partial.is_file():
            entries.append(ShelfEntry(shard.name, "partial", partial.stat().st_size, None, partial))
        elif shard.name in usual:
            entries.append(ShelfEntry(shard.name, "missing", 0, None, path))
    return shelf.folder, tuple(entries)


def missing_shards(track: Track, tokens: int | None) -> tuple[Shard, ...]:
    """Those of the needed shards that are not here, or in part only. Reads no shard and asks nobody."""
    here = {entry.name for entry in what_is_there(track)[1] if entry.state in ("verified", "unverified")}
    return tuple(shard for shard in needed_shards(track, tokens) if shard.name not in here)


def size_bytes(track: Track, shards: Iterable[Shard]) -> int:
    """What shards take on disk, by the tokens that they hold."""
    return sum(HEADER_BYTES + 2 * (shard.tokens or track.data.shard_tokens) for shard in shards)
