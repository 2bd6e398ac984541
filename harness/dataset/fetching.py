"""Have the tokens of a track on this machine, verified, tell which are there, and put them where a run expects them.

The fetch happens once per machine: all checkouts share one cache. A run reads the shards through links under the
path that its script expects, and they are hashed again when it has ended.
"""

import contextlib
import dataclasses
import errno
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import DatasetError, Problem, StoreError, TrackError
from harness.core.measurement import DataReceipt, ShardReceipt
from harness.core.task import Shard, Track, TrackData
from harness.dataset.download import Gathered, Gathering, damaged
from harness.dataset.progress import Progress
from harness.dataset.retry import RetryPolicy
from harness.dataset.shard import HEADER_BYTES, count_tokens, first_tokens
from harness.dataset.snapshot import Snapshot, snapshot_of
from harness.dataset.synthetic import generate, generated_snapshot
from harness.store.files import disk_error, sha256_file
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


@dataclass(frozen=True, slots=True)
class LocalShard:
    """One shard of a track, as far as it is on this machine."""

    name: str
    state: str  # verified | unverified | partial | missing
    bytes: int
    sha256: str | None
    path: Path


def needed_shards(track: Track, tokens: int | None) -> tuple[Shard, ...]:
    """Return the validation shard and as many training shards as `tokens` fill (None: the track's number), and no more.

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
    return shards_of(data, count)


def shards_of(data: TrackData, train_shards: int) -> tuple[Shard, ...]:
    """Return the validation shard and the first training shards, each with its pin where the track has one."""
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
    progress = progress or Progress()
    if track.data.source == "synthetic":
        return _fetched(track, shards, Gathered(*generate(cache_folder(), track, shards, progress)))
    gathering = Gathering(
        cache_folder(),
        repository_of(track),
        track.data.revision,
        shards,
        progress=progress,
        allow_network=allow_network,
        policy=policy,
    )
    return _fetched(track, shards, gathering.run())


def make_synthetic(track: Track) -> Fetched:
    """Have the validation shard and the first training shard of a source that is computed, not fetched."""
    shards = shards_of(track.data, 1)
    return _fetched(track, shards, Gathered(*generate(cache_folder(), track, shards, Progress())))


def _fetched(track: Track, shards: tuple[Shard, ...], gathered: Gathered) -> Fetched:
    receipt = DataReceipt(
        source=repository_of(track) if track.data.source == "hub" else track.data.source,
        revision=gathered.commit,
        shards=tuple(ShardReceipt(k.name, k.bytes, k.tokens, k.sha256) for k in gathered.known),
    )
    paths = tuple(gathered.snapshot.path(known.name) for known in gathered.known)
    pinned = all(shard.sha256 is not None for shard in shards)
    return Fetched(paths, receipt, pinned, gathered.downloaded_bytes)


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
    """Return those of the needed shards that are not here, or in part only. Reads no shard and asks nobody."""
    here = {entry.name for entry in what_is_there(track)[1] if entry.state in ("verified", "unverified")}
    return tuple(shard for shard in needed_shards(track, tokens) if shard.name not in here)


def size_bytes(track: Track, shards: Iterable[Shard]) -> int:
    """Say what shards take on disk, by the tokens that they hold."""
    return sum(HEADER_BYTES + 2 * (shard.tokens or track.data.shard_tokens) for shard in shards)


def offer(fetched: Fetched, track: Track, work: Path) -> None:
    """Put the shards under the path that a script expects inside its work folder; the files are read-only.

    The training shards are links to a folder of this run's own, which holds the files of the cache under a second name:
    neither its path nor when a file changed last tells where the tokens come from, so that a probe looks like any run.
    The validation shard is a copy of the run's own: who opens it is the script, while anybody may open the one in the
    cache. A script that reads DATA_PATH is given `work`. Raises StoreError where something else is there already.
    """
    folder = work / track.data.folder
    validation, *training = fetched.paths
    own = folder / validation.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        given = _give(fetched.paths, given_folder(work))
        links = {folder / path.name: given / path.name for path in training}
        for there in (own, *links):
            if os.path.lexists(there) and not (there.is_symlink() and there.readlink() == links.get(there)):
                raise StoreError.at(there, "something else is there already", "start in an empty run folder")
        shutil.copyfile(validation, own)
        own.chmod(0o444)
        for link, target in links.items():
            if not link.is_symlink():
                link.symlink_to(target)
        if fetched.receipt.cut is not None and given != given_folder(work):
            raise StoreError.at(
                cache_folder(), "cannot be written", "a run that is offered a part of a shard needs that"
            )
        if fetched.receipt.cut is not None:
            _write_cut(training[-1], given / training[-1].name, fetched.receipt.cut.tokens)
    except OSError as error:
        raise disk_error(folder, error) from error


def cut(fetched: Fetched, train_tokens: int) -> Fetched:
    """Choose the first `train_tokens` of the training shards: a part of the last one that is needed, and none behind it.

    The receipt says what that part is. Nothing is chosen where there are no more tokens than that.
    """
    last, left = 0, train_tokens
    while last + 1 < len(fetched.paths) and left > 0:
        last += 1
        left -= count_tokens(fetched.paths[last])
    paths, part = fetched.paths[: last + 1], None
    if left < 0:
        tokens, digest = count_tokens(paths[-1]) + left, hashlib.sha256()
        for piece in first_tokens(paths[-1], tokens):
            digest.update(piece)
        part = ShardReceipt(paths[-1].name, HEADER_BYTES + 2 * tokens, tokens, digest.hexdigest())
    receipt = dataclasses.replace(fetched.receipt, shards=fetched.receipt.shards[: last + 1], cut=part)
    return dataclasses.replace(fetched, paths=paths, receipt=receipt)


def _write_cut(shard: Path, place: Path, tokens: int) -> None:
    """Put the first tokens of a shard in the place of its second name, with its times."""
    place.unlink()
    with place.open("wb") as file:
        file.writelines(first_tokens(shard, tokens))
    shutil.copystat(shard, place)
    place.chmod(0o444)


def _is(path: Path, sha256: str) -> bool:
    with contextlib.suppress(OSError):
        return sha256_file(path) == sha256
    return False


def given_folder(work: Path) -> Path:
    """Return the folder of the cache that the links of a run lead to; its name follows from the run's folder."""
    name = hashlib.sha256(os.fsencode(os.path.abspath(work))).hexdigest()[:16]
    return cache_folder() / "data" / "given" / name


def _give(paths: tuple[Path, ...], given: Path) -> Path:
    """Put shards into a new folder; return it, or where they lie themselves if the cache cannot be written."""
    shutil.rmtree(given, ignore_errors=True)
    try:
        given.mkdir(parents=True)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return paths[0].parent
    for path in paths:  # the validation shard too: the observer looks for its name beside the others
        _second_name(path, given / path.name)
    return given


def _second_name(path: Path, name: Path) -> None:
    """Give a file of the cache a second name; where that cannot be (it is another user's), a copy with its times."""
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        shutil.copy2(path, name)
        name.chmod(0o444)


def recheck(fetched: Fetched, track: Track, work: Path, progress: Progress | None = None) -> DataReceipt:
    """Hash the shards again, after a run, and say in the receipt whether they are what they were.

    The run's own copy of the validation shard is among them, and is thrown away; so is the part of a shard.
    """
    own = work / track.data.folder / fetched.paths[0].name
    kept = not own.is_symlink() and _is(own, fetched.receipt.shards[0].sha256)
    if (cut := fetched.receipt.cut) is not None:
        kept = kept and _is(given_folder(work) / cut.name, cut.sha256)
    unchanged = kept and not verify(fetched, progress)
    with contextlib.suppress(OSError):
        own.unlink()  # last, so that whoever closes the books of a killed harness can hash it once more
    return dataclasses.replace(fetched.receipt, unchanged=unchanged)


def verify(fetched: Fetched, progress: Progress | None = None) -> tuple[Problem, ...]:
    """Hash the shards again; one problem for each whose bytes have changed since they were verified."""
    return damaged(Snapshot(fetched.folder), fetched.receipt.shards, progress or Progress())


def repository_of(track: Track) -> str:
    """Return the hub dataset of a track; raises TrackError where it names none."""
    if track.data.repository is None:
        raise TrackError.at(f"tracks/{track.name}.yaml", "it names no repository", "add `repository: owner/name`")
    return track.data.repository
