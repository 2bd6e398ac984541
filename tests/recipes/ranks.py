"""One warm process that takes part in a list of jobs: `python -m recipes.ranks FOLDER`, jobs in FOLDER/jobs.json.

It imports torch once and forks a process per rank and job: importing costs a rank three seconds and a tiny training less
than one, so this is what makes the jobs affordable in a test. Every rank is a process of its own with the variables that
torchrun sets.

A `script` job runs a script as a program, its output in a file; where the job says so it ends as an interpreter ends, which
costs half a second a rank. One that `fails` must, and what it says is in a file too. A `train` job calls its
main() and keeps the tokens that the first three steps train on. A `muon` job takes three steps of a script's Muon on given
gradients and keeps the weights.
"""

import contextlib
import gc
import io
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch._dynamo  # what the first optimizer imports
import torch.distributed as dist

from .scripts import arguments, import_file, with_small_vocabulary

TRAINING_WORLDS = (1, 2, 4)
# The scripts whose loader, optimizer or mask is new; the others, which share theirs, run on 1 and 2.
ON_FOUR = (
    "short/1",
    "short/2",
    "short/6",
    "short/8",
    "short/12",
    "short/15",
    "short/21.1",
    "short/24",
    "optimization/36",
)
SHARDED = ("short/6", "short/11", "short/15", "short/24", "optimization/36")  # each way to share Muon among the ranks
MUON_WORLDS = (1, 3, 4)


def worlds(name: str) -> tuple[int, ...]:
    """The numbers of ranks that a script is trained on."""
    return TRAINING_WORLDS if name in ON_FOUR else TRAINING_WORLDS[:2]


def result(folder: Path, job: dict[str, Any], rank: int, suffix: str) -> Path:
    return folder / f"{job['kind']}_{job['name'].replace('/', '-')}_{job['world']}_{rank}.{suffix}"


class Output(io.TextIOWrapper):
    """A text stream over a file, with .buffer, as sys.stdout has it."""

    def __init__(self, path: Path):
        super().__init__(path.open("wb"), encoding="utf-8", write_through=True)


def script(folder: Path, job: dict[str, Any], rank: int) -> None:
    log = os.open(result(folder, job, rank, "log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    if job.get("fails"):
        os.dup2(os.open(result(folder, job, rank, "err"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = [job["script"], *arguments(**job["settings"])]
    path = Path(job["script"])
    program = compile(with_small_vocabulary(path.read_text()), str(path), "exec")
    main = types.ModuleType("__main__")
    main.__file__ = str(path)
    sys.modules["the warm process"], sys.modules["__main__"] = sys.modules["__main__"], main
    exec(program, main.__dict__)


def train(folder: Path, job: dict[str, Any], rank: int) -> None:
    module = import_file(Path(job["script"]), small=True)
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
    seen = seen[job["settings"].get("warmup_steps", 0) * per_step :]
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


def take_part(folder: Path, job: dict[str, Any], rank: int) -> None:
    """Do one rank's share of a job in this process, which then ends."""
    world, port = str(job["world"]), str(job["port"])
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=world, LOCAL_WORLD_SIZE=world)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    if job["kind"] == "script":  # as its users start it: in the folder that holds data/
        os.chdir(job["data"])
    else:
        os.environ["DATA_PATH"] = job["data"]
    {"script": script, "train": train, "muon": muon}[job["kind"]](folder, job, rank)
    if not job.get("whole_end"):
        sys.stdout.flush()
        os._exit(0)  # taking an interpreter with torch apart costs a second


def end(status: int, job: dict[str, Any], others: set[int]) -> NoReturn:
    """End all ranks of a job of which one has failed, and this program with them."""
    for pid in others:
        os.kill(pid, 9)
    sys.exit(f"{job['kind']} {job['name']} on {job['world']} ranks: a rank ended with status {status}")


def main() -> None:
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # or every rank would copy all of this process's memory to count references in it
    for job in json.loads((folder / "jobs.json").read_text()):
        ranks: set[int] = set()
        for rank in range(job["world"]):
            pid = os.fork()
            if pid == 0:
                return take_part(folder, job, rank)
            ranks.add(pid)
        while ranks:
            pid, status = os.wait()
            ranks.discard(pid)
            if bool(status) != bool(job.get("fails")):
                end(status, job, ranks)


if __name__ == "__main__":
    main()
