"""How many parameters each model has, and what its loss is before the first step."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from .scripts import ALL, MASK_INSIDE, RETIMED, load, mask_arguments

D, LAYERS = 768, 12
BLOCKS = 84_934_656
TABLE_50257, TABLE_50304 = 38_597_376, 38_633_472

# name: (all parameters, parameters in matrix products of every token)
COUNTS = {
    "short/1": (124_475_904, None),
    "short/2": (123_532_032, 123_532_032),
    "short/4": (123_532_032, 123_532_032),
    "short/5": (123_568_128, 123_568_128),
    "short/6": (123_568_128, 123_568_128),
    "short/8": (162_201_600, 123_568_128),
    "short/9": (162_201_636, 123_568_128),
    "short/10": (162_201_636, 123_568_128),
    "short/11": (162_201_642, 123_568_128),
    "short/12": (162_201_642, 123_568_128),
    "short/13": (162_201_642, 123_568_128),
    "short/15": (394_002_432 + 54, 123_568_128),
    "short/17": (275_598_336 + 52, 121_208_832),
    "short/21.1": (275_598_388, 121_208_832),
    "short/24": (275_742_784, 121_208_832),
    "optimization/36": (162_354_816, None),
}


def meta_model(name: str) -> Any:
    module = load(name)
    with torch.device("meta"):
        return module.GPT(module.Hyperparameters(device="cpu"))


@pytest.mark.parametrize("name", ALL)
def test_the_full_size_model_has_as_many_parameters_as_the_record(name: str) -> None:
    model = meta_model(name)
    total, active = COUNTS[name]
    assert sum(p.numel() for p in model.parameters()) == total
    in_products = sum(p.numel() for p in model.blocks.parameters() if p.ndim > 1) + model.head.weight.numel()
    without_attention = 4 * D * D if name in ("short/17", *RETIMED) else 0
    assert sum(p.numel() for p in model.blocks.parameters() if p.ndim > 1) == BLOCKS - without_attention
    if active is not None:
        assert in_products == active


def test_llmc_has_124_439_808_parameters_without_the_padding_of_the_table() -> None:
    total, _ = COUNTS["short/1"]
    assert total - TABLE_50304 + TABLE_50257 == 124_439_808
    assert meta_model("short/1").embed.weight.shape == (50_304, D)


@pytest.mark.parametrize("name", ALL)
def test_importing_a_script_runs_nothing_and_its_settings_are_frozen(name: str) -> None:
    args = load(name).Hyperparameters()
    assert args.seed is None and args.device == "cuda" and args.val_tokens == 10_485_760
    assert args.batch_size * args.sequence_length == (393_216 if name in RETIMED else 524_288)
    with pytest.raises(AttributeError):
        args.d_model = 1


# The step-0 loss in the records' logs: ln 50,304 exactly where the head starts at zero; with random heads it varies.
FIRST_LOSS = {
    "short/1": (11.0092, 0.15),
    "short/2": (10.9689, 0.15),
    "short/4": (10.9264, 0.15),
    "short/5": (16.0, 0.1),
    "short/6": (16.0, 0.1),
} | {name: (math.log(50_304), 1e-4) for name in ALL[5:]}


@pytest.mark.parametrize("name", ALL)
def test_the_full_size_loss_before_the_first_step_is_that_of_the_record(name: str) -> None:
    module = load(name)
    # Where the head starts at zero every token has the same loss, however many and wide the layers before it are.
    narrow = {"n_layer": 2, "n_head": 2, "d_model": 64}
    settings, count = (narrow, 8) if name in ALL[5:] else ({}, 256)
    args = module.Hyperparameters(device="cpu", sequence_length=256, **settings)
    torch.manual_seed(1)
    model = module.GPT(args)
    tokens = torch.randperm(50_257)[: count + 1]
    inputs, targets = tokens[None, :-1], tokens[None, 1:]
    with torch.no_grad():
        loss = model(inputs, targets, *mask_arguments(name, inputs, 1024)).item() / (
            count if name in ("short/24", "optimization/36") else 1
        )
    expected, tolerance = FIRST_LOSS[name]
    assert loss == pytest.approx(expected, abs=tolerance)


def test_initial_weights_have_the_spread_that_the_recipes_state() -> None:
    """Uniform in ±1/√fan_in has standard deviation 1/√(3 fan_in)."""
    for name in ALL:
        module = load(name)
        args = module.Hyperparameters(device="cpu", n_layer=2, n_head=2, d_model=128, sequence_length=64)
        torch.manual_seed(2)
        model = module.GPT(args)
        fc, proj, table = model.blocks[0].mlp.fc.weight, model.blocks[0].mlp.proj.weight, model.embed.weight
        if name == "short/1":
            expected = 0.02, 0.02 / math.sqrt(2 * args.n_layer), 0.02
            assert not table[50_257:].any(), "padding rows start at zero"
            table = table[:50_257]
        elif name in ("short/2", "short/4"):
            expected = 1 / math.sqrt(3 * 128), 1 / math.sqrt(3 * 512), 1 / math.sqrt(3 * 128)
            assert fc.abs().max() <= 1 / math.sqrt(128)
        elif name in ("short/5", "short/6"):
            expected = 1 / math.sqrt(3 * 128), 0.0, 1 / math.sqrt(3 * 128)
        elif name == "optimization/36":
            expected = math.sqrt(0.33 / 128), 0.0, 1.0
        elif name in RETIMED:
            expected = 0.5 / math.sqrt(128), 0.0, 1.0
            assert model.blocks[0].attn.qkv.std().item() == pytest.approx(expected[0], rel=0.03)
            assert fc.abs().max() <= math.sqrt(3) * expected[0]
        else:
            expected = 1 / math.sqrt(3 * 128), 0.0, 1.0
        measured = [weight.std().item() for weight in (fc, proj, table)]
        assert measured == pytest.approx(expected, rel=0.03), name


def test_learned_scalars_start_where_the_recipes_say() -> None:
    for name in ("short/9", "short/10", "short/11", "short/12", "short/13", "short/15", "short/17", "short/21.1"):
        module = load(name)
        model = module.GPT(module.Hyperparameters(device="cpu", n_layer=4, n_head=2, d_model=32, sequence_length=64))
        for block in model.blocks:
            assert block.attn.value_mix.tolist() == ([0.5, 0.5] if name in MASK_INSIDE else 0.5)
            assert block.input_mix.tolist() == [1.0, 0.0]
        if name not in ("short/9", "short/10"):
            assert model.skip_weights.tolist() == [1.0, 1.0]


def test_record_24_has_all_scalars_in_one_vector_whose_length_is_a_multiple_of_eight() -> None:
    module = load("short/24")
    with torch.device("cpu"):
        model = module.GPT(
            module.Hyperparameters(device="cpu", n_head=2, d_model=16, vocab_size=64, sequence_length=64)
        )
    assert model.scalars.tolist() == [1.0] * 12 + [1.0, 0.0] * 12 + [0.5, 0.5] * 12 + [1.0] * 4
    assert [path for path, p in model.named_parameters() if p.ndim < 2] == ["scalars"]


@pytest.mark.parametrize("name", RETIMED)
def test_on_a_gpu_the_tables_alone_would_be_bf16(name: str) -> None:
    module, model = load(name), meta_model(name)
    module.cast_to_bf16(model)
    types = {path: p.dtype for path, p in model.named_parameters()}
    bf16 = {path for path, dtype in types.items() if dtype == torch.bfloat16}
    assert bf16 == {"embed.weight", *(f"value_embeds.{i}.weight" for i in range(3))}
    assert set(types.values()) == {torch.bfloat16, torch.float32}


def test_blocks_at_equal_distance_from_the_middle_or_from_the_ends_look_up_the_same_values() -> None:
    """Record 15 mirrors six tables, records from 17 on repeat three in their order and leave the others without."""
    for name, mirrored in (("short/15", True), ("short/17", False), ("short/21.1", False), ("short/24", False)):
        module = load(name)
        sizes = {"n_layer": 12, "n_head": 1, "d_model": 4, "vocab_size": 8, "sequence_length": 4}
        model = module.GPT(module.Hyperparameters(device="cpu", **sizes))
        looked_up: dict[nn.Module, Any] = {}
        note = nn.modules.module.register_module_forward_pre_hook(
            lambda called, given, found=looked_up: found.__setitem__(called, given[1] if len(given) > 1 else None)
        )
        model.logits(torch.arange(4)[None], torch.tensor(64))
        note.remove()
        tables = (
            model.value_embed.weight[:4].split(4, dim=1)
            if mirrored
            else [embed.weight[:4] for embed in model.value_embeds]
        )
        expected = [*tables, *tables[::-1]] if mirrored else [*tables, *[None] * 6, *tables]
        assert len(expected) == 12 and len(tables) == (6 if mirrored else 3)
        for block, table in zip(model.blocks, expected, strict=True):
            given = looked_up.get(block.attn)
            assert (given is None) if table is None else torch.equal(given[0], table)
        assert [block.attn is None for block in model.blocks] == [not mirrored and i == 7 for i in range(12)]


@pytest.mark.parametrize("name", ["short/10", "short/11", "short/12", "short/13", "short/15", "short/17"])
def test_on_a_gpu_all_but_the_weights_of_linear_layers_would_be_bf16(name: str) -> None:
    module = load(name)
    model = meta_model(name)
    module.cast_to_bf16(model)
    for path, p in model.named_parameters():
        linear = path == "head.weight" or (p.ndim == 2 and path.startswith("blocks."))
        assert p.dtype == (torch.float32 if linear else torch.bfloat16), path
