"""
Record 1 of the short track (2024-05-28, 45 minutes on 8×H100): GPT-2 small as llm.c trains it, where it all began.

The recipe is GPT-2's: LayerNorm with gains and biases, biases in every layer, learned positions, tanh-GELU, one table
for input and output; AdamW with warm-up, cosine and clipped gradients; shuffled data.

Recipe: 19,560 steps of 524,288 tokens (10.3 B, one pass over the data); 12 layers, width 768, 12 heads; 124,439,808
parameters, plus 47 rows that pad the table to 50,304 and take no part in the softmax; weights and activations bf16,
with fp32 master weights that are rounded to bf16 stochastically.

This is a reimplementation in PyTorch from facts about a C and CUDA program. Different or uncertain:
- initial weights and shuffles come from PyTorch's and NumPy's generators, not from llm.c's;
- gradients of the table are added up in plain bf16; llm.c rounds these sums stochastically, too;
- the optimizer's state is on every rank instead of sharded, which changes nothing but memory;
- the original log has no times, and its evaluation on HellaSwag is not part of this track.

Start it where data/fineweb10B/ lies (or set DATA_PATH):

    torchrun --standalone --nproc_per_node=8 train_gpt.py [name=value ...]

1, 2, 4 and 8 GPUs do the same training on the same tokens. Everything that counts is printed by rank 0 on stdout.
`save=PATH` writes the weights after the last validation, and `load(PATH)` gives the trained model back.
"""

import glob
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

CODE = Path(__file__).read_bytes()  # the program as it runs; the log begins with it

RECIPE_RANKS = 8  # the record ran on 8 GPUs; with fewer, each process takes the data of several of these ranks in turn


@dataclass(frozen=True)
class Hyperparameters:
    """The whole recipe in numbers. `name=value` arguments override them; any but seed and save makes a test run."""

    # data
    train_files: str = "data/fineweb10B/fineweb_train_*.bin"
    val_files: str = "data/fineweb10B/fineweb_val_*.bin"
    val_tokens: int = 10_485_760  # the first 20 · 2^19 tokens of the validation file
    val_loss_every: int = 250  # steps between validations; one more after the last step
    batch_size: int = 512  # rows per optimizer step, over all ranks
    device_batch_size: int = 64  # rows per rank and forward pass
    sequence_length: int = 1024  # tokens per row
    # model
    vocab_size: int = 50_257
    padded_vocab_size: int = 50_304  # rows of the table
    n_layer: int = 12
    n_head: int = 12
    d_model: int = 768
    # optimizer
    num_iterations: int = 19_560
    warmup_steps: int = 700
    learning_rate: float = 0.0006
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_eps: float = 1e-8
    weight_decay: float = 0.1  # on matrices and tables, not on gains and biases
    gradient_clip: float = 1.0  # largest norm of all gradients together
    # run
    seed: int | None = None  # drawn and logged when not given
    save: str | None = None  # where the weights are written after the last validation
    device: str = "cuda"  # "cpu" is for tests: fp32, not compiled

    def requirements(self) -> list[tuple[bool, str]]:
        """Say what the model needs of these settings, with the sentence that ends a run where it does not hold."""
        return [
            (self.d_model % self.n_head == 0, "d_model must be a multiple of n_head"),
            (self.padded_vocab_size >= self.vocab_size, "padded_vocab_size must be at least vocab_size"),
        ]


# ----------------------------------------------------------------------------------------------------------------------
# Data
# ----------------------------------------------------------------------------------------------------------------------


def open_shard(path: str) -> np.ndarray:
    """Map a token file: 256 int32 header words (20240520, 1, number of tokens, ...), then the tokens as uint16."""
    header = np.fromfile(path, dtype="<i4", count=256)
    if header.size < 256 or header[0] != 20240520 or header[1] != 1:
        raise SystemExit(f"{path} is not a token file: its header does not begin with 20240520, 1; fetch it again")
    tokens = np.memmap(path, dtype="<u2", mode="r", offset=header.nbytes)
    if len(tokens) != header[2]:
        raise SystemExit(f"{path} holds {len(tokens)} tokens but its header says {header[2]}; fetch it again")
    return tokens


class DistributedDataLoader:
    """The way of one recipe rank through the token files, in stored order or shuffled.

    A file is cut into batches of all ranks (100 M tokens: 190 of them); of each, a rank reads its own chunk. Shuffled,
    every rank has its own order of files and, within a file, of batches, so chunks of one step are not neighbours.
    """

    def __init__(self, pattern: str, recipe_rank: int, args: Hyperparameters, shuffle: bool = False):
        pattern = os.path.join(os.environ.get("DATA_PATH", "."), pattern)
        self.files = sorted(glob.glob(pattern))
        if not self.files:
            raise SystemExit(f"no file matches {pattern}; fetch the data, or set DATA_PATH to the folder above data/")
        self.shape = (args.batch_size // RECIPE_RANKS, args.sequence_length)
        self.chunk = math.prod(self.shape)  # tokens of this rank per batch
        self.stride = RECIPE_RANKS * self.chunk  # tokens of all ranks per batch
        self.start = recipe_rank * self.chunk
        self.generator = np.random.default_rng(42 + recipe_rank) if shuffle else None
        self.reset()

    def order(self, n: int) -> np.ndarray:
        return np.arange(n) if self.generator is None else self.generator.permutation(n)

    def reset(self) -> None:
        self.file_order = self.order(len(self.files))
        self.open_file(0)

    def open_file(self, turn: int) -> None:
        self.turn = turn
        path = self.files[self.file_order[turn]]
        self.tokens = open_shard(path)
        self.batch_order = self.order((len(self.tokens) - 1) // self.stride)
        self.batches_read = 0
        if len(self.batch_order) == 0:
            raise SystemExit(f"{path} is shorter than one batch of {self.stride} tokens and a target")

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, int64 (batch_size / 8, sequence_length); a target is the token after its input."""
        if self.batches_read == len(self.batch_order):
            if self.turn + 1 < len(self.files):
                self.open_file(self.turn + 1)
            else:
                self.reset()  # the next pass, in a new order
        position = self.start + self.stride * int(self.batch_order[self.batches_read])
        window = torch.from_numpy(self.tokens[position : position + self.chunk + 1].astype(np.int64))  # (chunk + 1,)
        self.batches_read += 1
        return window[:-1].view(self.shape), window[1:].view(self.shape)


Loaders = list[DistributedDataLoader]  # one for each recipe rank whose data a process takes


def open_data(rank: int, world_size: int, args: Hyperparameters) -> tuple[Loaders, Loaders]:
    """Return this process's loaders for training and for validation."""
    # Own recipe rank last: the printed train_loss is then recipe rank 0's last micro-batch on any number of GPUs.
    recipe_ranks = range(rank, RECIPE_RANKS, world_size)[::-1]
    train_loaders = [DistributedDataLoader(args.train_files, r, args, shuffle=True) for r in recipe_ranks]
    return train_loaders, [DistributedDataLoader(args.val_files, r, args) for r in recipe_ranks]


def to_device(tokens: Tensor, args: Hyperparameters) -> Tensor:
    """Copy tokens to where the model is; to a GPU from pinned memory, so that neither side waits for the copy."""
    return tokens.pin_memory().to(args.device, non_blocking=True) if args.device == "cuda" else tokens


def next_micro_batches(loaders: Loaders, args: Hyperparameters) -> list[tuple[Tensor, Tensor]]:
    """Draw this process's share of one batch, cut into forward passes of (device_batch_size, sequence_length)."""
    micro_batches = []
    for loader in loaders:
        inputs, targets = (to_device(tokens, args).split(args.device_batch_size) for tokens in loader.next_batch())
        micro_batches.extend(zip(inputs, targets, strict=True))
    return micro_batches


# ----------------------------------------------------------------------------------------------------------------------
# Model.  Shapes: B rows, T tokens per row, D width, H heads, Dh = D / H, V vocabulary
# ----------------------------------------------------------------------------------------------------------------------


class Attention(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.qkv = nn.Linear(args.d_model, 3 * args.d_model)
        self.proj = nn.Linear(args.d_model, args.d_model)

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = (part.view(B, T, self.n_head, -1) for part in self.qkv(x).chunk(3, dim=-1))  # (B, T, H, Dh) each
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, H, T, Dh) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, Dh)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.fc = nn.Linear(args.d_model, 4 * args.d_model)
        self.proj = nn.Linear(4 * args.d_model, args.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.gelu(self.fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.attn_norm = nn.LayerNorm(args.d_model, eps=1e-5)
        self.attn = Attention(args)
        self.mlp_norm = nn.LayerNorm(args.d_model, eps=1e-5)
        self.mlp = MLP(args)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.attn_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class GPT(nn.Module):
    """Inputs and targets (B, T) in, mean cross-entropy in nats out."""

    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.vocab_size = args.vocab_size
        self.embed = nn.Embedding(args.padded_vocab_size, args.d_model)
        self.positions = nn.Embedding(args.sequence_length, args.d_model)
        self.blocks = nn.ModuleList(Block(args) for _ in range(args.n_layer))
        self.norm = nn.LayerNorm(args.d_model, eps=1e-5)
        self.head = nn.Linear(args.d_model, args.padded_vocab_size, bias=False)
        self.head.weight = self.embed.weight  # one table
        self.initialize(args)

    @torch.no_grad()
    def initialize(self, args: Hyperparameters) -> None:
        """Weights N(0, 0.02²), smaller where they write into the stream; biases 0; gains 1; padding rows 0."""
        for name, p in self.named_parameters():
            if p.ndim == 2:
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * args.n_layer) if "proj" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)
        self.embed.weight[self.vocab_size :] = 0

    def logits(self, inputs: Tensor) -> Tensor:
        T = inputs.size(1)
        x = self.embed(inputs) + self.positions.weight[:T]  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))[..., : self.vocab_size]  # (B, T, V)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.logits(inputs).float()  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_model(args: Hyperparameters) -> GPT:
    with torch.device(args.device):
        model = GPT(args)
    if args.device == "cuda":
        model.bfloat16()
    return model


def compile_model(model: GPT, args: Hyperparameters) -> nn.Module:
    return torch.compile(model) if args.device == "cuda" else model


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Return a saved model as a function from tokens (B, T), int64, to logits (B, T, V), without training anything."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    args = Hyperparameters(**saved["settings"] | {"device": "cuda" if torch.cuda.is_available() else "cpu"})
    model = make_model(args)
    model.load_state_dict(saved["model"])

    def logits(tokens: Tensor) -> Tensor:
        return model.logits(tokens.to(args.device))

    logits.sequence_tokens = args.sequence_length  # what a row of validation holds
    return logits


# ----------------------------------------------------------------------------------------------------------------------
# Optimizer
# ----------------------------------------------------------------------------------------------------------------------


def round_stochastically(x: Tensor) -> Tensor:
    """Round fp32 to bf16, up or down at random so that the mean is right; equal seeds give equal bits on all ranks."""
    bits = x.view(torch.int32)
    noise = torch.randint_like(bits, 1 << 16)  # the lower 16 bits are those that bf16 has not
    return ((bits + noise) & -(1 << 16)).view(torch.float32).bfloat16()


class MasterAdamW(torch.optim.AdamW):
    """AdamW with clipped gradients on fp32 copies of the weights; the model's bf16 weights are rounded from them.

    A weight that is fp32 (on a CPU) is its own master. There are 148 tensors, so what is done to all of them is done in
    a few kernels.
    """

    def __init__(self, groups: list[dict], gradient_clip: float, **settings):
        self.gradient_clip = gradient_clip
        self.weights, self.masters = [], []
        for group in groups:
            masters = [p.detach().float().requires_grad_() for p in group["params"]]
            self.weights += group["params"]
            self.masters += masters
            group["params"] = masters
        super().__init__(groups, **settings)

    @torch.no_grad()
    def step(self) -> None:
        for master in self.masters:
            master.grad = torch.empty_like(master)
        torch._foreach_copy_([master.grad for master in self.masters], [p.grad for p in self.weights])
        nn.utils.clip_grad_norm_(self.masters, self.gradient_clip)  # on a GPU many tensors at once by itself
        super().step()
        if self.weights[0].dtype == torch.bfloat16:
            rounded = round_stochastically(torch.cat([master.view(-1) for master in self.masters]))
            parts = rounded.split([p.numel() for p in self.weights])
            torch._foreach_copy_(self.weights, [part.view_as(p) for part, p in zip(parts, self.weights, strict=True)])

    def zero_grad(self, set_to_none: bool = True) -> None:
        super().zero_grad(set_to_none)
        for p in self.weights:
            p.grad = None


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    adam = MasterAdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": args.weight_decay},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        gradient_clip=args.gradient_clip,
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_eps,
        fused=True,
    )
    optimizers = [adam]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """The factor on every base learning rate at 0-based `step`: a ramp up, then half a cosine to zero."""
    warmup = min(args.warmup_steps, args.num_iterations // 4)  # the bound acts only in runs shortened for a test
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (args.num_iterations - warmup)))


# ----------------------------------------------------------------------------------------------------------------------
# Training
# ----------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def validate(model: nn.Module, loaders: Loaders, args: Hyperparameters) -> float:
    """Return the mean loss over the first val_tokens tokens of the validation file, the same on every rank.

    Without gradients: the compiler would keep a graph with them for training too, in one piece. DDP has it cut, so that
    the gradients of one piece are summed over ranks while those of the next are computed.
    """
    total = torch.zeros((), device=args.device)
    for loader in loaders:
        loader.reset()
    for _ in range(args.val_tokens // (args.batch_size * args.sequence_length)):
        for inputs, targets in next_micro_batches(loaders, args):
            total += model(inputs, targets)
    dist.all_reduce(total)
    return total.item() * args.device_batch_size * args.sequence_length / args.val_tokens


def train(model: GPT, train_loaders: Loaders, val_loaders: Loaders, args: Hyperparameters) -> None:
    """Take all steps and log their losses; the clock stands still while the model is validated."""
    optimizers = make_optimizers(model, args)
    compiled_model = compile_model(model, args)
    ddp_model = DistributedDataParallel(compiled_model, gradient_as_bucket_view=True)
    micro_batches = next_micro_batches(train_loaders, args)
    clock = Clock(args)
    clock.start()
    last_step = args.num_iterations
    for step in range(last_step + 1):
        if step == 10:  # the first ten steps, in which the compiler works, are not timed
            clock = Clock(args)
            clock.start()

        if step % args.val_loss_every == 0 or step == last_step:
            clock.stop()
            val_loss = validate(compiled_model, val_loaders, args)
            log(f"step:{step}/{last_step} val_loss:{val_loss:.4f} {times(clock.milliseconds, step, step)}")
            if step == last_step:
                break
            clock.start()

        for i, (inputs, targets) in enumerate(micro_batches, start=1):
            is_last = i == len(micro_batches)
            ddp_model.require_backward_grad_sync = is_last  # average over ranks once per step
            loss = ddp_model(inputs, targets)
            if is_last:  # the next batch is read and copied while the GPU is busy with this one
                micro_batches = next_micro_batches(train_loaders, args)
            (loss / len(micro_batches)).backward()

        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * learning_rate_scale(step, args)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        if dist.get_rank() == 0:
            log(f"step:{step + 1}/{last_step} train_loss:{loss.item():.4f} {times(clock.read(), step, step + 1)}")


# ----------------------------------------------------------------------------------------------------------------------
# What the scripts of the sequence share: settings, checks, processes, seed, log, clock
# ----------------------------------------------------------------------------------------------------------------------


def parse_overrides(argv: list[str]) -> tuple[Hyperparameters, list[str]]:
    """Turn name=value arguments into the settings and the overrides other than seed and save; end on a bad one."""
    defaults = {field.name: field.default for field in fields(Hyperparameters)}
    values: dict[str, int | float | str] = {}
    for argument in argv:
        name, equals, text = argument.partition("=")
        if not equals or name not in defaults:
            raise SystemExit(f"{argument!r} is no override; write name=value with one of: {', '.join(defaults)}")
        kind = {"seed": int, "save": str}.get(name, type(defaults[name]))
        try:
            values[name] = kind(text)
        except ValueError:
            raise SystemExit(f"{argument!r}: {name} takes a value of type {kind.__name__}") from None
        least = 1 if kind is int and name != "seed" else 0
        if kind is not str and not least <= values[name] < math.inf:
            raise SystemExit(f"{argument!r}: {name} takes a finite number from {least} up")
    return Hyperparameters(**values), [a for a in argv if not a.startswith(("seed=", "save="))]


def check_settings(args: Hyperparameters, world_size: int) -> None:
    """End the program with one sentence when these settings cannot run."""
    batch_tokens = args.batch_size * args.sequence_length
    recipe_rows = RECIPE_RANKS * args.device_batch_size
    requirements = [
        (args.device in ("cuda", "cpu"), f"device={args.device} is unknown; use cuda, or cpu for tests"),
        (args.device == "cpu" or torch.cuda.is_available(), "no CUDA GPU is visible here; device=cpu runs small tests"),
        (RECIPE_RANKS % world_size == 0, f"{world_size} processes do not divide {RECIPE_RANKS}; start 1, 2, 4 or 8"),
        (args.batch_size % recipe_rows == 0, f"batch_size must be a multiple of {recipe_rows}"),
        (args.val_tokens % batch_tokens == 0, f"val_tokens must be a multiple of {batch_tokens}"),
        *args.requirements(),
    ]
    for holds, sentence in requirements:
        if not holds:
            raise SystemExit(sentence)


def join_processes(local_rank: int, args: Hyperparameters) -> None:
    """Form the group of all ranks; told its GPU, NCCL connects at once instead of in the first step."""
    if args.device == "cuda":
        torch.cuda.set_device(local_rank)
        dist.init_process_group("nccl", device_id=torch.device("cuda", local_rank))
    else:
        dist.init_process_group("gloo")


def choose_seed(args: Hyperparameters) -> int:
    """Return the seed that all ranks use: the given one, or one drawn by rank 0."""
    drawn = int.from_bytes(os.urandom(4), "little") if args.seed is None else args.seed
    seed = torch.tensor([drawn], dtype=torch.int64, device=args.device)
    dist.broadcast(seed, src=0)
    return int(seed.item())


def log(line: str) -> None:
    """Print one line of the log: rank 0 only, flushed at once."""
    if dist.get_rank() == 0:
        print(line, flush=True)


def log_header(args: Hyperparameters, overrides: list[str], seed: int) -> None:
    """Log the source of this program, the software and hardware it runs on, and what was chosen for this run."""
    if dist.get_rank() != 0:
        return
    sys.stdout.buffer.write(CODE if CODE.endswith(b"\n") else CODE + b"\n")
    log("=" * 100)
    log(f"Running Python {' '.join(sys.version.split())}")
    toolkit = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU"
    log(f"Running PyTorch {torch.__version__} compiled for {toolkit}")
    if find_spec("triton"):
        log(f"Running Triton version {version('triton')}")
    log(f"seed:{seed}")
    log(f"world_size:{dist.get_world_size()}")
    log(f"val_tokens:{args.val_tokens}")
    log(f"tokens_per_step:{args.batch_size * args.sequence_length}")
    for override in overrides:
        log(f"override:{override}")
    if args.device == "cuda" and shutil.which("nvidia-smi"):
        log(subprocess.run(["nvidia-smi"], capture_output=True, text=True).stdout.rstrip())
    log("=" * 100)


class Clock:
    """Wall time of the timed sections, in milliseconds; starts and stops only when every GPU has finished its work."""

    def __init__(self, args: Hyperparameters):
        self.on_gpu = args.device == "cuda"
        self.milliseconds = 0.0

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        dist.barrier()

    def start(self) -> None:
        self.synchronize()
        self.started_at = time.time()

    def read(self) -> float:
        """Return the time so far without waiting for the GPU."""
        return self.milliseconds + 1000 * (time.time() - self.started_at)

    def stop(self) -> None:
        self.synchronize()
        self.milliseconds = self.read()


def times(milliseconds: float, index: int, steps_done: int) -> str:
    """Format the time of the timed steps and its mean; ten steps are untimed, and up to index 11 there is no mean."""
    step_avg = milliseconds / (steps_done - 10) if index > 11 else math.nan
    return f"train_time:{milliseconds:.0f}ms step_avg:{step_avg:.2f}ms"


def main() -> None:
    args, overrides = parse_overrides(sys.argv[1:])
    if "RANK" not in os.environ:
        raise SystemExit("start this script with: torchrun --standalone --nproc_per_node=8 train_gpt.py")
    rank, local_rank, world_size = (int(os.environ[name]) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"))
    check_settings(args, world_size)
    data = open_data(rank, world_size, args)
    join_processes(local_rank, args)
    seed = choose_seed(args)
    log_header(args, overrides, seed)
    torch.manual_seed(seed)
    model = make_model(args)
    train(model, *data, args)
    if args.save is not None and rank == 0:
        torch.save({"settings": asdict(args), "model": model.state_dict()}, args.save)

    if args.device == "cuda":
        allocated, reserved = torch.cuda.max_memory_allocated() >> 20, torch.cuda.max_memory_reserved() >> 20
        log(f"peak memory allocated: {allocated} MiB reserved: {reserved} MiB")
    else:
        time.sleep(0.2)  # gloo's threads let go of the last tensors; in an interpreter that closes they would crash
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
