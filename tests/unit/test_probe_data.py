"""Prepared tokens: they look like the track's own, and are what a probe takes them for."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from harness.catalog.tracks import load_track
from harness.core import markov_source
from harness.dataset import probe_data
from harness.dataset.shard import DOCUMENT_START, Tokens, check_tokens, read_tokens, to_bytes

ROOT = Path(__file__).parents[2]
SMOKE, SHORT = (load_track(ROOT / "tracks", name) for name in ("smoke", "short"))


def of_documents(path: Path, count: int, highest: int, seed: int = 1) -> Tokens:
    """Write a read-only shard of an old date with documents of 1 to 2,000 tokens, and return its tokens."""
    random = np.random.default_rng(seed)
    tokens = random.integers(0, highest + 1, count).astype(np.uint16)
    starts = np.cumsum(random.integers(1, 2000, count // 500))
    tokens[[0, *starts[starts < count]]] = DOCUMENT_START
    path.write_bytes(to_bytes(tokens))
    os.utime(path, ns=(10**18, 10**18 + 1))
    path.chmod(0o444)
    return tokens


def test_noise_keeps_the_documents_and_the_looks_of_the_shard_that_it_stands_for(tmp_path: Path) -> None:
    source, target = tmp_path / "train.bin", tmp_path / "prepared" / "train.bin"
    for track, highest in ((SMOKE, 255), (SHORT, 50_255)):
        tokens = of_documents(source, 1_000_000, highest)
        probe_data.write_noise(source, target, probe_data.alphabet(track), probe_data.fresh_random())
        noise = read_tokens(target)
        assert np.array_equal(noise == DOCUMENT_START, tokens == DOCUMENT_START), "documents start where they did"
        assert noise[noise != DOCUMENT_START].max() <= highest and (noise != tokens).mean() > 0.9
        assert check_tokens(target) == 1_000_000
        looks = [(s.st_size, s.st_mode, s.st_mtime_ns) for s in (source.stat(), target.stat())]
        assert looks[0] == looks[1]
        source.unlink()
        target.unlink()


def test_tokens_of_known_entropy_are_uniform_over_k_secret_symbols(tmp_path: Path) -> None:
    for track, k, highest in ((SMOKE, 128, 255), (SHORT, 1024, 50_255)):
        random, source = probe_data.fresh_random(), tmp_path / f"{k}.bin"
        ids = probe_data.known_symbols(track, random)
        assert len(set(ids.tolist())) == k and max(ids) <= highest
        assert ids.tolist() != probe_data.known_symbols(track, random).tolist()
        of_documents(source, 1_000_000, highest)
        probe_data.write_noise(source, tmp_path / "known.bin", ids, random)
        tokens = read_tokens(tmp_path / "known.bin")
        counts = np.unique(tokens[tokens != DOCUMENT_START], return_counts=True)[1]
        assert len(counts) == k
        spread = ((counts - counts.mean()) ** 2 / counts.mean()).sum() / (k - 1)  # chi-squared per degree of freedom
        assert 1 - 8 * np.sqrt(2 / (k - 1)) < spread < 1 + 8 * np.sqrt(2 / (k - 1))
        short = dataclasses.replace(track, validation_tokens=131_072)
        starts = np.count_nonzero(tokens[1:131_073] == DOCUMENT_START) / 131_072
        assert probe_data.known_entropy(short, source) == pytest.approx((1 - starts) * np.log(k))


def test_a_relabelled_shard_is_the_same_text_in_other_ids(tmp_path: Path) -> None:
    train, _ = markov_source.make_shards(7, 4096, 256)
    (tmp_path / "plain.bin").write_bytes(to_bytes(train))
    table = probe_data.relabelling(SMOKE, probe_data.fresh_random())
    probe_data.write_relabelled(tmp_path / "plain.bin", tmp_path / "renamed.bin", table)
    renamed = read_tokens(tmp_path / "renamed.bin")
    assert table[DOCUMENT_START] == DOCUMENT_START
    assert sorted(table[:256].tolist()) == list(range(256))
    assert np.array_equal(np.argsort(table[:256])[renamed[renamed < 256]], train[train < 256])
    assert np.array_equal(renamed == DOCUMENT_START, train == DOCUMENT_START)
    assert (renamed != train).mean() > 0.9


def test_another_stretch_is_of_the_same_source_and_new_every_time(tmp_path: Path) -> None:
    source = markov_source.make_source(SMOKE.data.seed or 0)
    official = tmp_path / "val.bin"
    official.write_bytes(to_bytes(markov_source.draw(source, 131_328, 1)))
    for name in ("one.bin", "two.bin"):
        probe_data.write_other_stretch(SMOKE, official, tmp_path / name, probe_data.fresh_random())
    one, two = read_tokens(tmp_path / "one.bin"), read_tokens(tmp_path / "two.bin")
    assert not np.array_equal(one, two)
    assert markov_source.oracle_loss(source, one) == pytest.approx(markov_source.entropy_rate(), abs=0.03)


def test_another_stretch_of_a_fetched_track_is_text_behind_its_validation_tokens(tmp_path: Path) -> None:
    track = dataclasses.replace(SHORT, validation_tokens=20_000)
    official, other = tmp_path / "val.bin", tmp_path / "other.bin"
    tokens = of_documents(official, 100_000, 50_255)
    probe_data.write_other_stretch(track, official, other, probe_data.fresh_random())
    turned = read_tokens(other)
    assert turned[0] == DOCUMENT_START
    [begin] = [
        n for n in np.flatnonzero(tokens == DOCUMENT_START) if np.array_equal(tokens[n : n + 9000], turned[:9000])
    ]
    assert 20_001 <= begin < 100_000 - 20_001, "no token that the track validates on is among the first of it"
    assert np.array_equal(turned, np.roll(tokens, -begin)), "it holds the same tokens, and as many"


def test_a_large_shard_is_written_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_data, "_PIECE", 1000)
    train, _ = markov_source.make_shards(7, 4096, 256)
    (tmp_path / "plain.bin").write_bytes(to_bytes(train))
    same = np.arange(1 << 16, dtype=np.uint16)
    probe_data.write_relabelled(tmp_path / "plain.bin", tmp_path / "copy.bin", same)
    assert (tmp_path / "copy.bin").read_bytes() == (tmp_path / "plain.bin").read_bytes()
