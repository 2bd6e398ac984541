"""Run one training program on a CPU with given weights: `equivalent_run.py REPORT PROGRAM [arguments]`.

`benchmarks/equivalence.py` starts it, for a script of ours and for its original alike. What no CPU can do is replaced in
torch before the program is loaded: compiling, moving to a GPU, FlexAttention, and three collectives of gloo. The weights
are set when the first optimizer is made, which in all these programs is after the model and before any copy of it.
"""

import json
import math
import os
import sys
import traceback
import weakref
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.attention.flex_attention as flex
import torch.nn.functional as F
from torch import Tensor, nn

VOCABULARIES = (503, 512)  # rows of a table of tokens, unpadded and padded: no other weight of these sizes has as many
report: dict[str, object] = {"weights": None, "broken": None}


# ------------------------------------------------------------------------------------------------ weights


def role(name: str, shape: tuple[int, ...]) -> str:
    """Say what a weight is for: the head and tables are told from matrices, whose shapes they may share."""
    name = name.removeprefix("module.").removeprefix("_orig_mod.")
    if "head" in name or name == "proj.weight":
        return "head"
    return "table" if shape[0] in VOCABULARIES else "matrix"


def pieces(weight: Tensor) -> list[Tensor]:
    """Cut queries, keys and values apart where one weight holds all three."""
    three = weight.size(0) == 3 if weight.ndim == 3 else weight.size(0) == 3 * weight.size(1)
    return [piece.squeeze(0) for piece in weight.chunk(3)] if three else [weight]


@torch.no_grad()
def set_weights(model: nn.Module) -> list[str]:
    """Set every weight of two axes or more from its role, its shape and its place among those; return their keys.

    So two models that hold the same weights under other names, cut or in another order of roles, get the same numbers.
    Vectors and scalars keep the values that the program starts them with.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.ndim >= 2]
    tied = not any(role(name, tuple(p.shape)) == "head" for name, p in named)
    seen: Counter[str] = Counter()
    keys = []
    for name, p in named:
        for piece in pieces(p):
            what = role(name, tuple(p.shape))
            kind = f"{what} {'x'.join(map(str, piece.shape))}"
            keys.append(f"{kind} {seen[kind]}")
            seen[kind] += 1
            generator = torch.Generator().manual_seed(zlib.crc32(keys[-1].encode()))
            scale = 1.0 if what == "table" and not tied else 0.05
            piece.copy_(scale * torch.randn(piece.shape, generator=generator))
    return sorted(keys)


def set_weights_with_the_first_optimizer() -> None:
    """Have the largest module get its weights when the first optimizer is made."""
    modules: weakref.WeakSet[nn.Module] = weakref.WeakSet()
    make_module, make_optimizer = nn.Module.__init__, torch.optim.Optimizer.__init__

    def module(self: nn.Module, *arguments: Any, **named: Any) -> None:
        make_module(self, *arguments, **named)
        modules.add(self)

    def optimizer(self: torch.optim.Optimizer, *arguments: Any, **named: Any) -> None:
        if report["weights"] is None:
            largest = max(modules, key=lambda m: sum(math.prod(p.shape) for p in m.parameters()))
            report["weights"] = set_weights(largest)
        make_optimizer(self, *arguments, **named)

    nn.Module.__init__ = module  # type: ignore[method-assign]
    torch.optim.Optimizer.__init__ = optimizer  # type: ignore[assignment,method-assign]


# ------------------------------------------------------------------------------------------------ what no CPU can do


def dense_attention(q: Tensor, k: Tensor, v: Tensor, *, block_mask: Any, scale: float | None = None) -> Tensor:
    """Attend as FlexAttention does, whose backward pass no CPU has: with the dense mask that its block mask stands for.

    q, k, v are (1, H, T, Dh). Of a partial block a query sees what the rule of the mask allows, of a full block all.
    """
    length = q.size(-2)
    size = block_mask.BLOCK_SIZE[0]

    def of_blocks(counts: Tensor, indices: Tensor) -> Tensor:
        blocks = torch.zeros(length // size, length // size, dtype=torch.bool)
        for row in range(length // size):
            count = max(0, int(counts[0, 0, row]))  # some originals count down to -1, which is none
            blocks[row, indices[0, 0, row, :count].long()] = True
        return blocks.repeat_interleave(size, 0).repeat_interleave(size, 1)

    places = torch.arange(length)
    mask = of_blocks(block_mask.kv_num_blocks, block_mask.kv_indices)
    mask &= block_mask.mask_mod(0, 0, places[:, None], places[None, :])
    if block_mask.full_kv_num_blocks is not None:
        mask |= of_blocks(block_mask.full_kv_num_blocks, block_mask.full_kv_indices)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


class Done:
    """A collective that is over: gloo gives no future of a reduce-scatter."""

    def get_future(self) -> Any:
        future: Any = torch.futures.Future()
        future.set_result(None)
        return future

    def wait(self) -> None:
        pass


def replace_collectives() -> None:
    """Let the programs scatter with futures, and gather a flat tensor into one with an axis of ranks."""
    scatter, scatter_tensor, gather = dist.reduce_scatter, dist.reduce_scatter_tensor, dist.all_gather_into_tensor

    def reduce_scatter(
        output: Tensor, inputs: list[Tensor], *arguments: Any, async_op: bool = False, **named: Any
    ) -> Done:
        scatter(output, [one.clone() for one in inputs], *arguments, **named)
        return Done()

    def reduce_scatter_tensor(
        output: Tensor, one: Tensor, *arguments: Any, async_op: bool = False, **named: Any
    ) -> Done:
        scatter_tensor(output, one, *arguments, **named)
        return Done()

    def all_gather_into_tensor(output: Tensor, one: Tensor, *arguments: Any, **named: Any) -> Any:
        return gather(output.view(-1) if output.ndim == one.ndim + 1 else output, one, *arguments, **named)

    changed = cast(Any, dist)
    changed.reduce_scatter, changed.reduce_scatter_tensor = reduce_scatter, reduce_scatter_tensor
    changed.all_gather_into_tensor = all_gather_into_tensor


def replace_gpu() -> None:
    """Make what asks for a GPU or a compiler do nothing."""
    changed = cast(Any, torch)
    changed.compile = lambda function=None, **_: function if function is not None else (lambda other: other)
    for kind in (cast(Any, Tensor), cast(Any, nn.Module)):
        kind.cuda = lambda self, *_, **__: self
        kind.bfloat16 = lambda self: self.float()
    cast(Any, nn.Module).compile = lambda self, **_: None
    cast(Any, Tensor).pin_memory = lambda self: self
    cast(Any, flex).flex_attention = dense_attention


def broken_at(error: BaseException, program: Path) -> dict[str, object]:
    """Say at which line of the program an error came up, and what it says."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(program)]
    said = str(error).strip().splitlines() or [type(error).__name__]
    line = lines[-1] if lines else None
    return {"line": line.lineno if line else None, "code": line.line if line else None, "error": said[0][:200]}


def main() -> None:
    told, program = Path(sys.argv[1]), Path(sys.argv[2])
    sys.argv = sys.argv[2:]
    torch.set_num_threads(1)
    replace_gpu()
    replace_collectives()
    set_weights_with_the_first_optimizer()
    try:
        code = compile(program.read_text("utf-8"), str(program), "exec")
        sys.modules["__main__"].__dict__.update({"__file__": str(program)})
        exec(code, sys.modules["__main__"].__dict__)
    except SystemExit as end:
        report["broken"] = broken_at(end, program) if end.code else None
    except Exception as error:
        report["broken"] = broken_at(error, program)
    told.write_text(json.dumps(report))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # gloo's threads can crash an interpreter that ends in the usual way


if __name__ == "__main__":
    main()
