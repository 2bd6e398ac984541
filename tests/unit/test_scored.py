"""What a score says: which losses, texts and look-ahead pass, and where a score decides nothing."""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.contract import keeps_contract
from harness.catalog.tracks import load_track
from harness.core.scores import Gap, Score, Twins, Weights
from harness.dataset import held_out
from harness.dataset.shard import to_bytes
from harness.evidence.contents import Evidence
from harness.evidence.counted_losses import counted_loss, counted_losses
from harness.model_score import gap
from harness.model_score.measuring import requests_of, twins
from harness.store import weights
from harness.store.entries import Scored
from harness.store.flaws import Break
from harness.store.ledger import Ledger
from harness.verdict import judge
from tests.ledgers import a_session, declared, ended, started
from tests.unit.test_verdict import HONEST, SHA, SMOKE, evidence

WEIGHTS = Weights(525_000, SHA)
SCORE = Score(
    run="run-1", weights_sha256=SHA, tier="bubblewrap", tokens=131_072, wall_time_s=7.0, val_loss=2.85, other_loss=2.86,
    sequence_tokens=128, twins=Twins(1024, 66_000, 0.0, 0.0), gap=Gap(0.001, 0.002, 256, "the source of the text"),
)  # fmt: skip


def scored(
    ruleset: str = "smoke@2", *, packed: bool = False, run: dict[str, Any] | None = None, **score: Any
) -> Evidence:
    """Three honest runs with their scores; changes go to the last one, its score or the run."""
    runs = [replace(r, weights=WEIGHTS, score=replace(SCORE, val_loss=r.log.final_val_loss)) for r in HONEST]
    assert runs[2].score is not None
    runs[2] = replace(runs[2], **{"score": replace(runs[2].score, **score), **(run or {})})
    return evidence(*runs, ruleset=ruleset, packed=packed)


def outcomes(given: Evidence) -> str:
    return " ".join(f.outcome for f in judge(given).findings if f.rule in ("S4", "S5", "S6"))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "pass pass pass"),
        ({"val_loss": 2.8499}, "pass pass pass"),
        ({"val_loss": 2.8505}, "fail pass pass"),
        ({"val_loss": 2.8455}, "fail pass pass"),
        ({"gap": Gap(-0.0079, 0.002, 256, "the source")}, "pass pass pass"),
        ({"gap": Gap(-0.0081, 0.002, 256, "the source")}, "pass fail pass"),
        ({"gap": Gap(0.5, 0.002, 256, "the source")}, "pass pass pass"),  # worse known than other text
        ({"gap": Gap(-0.0019, 0.0001, 20_000, "a record")}, "pass pass pass"),
        ({"gap": Gap(-0.0021, 0.0001, 20_000, "a record")}, "pass fail pass"),
        ({"gap": None, "no_gap": "no other script keeps the contract"}, "pass inconclusive pass"),
        ({"twins": Twins(1024, 66_000, 0.11, 0.0)}, "pass pass fail"),
        ({"twins": Twins(1024, 66_000, 0.05, 0.0011)}, "pass pass fail"),
        ({"twins": Twins(1024, 66_000, 0.05, -0.0005)}, "pass pass pass"),
        ({"problem": "its logits are not all finite numbers", "val_loss": None}, "fail inconclusive inconclusive"),
        ({"run": {"score": None}}, "inconclusive inconclusive inconclusive"),
        ({"run": {"score": None, "weights": Weights(5 << 30, None)}}, "fail inconclusive inconclusive"),
        ({"run": {"score": None, "weights": None}}, "inconclusive inconclusive inconclusive"),
    ],
)
def test_a_score_is_held_against_the_log_other_text_and_look_ahead(changes: dict[str, Any], expected: str) -> None:
    assert outcomes(scored(**changes)) == expected
    decided = "not applicable not applicable not applicable"
    assert outcomes(scored("smoke@1", **changes)) == decided, "a ruleset that asks for no score gets a mark"


def test_rows_of_which_too_few_can_be_tried_decide_nothing() -> None:
    few = replace(SCORE, twins=Twins(300, 9000, 0.0, 0.0))
    runs = tuple(replace(run, weights=WEIGHTS, score=replace(few, val_loss=run.log.final_val_loss)) for run in HONEST)
    assert outcomes(evidence(*runs, ruleset="smoke@2")) == "pass pass inconclusive"


def test_a_score_that_came_in_a_pack_is_called_a_claim() -> None:
    texts = [f.text for f in judge(scored(packed=True)).findings if f.rule == "S4"]
    assert "a claim until a maintainer scores" in texts[0]


def test_the_worse_of_the_printed_and_the_scored_loss_counts() -> None:
    run = replace(HONEST[0], score=replace(SCORE, val_loss=HONEST[0].val_loss + 0.001))  # type: ignore[operator]
    assert counted_loss(run).val_loss == run.score.val_loss  # type: ignore[union-attr]
    better = replace(run, score=replace(SCORE, val_loss=2.0))
    assert counted_loss(better).val_loss == run.val_loss


def test_in_a_session_that_scores_some_runs_all_carry_what_their_models_score_above_the_printed_losses() -> None:
    short = load_track(Path(__file__).parents[2] / "tracks", "short").rulesets[-1]
    printed = tuple(replace(run, val_loss=3.278) for run in (*HONEST, *HONEST, *HONEST)[:8])
    runs = tuple(
        replace(run, score=replace(SCORE, val_loss=3.278 + above)) if above is not None else run
        for run, above in zip(printed, (None, None, None, None, 0.0019, 0.0017, 0.0018, 0.0018), strict=True)
    )
    session = a_session(short.id)
    counted = counted_losses(short, runs, session)
    assert [run.val_loss for run in counted] == pytest.approx([3.2798] * 8), "nobody gains the tolerance of S4"
    assert counted_losses(short, runs, None) == runs, "elsewhere a score is a mark"
    lower = tuple(replace(run, score=replace(SCORE, val_loss=3.2771)) for run in printed)
    assert counted_losses(short, lower, session) == lower


# ---------------------------------------------------------------------------------------------- two texts


def test_text_that_is_harder_for_both_is_no_gap_and_text_that_one_knows_is() -> None:
    draw = random.Random(1)
    hard = [[3.0 + draw.gauss(0, 0.2) for _ in range(200)], [3.3 + draw.gauss(0, 0.2) for _ in range(200)]]
    own = [[loss + 0.1 + draw.gauss(0, 0.02) for loss in text] for text in hard]
    found = gap.compare(own, hard, "a record")
    assert found is not None
    assert abs(found.difference) < 4 * found.error < 0.01
    known = gap.compare([[loss - 0.02 for loss in own[0]], own[1]], hard, "a record")
    assert known is not None
    assert known.difference < -4 * known.error
    assert gap.compare([[1.0], [1.0]], [[1.0], [1.0]], "a record") is None


def test_the_process_that_is_given_other_text_never_saw_what_it_is_asked_to_foresee() -> None:
    import torch

    text = torch.arange(8 * 16 + 1)
    asked: list[list[list[int]]] = []

    class Scorer:
        length, rows = 16, 6

        def logits(self, rows: Any) -> Any:
            asked.append(rows.tolist())
            return torch.zeros(*rows.shape, 257)

    orders = {"start_id": 50256, "start_column": 256, "twins": 4096}
    found = twins(Scorer(), text, torch.full((65,), 200), torch.full((8 * 16,), math.log(257)), orders)  # type: ignore[arg-type]
    assert found is not None and (found["rows"], sum(map(len, asked))) == (16, 16)
    told: set[int] = set()
    for request in asked:
        told |= {token for row in request for token in row if token < 200}
        for row in request:
            assert row[row.index(200) - 1] + 1 not in told, "what follows there was given before, or beside"


def test_neighbouring_rows_are_never_asked_for_together() -> None:
    for count, at_once in ((1024, 128), (10, 3), (7, 7), (5, 100)):
        groups = requests_of(count, at_once)
        assert sorted(row for group in groups for row in group) == list(range(count))
        assert all(len(group) <= at_once for group in groups)
        if count > at_once:
            assert all(b - a > 1 for group in groups for a, b in itertools.pairwise(group))


def test_other_text_is_from_the_rest_of_the_validation_shard(tmp_path: Path) -> None:
    import numpy as np

    shard = tmp_path / "val.bin"
    shard.write_bytes(to_bytes(np.arange(1000, dtype=np.uint16)))
    track = replace(SMOKE, validation_tokens=300, data=replace(SMOKE.data, source="hub"))
    official = held_out.official(track, shard)
    assert (official.first, official.tokens) == (0, 300)
    chosen = {held_out.other(track, shard, tmp_path / "none").first for _ in range(50)}
    assert len(chosen) > 5
    assert all(first >= 301 and first + 301 <= 1000 for first in chosen)


# ---------------------------------------------------------------------------------------------- scripts and files


@pytest.mark.parametrize(
    ("source", "keeps"),
    [
        ("save: str | None = None\ndef load(path): ...", True),
        ("def load(path, device=None): ...\nargs['save']", True),
        ("def load(path): ...", False),
        ("save: str | None = None\ndef load(): ...", False),
        ("save: str | None = None\ndef load(path, device): ...", False),
        ("save: str | None = None\nclass A:\n    def load(path): ...", False),
        ("import torch\ntorch.save(1, 2)\ntorch.load(1)", False),
        ("def load(path) -> ", False),
        ("\0", False),
        ("(" * 5000, False),
    ],
)
def test_whether_a_script_keeps_the_contract_is_told_by_its_text(source: str, keeps: bool) -> None:
    assert keeps_contract(source.encode()) is keeps


def saved(folder: Path) -> Path:
    (folder / "saved").mkdir(parents=True)
    return folder / "saved" / "model"


def test_weights_are_moved_out_of_reach_and_hashed(tmp_path: Path) -> None:
    saved(tmp_path).write_bytes(b"weights")
    taken = weights.take(tmp_path)
    assert taken == Weights(7, hashlib.sha256(b"weights").hexdigest())
    assert not (tmp_path / "saved").exists()
    assert weights.are_there(tmp_path, taken)
    weights.kept_file(tmp_path).chmod(0o644)
    weights.kept_file(tmp_path).write_bytes(b"others!")
    assert not weights.are_there(tmp_path, taken)


def test_what_is_no_plain_file_or_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text("secret")
    saved(tmp_path / "link").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", saved(tmp_path / "hard"))
    os.mkfifo(saved(tmp_path / "pipe"))
    saved(tmp_path / "none")
    for name in ("link", "hard", "pipe", "none", "not even a folder"):
        assert weights.take(tmp_path / name) is None
    monkeypatch.setattr(weights, "MOST_WEIGHTS_BYTES", 10)
    saved(tmp_path / "large").write_bytes(b"x" * 11)
    assert weights.take(tmp_path / "large") == Weights(11, None)
    assert not (tmp_path / "large" / "weights").exists()
    assert (tmp_path / "secret").read_text() == "secret"


def test_a_run_is_scored_once_and_after_its_end(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for entry in (declared(), started("r1"), ended("r1"), Scored(script=SHA, run="r1", score_sha256="d" * 64)):
        ledger.append(entry)
    chain = ledger.chain(SHA)
    assert chain.breaks() == ()
    assert chain.scores["r1"].score_sha256 == "d" * 64
    again = ledger.append(Scored(script=SHA, run="r1", score_sha256="e" * 64))
    early = [ledger.append(started("r2")), ledger.append(Scored(script=SHA, run="r2", score_sha256="e" * 64))]
    chain = ledger.chain(SHA)
    assert chain.breaks()[:2] == (Break("not to score", again.line, "r1"), Break("not to score", early[1].line, "r2"))
    assert chain.scores["r1"].score_sha256 == "d" * 64, "the first counts"
