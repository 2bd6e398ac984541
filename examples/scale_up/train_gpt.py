"""
Record 6 of the short track, larger: `preset=1.5b` is the field's scale-up of 2024-10-20, `preset=350m` one of ours.

    preset  layers  width  heads        weights  steps of 480 rows         tokens  final loss of the field
    1.5b        52   1536     12  1,549,467,648             20,344  9,999,482,880  2.7297 in 9.71 h on 8×H100
    350m        24   1024      8    353,501,184             20,344  9,999,482,880  nobody ran it

It is a copy of the script of short/6 with other numbers: table and matrices learn at half the rates at 1.5 billion
weights, the batch has 480 rows of 1,024 tokens, drawn 12 rows at a time by each of 8 ranks, five times a step. The rates
of 350m lie between those of the two others (their geometric means, rounded). Newton–Schulz, schedule, initialisation
and model are short/6's. At step 0 the loss is about √(width / 3), 22.6 at 1.5b, because the network is the identity.

Start it where data/fineweb100B/ lies (or set DATA_PATH); `speedrun fetch fineweb100B` brings the files:

    torchrun --standalone --nproc_per_node=8 train_gpt.py preset=1.5b [name=value ...]

1, 2, 4 and 8 GPUs do the same training on the same tokens; with fewer, each takes the rows of several ranks in turn. A
GPU with less memory takes fewer rows at a time with `pass_rows=6`, 4, 3, 2 or 1, which changes no number either. What
memory holds at least is in the log's header, by `memory_bytes`; the field's run had 80 GB and 12 rows.
`save=PATH` writes the weights after the last validation, and `load(PATH)` gives the trained model back.

This was written from facts about the field's run, not from its program. Where those are silent it does as short/6: the
first rows that a rank draws are trained on twice.
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

RECIPE_RANKS = 8  # the field ran on 8 GPUs; with fewer, each process takes the data of several of these ranks in turn


@dataclass(frozen=True)
class Hyperparameters:
    """The whole recipe in numbers, of the preset 1.5b; `name=value` arguments override them."""

    # data
    train_files: str = "data/fineweb100B/fineweb_train_*.bin"
    val_files: str = "data/fineweb100B/fineweb_val_*.bin"
    val_tokens: int = 10_420_224  # 106 times 12 rows of each of 8 ranks
    val_loss_every: int = 125  # steps between validations; one more after the last step
    batch_size: int = 480  # rows per optimizer step, over all ranks
    device_batch_size: int = 12  # rows that a recipe rank draws at a time; decides which tokens meet in one batch
    pass_rows: int = 12  # rows per forward pass; fewer need less memory and change nothing
    sequence_length: int = 1024  # tokens per row
    # model
    vocab_size: int = 50_304  # 50,257 padded to a multiple of 128
    n_layer: int = 52
    n_head: int = 12
    d_model: int = 1536
    # optimizer
    num_iterations: int = 20_344
    warmdown_steps: int = 5_812
    embed_lr: float = 0.0018  # AdamW, for the table shared by input and output
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_eps: float = 1e-8
    muon_lr: float = 0.00018  # for the matrices of the blocks
    muon_momentum: float = 0.95
    # run
    seed: int | None = None  # drawn and logged when not given
    save: str | None = None  # where the weights are written after the last validation
    device: str = "cuda"  # "cpu" is for tests: fp32, not compiled

    @property
    def draws(self) -> int:
        """How often each recipe rank draws rows for one step."""
        return self.batch_size // (RECIPE_RANKS * self.device_batch_size)

    def requirements(self) -> list[tuple[bool, str]]:
        """Say what the model needs of these settings, with the sentence that ends a run where it does not hold."""
        return [
            (self.d_model % (2 * self.n_head) == 0, "d_model must be a multiple of 2 · n_head"),
            (self.device_batch_size % self.pass_rows == 0, "pass_rows must divide device_batch_size"),
        ]


PRESETS: dict[str, dict[str, int | float]] = {
    "1.5b": {},
    "350m": {"n_layer": 24, "n_head": 8, "d_model": 1024, "embed_lr": 0.0025, "muon_lr": 0.00025},
}


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
    """The way of one recipe rank through the token files, in stored order.

    A rank starts each file `rank` chunks in and then jumps by the chunks of all ranks. It leaves a file when its own
    next jump could overrun the end, so ranks leave at different times: of 100 M tokens, ranks 0-2 read 1,017 chunks
    and ranks 3-7 read 1,016. That is a quirk of short/6 and decides which tokens meet in one batch; it is kept.
    """

    def __init__(self, pattern: str, recipe_rank: int, args: Hyperparameters):
        pattern = os.path.join(os.environ.get("DATA_PATH", "."), pattern)
        self.files = sorted(glob.glob(pattern))
        if not self.files:
            raise SystemExit(f"no file matches {pattern}; fetch the data, or set DATA_PATH to the folder above data/")
        self.shape = (args.device_batch_size, args.sequence_length)
        self.chunk = math.prod(self.shape)  # tokens that this rank draws at a time
        self.stride = RECIPE_RANKS * self.chunk  # tokens that all ranks draw at a time
        self.start = recipe_rank * self.chunk
        self.reset()

    def reset(self) -> None:
        self.open_file(0)

    def open_file(self, index: int) -> None:
        self.file_index = index
        self.tokens = open_shard(self.files[index])
        self.position = self.start
        if len(self.tokens) < self.stride + 1:
            raise SystemExit(
                f"{self.files[index]} is shorter than {self.stride} tokens, one draw of all ranks, and a target"
            )

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, int64 (device_batch_size, sequence_length); a target is the token after its input."""
        window = self.tokens[self.position : self.position + self.chunk + 1]
        window = torch.from_numpy(window.astype(np.int64))  # (chunk + 1,)
        self.position += self.stride
        if self.position + self.stride + 1 > len(self.tokens):
            self.open_file((self.file_index + 1) % len(self.files))
        return window[:-1].view(self.shape), window[1:].view(self.shape)


Loaders = list[DistributedDataLoader]  # one for each recipe rank whose data a process takes


def open_data(rank: int, world_size: int, args: Hyperparameters) -> tuple[Loaders, Loaders]:
    """Return this process's loaders for training and for validation."""
    # Own recipe rank last: the printed train_loss is then recipe rank 0's last micro-batch on any number of GPUs.
    recipe_ranks = range(rank, RECIPE_RANKS, world_size)[::-1]
    train_loaders = [DistributedDataLoader(args.train_files, r, args) for r in recipe_ranks]
    return train_loaders, [DistributedDataLoader(args.val_files, r, args) for r in recipe_ranks]


def to_device(tokens: Tensor, args: Hyperparameters) -> Tensor:
    """Copy tokens to where the model is; to a GPU from pinned memory, so that neither side waits for the copy."""
    return tokens.pin_memory().to(args.device, non_blocking=True) if args.device == "cuda" else tokens


def next_micro_batches(loaders: Loaders, args: Hyperparameters, draws: int) -> list[tuple[Tensor, Tensor]]:
    """Draw so many times from each loader, cut into forward passes of (pass_rows, sequence_length)."""
    micro_batches = []
    for _ in range(draws):
        for loader in loaders:
            inputs, targets = (to_device(tokens, args).split(args.pass_rows) for tokens in loader.next_batch())
            micro_batches.extend(zip(inputs, targets, strict=True))
    return micro_batches


# ----------------------------------------------------------------------------------------------------------------------
# Model.  Shapes: B rows, T tokens per row, D width, H heads, Dh = D / H, V vocabulary
# ----------------------------------------------------------------------------------------------------------------------


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to root mean square 1; no gain."""
    return F.rms_norm(x, (x.size(-1),), eps=torch.finfo(x.dtype).eps)


def rotary_tables(length: int, head_dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos and sin of position · 10000^(-2j/head_dim), each (length, head_dim / 2)."""
    frequencies = 10_000.0 ** (-torch.arange(0, head_dim, 2).float() / head_dim)  # (Dh/2,)
    angles = torch.outer(torch.arange(length).float(), frequencies)  # (length, Dh/2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_j, x_{j + Dh/2}) of x (B, T, H, Dh) by its position's angle; cos and sin are (T, Dh/2)."""
    cos, sin = cos[:, None, :], sin[:, None, :]  # (T, 1, Dh/2)
    x1, x2 = x.chunk(2, dim=-1)  # (B, T, H, Dh/2) each
    return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1).type_as(x)


class Attention(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.q = nn.Linear(args.d_model, args.d_model, bias=False)
        self.k = nn.Linear(args.d_model, args.d_model, bias=False)
        self.v = nn.Linear(args.d_model, args.d_model, bias=False)
        self.proj = nn.Linear(args.d_model, args.d_model, bias=False)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = (linear(x).view(B, T, self.n_head, -1) for linear in (self.q, self.k, self.v))  # (B, T, H, Dh) each
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, H, T, Dh) each
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, Dh)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.fc = nn.Linear(args.d_model, 4 * args.d_model, bias=False)
        self.proj = nn.Linear(4 * args.d_model, args.d_model, bias=False)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.relu(self.fc(x)).square())


class Block(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.attn = Attention(args)
        self.mlp = MLP(args)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.attn(rms_norm(x), cos, sin)
        return x + self.mlp(rms_norm(x))


class GPT(nn.Module):
    """Inputs and targets (B, T) in, mean cross-entropy in nats out. Weights start at PyTorch's defaults or at zero."""

    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.d_model)
        self.blocks = nn.ModuleList(Block(args) for _ in range(args.n_layer))
        self.head = nn.Linear(args.d_model, args.vocab_size, bias=False)
        self.embed.weight = self.head.weight  # one table, initialised as the head: U(±1/√D)
        # Plain tensors on the device of construction: buffers would be sent to all ranks in every forward pass.
        table_dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
        self.cos, self.sin = rotary_tables(args.sequence_length, args.d_model // args.n_head, table_dtype)

    def logits(self, inputs: Tensor) -> Tensor:
        T = inputs.size(1)
        x = self.embed(inputs)  # (B, T, D)
        for block in self.blocks:
            x = block(x, self.cos[:T], self.sin[:T])
        return self.head(rms_norm(x))  # (B, T, V)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = self.logits(inputs).float()  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def make_model(args: Hyperparameters) -> GPT:
    with torch.device(args.device):
        return GPT(args)


def mixed_precision(args: Hyperparameters) -> torch.autocast:
    """Return the context in which a GPU multiplies matrices in bf16."""
    return torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.device == "cuda")


def compile_model(model: GPT, args: Hyperparameters) -> nn.Module:
    if args.device != "cuda":
        return model
    import torch._inductor.config as inductor_config

    inductor_config.coordinate_descent_tuning = True  # allowed by the rules of the time
    return torch.compile(model)


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Return a saved model as a function from tokens (B, T), int64, to logits (B, T, V), without training anything."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    args = Hyperparameters(**saved["settings"] | {"device": "cuda" if torch.cuda.is_available() else "cpu"})
    model = make_model(args)
    model.load_state_dict(saved["model"])

    def logits(tokens: Tensor) -> Tensor:
        with mixed_precision(args):
            return model.logits(tokens.to(args.device))

    logits.sequence_tokens = args.sequence_length  # what a row of validation holds
    return logits


# ----------------------------------------------------------------------------------------------------------------------
# Optimizer
# ----------------------------------------------------------------------------------------------------------------------


def newton_schulz(G: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return G (rows, cols) with nearly equal singular values: the orthogonal factor of its polar form, roughly.

    G is scaled to Frobenius norm 1; then, five times, each singular value s becomes 3.4445 s - 4.7750 s³ + 2.0315 s⁵,
    which brings those above 0.01 to between 0.68 and 1.14. So steep a polynomial does not converge to 1; it need not.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G.to(dtype)
    X = X / (X.norm() + 1e-7)
    if G.size(0) > G.size(1):
        X = X.T  # so that X Xᵀ is the smaller square
    for _ in range(5):
        A = X @ X.T
        B = A @ X
        X = a * X + b * B + c * A @ B
    return X.T if G.size(0) > G.size(1) else X


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for weight matrices, whose gradients are already averaged over ranks.

    m ← momentum · m + g,  u = g + momentum · m,  W ← W - lr · √max(rows, cols) · newton_schulz(u).
    The root mean square of the update's elements is then about lr, for any shape. Matrix i belongs to rank i mod world
    size: that rank alone keeps its momentum and computes its update. Every update has its place in one flat vector,
    zero on all other ranks, so one sum over ranks brings all updates to all ranks.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float):
        super().__init__(params, {"lr": lr, "momentum": momentum})
        on_gpu = params[0].is_cuda
        self.orthogonalize = torch.compile(newton_schulz, dynamic=False) if on_gpu else newton_schulz
        self.dtype = torch.bfloat16 if on_gpu else torch.float32

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            params = group["params"]
            sizes = [p.numel() for p in params]
            flat = torch.zeros(sum(sizes), dtype=self.dtype, device=params[0].device)
            updates = [part.view_as(p) for part, p in zip(flat.split(sizes), params, strict=True)]
            for i in range(dist.get_rank(), len(params), dist.get_world_size()):
                p = params[i]
                if not self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
                m = self.state[p]["momentum_buffer"]
                m.mul_(group["momentum"]).add_(p.grad)
                u = p.grad + group["momentum"] * m
                updates[i].copy_(self.orthogonalize(u, self.dtype) * max(p.shape) ** 0.5)
            dist.all_reduce(flat)
            for p, update in zip(params, updates, strict=True):
                p.add_(update.type_as(p), alpha=-group["lr"])


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    adam = torch.optim.AdamW(
        model.embed.parameters(),
        lr=args.embed_lr,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_eps,
        weight_decay=0,
        fused=True,
    )
    muon = Muon(list(model.blocks.parameters()), lr=args.muon_lr, momentum=args.muon_momentum)
    optimizers = [adam, muon]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """The factor on every base learning rate at 0-based `step`: a plateau, then a ramp down to zero."""
    warmdown = min(args.warmdown_steps, args.num_iterations)  # the bound acts only in runs shortened for a test
    return min(1.0, (args.num_iterations - step) / warmdown)


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
    for _ in range(args.val_tokens // (RECIPE_RANKS * args.device_batch_size * args.sequence_length)):
        for inputs, targets in next_micro_batches(loaders, args, draws=1):
            with mixed_precision(args):
                total += model(inputs, targets)
    dist.all_reduce(total)
    return total.item() * args.pass_rows * args.sequence_length / args.val_tokens


def train(model: GPT, train_loaders: Loaders, val_loaders: Loaders, args: Hyperparameters) -> None:
    """Take all steps and log their losses; the clock stands still while the model is validated."""
    optimizers = make_optimizers(model, args)
    compiled_model = compile_model(model, args)
    ddp_model = DistributedDataParallel(compiled_model, gradient_as_bucket_view=True)
    micro_batches = next_micro_batches(train_loaders, args, draws=1)
    clock = Clock(args)
    clock.start()
    for loader in train_loaders:  # a quirk of short/6: what each rank drew first, it draws once more
        loader.reset()
    micro_batches += next_micro_batches(train_loaders, args, args.draws - 1)
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
            with mixed_precision(args):
                loss = ddp_model(inputs, targets)
            if is_last:  # the next batch is read and copied while the GPU is busy with this one
                micro_batches = next_micro_batches(train_loaders, args, args.draws)
            (loss / len(micro_batches)).backward()

        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * learning_rate_scale(step, args)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        if dist.get_rank() == 0:
            log(f"step:{step + 1}/{last_step} train_loss:{loss.item():.4f} {times(clock.read(), step, step + 1)}")


# ----------------------------------------------------------------------------------------------------------------------
# Settings, checks, processes, seed, log, clock
# ----------------------------------------------------------------------------------------------------------------------


def parse_overrides(argv: list[str]) -> tuple[Hyperparameters, list[str]]:
    """Turn name=value arguments into the settings and the overrides but seed, save and preset; end on a bad one."""
    defaults = {field.name: field.default for field in fields(Hyperparameters)}
    values: dict[str, int | float | str] = {}
    for argument in (a for a in argv if a.startswith("preset=")):
        if argument.removeprefix("preset=") not in PRESETS:
            raise SystemExit(f"{argument!r} is no preset; write preset=NAME with one of: {', '.join(PRESETS)}")
        values |= PRESETS[argument.removeprefix("preset=")]
    for argument in (a for a in argv if not a.startswith("preset=")):
        name, equals, text = argument.partition("=")
        if not equals or name not in defaults:
            raise SystemExit(
                f"{argument!r} is no override; write name=value with one of: preset, {', '.join(defaults)}"
            )
        kind = {"seed": int, "save": str}.get(name, type(defaults[name]))
        try:
            values[name] = kind(text)
        except ValueError:
            raise SystemExit(f"{argument!r}: {name} takes a value of type {kind.__name__}") from None
        least = 1 if kind is int and name != "seed" else 0
        if kind is not str and not least <= values[name] < math.inf:
            raise SystemExit(f"{argument!r}: {name} takes a finite number from {least} up")
    return Hyperparameters(**values), [a for a in argv if not a.startswith(("seed=", "save=", "preset="))]


def check_settings(args: Hyperparameters, world_size: int) -> None:
    """End the program with one sentence when these settings cannot run."""
    drawn_rows = RECIPE_RANKS * args.device_batch_size
    drawn_tokens = drawn_rows * args.sequence_length
    requirements = [
        (args.device in ("cuda", "cpu"), f"device={args.device} is unknown; use cuda, or cpu for tests"),
        (args.device == "cpu" or torch.cuda.is_available(), "no CUDA GPU is visible here; device=cpu runs small tests"),
        (RECIPE_RANKS % world_size == 0, f"{world_size} processes do not divide {RECIPE_RANKS}; start 1, 2, 4 or 8"),
        (args.batch_size % drawn_rows == 0, f"batch_size must be a multiple of {drawn_rows}"),
        (args.val_tokens % drawn_tokens == 0, f"val_tokens must be a multiple of {drawn_tokens}"),
        *args.requirements(),
    ]
    for holds, sentence in requirements:
        if not holds:
            raise SystemExit(sentence)


def memory_bytes(model: GPT, args: Hyperparameters, world_size: int) -> dict[str, int]:
    """Count what a GPU holds for the whole training, by what it is for; activations are a floor, not all of them.

    Weights, gradients and momenta are fp32, updates and the weights that autocast makes for products bf16. Of a forward
    pass each layer keeps, for its backward pass, at least 15 · d_model values of bf16 (input of attention, q, k, v, the
    first two rotated, its output, and twice 4 · d_model of the MLP) and two residual sums in fp32 for each token, and the
    head its logits in bf16 and fp32.
    """
    table = model.embed.weight.numel()
    matrices = [p.numel() for p in model.blocks.parameters()]
    tokens = args.pass_rows * args.sequence_length
    return {
        "weights": 4 * (table + sum(matrices)),
        "gradients": 4 * (table + sum(matrices)),
        "momenta of AdamW": 8 * table,
        "momenta of Muon": 4 * max(sum(matrices[rank::world_size]) for rank in range(world_size)),
        "updates": 2 * sum(matrices),
        "weights in bf16": 2 * (table + sum(matrices)),
        "activations": tokens * (args.n_layer * args.d_model * (15 * 2 + 2 * 4) + args.vocab_size * (2 + 4)),
    }


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
    with torch.device("meta"):
        held = memory_bytes(GPT(args), args, dist.get_world_size())
    parts = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in held.items())
    log(f"memory of a GPU at least {sum(held.values()) / 1e9:.1f} GB: {parts}")
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
