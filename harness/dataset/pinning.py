"""Write down what a track's tokens are, so that every later fetch must give the same bytes: tracks/<track>.pins.json.

The file is the tool's own; what people wrote in the track's YAML is never edited.
"""

from pathlib import Path

from harness.catalog.tracks import PINS_FORM, contradictions, pins_file
from harness.core.errors import DatasetError, Problem, TrackError, raise_if
from harness.core.task import Pins, Shard, Track
from harness.dataset import hub
from harness.dataset.fetching import Fetched, repository_of, shards_of
from harness.dataset.progress import Progress
from harness.dataset.retry import Retrying, RetryPolicy
from harness.dataset.shard import HEADER_BYTES
from harness.store.files import write_atomic


def pin(tracks: Path, track: Track, fetched: Fetched, progress: Progress | None = None) -> Path:
    """Write the revision and every shard's hash beside the track's file; returns the file that was written.

    The hashes come from the hub's listing of the revision that `fetched` came from, and must agree with what was
    fetched and with what is pinned already: a pin is never moved. Raises DatasetError, TrackError or StoreError.
    """
    revision, path = fetched.receipt.revision, pins_file(tracks, track.name)
    if track.data.source == "hub":
        shards = _listed(track, fetched, progress or Progress())
        if revision is None:
            what = "the hub does not say which revision it serves"
            raise DatasetError.at(repository_of(track), what, "pin without HF_ENDPOINT")
    else:
        shards = tuple(Shard(shard.name, shard.tokens, shard.sha256) for shard in fetched.receipt.shards)
    pins = Pins("speedrun fetch --pin", revision, shards)
    raise_if(contradictions(track, pins, f"tracks/{path.name}"), TrackError)
    write_atomic(path, PINS_FORM.text(pins))
    return path


def _listed(track: Track, fetched: Fetched, progress: Progress) -> tuple[Shard, ...]:
    repository, revision = repository_of(track), fetched.receipt.revision
    line = Retrying(RetryPolicy(), progress.say)
    listed = {f.name: f for f in line.keep_trying(repository, lambda: hub.list_files(repository, revision))}
    names = [shard.name for shard in shards_of(track.data, track.data.train_shards)]
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
