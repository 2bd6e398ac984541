"""
Result 36 of the optimization track (2026-06-11, 3,250 steps): the tuned Muon baseline. New submissions start from here.

The track fixes data, batch and architecture and asks for few optimizer steps to a mean validation loss below 3.28, with
one forward and backward pass per step; wall time does not count. So the optimizer, the schedule, the initialisation and
the hyperparameters are yours to change; data, model and validation are not.

Recipe: 3,250 steps of 524,288 tokens (1.70 B); 12 layers, width 768, 6 heads; 162,354,816 parameters; the table in
bf16, other weights fp32, cast to bf16 in each product. The loss at step 0 is ln 50,304 = 10.8258.

This is a reimplementation from facts about the result, not its original program. Uncertain in those facts:
- whether the model was compiled (it is here) and at which points of the model values were rounded to bf16;
- the groups in which matrices are dealt to ranks, which change nothing but the time.

Start it where data/fineweb10B/ lies (or set DATA_PATH):

    torchrun --standalone --nproc_per_node=8 train_gpt.py [name=value ...]

1, 2, 4 and 8 GPUs do the same training on the same tokens. Everything that counts is printed by rank 0 on stdout; the
lines clock:start and clock:stop enclose every timed section. `save=PATH` writes the weights after the last validation,
and `load(PATH)` gives the trained model back, so that its loss can be computed by somebody else.
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

CODE = Path(__file__).read_bytes()  # the program as it runs; the log begins with it


@dataclass(frozen=True)
class Hyperparameters:
    """The whole recipe in numbers. `name=value` arguments override them; any but seed and save makes a test run."""

    # data
    train_files: str = "data/fineweb10B/fineweb_train_*.bin"
    val_files: str = "data/fineweb10B/fineweb_val_*.bin"
    val_tokens: int = 10_485_760  # the first 20 · 2^19 tokens of the validation file
    val_loss_every: int = 125  # steps between validations; one more after the last step
    val_loss_every_late: int = 25  # the same in the last tenth of the run
    batch_size: int = 512  # rows per optimizer step, over all ranks
    device_batch_size: int = 64  # rows per rank and forward pass
    sequence_length: int = 1024  # tokens per row
    # model
    vocab_size: int = 50_304  # 50,257 padded to a multiple of 128
    n_layer: int = 12
    n_head: int = 6
    d_model: int = 768
    # optimizer
    num_iterations: int = 3_250
    cooldown_fraction: float = 0.7  # share of the run in which the learning rate falls
    embed_lr: float = 0.7
    head_lr: float = 0.004
    vector_lr: float = 0.015  # for biases and gains
    adam_beta1: float = 0.8
    adam_beta2: float = 0.95
    adam_eps: float = 1e-10
    adam_weight_decay: float = 0.001
    muon_lr: float = 0.025  # for the matrices of the blocks
    muon_momentum: float = 0.95
    muon_weight_decay: float = 0.05
    # run
    seed: int | None = None  # drawn and logged when not given
    save: str | None = None  # where the weights are written after the last validation
    device: str = "cuda"  # "cpu" is for tests: fp32, not compiled


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


def find_files(pattern: str) -> list[str]:
    """Return the sorted files that match a pattern under DATA_PATH."""
    pattern = os.path.join(os.environ.get("DATA_PATH", "."), pattern)
    files = sorted(glob.glob(pattern))
    if not files:
        raise SystemExit(f"no file matches {pattern}; fetch the data, or set DATA_PATH to the folder above data/")
    return files


def to_micro_batches(window: np.ndarray, args: Hyperparameters) -> list[tuple[Tensor, Tensor]]:
    """Cut n · T + 1 tokens into inputs and targets (device_batch_size, T); a target is the token after its input."""
    tokens = torch.from_numpy(window.astype(np.int64))
    if args.device == "cuda":  # from pinned memory, so that neither side waits for the copy
        tokens = tokens.pin_memory().to(args.device, non_blocking=True)
    inputs, targets = tokens[:-1].view(-1, args.sequence_length), tokens[1:].view(-1, args.sequence_length)
    return list(zip(inputs.split(args.device_batch_size), targets.split(args.device_batch_size), strict=True))


class DistributedDataLoader:
    """The way of all ranks through the token files, in stored order: one cursor, moved by the batch of all ranks.

    Of each batch a rank takes its own contiguous share. Of 100 M tokens 190 batches are read and the tail is dropped.
    """

    def __init__(self, pattern: str, rank: int, world_size: int, args: Hyperparameters):
        self.files = find_files(pattern)
        self.args = args
        self.stride = args.batch_size * args.sequence_length  # tokens of all ranks per batch
        self.chunk = self.stride // world_size  # tokens of this rank per batch
        self.start = rank * self.chunk
        self.open_file(0)

    def open_file(self, index: int) -> None:
        self.file_index = index
        self.tokens = open_shard(self.files[index])
        self.position = 0
        if len(self.tokens) < self.stride + 2:
            raise SystemExit(f"{self.files[index]} is not longer than one batch of {self.stride} tokens and a target")

    def next_micro_batches(self) -> list[tuple[Tensor, Tensor]]:
        if self.position + self.stride + 1 >= len(self.tokens):
            self.open_file((self.file_index + 1) % len(self.files))
        first = self.position + self.start
        self.position += self.stride
        return to_micro_batches(self.tokens[first : first + self.chunk + 1], self.args)


def open_data(rank: int, world_size: int, args: Hyperparameters) -> tuple[DistributedDataLoader, np.ndarray]:
    """Return this rank's loader for training, and its contiguous share of the val_tokens tokens to validate on."""
    path = find_files(args.val_files)[0]
    tokens = open_shard(path)
    if len(tokens) < args.val_tokens + 1:
        raise SystemExit(f"{path} has {len(tokens)} tokens, too few for val_tokens={args.val_tokens} and a target")
    share = args.val_tokens // world_size
    val_tokens = tokens[rank * share : (rank + 1) * share + 1]
    return DistributedDataLoader(args.train_files, rank, world_size, args), val_tokens


# ----------------------------------------------------------------------------------------------------------------------
# Model.  Shapes: B rows, T tokens per row, D width, H heads, Dh = D / H, V vocabulary
# ----------------------------------------------------------------------------------------------------------------------


def rms_norm(x: Tensor, gain: Tensor | None = None) -> Tensor:
    """Scale the last dimension to root mean square 1, then by a gain where there is one."""
    return F.rms_norm(x, (x.size(-1),), gain, eps=torch.finfo(torch.float32).eps)


class RMSNorm(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(args.d_model))

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.gain.to(x.dtype))


class Linear(nn.Linear):
    """A linear layer with bias that computes in the type of its input, whatever the type of its weights."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))


def rotary_tables(length: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Return cos and sin of position · frequency, each (length, head_dim / 2), fp32.

    Half of the frequencies fall from 1 to 1/1024 in equal ratios; the other half are 0 and leave their pairs unturned.
    """
    turning = (1 / 1024) ** torch.linspace(0, 1, head_dim // 4)  # (Dh/4,)
    frequencies = torch.cat((turning, torch.zeros(head_dim // 4)))  # (Dh/2,)
    angles = torch.outer(torch.arange(length).float(), frequencies)  # (length, Dh/2)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_j, x_{j + Dh/2}) of x (B, T, H, Dh) by its position's angle; cos and sin are (T, Dh/2)."""
    cos, sin = cos[:, None, :], sin[:, None, :]  # (T, 1, Dh/2)
    x1, x2 = x.float().chunk(2, dim=-1)  # (B, T, H, Dh/2) each
    return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1).type_as(x)


class Attention(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.q = Linear(args.d_model, args.d_model)
        self.k = Linear(args.d_model, args.d_model)
        self.v = Linear(args.d_model, args.d_model)
        self.proj = Linear(args.d_model, args.d_model)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = (linear(x).view(B, T, self.n_head, -1) for linear in (self.q, self.k, self.v))  # (B, T, H, Dh) each
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, H, T, Dh) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.12)  # (B, H, T, Dh)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.fc = Linear(args.d_model, 4 * args.d_model)
        self.proj = Linear(4 * args.d_model, args.d_model)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.relu(self.fc(x)).square())


class Block(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.attn_norm = RMSNorm(args)
        self.attn = Attention(args)
        self.mlp_norm = RMSNorm(args)
        self.mlp = MLP(args)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attn(self.attn_norm(x), cos, sin)
        return x + self.mlp(self.mlp_norm(x))


class GPT(nn.Module):
    """Inputs and targets (B, T) in, the sum of their cross-entropies in nats out."""

    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.d_model)  # starts as N(0, 1)
        self.embed_norm = RMSNorm(args)
        self.blocks = nn.ModuleList(Block(args) for _ in range(args.n_layer))
        self.head_norm = RMSNorm(args)
        self.head = Linear(args.d_model, args.vocab_size)
        self.cos, self.sin = rotary_tables(args.sequence_length, args.d_model // args.n_head)
        self.initialize()

    @torch.no_grad()
    def initialize(self) -> None:
        """Weights N(0, 0.33 / fan_in), but zero where they write into the stream or the logits; biases zero."""
        for name, module in self.named_modules():
            if isinstance(module, Linear):
                zero = name == "head" or name.endswith("proj")
                nn.init.normal_(module.weight, std=0.0 if zero else math.sqrt(0.33 / module.in_features))
                nn.init.zeros_(module.bias)

    def logits(self, inputs: Tensor) -> Tensor:
        T = inputs.size(1)
        x = self.embed_norm(self.embed(inputs))  # (B, T, D)
        for block in self.blocks:
            x = block(x, self.cos[:T], self.sin[:T])
        logits = self.head(self.head_norm(x)).float()  # (B, T, V)
        return 15 * logits * torch.rsqrt(logits.square() + 225)  # soft cap at 15

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(self.logits(inputs).flatten(0, 1), targets.flatten(), reduction="sum")


def make_model(args: Hyperparameters) -> GPT:
    with torch.device(args.device):
        model = GPT(args)
    if args.device == "cuda":
        model.embed.bfloat16()
    return model


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


def newton_schulz(G: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return G (rows, cols) with all singular values close to 1: the orthogonal factor of its polar form.

    G is scaled to Frobenius norm 1; then, twelve times, each singular value s becomes 2 s - 1.5 s³ + 0.5 s⁵.
    """
    a, b, c = 2.0, -1.5, 0.5
    X = G.to(dtype)
    X = X / (X.norm() + 1e-7)
    if G.size(0) > G.size(1):
        X = X.T  # so that X Xᵀ is the smaller square
    for _ in range(12):
        A = X @ X.T
        B = b * A + c * A @ A
        X = a * X + B @ X
    return X.T if G.size(0) > G.size(1) else X


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for weight matrices, whose gradients are already summed over ranks.

    m ← m + (1 - momentum) · (g - m),  u = g + momentum · (m - g),
    W ← W · (1 - lr · weight_decay) - lr · √max(1, rows/cols) · newton_schulz(u).
    Matrices of one size are dealt to the ranks like cards. A rank keeps the momentum of its own matrices and updates
    them; after each round of dealing all ranks exchange the new weights.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float, weight_decay: float):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        on_gpu = params[0].is_cuda
        self.orthogonalize = torch.compile(newton_schulz, dynamic=False) if on_gpu else newton_schulz
        self.dtype = torch.bfloat16 if on_gpu else torch.float32

    def update(self, p: nn.Parameter, group: dict) -> None:
        if not self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        m = self.state[p]["momentum_buffer"]
        m.lerp_(p.grad, 1 - group["momentum"])
        u = p.grad.lerp(m, group["momentum"])
        update = self.orthogonalize(u, self.dtype) * max(1, p.size(0) / p.size(1)) ** 0.5
        p.mul_(1 - group["lr"] * group["weight_decay"])
        p.add_(update, alpha=-group["lr"])

    @torch.no_grad()
    def step(self) -> None:
        rank, world_size = dist.get_rank(), dist.get_world_size()
        for group in self.param_groups:
            for size in sorted({p.numel() for p in group["params"]}):
                params = [p for p in group["params"] if p.numel() == size]
                for first in range(0, len(params), world_size):
                    dealt = params[first : first + world_size]  # one for each rank; in the last round maybe fewer
                    if rank < len(dealt):
                        self.update(dealt[rank], group)
                    weights = [p.view(-1) for p in dealt]
                    weights += [torch.empty_like(weights[0]) for _ in range(world_size - len(dealt))]
                    dist.all_gather(weights, weights[rank].clone())


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW(
        [
            {"params": [model.embed.weight], "lr": args.embed_lr},
            {"params": [model.head.weight], "lr": args.head_lr},
            {"params": vectors, "lr": args.vector_lr},
        ],
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_eps,
        weight_decay=args.adam_weight_decay,
        fused=True,
    )
    muon = Muon(matrices, lr=args.muon_lr, momentum=args.muon_momentum, weight_decay=args.muon_weight_decay)
    optimizers = [adam, muon]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """The factor on every base learning rate at 0-based `step`: a plateau, then a ramp down to zero."""
    return min(1.0, (1 - step / args.num_iterations) / args.cooldown_fraction)


# ----------------------------------------------------------------------------------------------------------------------
# Training
# ----------------------------------------------------------------------------------------------------------------------


def validation_is_due(step: int, args: Hyperparameters) -> bool:
    late = step >= 0.9 * args.num_iterations
    every = args.val_loss_every_late if late else args.val_loss_every
    return step % every == 0 or step == args.num_iterations


@torch.no_grad()
def validate(model: nn.Module, micro_batches: list[tuple[Tensor, Tensor]], args: Hyperparameters) -> float:
    """Return the mean loss over the first val_tokens tokens of the validation file, the same on every rank."""
    total = torch.zeros((), device=args.device)
    for inputs, targets in micro_batches:
        total += model(inputs, targets)
    dist.all_reduce(total)
    return total.item() / args.val_tokens


def train(model: GPT, train_loader: DistributedDataLoader, val_tokens: np.ndarray, args: Hyperparameters) -> None:
    """Take all steps and log their losses; the clock stands still while the model is validated."""
    optimizers = make_optimizers(model, args)
    parameters = list(model.parameters())
    compiled_model = torch.compile(model, dynamic=False) if args.device == "cuda" else model
    val_micro_batches = to_micro_batches(val_tokens, args)
    micro_batches = train_loader.next_micro_batches()
    clock = Clock(args)
    last_step, last_val_step, last_val_seconds = args.num_iterations, 0, 0.0
    clock.start()
    for step in range(last_step + 1):
        if validation_is_due(step, args):
            clock.stop()
            val_loss = validate(compiled_model, val_micro_batches, args)
            # The mean time of a step is that since the validation before.
            step_avg = (clock.seconds - last_val_seconds) / (step - last_val_step) if step > 0 else math.nan
            log(f"step:{step}/{last_step} val_loss:{val_loss:.5f} {times(clock.seconds, step_avg)}")
            last_val_step, last_val_seconds = step, clock.seconds
            if step == last_step:
                break
            clock.start()

        for i, (inputs, targets) in enumerate(micro_batches, start=1):
            loss = compiled_model(inputs, targets)
            if i == len(micro_batches):  # the next batch is read and copied while the GPU is busy with this one
                micro_batches = train_loader.next_micro_batches()
            loss.backward()
        for p in parameters:
            dist.all_reduce(p.grad)  # the sum over ranks; neither optimizer minds the scale of gradients

        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * learning_rate_scale(step, args)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        train_time = clock.read()
        log(f"step:{step + 1}/{last_step} {times(train_time, train_time / (step + 1))}")


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
    rows = world_size * args.device_batch_size
    requirements = [
        (args.device in ("cuda", "cpu"), f"device={args.device} is unknown; use cuda, or cpu for tests"),
        (args.device == "cpu" or torch.cuda.is_available(), "no CUDA GPU is visible here; device=cpu runs small tests"),
        (8 % world_size == 0, f"{world_size} processes cannot share the batch; start 1, 2, 4 or 8"),
        (args.batch_size % rows == 0, f"batch_size must be a multiple of {rows}"),
        (args.val_tokens % (rows * args.sequence_length) == 0, f"val_tokens must be a multiple of {rows} rows"),
        (args.d_model % (4 * args.n_head) == 0, "d_model must be a multiple of 4 · n_head"),
        (0 < args.cooldown_fraction <= 1, "cooldown_fraction must lie between 0 and 1"),
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
    """Wall time of the timed sections, in seconds; starts and stops only when every GPU has finished its work."""

    def __init__(self, args: Hyperparameters):
        self.on_gpu = args.device == "cuda"
        self.seconds = 0.0

    def synchronize(self) -> None:
        if self.on_gpu:
            torch.cuda.synchronize()
        dist.barrier()

    def start(self) -> None:
        self.synchronize()
        log("clock:start")
        self.started_at = time.perf_counter()

    def read(self) -> float:
        """Return the time so far without waiting for the GPU."""
        return self.seconds + time.perf_counter() - self.started_at

    def stop(self) -> None:
        self.synchronize()
        self.seconds = self.read()
        log("clock:stop")


def times(seconds: float, mean_seconds: float) -> str:
    return f"train_time:{seconds:.3f}s step_avg:{1000 * mean_seconds:.2f}ms"


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
