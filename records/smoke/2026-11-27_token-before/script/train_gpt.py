"""Smoke record 4: the token before is embedded as well. Any CPU, about ten seconds.

Usage: torchrun --standalone --nproc_per_node=2 train_gpt.py [name=value ...]

A transformer of 147,648 parameters learns a second-order class Markov chain of 256 symbols. The chain is drawn from a
secret seed before each series of runs, so its tables and its entropy (2.73 to 2.95 nats per token) are known to the judge
alone. The smoke track asks for a mean validation loss of at most 0.15 above that entropy in as few steps as possible.
The matrices inside the blocks are trained by Muon, the embeddings and the head by AdamW. Against record 3 one thing
changes: a second table embeds the token before, and the first block sees the sum of both. So attention need not learn to
look one token back before anything can be learned from it.

`save=PATH` writes the weights after the last validation, outside the clock. `load(PATH)` gives the model back: a
function from tokens (B, T) to logits (B, T, 257).

fp32 throughout: bf16 products are 25 to 40 times slower on CPUs without native support. The same training results
on 1 or 2 ranks up to rounding, because the global batch is cut into contiguous halves.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

CODE = Path(__file__).read_bytes()  # logged before anything else happens

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Hyperparameters:
    # data
    train_files: str = "data/smoke/smoke_train_*.bin"
    val_files: str = "data/smoke/smoke_val_*.bin"
    val_tokens: int = 131072
    val_loss_every: int = 20
    # batch: 32 sequences of 128 tokens over all ranks
    batch_size: int = 32
    sequence_length: int = 128
    # schedule: constant, then linear to zero over the last 40 %
    num_iterations: int = 68
    cooldown_fraction: float = 0.4
    # model
    vocab_size: int = 257
    n_layer: int = 2
    n_head: int = 2
    d_model: int = 64
    # optimizer
    adam_lr: float = 0.05
    muon_lr: float = 0.1
    muon_momentum: float = 0.85
    # run
    seed: int | None = None
    save: str | None = None  # where the weights are written at the end


# -----------------------------------------------------------------------------
# Data


def read_shard(path: Path) -> Tensor:
    """Map one shard: 256 int32 words of header, then uint16 tokens; 50256 becomes 256."""
    header = np.fromfile(path, dtype="<i4", count=256)
    if header[0] != 20240520 or header[1] != 1:
        raise SystemExit(f"{path} is no token shard")
    tokens = np.memmap(path, dtype="<u2", mode="r", offset=1024, shape=(int(header[2]),))
    return torch.from_numpy(np.minimum(tokens, 256).astype(np.int64))  # (n_tokens,)


def find_tokens(pattern: str, needed: int) -> Tensor:
    """Read shards in name order until `needed` tokens are there."""
    root = Path(os.environ.get("DATA_PATH", "."))
    shards, count = [], 0
    for path in sorted(root.glob(pattern)):
        shards.append(read_shard(path))
        count += len(shards[-1])
        if count >= needed:
            return torch.cat(shards)
    raise SystemExit(f"{root / pattern} holds {count:,} tokens, {needed:,} are needed")


def batch_at(tokens: Tensor, step: int, args: Hyperparameters, rank: int, world_size: int) -> tuple[Tensor, Tensor]:
    """Inputs and next-token targets of one rank at one step, each (batch / world, sequence)."""
    rows = args.batch_size // world_size
    start = (step * args.batch_size + rank * rows) * args.sequence_length
    chunk = tokens[start : start + rows * args.sequence_length + 1]
    return chunk[:-1].view(rows, -1), chunk[1:].view(rows, -1)


# -----------------------------------------------------------------------------
# Model


def norm(x: Tensor) -> Tensor:
    return F.rms_norm(x, (x.size(-1),), eps=1e-6)


class Rotary(nn.Module):
    def __init__(self, head_dim: int, length: int):
        super().__init__()
        frequencies = 10000.0 ** (-torch.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
        angles = torch.outer(torch.arange(length), frequencies)  # (T, head_dim / 2)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (B, H, T, head_dim)
        x1, x2 = x.chunk(2, dim=-1)
        cos, sin = self.cos[: x.size(-2)], self.sin[: x.size(-2)]
        return torch.cat([x1 * cos + x2 * sin, x2 * cos - x1 * sin], dim=-1)


class Block(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.attn_in = nn.Linear(args.d_model, 3 * args.d_model, bias=False)
        self.attn_proj = nn.Linear(args.d_model, args.d_model, bias=False)
        self.mlp_in = nn.Linear(args.d_model, 4 * args.d_model, bias=False)
        self.mlp_proj = nn.Linear(4 * args.d_model, args.d_model, bias=False)
        self.rotary = Rotary(args.d_model // args.n_head, args.sequence_length)

    def attention(self, x: Tensor) -> Tensor:  # (B, T, D)
        B, T, D = x.shape
        q, k, v = self.attn_in(x).view(B, T, 3, self.n_head, -1).permute(2, 0, 3, 1, 4)  # each (B, H, T, head_dim)
        q, k = self.rotary(norm(q)), self.rotary(norm(k))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (B, H, T, head_dim)
        return self.attn_proj(y.transpose(1, 2).reshape(B, T, D))

    def forward(self, x: Tensor) -> Tensor:  # (B, T, D)
        x = x + self.attention(norm(x))
        return x + self.mlp_proj(F.relu(self.mlp_in(norm(x))).square())


class GPT(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.d_model)
        self.embed_before = nn.Embedding(args.vocab_size, args.d_model)
        self.blocks = nn.ModuleList([Block(args) for _ in range(args.n_layer)])
        self.head = nn.Linear(args.d_model, args.vocab_size, bias=False)
        for name, parameter in self.named_parameters():
            if "proj" in name or "head" in name:
                nn.init.zeros_(parameter)  # every block starts as the identity, every prediction uniform

    def logits(self, inputs: Tensor) -> Tensor:  # (B, T)
        before = F.pad(self.embed_before(inputs)[:, :-1], (0, 0, 1, 0))  # (B, T, D), of the token before
        x = norm(self.embed(inputs) + before)  # (B, T, D)
        for block in self.blocks:
            x = block(x)
        return self.head(norm(x))  # (B, T, V)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:  # (B, T), (B, T)
        logits = self.logits(inputs)
        return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.reshape(-1))


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Give a trained model back: a function from tokens (B, T), ids as in the shards, to logits (B, T, V)."""
    args = Hyperparameters()
    model = GPT(args)
    model.load_state_dict(torch.load(path, weights_only=True))

    def logits(tokens: Tensor) -> Tensor:  # (B, T), 50256 becomes 256
        return model.logits(tokens.clamp(max=args.vocab_size - 1))

    logits.sequence_tokens = args.sequence_length  # what a row of validation holds
    return logits


# -----------------------------------------------------------------------------
# Optimizer


def orthogonalize(G: Tensor) -> Tensor:
    """Move the singular values of G (rows, cols) towards 1 by five quintic Newton-Schulz steps."""
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G / (G.norm() + 1e-7)
    if G.size(0) > G.size(1):
        X = X.T
    for _ in range(5):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.size(0) > G.size(1) else X


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, then orthogonalisation; for the matrices inside the blocks."""

    def __init__(self, parameters: list[nn.Parameter], lr: float, momentum: float):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                buffer = self.state[parameter].setdefault("momentum", torch.zeros_like(parameter))
                buffer.mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonalize(parameter.grad + group["momentum"] * buffer)
                shape_factor = max(1.0, parameter.size(0) / parameter.size(1)) ** 0.5
                parameter.add_(update, alpha=-group["lr"] * shape_factor)


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    tables = [model.embed.weight, model.embed_before.weight, model.head.weight]
    matrices = list(model.blocks.parameters())
    return [
        torch.optim.AdamW(tables, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        Muon(matrices, lr=args.muon_lr, momentum=args.muon_momentum),
    ]


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """1 until the cool-down, then linearly to 0 at the last step."""
    left = (args.num_iterations - step) / max(1.0, args.cooldown_fraction * args.num_iterations)
    return min(1.0, left)


# -----------------------------------------------------------------------------
# Set-up


def parse_overrides(argv: list[str]) -> tuple[Hyperparameters, list[str]]:
    """Read name=value arguments; every one but seed and save is returned as an override to be logged."""
    args, overrides = Hyperparameters(), []
    kinds = {field.name: field.type for field in fields(Hyperparameters)}
    for argument in argv:
        name, _, text = argument.partition("=")
        if name not in kinds:
            raise SystemExit(f"unknown argument {argument!r}; known names: {', '.join(kinds)}")
        kind = {"seed": int, "save": str}.get(name, kinds[name])
        try:
            args = replace(args, **{name: kind(text)})
        except ValueError:
            raise SystemExit(f"{argument!r}: {name} needs a value of type {kind.__name__}") from None
        if name not in ("seed", "save"):
            overrides.append(argument)
    return args, overrides


def log(line: str) -> None:
    """Print one line of the log at once; rank 0 only."""
    if int(os.environ["RANK"]) == 0:
        print(line, flush=True)


def log_header(args: Hyperparameters, overrides: list[str], world_size: int) -> None:
    """Source, versions, seed and overrides, between rules of '='."""
    if int(os.environ["RANK"]) == 0:
        sys.stdout.buffer.write(CODE)
        sys.stdout.buffer.flush()
    log("=" * 100)
    log(f"Running Python {sys.version}".replace("\n", " "))
    log(f"Running PyTorch {torch.__version__} compiled for {'CUDA ' + torch.version.cuda if torch.version.cuda else 'CPU'}")
    log(f"seed:{args.seed}")
    log(f"world_size:{world_size}")
    log(f"val_tokens:{args.val_tokens}")
    log(f"tokens_per_step:{args.batch_size * args.sequence_length}")
    for override in overrides:
        log(f"override:{override}")
    log("=" * 100)


# -----------------------------------------------------------------------------
# Training and validation


@torch.no_grad()
def validate(model: GPT, tokens: Tensor, args: Hyperparameters, rank: int, world_size: int) -> float:
    """Mean cross-entropy over the first val_tokens tokens, nats per token, the same number on every rank."""
    rows = 128 // world_size  # sequences per forward and rank
    losses = []
    for start in range(rank, args.val_tokens // (rows * args.sequence_length), world_size):
        chunk = tokens[start * rows * args.sequence_length : (start + 1) * rows * args.sequence_length + 1]
        losses.append(model(chunk[:-1].view(rows, -1), chunk[1:].view(rows, -1)))
    mean = torch.stack(losses).mean()
    dist.all_reduce(mean)
    return float(mean) / world_size


def average_gradients(model: GPT, world_size: int) -> None:
    """Average the gradients over ranks in one message of all of them."""
    gradients = [parameter.grad for parameter in model.parameters()]
    flat = torch.cat([gradient.view(-1) for gradient in gradients])
    dist.all_reduce(flat)
    flat /= world_size
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def main() -> None:
    args, overrides = parse_overrides(sys.argv[1:])
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if args.batch_size % world_size or 128 % world_size or args.val_tokens % (128 * args.sequence_length):
        raise SystemExit(f"a batch of {args.batch_size} or {args.val_tokens:,} val tokens do not divide over {world_size} ranks")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    if args.seed is None:
        drawn = [int.from_bytes(os.urandom(4), "little")]
        dist.broadcast_object_list(drawn)
        args = replace(args, seed=drawn[0])
    log_header(args, overrides, world_size)

    torch.manual_seed(args.seed)  # the same start on every rank
    train = find_tokens(args.train_files, args.num_iterations * args.batch_size * args.sequence_length + 1)
    val = find_tokens(args.val_files, args.val_tokens + 1)
    model = GPT(args)
    optimizers = make_optimizers(model, args)
    base_lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]

    train_time = 0.0
    dist.barrier()
    log("clock:start")
    t0 = time.perf_counter()
    for step in range(args.num_iterations + 1):
        last_step = step == args.num_iterations
        if last_step or step % args.val_loss_every == 0:
            dist.barrier()
            train_time += time.perf_counter() - t0
            log("clock:stop")
            val_loss = validate(model, val, args, rank, world_size)
            log(
                f"step:{step}/{args.num_iterations} val_loss:{val_loss:.4f} train_time:{1000 * train_time:.0f}ms "
                f"step_avg:{1000 * train_time / max(step, 1):.2f}ms"
            )
            dist.barrier()
            if last_step:
                break
            log("clock:start")
            t0 = time.perf_counter()

        inputs, targets = batch_at(train, step, args, rank, world_size)
        loss = model(inputs, targets)
        loss.backward()
        average_gradients(model, world_size)
        for optimizer, lrs in zip(optimizers, base_lrs):
            for group, lr in zip(optimizer.param_groups, lrs):
                group["lr"] = lr * learning_rate_scale(step, args)
            optimizer.step()
        model.zero_grad(set_to_none=True)
        elapsed = train_time + time.perf_counter() - t0
        log(
            f"step:{step + 1}/{args.num_iterations} train_time:{1000 * elapsed:.0f}ms "
            f"step_avg:{1000 * elapsed / (step + 1):.2f}ms"
        )
    if args.save is not None and rank == 0:
        torch.save(model.state_dict(), args.save)
    time.sleep(0.2)  # gloo's threads let go of the last tensors; in an interpreter that closes they would crash
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
