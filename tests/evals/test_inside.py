"""In the model's own process: weights as int8 with one scale for each row; and what is drawn from given logits."""

from __future__ import annotations

import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.eval import asking, inside


class Tied(nn.Module):
    """A table that is used twice, a linear layer, a gain, and a bank of matrices of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(40, 16)
        self.between = nn.Linear(16, 16, bias=True)
        self.head = nn.Linear(16, 40, bias=False)
        self.head.weight = self.table.weight
        self.gain = nn.Parameter(torch.ones(16))
        self.bank = nn.Parameter(torch.randn(3, 16, 16) / 4)

    def forward(self, tokens: Any) -> Any:
        x = self.between(self.table(tokens)) * self.gain
        for matrix in self.bank:
            x = x + F.linear(x, matrix)
        return F.linear(x, self.head.weight.type_as(x))


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Tied:
    torch.manual_seed(1)
    made = Tied()
    monkeypatch.setattr(inside, "modules", lambda: list(made.modules()))
    return made


def test_no_weight_moves_by_more_than_half_a_step_of_its_row() -> None:
    torch.manual_seed(2)
    weight = torch.randn(5, 7, 11) * torch.logspace(-6, 3, 7)[:, None]
    weight[0, 0] = 0
    steps, scale = inside.quantised(weight)
    assert steps.dtype == torch.int8 and scale.shape == (5, 7, 1)
    highest = weight.abs().amax(-1, keepdim=True)
    assert bool(((steps * scale - weight).abs() <= highest / 254 * 1.001).all())
    assert int(steps.max()) == 127 and bool((steps[0, 0] == 0).all())


def test_the_weights_become_int8_and_the_model_computes_with_them(model: Tied) -> None:
    tokens = torch.randint(0, 40, (2, 8), generator=torch.Generator().manual_seed(0))
    before, table = model(tokens).detach(), model.table.weight.detach().clone()
    count = 40 * 16 + 16 * 16 + 16 + 16 + 3 * 16 * 16
    assert inside.size(model) == f"size {count} {4 * count}", "the shared table counts once"
    with torch.inference_mode():
        assert inside.make_int8(model) == "done"
        after = model(tokens)
    rows = 40 + 16 + 3 * 16
    assert inside.size(model) == f"size {count} {count - 32 + 4 * 32 + 4 * rows}"
    assert model.table.weight.dtype == torch.float32
    steps, scale = inside.quantised(table)
    torch.testing.assert_close(model.head.weight, steps * scale, rtol=0, atol=0)
    assert 0 < float((after - before).abs().max()) < 0.1 * float(before.abs().max())


def test_a_model_without_matrices_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "modules", lambda: [nn.LayerNorm(4)])
    with pytest.raises(TypeError, match="no modules with weights of two dimensions"):
        inside.make_int8(None)


def test_modules_that_are_alive_are_found() -> None:
    mine = nn.Linear(2, 3)
    assert any(one is mine for one in inside.modules())


def test_the_speed_is_said_in_tokens_per_second() -> None:
    seen = []

    def logits(tokens: Any) -> None:
        seen.append(tuple(tokens.shape))

    logits.sequence_tokens = 512  # type: ignore[attr-defined]
    word, value = inside.speed(logits).split()
    assert word == "speed" and float(value) > 0 and seen == [(8, 512)] * 4


# ------------------------------------------------------------------------------------------------ sampling

ORDERS = {"columns": 20, "start_id": 19, "start_column": 19}


class Chain:
    """A model whose next token depends on the one before; the columns beyond those that mean something are highest."""

    length, on_gpu = 6, False

    def __init__(self) -> None:
        self.table = torch.randn(20, 24, generator=torch.Generator().manual_seed(3)) * 2
        self.table[:, 20:] = 100
        self.widths: list[int] = []

    def logits(self, rows: Any) -> Any:
        self.widths.append(rows.size(1))
        return self.table[rows]


def drawn(model: Any = None, **more: Any) -> list[int]:
    told = {"tokens": [19, 4], "count": 12, "temperature": 1.0, "top_k": None, "seed": 0} | more
    return list(asking.sample(model or Chain(), told, ORDERS)["tokens"])


def test_without_chance_the_most_likely_token_follows_and_padding_columns_are_never_drawn() -> None:
    table, expected, last = Chain().table[:, :20], [], 4
    while len(expected) < 12 and (not expected or expected[-1] != 19):
        last = int(table[last].argmax())
        expected.append(last)
    assert drawn(temperature=0) == drawn(top_k=1, seed=5) == expected
    assert all(id < 20 for seed in range(20) for id in drawn(seed=seed))


def test_a_seed_gives_the_same_text_and_another_seed_another() -> None:
    assert drawn(seed=1) == drawn(seed=1)
    assert len({tuple(drawn(seed=seed)) for seed in range(8)}) > 4


def test_the_k_most_likely_tokens_are_drawn_by_their_shares_at_a_temperature() -> None:
    def shares(**more: Any) -> dict[int, float]:
        first = [drawn(count=1, seed=seed, **more)[0] for seed in range(4000)]
        return {id: first.count(id) / len(first) for id in set(first)}

    logits = Chain().table[4, :20].double()
    best = logits.topk(3).indices.tolist()
    found, expected = shares(top_k=3, temperature=2.0), torch.softmax(logits[best] / 2, 0)
    assert set(found) == set(best)
    for id, share in zip(best, expected.tolist(), strict=True):
        assert abs(found[id] - share) < 4.5 * math.sqrt(share * (1 - share) / 4000)


def test_a_text_ends_where_the_model_ends_it_and_rows_hold_the_last_tokens() -> None:
    model = Chain()
    model.table[:, 19] = 50
    assert drawn(model) == [19]
    long = Chain()
    long.table[:, 19] = -50
    assert len(drawn(long)) == 12 and long.widths == [2, 3, 4, 5, *[6] * 8]


def test_on_a_gpu_rows_are_padded_so_that_few_lengths_are_compiled() -> None:
    model = Chain()
    model.length, model.on_gpu = 200, True
    model.table[:, 19] = -50
    assert len(drawn(model, count=70)) == 70
    assert set(model.widths) == {64, 128}


def test_rows_of_choices_are_scored_at_their_ends_whatever_stands_beside_them() -> None:
    model = SimpleNamespace(length=8, rows=1, on_gpu=False, logits=lambda rows: Chain().table[rows, :20])
    rows, scored = [[1, 2, 3, 4, 5], [7, 8], [9, 10, 11]], [2, 1, 2]
    found = asking.choices(model, {"rows": rows, "scored": scored}, ORDERS)["sums"]  # type: ignore[arg-type]
    losses = -torch.log_softmax(Chain().table[:, :20], -1)
    for row, count, total in zip(rows, scored, found, strict=True):
        pairs = list(itertools.pairwise(row))[-count:]
        assert total == pytest.approx(sum(float(losses[a, b]) for a, b in pairs), rel=1e-5)
