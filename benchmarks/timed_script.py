"""Run a training script as torchrun would and write what its steps take: `timed_script.py FIGURES SCRIPT [arguments]`.

`benchmarks/gpu.py` starts it. The optimizers of torch call hooks before and after each step, in any script; what lies
between two steps and not in an optimizer is the forward and backward pass with its communication. Rank 0 writes FIGURES
every 10 steps, because some scripts end without Python's own clean-up.
"""

import itertools
import json
import os
import runpy
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch._dynamo.utils import counters
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

COMPILED_BY = 10  # steps, after which nothing may be compiled any more


class Steps:
    """The times of the steps of this process."""

    def __init__(self, figures: Path) -> None:
        self.figures = figures
        self.first: int | None = None  # the optimizer that begins a step
        self.steps: list[list[tuple[Any, Any]]] = []  # of each step: begin and end of each optimizer
        self.graphs_by_10: int | None = None

    def before(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        self.first = id(optimizer) if self.first is None else self.first
        if id(optimizer) == self.first:
            if self.steps and len(self.steps) % COMPILED_BY == 0:
                self.write()
            self.steps.append([])
        self.steps[-1].append((moment(), None))

    def after(self, *_: object) -> None:
        begin, _end = self.steps[-1][-1]
        self.steps[-1][-1] = (begin, moment())

    def write(self) -> None:
        """Write the medians of all steps after the tenth."""
        graphs = counters["stats"]["unique_graphs"]
        if self.graphs_by_10 is None:
            self.graphs_by_10 = graphs
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        timed = self.steps[COMPILED_BY:]
        optimizer = [sum(between(begin, end) for begin, end in step) for step in timed]
        whole = [between(one[0][0], two[0][0]) for one, two in itertools.pairwise(timed)]
        said: dict[str, object] = {
            "steps": len(self.steps),
            "graphs_after_10_steps": self.graphs_by_10,
            "graphs": graphs,
            "peak_memory_mib": torch.cuda.max_memory_allocated() >> 20 if torch.cuda.is_available() else None,
        }
        if len(whole) > 1:
            said["step_ms"] = round(statistics.median(whole), 3)
            said["optimizer_ms"] = round(statistics.median(optimizer), 3)
            said["forward_backward_ms"] = round(statistics.median(whole) - statistics.median(optimizer), 3)
        if os.environ.get("RANK", "0") == "0":
            self.figures.write_text(json.dumps(said))


def moment() -> Any:
    """Note this moment in the stream of the GPU, or of this process where there is none."""
    if not torch.cuda.is_available():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def between(begin: Any, end: Any) -> float:
    """Return the milliseconds from one moment to another."""
    return float(1000 * (end - begin) if isinstance(begin, float) else begin.elapsed_time(end))


if __name__ == "__main__":
    steps = Steps(Path(sys.argv[1]))
    register_optimizer_step_pre_hook(steps.before)
    register_optimizer_step_post_hook(steps.after)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")
