"""Prepared tokens: they look like the track's own, and are what a probe takes them for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.catalog.tracks import load_track
from harness.dataset import probe_data, synthetic
from harness.dataset.shard import DOCUMENT_START, check_tokens, read_tokens, to_bytes

ROOT = Path(__file__).parents[2]
SMOKE, SHORT = (load_track(ROOT / "tracks", name) for name in ("smoke", "short"))


def test_tokens_of_known_entropy_are_uniform_over_k_secret_symbols(tmp_path: Path) -> None:
    for track, k, highest in ((SMOKE, 128, 255), (SHORT, 1024, 50_255)):
        random = probe_data.fresh_random()
        ids = probe_data.known_symbols(track, random)
        assert len(set(ids.tolist())) == k and ids[-1] == DOCUMENT_START and max(ids[:-1]) <= highest
        assert ids.tolist() != probe_data.known_symbols(track, random).tolist()
        probe_data.write_uniform(tmp_path / f"{k}.bin", 1_000_000, ids, random)
        assert check_tokens(tmp_path / f"{k}.bin") == 1_000_000
        tokens = read_tokens(tmp_path / f"{k}.bin")
        assert tokens[0] == DOCUMENT_START and set(np.unique(tokens).tolist()) == set(ids.tolist())
        counts = np.unique(tokens, return_counts=True)[1]
        spread = ((counts - counts.mean()) ** 2 / counts.mean()).sum() / (k - 1)  # chi-squared per degree of freedom
        assert 1 - 8 * np.sqrt(2 / (k - 1)) < spread < 1 + 8 * np.sqrt(2 / (k - 1))
        assert probe_data.known_entropy(track) == pytest.approx(np.log(k))


def test_a_relabelled_shard_is_the_same_text_in_other_ids(tmp_path: Path) -> None:
    train, _ = synthetic.make_shards(7, 4096, 256)
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
    for name in ("one.bin", "two.bin"):
        probe_data.write_other_stretch(SMOKE, tmp_path / name, 131_328, probe_data.fresh_random())
    one, two = read_tokens(tmp_path / "one.bin"), read_tokens(tmp_path / "two.bin")
    assert not np.array_equal(one, two)
    source = synthetic.make_source(SMOKE.data.seed or 0)
    assert synthetic.oracle_loss(source, one) == pytest.approx(synthetic.entropy_rate(), abs=0.03)


def test_a_large_shard_is_written_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_data, "_PIECE", 1000)
    train, _ = synthetic.make_shards(7, 4096, 256)
    (tmp_path / "plain.bin").write_bytes(to_bytes(train))
    same = np.arange(1 << 16, dtype=np.uint16)
    probe_data.write_relabelled(tmp_path / "plain.bin", tmp_path / "copy.bin", same)
    assert (tmp_path / "copy.bin").read_bytes() == (tmp_path / "plain.bin").read_bytes()
