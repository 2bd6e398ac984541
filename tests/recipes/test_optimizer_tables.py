"""Which parameter gets which optimizer, learning rate, betas, epsilon and weight decay: the whole table per script."""

import re
from typing import Any

import pytest
import torch

from .scripts import ALL, RETIMED, load

BLOCK_MATRICES = r"blocks\.\d+\.(attn\.(q|k|v|proj)|mlp\.(fc|proj))\.weight"
QKV_MATRICES = r"blocks\.\d+\.(attn\.(qkv|proj\.weight)|mlp\.(fc|proj)\.weight)"
SCALARS = r"blocks\.\d+\.(attn\.value_mix|input_mix)|skip_weights"


def adam(lr: float, betas: tuple[float, float], wd: float, kind: str = "Adam", eps: float = 1e-8) -> dict[str, Any]:
    return {"kind": kind, "lr": lr, "betas": betas, "eps": eps, "weight_decay": wd}


def sharded_adam(lr: float) -> dict[str, Any]:
    return {"kind": "ShardedAdam", "lr": lr, "betas": (0.8, 0.95), "eps": 1e-10}


def muon(lr: float, momentum: float, **more: float) -> dict[str, Any]:
    return {"kind": "Muon", "lr": lr, "momentum": momentum, **more}


def untied(embed: float, head: float, beta1: float, matrices: float, momentum: float, scalars: float | None) -> Any:
    table = {
        r"(value_)?embeds?(\.\d)?\.weight": adam(embed, (beta1, 0.95), 0),
        r"head\.weight": adam(head, (beta1, 0.95), 0),
        BLOCK_MATRICES: muon(matrices, momentum),
    }
    return table if scalars is None else table | {SCALARS: adam(scalars, (beta1, 0.95), 0)}


TIED = {r"embed\.weight": adam(0.0036, (0.9, 0.95), 0, "AdamW"), BLOCK_MATRICES: muon(0.00036, 0.95)}
LAST = {"betas": (0.8, 0.95), "wd": 0.001, "kind": "AdamW", "eps": 1e-10}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "short/1": {
        r".*(embed|positions|qkv|proj|fc)\.weight": adam(6e-4, (0.9, 0.95), 0.1, "MasterAdamW"),
        r".*(bias|norm\.weight)": adam(6e-4, (0.9, 0.95), 0, "MasterAdamW"),
    },
    "short/2": {r".*": adam(0.0018, (0.9, 0.95), 0.1, "AdamW")},
    "short/4": {
        r"embed\.weight": adam(0.0036, (0.9, 0.95), 0, "AdamW"),
        r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc|proj))\.weight": muon(0.00036, 0.95),
    },
    "short/5": TIED,
    "short/6": TIED,
    "short/8": untied(0.3, 0.002, 0.9, 0.02, 0.95, None),
    "short/9": untied(0.3, 0.002, 0.9, 0.02, 0.85, 0.02),
    "short/10": untied(0.3, 0.002, 0.9, 0.02, 0.85, 0.02),
    "short/11": untied(0.6, 0.008, 0.9, 0.04, 0.85, 0.04),
    "short/12": untied(0.6, 0.008, 0.9, 0.04, 0.85, 0.04),
    "short/13": untied(0.6, 0.008, 0.8, 0.05, 0.85, 0.04),
    "short/15": untied(0.6, 0.008, 0.8, 0.05, 0.85, 0.04),
    "short/17": untied(0.6, 0.008, 0.8, 0.05, 0.85, 0.04),
    "short/21.1": {
        r"(embed|value_embeds\.\d)\.weight": adam(0.6, (0.8, 0.95), 0, eps=1e-10),
        r"head\.weight": adam(0.008, (0.8, 0.95), 0, eps=1e-10),
        QKV_MATRICES: muon(0.05, 0.95),
        SCALARS: adam(0.04, (0.8, 0.95), 0, eps=1e-10),
    },
    "short/24": {
        r"(embed|value_embeds\.\d)\.weight": sharded_adam(0.6),
        r"head\.weight": sharded_adam(0.22),
        QKV_MATRICES: muon(0.05, 0.95),
        r"scalars": sharded_adam(0.04),
    },
    "optimization/36": {
        r"embed\.weight": adam(0.7, **LAST),
        r"head\.weight": adam(0.004, **LAST),
        r".*(bias|gain)": adam(0.015, **LAST),
        BLOCK_MATRICES: muon(0.025, 0.95, weight_decay=0.05),
    },
}
MUON_MATRICES = {"short/4": 48} | dict.fromkeys(ALL[3:], 72) | {"short/17": 68} | dict.fromkeys(RETIMED, 46)
BY_SIZE = ("short/15", "short/17")  # whose Muon has a group for each size
BY_ORDER = {"short/21.1": r"qkv|attn\.proj|mlp", "short/24": r"qkv|attn\.proj|mlp\.fc|mlp\.proj"}  # what groups hold


def small_model(name: str) -> tuple[Any, Any]:
    module = load(name)
    args = module.Hyperparameters(device="cpu", n_head=2, d_model=16, vocab_size=64, sequence_length=8)
    return module.GPT(args), args


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_has_the_optimizer_and_settings_of_the_recipe(name: str) -> None:
    model, args = small_model(name)
    optimizers = load(name).make_optimizers(model, args)
    names = {p.data_ptr(): path for path, p in model.named_parameters()}
    assert len(names) == len(list(model.parameters()))
    seen: list[str] = []
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            for p in group["params"]:
                path = names[p.data_ptr()]  # the master of an fp32 weight shares its memory
                seen.append(path)
                rows = [row for pattern, row in TABLES[name].items() if re.fullmatch(pattern, path)]
                assert len(rows) == 1, f"{path} is in {len(rows)} rows of the table"
                actual = {"kind": type(optimizer).__name__} | {key: group[key] for key in rows[0] if key != "kind"}
                assert actual == rows[0], path
                assert group["base_lr"] == group["lr"], path
    assert sorted(seen) == sorted(names.values()), "every parameter is in exactly one group"


@pytest.mark.parametrize("name", MUON_MATRICES)
def test_muon_has_the_matrices_of_all_blocks_in_module_order(name: str) -> None:
    model, args = small_model(name)
    muon_optimizer = load(name).make_optimizers(model, args)[-1]
    params = [p for group in muon_optimizer.param_groups for p in group["params"]]
    assert len(params) == MUON_MATRICES[name]
    in_module_order = [p for p in model.blocks.parameters() if p.ndim > 1]
    if name in BY_SIZE:
        in_module_order.sort(key=lambda p: p.numel())  # stable; the first matrix of a block is a small one
    if name in BY_ORDER:
        named, kinds = list(model.blocks.named_parameters(prefix="blocks")), BY_ORDER[name].split("|")
        in_module_order = [p for kind in kinds for path, p in named if re.search(kind, path) and p.ndim > 1]
    assert [p.data_ptr() for p in params] == [p.data_ptr() for p in in_module_order]


def test_record_1_takes_the_step_that_clipped_adamw_with_decay_takes() -> None:
    model, args = small_model("short/1")
    torch.manual_seed(0)
    before = {path: p.detach().clone() for path, p in model.named_parameters()}
    gradients = {path: torch.randn_like(p) for path, p in model.named_parameters()}
    for path, p in model.named_parameters():
        p.grad = gradients[path].clone()
    norm = sum(g.square().sum() for g in gradients.values()).sqrt()
    assert norm > 1
    (optimizer,) = load("short/1").make_optimizers(model, args)
    optimizer.step()
    for path, p in model.named_parameters():
        g = gradients[path] / norm
        moved = before[path] * (1 - 6e-4 * (0.1 if p.ndim > 1 else 0.0)) - 6e-4 * g / (g.abs() + 1e-8)
        torch.testing.assert_close(p.detach(), moved, rtol=1e-5, atol=1e-7)
        assert p.grad is not None
    optimizer.zero_grad(set_to_none=True)
    assert all(p.grad is None for p in model.parameters())


def test_stochastic_rounding_to_bf16_takes_a_neighbour_and_is_right_on_average() -> None:
    torch.manual_seed(0)
    for value in (1.001, -1.001, 3.14159, -2e-5):
        exact = torch.full((40_000,), value)
        rounded = load("short/1").round_stochastically(exact)
        assert rounded.dtype == torch.bfloat16
        neighbours = set(rounded.tolist())
        assert len(neighbours) == 2 and min(neighbours) < value < max(neighbours)
        gap = max(neighbours) - min(neighbours)
        assert rounded.double().mean().item() == pytest.approx(value, abs=5 * gap / 200), value
    assert load("short/1").round_stochastically(torch.tensor([1.5])).item() == 1.5, "exact values stay"
