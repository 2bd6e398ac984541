"""What the confined process does beside answering with logits: weights as int8, their size, the speed of the model.

Every parameter of at least two dimensions of every module that is alive becomes int8 with a scale for each row of its
last dimension, which is an output channel of a linear layer or one token of a table. Whoever reads the parameter gets the
product of both in its former type, computed anew each time: the memory shrinks, the arithmetic stays. Whatever a script
does with its weights outside of modules is left as it is.

Only the standard library and torch are imported, as in `serving`, beside which this text is run.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

LEVELS = 127  # of int8 on either side of zero
SPEED_TOKENS = {"cpu": 1 << 12, "cuda": 1 << 14}  # of one forward pass, or one row
SPEED_PASSES = 3


def quantised(weight: Any) -> tuple[Any, Any]:
    """Return a matrix (…, R, C) as int8 (…, R, C) and the scale of each row (…, R, 1) in float32."""
    import torch

    scale = weight.float().abs().amax(-1, keepdim=True) / LEVELS
    steps = weight.float() / torch.where(scale == 0, 1.0, scale)
    return steps.round().to(torch.int8), scale


def make_int8(model: Any) -> str:
    """Change all weights to int8; matrices that modules share stay shared."""
    import torch
    from torch.nn.utils import parametrize

    made: dict[int, tuple[Any, tuple[Any, Any]]] = {}  # the matrix is kept, so that its id stays its own

    class PerRow(torch.nn.Module):  # type: ignore[misc]
        """int8 and scales on the one side, the weights in their own type on the other."""

        def __init__(self, dtype: Any) -> None:
            super().__init__()
            self.dtype = dtype

        def forward(self, steps: Any, scale: Any) -> Any:
            return (steps * scale).to(self.dtype)

        def right_inverse(self, weight: Any) -> tuple[Any, Any]:
            if id(weight) not in made:
                made[id(weight)] = weight, quantised(weight.detach())
            return made[id(weight)][1]

    with torch.no_grad():
        for module in modules():
            for name, parameter in tuple(module.named_parameters(recurse=False)):
                if parameter.dim() >= 2 and parameter.is_floating_point():
                    parameter.requires_grad_(False)
                    parametrize.register_parametrization(module, name, PerRow(parameter.dtype), unsafe=True)
    if not made:
        raise TypeError("the model has no modules with weights of two dimensions, so none can be int8")
    return "done"


def size(model: Any) -> str:
    """Say how many weights the model has, and in how many bytes it keeps them; scales count as bytes alone."""
    weights, held = 0, 0
    seen: set[int] = set()
    for module in modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.data_ptr() in seen:
                continue
            seen.add(parameter.data_ptr())
            held += parameter.numel() * parameter.element_size()
            is_scale = name == "original1" and type(module).__name__ == "ParametrizationList"
            weights += 0 if is_scale else parameter.numel()
    return f"size {weights} {held}"


def speed(model: Any) -> str:
    """Say how many tokens per second the model takes, by the median of some forward passes after one that is not timed."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    length = int(getattr(model, "sequence_tokens", 1024))
    rows = max(1, SPEED_TOKENS[device] // length)
    tokens = torch.randint(0, 256, (rows, length), generator=torch.Generator().manual_seed(0))
    taken = []
    for _ in range(1 + SPEED_PASSES):
        began = time.perf_counter()
        model(tokens)
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return f"speed {rows * length / statistics.median(taken[1:]):.1f}"


def modules() -> Iterator[Any]:
    """Yield every module that is alive."""
    import torch

    # By their type: objects that only claim a class when they are asked may do something then.
    yield from [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]


WORDS: dict[str, Callable[[Any], str]] = {"int8": make_int8, "size": size, "speed": speed}
