"""The smoke source: the same bytes everywhere, an entropy that is known, and no cheap way below it."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np

from harness.catalog.tracks import load_track
from harness.core import markov_source
from harness.dataset import shard

TRACK = load_track(Path(__file__).parents[2] / "tracks", "smoke")


def test_the_shards_are_the_pinned_ones_and_their_loss_is_the_tracks() -> None:
    train, val = markov_source.make_shards(TRACK.data.seed or 0, TRACK.data.shard_tokens, TRACK.validation_tokens + 1)
    pins = {pin.name: (pin.sha256, pin.tokens) for pin in TRACK.data.shards}
    for name, tokens in (("smoke_val_000000.bin", val), ("smoke_train_000001.bin", train)):
        assert (hashlib.sha256(shard.to_bytes(tokens)).hexdigest(), len(tokens)) == pins[name]
        assert tokens[0] == shard.DOCUMENT_START
        assert set(np.unique(tokens)) <= {*range(256), shard.DOCUMENT_START}
    source = markov_source.make_source(TRACK.data.seed or 0)
    oracle = markov_source.oracle_loss(source, val[: TRACK.validation_tokens + 1])
    assert TRACK.data.oracle_loss is not None
    assert abs(oracle - TRACK.data.oracle_loss) < 1e-6
    assert abs(oracle - markov_source.entropy_rate()) < 0.01
    assert bigram_loss(train, val) > TRACK.target_loss + 0.5, "a model of order 1 must not reach the target"


def test_the_entropy_rate_is_the_closed_form() -> None:
    weights = [rank**-1.5 for rank in range(1, 257)]
    total = sum(weights)
    zipf = -sum(w / total * math.log(w / total) for w in weights)
    p = 1 / 256
    expected = -p * math.log(p) - (1 - p) * math.log(1 - p) + (1 - p) * zipf
    assert abs(markov_source.entropy_rate() - expected) < 1e-12
    assert round(expected, 4) == 2.7291


def test_many_tokens_come_close_to_the_entropy_rate() -> None:
    source = markov_source.make_source(3)
    tokens = markov_source.draw(source, 1 << 20, 4)
    assert abs(markov_source.oracle_loss(source, tokens) - markov_source.entropy_rate()) < 0.005


def bigram_loss(train: shard.Tokens, val: shard.Tokens) -> float:
    """Loss on `val` of add-one counts of pairs over `train`."""
    ids = [np.minimum(tokens.astype(np.int64), 256) for tokens in (train, val)]
    counts = np.ones((257, 257))
    np.add.at(counts, (ids[0][:-1], ids[0][1:]), 1)
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    return float(-log_p[ids[1][:-1], ids[1][1:]].mean())
