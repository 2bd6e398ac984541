"""The number types of a GPU run, tried on a CPU: what would run there in bf16 takes steps and keeps its types."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch

from .scripts import (
    ALL,
    END,
    FLEX,
    MASK_INSIDE,
    PADDED,
    RETIMED,
    import_file,
    load,
    mask_arguments,
    script_path,
    small_vocabulary,
)

ALIKE = (*ALL[:6], "optimization/36")  # whose layers are all alike: no values of the first in the others, no skips
AUTOCAST = ("short/2", "short/4", "short/5", "short/6", "short/8", "short/9", "short/24")


def to_gpu_types(name: str, model: Any) -> None:
    if name == "short/1":
        model.bfloat16()
    elif name == "optimization/36":
        model.embed.bfloat16()
    elif name not in AUTOCAST or name in RETIMED:
        load(name).cast_to_bf16(model)


# short/12 has the model of short/13 to the letter; tracing takes seconds.
@pytest.mark.parametrize(
    ("name", "traced"), [(name, False) for name in ALL] + [(name, True) for name in ALL if name != "short/12"]
)
def test_steps_in_bf16_lower_the_loss_and_keep_all_types(name: str, traced: bool, alone: None) -> None:
    """`traced` sends the model through torch.compile's front end and autograd tracing, without generating code."""
    module = load(name)
    layers = 1 if name in ALIKE and traced else 2  # tracing takes its time per layer
    sizes = {"n_layer": layers, "n_head": 2, "d_model": 32, "vocab_size": 300, "sequence_length": 32}
    sizes |= {"padded_vocab_size": 300} if name in PADDED else {}
    args = module.Hyperparameters(device="cpu", num_iterations=8, **sizes)
    torch.manual_seed(4)
    model = module.GPT(args)
    to_gpu_types(name, model)
    optimizers = module.make_optimizers(model, args)
    types = {path: p.dtype for path, p in model.named_parameters()}
    inputs, targets = torch.randint(0, 256, (2, 1, 32), generator=torch.Generator().manual_seed(5)).unbind(0)
    mask = mask_arguments(name, inputs, 16)
    torch._dynamo.reset()
    run = torch.compile(model, backend="aot_eager", dynamic=False) if traced else model
    autocast = torch.autocast("cpu", torch.bfloat16) if name in AUTOCAST else contextlib.nullcontext()
    losses = []
    for _ in range(8):
        with autocast:
            loss = run(inputs, targets, *mask)
        assert loss.dtype == torch.float32
        losses.append(loss.item())
        loss.backward()
        for p in model.parameters():
            assert p.grad is not None and p.grad.dtype == p.dtype
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert losses[-1] < losses[0]
    assert {path: p.dtype for path, p in model.named_parameters()} == types


@pytest.mark.parametrize("name", MASK_INSIDE)
def test_masks_that_the_model_makes_itself_need_no_new_compilation_either(name: str, tmp_path: Path) -> None:
    """The way of a GPU, traced once. Uncompiled, FlexAttention leaves no block out, so only the widest window compares."""
    source = script_path(name).read_text()
    assert source.count("    if inputs.is_cuda:\n") == 1
    (tmp_path / "on_gpu.py").write_text(source.replace("    if inputs.is_cuda:\n", "    if True:\n"))
    on_gpu, on_cpu = import_file(tmp_path / "on_gpu.py", small=True), import_file(script_path(name), small=True)
    sizes = {"n_layer": 2, "n_head": 2, "d_model": 32, "sequence_length": 256} | small_vocabulary(name)
    args = on_cpu.Hyperparameters(device="cpu", **sizes)
    torch.manual_seed(6)
    model, same = on_cpu.GPT(args), on_gpu.GPT(args)
    with torch.no_grad():
        for p in model.parameters():  # the zero-initialised head would hide every difference
            p.add_(0.1 * torch.randn_like(p))
    same.load_state_dict(model.state_dict())
    graphs = []

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    traced = torch.compile(same, backend=count, dynamic=False)
    with torch.no_grad():
        for step, window in enumerate((1, 2, 64, 256)):
            inputs = torch.randint(0, 256, (1, 256), generator=torch.Generator().manual_seed(step))
            inputs[0, [0, 60 + step]] = END
            loss = traced(inputs, inputs, torch.tensor(window))
        torch.testing.assert_close(loss, model(inputs, inputs, torch.tensor(window)))
    assert len(graphs) == 1


@pytest.mark.parametrize("name", [name for name in FLEX if name not in MASK_INSIDE])
def test_new_masks_and_windows_need_no_new_compilation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The forward pass with FlexAttention's own mask, traced once for documents and windows that change every step."""
    from torch.nn.attention.flex_attention import create_block_mask

    module = load(name)
    monkeypatch.setattr(module, "END_OF_TEXT", END)
    args = module.Hyperparameters(device="cpu", n_layer=2, n_head=2, d_model=32, vocab_size=300, sequence_length=256)
    torch.manual_seed(6)
    model = module.GPT(args)
    with torch.no_grad():
        for p in model.parameters():  # the zero-initialised head would hide every difference
            p.add_(0.1 * torch.randn_like(p))
    graphs = []

    def count(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    torch._dynamo.reset()
    traced = torch.compile(model, backend=count, dynamic=False)
    with torch.no_grad():
        for step in range(4):
            inputs = torch.randint(0, 256, (1, 256), generator=torch.Generator().manual_seed(step))
            inputs[0, [0, 60 + step]] = END
            dense = module.attention_mask(inputs, torch.tensor(16 * (step + 1)))
            documents, window = (inputs[0] == END).cumsum(0), torch.tensor(16 * (step + 1))
            block = create_block_mask(
                lambda b, h, q, k, d=documents, w=window: (q >= k) & (d[q] == d[k]) & (q - k < w),
                None,
                None,
                256,
                256,
                device="cpu",
            )
            torch.testing.assert_close(traced(inputs, inputs, block), model(inputs, inputs, dense))
    assert len(graphs) == 1


@pytest.mark.parametrize(("name", "units"), [("short/21.1", (2.0, 2.0**9, 2.0**19)), ("short/24", None)])
def test_the_heads_products_in_8_bits_are_those_of_rounded_numbers(name: str, units: Any) -> None:
    """PyTorch multiplies 8-bit numbers on a CPU too; where a GPU would pass it is the head alone that uses it."""
    module, random = load(name), torch.Generator().manual_seed(8)
    x_scale, weight_scale, gradient_scale = units or (448 / 768**0.5, 448 / 24, 448.0)
    x, weight = torch.randn(32, 48, generator=random).bfloat16(), 0.05 * torch.randn(64, 48, generator=random)
    gradient = (torch.randn(32, 64, generator=random) / gradient_scale).bfloat16()
    x.requires_grad_(), weight.requires_grad_()
    z = module.Product8.apply(x, weight)
    z.backward(gradient)
    x8 = (x.detach() * x_scale).to(torch.float8_e4m3fn).float() / x_scale
    weight8 = (weight.detach() * weight_scale).to(torch.float8_e4m3fn).float() / weight_scale
    gradient8 = (gradient * gradient_scale).to(torch.float8_e5m2).float() / gradient_scale
    assert z.dtype == x.grad.dtype == torch.bfloat16 and weight.grad.dtype == torch.float32
    for made, exact in ((z, x8 @ weight8.T), (x.grad, gradient8 @ weight8), (weight.grad, gradient8.T @ x8)):
        torch.testing.assert_close(made.float(), exact, rtol=1e-2, atol=2e-3 * exact.abs().max().item())
