"""One of four processes that take part in a list of jobs: `python -m recipes.ranks FOLDER RANK`, jobs in FOLDER/jobs.json.

A `train` job calls a script's main() with its output in a file and keeps the tokens that the first three steps train on.
A `muon` job takes three steps of a script's Muon on given gradients and keeps the weights. Importing torch once for all
jobs is what makes this affordable in a test.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from .scripts import arguments, import_file

TRAINING_WORLDS = (1, 2, 4)
MUON_WORLDS = (1, 3, 4)


def result(folder: Path, job: dict[str, Any], rank: int, suffix: str) -> Path:
    return folder / f"{job['kind']}_{job['name'].replace('/', '-')}_{job['world']}_{rank}.{suffix}"


class Output(io.TextIOWrapper):
    """A text stream over a file, with .buffer, as sys.stdout has it."""

    def __init__(self, path: Path):
        super().__init__(path.open("wb"), encoding="utf-8", write_through=True)


def train(folder: Path, job: dict[str, Any], rank: int) -> None:
    module = import_file(Path(job["script"]))
    seen: list[torch.Tensor] = []

    def note(called: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        # Training passes through DDP; the optimization script has no DDP and validates without gradients.
        direct = isinstance(called, module.GPT) and not hasattr(module, "DistributedDataParallel")
        if torch.is_grad_enabled() and (direct or isinstance(called, torch.nn.parallel.DistributedDataParallel)):
            seen.append(inputs[0].clone())

    hook = torch.nn.modules.module.register_module_forward_pre_hook(note)
    sys.argv = [job["script"], *arguments(**job["settings"])]
    with Output(result(folder, job, rank, "log")) as output, contextlib.redirect_stdout(output):
        module.main()
    hook.remove()
    per_step = 8 // job["world"]
    torch.save(torch.stack(seen[: 3 * per_step]).view(3, per_step, -1), result(folder, job, rank, "tokens"))


def muon(folder: Path, job: dict[str, Any], rank: int) -> None:
    module = import_file(Path(job["script"]))
    dist.init_process_group("gloo")
    random = torch.Generator().manual_seed(5)
    shapes = [(8, 8), (32, 8), (8, 32), (8, 8), (8, 8), (32, 8), (8, 8)]  # seven: no world size divides it
    params = [torch.nn.Parameter(torch.randn(shape, generator=random)) for shape in shapes]
    settings = {"lr": 0.02, "momentum": 0.95}
    if job["name"].startswith("optimization"):
        settings["weight_decay"] = 0.05
    optimizer = module.Muon(params, **settings)
    for _ in range(3):
        for p in params:
            p.grad = torch.randn(p.shape, generator=random)
        optimizer.step()
    torch.save([p.detach() for p in params], result(folder, job, rank, "weights"))
    dist.barrier()
    dist.destroy_process_group()


def main() -> None:
    folder, rank = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    for job in json.loads((folder / "jobs.json").read_text()):
        if rank < job["world"]:
            world, port = str(job["world"]), str(job["port"])
            os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=world, MASTER_PORT=port)
            {"train": train, "muon": muon}[job["kind"]](folder, job, rank)


if __name__ == "__main__":
    main()
