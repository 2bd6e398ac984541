"""What a prediction may depend on: never a later token, and behind the document mask never another document."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from .scripts import ALL, END, END_OF_TEXT, FLEX, MASK_INSIDE, RETIMED, load, mask_arguments, small_vocabulary

T = 48
BY_TOKENS = tuple(name for name in FLEX if name not in MASK_INSIDE)  # masks that know no blocks
HALF_TURNING = ("short/17", *RETIMED, "optimization/36")
TABLES_IN_FP32 = ("short/2", "short/4", *RETIMED, "optimization/36")


def model_of(name: str) -> Any:
    """A small model with all its weights random, so that every path through it carries something."""
    module = load(name)
    sizes = {"n_layer": 4, "n_head": 2, "d_model": 32, "sequence_length": T} | small_vocabulary(name)
    model = module.GPT(module.Hyperparameters(device="cpu", **sizes))
    torch.manual_seed(11)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def loss_at_each_position(name: str, model: Any, inputs: torch.Tensor, window: int = 1024) -> torch.Tensor:
    """The loss (T,) of each position alone: all other targets are ignored."""
    targets = torch.randint(0, 2000, (1, T), generator=torch.Generator().manual_seed(1))
    mask = mask_arguments(name, inputs, window)
    losses = []
    with torch.no_grad():
        for i in range(T):
            only = torch.full_like(targets, -100)
            only[0, i] = targets[0, i]
            losses.append(model(inputs, only, *mask))
    return torch.stack(losses)


def random_row(seed: int) -> torch.Tensor:
    return torch.randint(0, 256, (1, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ALL)
def test_a_later_token_never_changes_an_earlier_loss(name: str) -> None:
    model, inputs = model_of(name), random_row(2)
    before = loss_at_each_position(name, model, inputs)
    assert torch.isfinite(before).all()
    for at in (1, 20, T - 1):
        changed = inputs.clone()
        changed[0, at:] = random_row(3)[0, at:]
        changed[0, at] = (inputs[0, at] + 1) % 256
        after = loss_at_each_position(name, model, changed)
        torch.testing.assert_close(after[:at], before[:at], rtol=1e-5, atol=1e-5)
        assert (after[at:] - before[at:]).abs().max() > 1e-3, "what follows does depend on it"


@pytest.mark.parametrize("name", ALL)
def test_another_document_changes_a_loss_only_where_no_mask_separates_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in FLEX:
        monkeypatch.setattr(load(name), "END_OF_TEXT", END)
    model, inputs = model_of(name), random_row(4)
    inputs[0, 0] = inputs[0, 17] = inputs[0, 30] = END
    changed = inputs.clone()
    changed[0, 18:30] = random_row(5)[0, 18:30]
    before, after = (loss_at_each_position(name, model, row) for row in (inputs, changed))
    torch.testing.assert_close(after[:18], before[:18], rtol=1e-5, atol=1e-5)
    assert (after[18:30] - before[18:30]).abs().max() > 1e-3
    later = (after[30:] - before[30:]).abs().max().item()
    assert later < 1e-5 if name in FLEX else later > 1e-3


@pytest.mark.parametrize("name", BY_TOKENS)
def test_the_mask_is_that_of_the_recipe_key_by_key(name: str) -> None:
    inputs = random_row(6)
    inputs[0, [0, 9, 10, 33]] = END_OF_TEXT
    documents = [sum(int(t) == END_OF_TEXT for t in inputs[0, : p + 1]) for p in range(T)]
    for window in (1, 7, 64):
        mask = load(name).attention_mask(inputs, torch.tensor(window))
        for p in range(T):
            for k in range(T):
                sees = k <= p and documents[k] == documents[p] and p - k < window
                assert mask[p, k].item() == sees, (p, k, window)


WINDOWS = {"short/15": (64, 128, 192, 300, 640), "short/17": (1, 2, 3, 5)}  # tokens, blocks
WINDOWS |= dict.fromkeys(RETIMED, (1, 2, 3, 5, 9))
ROW = 640  # five blocks


def row_of_blocks() -> tuple[torch.Tensor, np.ndarray]:
    """A row whose documents begin in a block, at its edge and one token before it; and the document of each token."""
    inputs = torch.randint(0, 256, (1, ROW), generator=torch.Generator().manual_seed(12))
    inputs[0, [0, 90, 256, 511]] = END_OF_TEXT
    return inputs, np.cumsum(inputs[0].numpy() == END_OF_TEXT)


def masks_of(name: str, inputs: torch.Tensor, window: int) -> tuple[Any, ...]:
    """The mask of a script; from record 20 on there are two."""
    module, size = load(name), torch.tensor(window)
    return module.attention_masks(inputs, size) if name in RETIMED else (module.attention_mask(inputs, size),)


def windows_of(name: str, window: int) -> tuple[int, ...]:
    """The windows of those masks: the long one and half of it, but at least a block."""
    return (window, max(1, window // 2)) if name in RETIMED else (window,)


def visible(name: str, documents: np.ndarray, window: int) -> np.ndarray:
    """The recipe's rule: record 15 has a window in tokens, cut to the blocks it takes up with the query's; then blocks count."""
    q, k = np.arange(ROW)[:, None], np.arange(ROW)[None, :]
    seen = (k <= q) & (documents[q] == documents[k])
    blocks = q // 128 - k // 128
    return seen & (blocks < window) if name != "short/15" else seen & (q - k < window) & (blocks < -(-window // 128))


@pytest.mark.parametrize("name", MASK_INSIDE)
def test_the_mask_of_blocks_is_that_of_the_recipe_key_by_key(name: str) -> None:
    inputs, documents = row_of_blocks()
    for window in WINDOWS[name]:
        for mask, size in zip(masks_of(name, inputs, window), windows_of(name, window), strict=True):
            assert (mask.numpy() == visible(name, documents, size)).all(), (window, size)


class OnGpu(torch.Tensor):
    """A tensor that says it is on a GPU."""

    is_cuda = True


@pytest.mark.parametrize("name", MASK_INSIDE)
def test_the_tables_of_blocks_on_a_gpu_make_the_same_mask_and_name_no_block_in_vain(name: str) -> None:
    inputs, documents = row_of_blocks()
    for window in WINDOWS[name]:
        masks = masks_of(name, inputs.as_subclass(OnGpu), window)
        for mask, size in zip(masks, windows_of(name, window), strict=True):
            check_tables(name, mask, visible(name, documents, size))


def check_tables(name: str, mask: Any, seen: np.ndarray) -> None:
    """Hold the tables of a block mask against what shall be seen, token by token."""
    backwards = name in RETIMED  # from record 20 on the most recent blocks come first
    total, kinds = np.zeros((5, 5), dtype=int), [(mask.kv_num_blocks, mask.kv_indices, False)]
    if mask.full_kv_num_blocks is not None:
        kinds.append((mask.full_kv_num_blocks, mask.full_kv_indices, True))
    assert len(kinds) == (1 if name == "short/15" else 2) and mask.BLOCK_SIZE == (128, 128)
    for counts, indices, full in kinds:
        assert counts.shape == (1, 1, 5) and indices.shape == (1, 1, 5, 5)
        assert counts.dtype == indices.dtype == torch.int32
        for i in range(5):
            kept = indices[0, 0, i, : int(counts[0, 0, i])].tolist()
            assert kept == sorted(kept, reverse=backwards) and sorted(indices[0, 0, i].tolist()) == list(range(5))
            for j in kept:
                total[i, j] += 1
                q = torch.arange(128 * i, 128 * i + 128)[:, None]
                k = torch.arange(128 * j, 128 * j + 128)[None, :]
                allowed = np.ones((128, 128), dtype=bool) if full else mask.mask_mod(0, 0, q, k).numpy()
                assert (allowed == seen[128 * i : 128 * i + 128, 128 * j : 128 * j + 128]).all(), (i, j)
                assert allowed.any() and (full or name == "short/15" or not allowed.all())
    assert total.max() == 1
    assert (seen.reshape(5, 128, 5, 128).any(axis=(1, 3)) == (total == 1)).all()


@pytest.mark.parametrize("name", BY_TOKENS)
def test_flex_attention_under_the_mask_equals_the_dense_attention_that_replaces_it_on_a_cpu(name: str) -> None:
    """Forward pass only, not compiled: that much of FlexAttention runs on a CPU."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    length, window = 300, 40
    inputs = torch.randint(0, 256, (1, length), generator=torch.Generator().manual_seed(7))
    inputs[0, [0, 100, 217]] = END_OF_TEXT
    dense = load(name).attention_mask(inputs, torch.tensor(window))
    block = create_block_mask(lambda b, h, q, k: dense[q, k], None, None, length, length, device="cpu")
    q, k, v = torch.randn(3, 1, 2, length, 16, generator=torch.Generator().manual_seed(8)).unbind(0)
    flexible = flex_attention(q, k, v, block_mask=block)
    torch.testing.assert_close(
        flexible, torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=dense), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ALL[1:])
def test_rotary_attention_knows_distances_not_places(name: str) -> None:
    """Shifting queries and keys by the same number of positions leaves their products as they are."""
    module, head_dim, length = load(name), 16, 40
    table_type = () if name in TABLES_IN_FP32 else (torch.float32,)
    cos, sin = module.rotary_tables(length, head_dim, *table_type)
    random = torch.Generator().manual_seed(9)
    q, k = torch.randn(2, 1, 1, 1, head_dim, generator=random).unbind(0)
    products = {
        (i, j): (
            module.rotate(q, cos[i : i + 1], sin[i : i + 1]) * module.rotate(k, cos[j : j + 1], sin[j : j + 1])
        ).sum()
        for i, j in ((5, 2), (30, 27), (5, 4), (39, 0))
    }
    torch.testing.assert_close(products[5, 2], products[30, 27], rtol=1e-4, atol=1e-4)
    assert not torch.isclose(products[5, 2], products[5, 4]) and not torch.isclose(products[5, 2], products[39, 0])


@pytest.mark.parametrize("name", ALL[1:])
def test_rotary_frequencies_and_the_sense_of_rotation_are_those_of_the_recipe(name: str) -> None:
    module, head_dim = load(name), 16
    table_type = () if name in TABLES_IN_FP32 else (torch.float32,)
    cos, sin = module.rotary_tables(8, head_dim, *table_type)
    for position in (0, 1, 7):
        for j in range(head_dim // 2):
            if name in HALF_TURNING:
                quarter = head_dim // 4
                frequency = (1 / 1024) ** (j / (quarter - 1)) if j < quarter else 0.0
            else:
                frequency = 10_000 ** (-2 * j / head_dim)
            c, s = math.cos(position * frequency), math.sin(position * frequency)
            assert (cos[position, j].item(), sin[position, j].item()) == pytest.approx((c, s), abs=1e-5)
            x = torch.zeros(1, 8, 1, head_dim)
            x[..., j], x[..., j + head_dim // 2] = 2.0, 3.0
            y = module.rotate(x, cos, sin)[0, position, 0]
            assert y[j].item() == pytest.approx(2 * c + 3 * s, abs=1e-4)
            assert y[j + head_dim // 2].item() == pytest.approx(-2 * s + 3 * c, abs=1e-4)


def test_record_15_rounds_the_frequencies_of_its_rotation_on_a_gpu_and_record_17_only_the_tables() -> None:
    """At the 4,000th token a frequency that is off by 1/512 of itself turns a pair by whole radians too much."""
    frequency, place = 10_000 ** (-2 / 16), 4_000
    rounded = torch.tensor(frequency).bfloat16().item()
    assert abs(rounded - frequency) * place > 0.5
    cos, _ = load("short/15").rotary_tables(place + 1, 16, torch.bfloat16)
    assert cos.dtype == torch.bfloat16 and cos[place, 1].item() == pytest.approx(math.cos(place * rounded), abs=0.01)
    cos, _ = load("short/17").rotary_tables(place + 1, 16, torch.bfloat16)
    exact = math.cos(place * (1 / 1024) ** (1 / 3))
    assert cos.dtype == torch.bfloat16 and cos[place, 1].item() == pytest.approx(exact, abs=0.01)
