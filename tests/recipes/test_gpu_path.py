"""What keeps a GPU busy, as far as it shows on a CPU: graphs that DDP may cut, batches that are there in time, few kernels."""

import functools
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from .scripts import ALL, END, RETIMED, SHORT, WITHOUT_TRAIN_LOSS, load, tiny

WITH_MUON = ALL[2:]
ROWS = {"batch_size": 8, "device_batch_size": 1, "sequence_length": 32}


@pytest.fixture
def module_of(monkeypatch: pytest.MonkeyPatch, data: Path) -> Any:
    """A function from the name of a script to its module, which finds the synthetic tokens."""
    monkeypatch.setenv("DATA_PATH", str(data))

    def get(name: str) -> Any:
        module = load(name)
        if hasattr(module, "END_OF_TEXT"):
            monkeypatch.setattr(module, "END_OF_TEXT", END)
        return module

    return get


def train_one_step(module: Any, name: str, **settings: int) -> None:
    args = module.Hyperparameters(**(tiny(name) | {"num_iterations": 1, "val_tokens": 256} | settings))
    torch.manual_seed(1)
    module.train(module.make_model(args), *module.open_data(0, 1, args), args)


VALIDATIONS = ("short/1", "short/5", "short/12", "short/13", "short/15")  # one for each way to validate


def test_every_script_of_the_short_track_validates_in_one_of_these_ways() -> None:
    ways = {name: inspect.getsource(load(name).validate) for name in SHORT if name not in RETIMED}  # they have no DDP
    assert set(ways.values()) == {ways[name] for name in VALIDATIONS}


@pytest.mark.parametrize("name", VALIDATIONS)
def test_ddp_gets_a_graph_of_its_own_for_training_cut_at_its_buckets(
    name: str, module_of: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation before the first step has a graph without gradients; one with them would serve DDP too, uncut."""
    module, graphs = module_of(name), []

    def note(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> Any:
        graphs.append("training" if torch.is_grad_enabled() else "validation")
        return graph.forward

    monkeypatch.setattr(module, "compile_model", lambda model, args: torch.compile(model, backend=note))
    # Of the 160 to 290 kB of gradients 64 to 128 kB are those of the tables, which end up at either end; the 64 kB of the
    # table of values of record 15 fill a bucket of their own.
    monkeypatch.setattr(dist, "_DEFAULT_FIRST_BUCKET_BYTES", 1 << 15)
    monkeypatch.setattr(
        module, "DistributedDataParallel", functools.partial(DistributedDataParallel, bucket_cap_mb=0.05)
    )
    torch._dynamo.reset()
    train_one_step(module, name, vocab_size=512)
    assert graphs == ["validation", *["training"] * (4 if name == "short/15" else 3)]


@pytest.mark.parametrize("name", ALL)
def test_the_next_batch_is_drawn_between_the_last_forward_pass_and_its_backward_pass(
    name: str, module_of: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, events = module_of(name), []

    def noting(event: str, function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            if torch.is_grad_enabled():  # validation draws and passes forward, too
                events.append(event)
            return function(*arguments, **more)

        return call

    draws = module.DistributedDataLoader if name == "optimization/36" else module
    monkeypatch.setattr(draws, "next_micro_batches", noting("draw", draws.next_micro_batches))
    monkeypatch.setattr(module.GPT, "forward", noting("forward", module.GPT.forward))
    monkeypatch.setattr(torch.Tensor, "backward", noting("backward", torch.Tensor.backward))
    train_one_step(module, name, **({"warmup_steps": 1} if name in RETIMED else {}))
    step = [*["forward", "backward"] * 7, "forward", "draw", "backward"]
    assert events == ["draw", *step] + (["draw", *step] if name in RETIMED else [])  # a step of warm-up comes first


@pytest.mark.parametrize("name", ALL)
def test_tokens_reach_a_gpu_from_pinned_memory_and_nobody_waits_for_them(
    name: str, module_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, copies, pinned = module_of(name), [], []

    def pin(tokens: torch.Tensor) -> torch.Tensor:
        pinned.append(tokens.clone())
        return pinned[-1]

    def copy(tokens: torch.Tensor, device: str, *, non_blocking: bool = False) -> torch.Tensor:
        copies.append((any(tokens is one for one in pinned), device, non_blocking))
        return tokens

    loader = module.open_data(0, 8, module.Hyperparameters(**tiny(name)))[0]
    expected = draw(module, loader, "cpu")
    loader = module.open_data(0, 8, module.Hyperparameters(**tiny(name)))[0]
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "to", copy)
    drawn = draw(module, loader, "cuda")
    assert copies and set(copies) == {(True, "cuda", True)}
    for one, other in zip(drawn, expected, strict=True):
        assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def draw(module: Any, loader: Any, device: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw a batch for a device from a script's loader, or from its loaders."""
    args = module.Hyperparameters(**ROWS, device=device)
    if isinstance(loader, list):
        return list(module.next_micro_batches(loader, args))
    loader.args = args
    return list(loader.next_micro_batches())


class OnGpu(nn.Parameter):
    """A weight that says it is on a GPU."""

    is_cuda = True


@pytest.mark.parametrize("name", WITH_MUON)
def test_newton_schulz_is_compiled_for_each_shape_by_itself(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiled.append((function.__name__, how)))
    settings = {"lr": 0.02, "momentum": 0.9} | ({"weight_decay": 0.0} if name == "optimization/36" else {})
    module = load(name)
    module.Muon([OnGpu(torch.zeros(8, 8))], **settings)
    assert compiled == [("newton_schulz", {"dynamic": False})]


def test_muon_of_record_15_computes_a_round_while_the_one_before_travels(
    alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script shows it: the text of this class is the same in records 15 and 17 (test_sequence.py)."""
    module, events = load("short/15"), []

    class Exchange:
        def wait(self) -> None:
            events.append("wait")

    def gather(received: list[torch.Tensor], own: torch.Tensor, *, async_op: bool) -> Exchange:
        assert async_op
        received[0].copy_(own)
        events.append("send")
        return Exchange()

    params = [nn.Parameter(torch.eye(8)) for _ in range(3)]
    optimizer, compute = module.Muon(params, lr=0.5, momentum=0.9), module.newton_schulz
    optimizer.orthogonalize = lambda *given: events.append("compute") or compute(*given)
    monkeypatch.setattr(dist, "all_gather", gather)
    for p in params:
        p.grad = torch.randn(8, 8)
    optimizer.step()
    assert events == ["compute", "send", *["compute", "wait", "send"] * 2, "wait"]
    assert all((p != torch.eye(8)).any() for p in params)


@pytest.mark.parametrize("name", WITHOUT_TRAIN_LOSS)
def test_from_record_15_on_a_step_reads_nothing_back_from_the_gpu(
    name: str, module_of: Any, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, item = [], torch.Tensor.item
    monkeypatch.setattr(torch.Tensor, "item", lambda self: read.append(torch.is_grad_enabled()) or item(self))
    module = module_of(name)
    optimizers, made = module.make_optimizers, torch.tensor

    def then_make_no_tensor_of_a_number(*given: Any) -> Any:
        """It would be copied to the GPU, which waits."""
        monkeypatch.setattr(torch, "tensor", lambda *numbers, **how: read.append(numbers) or made(*numbers, **how))
        return optimizers(*given)

    monkeypatch.setattr(module, "make_optimizers", then_make_no_tensor_of_a_number)
    train_one_step(module, name)
    assert read == [False, False], "the losses of two validations"


def test_a_rank_tells_its_gpu_to_the_group_and_on_a_cpu_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """One script shows it: the text of this function is the same in all (test_sequence.py)."""
    module, calls = load("short/6"), []
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(device))
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **more: calls.append((backend, more)))
    module.join_processes(3, module.Hyperparameters())
    module.join_processes(3, module.Hyperparameters(device="cpu"))
    assert calls == [3, ("nccl", {"device_id": torch.device("cuda", 3)}), ("gloo", {})]


def test_record_1_rounds_all_weights_at_once_each_to_a_neighbour_of_its_master(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = load("short/1")
    args = module.Hyperparameters(device="cpu", n_layer=2, n_head=2, d_model=16, vocab_size=64, sequence_length=8)
    torch.manual_seed(3)
    model = module.GPT(args).bfloat16()
    (optimizer,) = module.make_optimizers(model, args)
    rounded, exact = [], module.round_stochastically
    monkeypatch.setattr(module, "round_stochastically", lambda x: rounded.append(x.numel()) or exact(x))
    for _ in range(2):
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        optimizer.step()
    assert rounded == 2 * [sum(p.numel() for p in model.parameters())]
    of_master = dict(zip(map(id, optimizer.weights), optimizer.masters, strict=True))
    for p in model.parameters():
        master = of_master[id(p)].detach()
        assert p.dtype == torch.bfloat16 and p.shape == master.shape
        assert ((p.float() - master).abs() <= master.abs() * 2**-7 + 1e-38).all()
    moved = torch.cat([(p.float() - of_master[id(p)].detach()).flatten() for p in model.parameters()])
    assert (moved != 0).any(), "the masters hold more than the weights"
