"""Draw the source of one series from a secret seed, and draw it again to check what a run was given.

Whoever wrote the script could rebuild the tables of a source with a public seed in one step. So a ruleset may ask for a
source that nobody knows before the series starts: its seed comes from the operating system, its tables and its entropy
from the seed. The receipt of a run holds the hashes of the shards and the seed, where the run cannot reach it; with the
pack it is published, and anybody can draw the shards again and compare.
"""

import dataclasses
import functools
import hashlib
import secrets

from harness.core import markov_source
from harness.core.measurement import DataReceipt, Drawn, ShardReceipt
from harness.core.task import Track
from harness.core.token_format import Tokens, to_bytes

_SEED_BITS = 62  # a whole number of every JSON reader, and more than anybody tries


def draw_track(track: Track) -> Track:
    """Return a synthetic track on a source that nobody knows."""
    data = dataclasses.replace(track.data, seed=secrets.randbits(_SEED_BITS), varied=True, shards=(), oracle_loss=None)
    return dataclasses.replace(track, data=data)


def with_seed(track: Track, receipt: DataReceipt) -> Track:
    """Return the track on the source that a receipt names; the same where it names none."""
    if receipt.seed is None:
        return track
    data = dataclasses.replace(track.data, seed=receipt.seed, varied=True, shards=(), oracle_loss=None)
    return dataclasses.replace(track, data=data)


def draw_again(track: Track, receipt: DataReceipt) -> Drawn | None:
    """Draw what the seed of a receipt gives on a track; None where it names none, or one that is none of ours."""
    if receipt.seed is None or not 0 <= receipt.seed < 1 << _SEED_BITS:
        return None
    drawn = _drawn(with_seed(track, receipt))
    if receipt.cut is None:
        return drawn
    return dataclasses.replace(drawn, cut=_cut_again(with_seed(track, receipt), receipt.cut))


@functools.lru_cache(maxsize=64)
def _cut_again(track: Track, cut: ShardReceipt) -> ShardReceipt | None:
    """Cut the training shard of a track again; None where it has no such part."""
    whole, tokens = drawn_shards(track)[-1]
    if cut.name != whole.name or not 0 < cut.tokens < whole.tokens:
        return None
    raw = to_bytes(tokens[: cut.tokens])
    return ShardReceipt(cut.name, len(raw), cut.tokens, hashlib.sha256(raw).hexdigest())


@functools.lru_cache(maxsize=2)  # 17 MB each
def drawn_shards(track: Track) -> tuple[tuple[ShardReceipt, Tokens], ...]:
    """Draw the shards of a track that `draw_track` gave, validation first, with what a receipt says of each."""
    data = track.data
    train, val = markov_source.make_shards(
        data.seed or 0, data.shard_tokens, track.validation_tokens + 1, varied=data.varied
    )
    shards = []
    for name, tokens in ((data.val_pattern % 0, val), (data.train_pattern % 1, train)):
        raw = to_bytes(tokens)
        shards.append((ShardReceipt(name, len(raw), len(tokens), hashlib.sha256(raw).hexdigest()), tokens))
    return tuple(shards)


@functools.lru_cache(maxsize=64)
def _drawn(track: Track) -> Drawn:
    shards = drawn_shards(track)
    source = markov_source.make_source(track.data.seed or 0, varied=track.data.varied)
    oracle = markov_source.oracle_loss(source, shards[0][1][: track.validation_tokens + 1])
    return Drawn(oracle, tuple(receipt for receipt, _ in shards))
