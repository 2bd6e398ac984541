"""
Record 17 of the short track (2024-12-17, 3.57 minutes on 8×H100): three tables of values, a mask of whole blocks.

The idea over record 15, in two steps. Record 16 counts the window in blocks of 128 tokens, so that most blocks need no
mask at all, and skips the compiler's guards. Record 17 keeps the tables of values of the first three blocks, which the
last three share in the same order; the 8th block has no attention; half of each head does not turn with the position,
the other half by frequencies down to 1/1,024. That takes 10 steps more, 1,490, and each of them 17 ms less.

Recipe: 1,490 steps of 524,288 tokens (781 M); 12 layers, width 768, 6 heads; 275,598,388 parameters, 121,208,832 of
them in matrix products; bf16 activations. The loss at step 0 is ln 50,304 = 10.8258.

This is a reimplementation from facts, not the original program; they leave nothing open that would change training.
RMSNorm's default epsilon is written out here.

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

os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")  # read when torch is imported

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
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
    val_loss_every: int = 125  # steps between validations; one more after the last step
    batch_size: int = 8  # rows per optimizer step, over all ranks
    device_batch_size: int = 1  # rows per rank and forward pass
    sequence_length: int = 65_536  # tokens per row
    # model
    vocab_size: int = 50_257
    padded_vocab_size: int = 50_304  # rows of the head: a multiple of 128
    n_layer: int = 12
    n_head: int = 6
    d_model: int = 768
    value_tables: int = 3  # each for one of the first and one of the last blocks
    block_without_attention: int = 7  # counted from 0
    window_start: int = 64  # tokens; what a query sees is the nearest number of blocks, its own included
    window_end: int = 1_792  # reached after the last step
    # optimizer
    num_iterations: int = 1_490
    warmdown_steps: int = 600
    embed_lr: float = 0.6  # for all tables, of inputs and of values
    head_lr: float = 0.008
    scalar_lr: float = 0.04
    adam_beta1: float = 0.8
    adam_beta2: float = 0.95
    adam_eps: float = 1e-8
    muon_lr: float = 0.05  # for the matrices of the blocks
    muon_momentum_start: float = 0.85
    muon_momentum_end: float = 0.95
    muon_momentum_steps: int = 300
    # run
    seed: int | None = None  # drawn and logged when not given
    save: str | None = None  # where the weights are written after the last validation
    device: str = "cuda"  # "cpu" is for tests: fp32, not compiled

    def requirements(self) -> list[tuple[bool, str]]:
        """Say what the model needs of these settings, with the sentence that ends a run where it does not hold."""
        return [
            (self.d_model % (2 * self.n_head) == 0, "d_model must be a multiple of 2 · n_head"),
            (self.n_layer % 2 == 0, "n_layer must be even: one half of the blocks feeds the other"),
            (self.padded_vocab_size >= self.vocab_size, "padded_vocab_size must be at least vocab_size"),
            (self.device_batch_size == 1, "device_batch_size must be 1: the mask is that of one row"),
            (
                self.device == "cpu" or self.sequence_length % BLOCK == 0,
                f"sequence_length must be a multiple of {BLOCK}",
            ),
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
    """The way of one recipe rank through the token files, in stored order.

    A rank starts each file `rank` chunks in and then jumps by the batch of all ranks. It leaves a file when its own
    next jump could overrun the end, so ranks leave at different steps: of 100 M tokens, ranks 0-5 read 190 batches
    and ranks 6-7 read 189. That is a quirk of the record and decides which tokens meet in one batch; it is kept.
    """

    def __init__(self, pattern: str, recipe_rank: int, args: Hyperparameters):
        pattern = os.path.join(os.environ.get("DATA_PATH", "."), pattern)
        self.files = sorted(glob.glob(pattern))
        if not self.files:
            raise SystemExit(f"no file matches {pattern}; fetch the data, or set DATA_PATH to the folder above data/")
        self.shape = (args.batch_size // RECIPE_RANKS, args.sequence_length)
        self.chunk = math.prod(self.shape)  # tokens of this rank per batch
        self.stride = RECIPE_RANKS * self.chunk  # tokens of all ranks per batch
        self.start = recipe_rank * self.chunk
        self.reset()

    def reset(self) -> None:
        self.open_file(0)

    def open_file(self, index: int) -> None:
        self.file_index = index
        self.tokens = open_shard(self.files[index])
        self.position = self.start
        if len(self.tokens) < self.stride + 1:
            raise SystemExit(f"{self.files[index]} is shorter than one batch of {self.stride} tokens and a target")

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs and targets, int64 (batch_size / 8, sequence_length); a target is the token after its input."""
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


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to root mean square 1; no gain."""
    return F.rms_norm(x, (x.size(-1),), eps=torch.finfo(x.dtype).eps)


def rotary_tables(length: int, head_dim: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return cos and sin of position · frequency, each (length, head_dim / 2).

    Half of the frequencies fall from 1 to 1/1024 in equal ratios; the other half are 0 and leave their pairs unturned.
    """
    turning = (1 / 1024) ** torch.linspace(0, 1, head_dim // 4)  # (Dh/4,)
    frequencies = torch.cat((turning, torch.zeros(head_dim // 4)))  # (Dh/2,)
    angles = torch.outer(torch.arange(length).float(), frequencies)  # (length, Dh/2)
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (x_j, x_{j + Dh/2}) of x (B, T, H, Dh) by its position's angle; cos and sin are (T, Dh/2)."""
    cos, sin = cos[:, None, :], sin[:, None, :]  # (T, 1, Dh/2)
    x1, x2 = x.float().chunk(2, dim=-1)  # (B, T, H, Dh/2) each
    return torch.cat((x1 * cos + x2 * sin, x2 * cos - x1 * sin), dim=-1).type_as(x)


END_OF_TEXT = 50_256  # the token that opens every document
BLOCK = 128  # tokens: FlexAttention takes or leaves the products of a block of queries and a block of keys as a whole
Mask = BlockMask | Tensor  # on a GPU, on a CPU


def attention_mask(inputs: Tensor, window: Tensor) -> Mask:
    """Say which keys each query of the row inputs (1, T) sees: those of its document in the last `window` blocks.

    The query's own block is one of them and ends with the query.
    On a GPU this is FlexAttention's mask of blocks; on a CPU, where that has no backward, booleans (T, T).
    The window is a tensor () so that a new one needs no new compilation.
    """
    documents = (inputs[0] == END_OF_TEXT).cumsum(0)  # (T,)

    def sees(b, h, q, k):  # called with broadcastable positions q and k; batch b and head h make no difference
        return (q >= k) & (documents[q] == documents[k])

    if inputs.is_cuda:
        return block_mask(documents, window, sees)
    positions = torch.arange(len(documents), device=inputs.device)
    q, k = positions[:, None], positions[None, :]
    return sees(None, None, q, k) & (q // BLOCK - k // BLOCK < window)


def block_mask(documents: Tensor, window: Tensor, sees: Callable) -> BlockMask:
    """Keep the blocks where `sees` can hold, told from their places and from the documents at their ends alone.

    Where an earlier block of keys and the queries are all of one document, `sees` holds throughout and is not asked.
    """
    first, last = documents[::BLOCK], documents[BLOCK - 1 :: BLOCK]  # of each block
    place = torch.arange(len(first), device=documents.device)
    back = place[:, None] - place[None, :]  # (queries' blocks, keys' blocks), as all that follows
    kept = (back >= 0) & (back < window) & (first[:, None] <= last[None, :])
    full = kept & (back > 0) & (first[None, :] == last[:, None])
    return BlockMask.from_kv_blocks(*list_blocks(kept & ~full), *list_blocks(full), BLOCK_SIZE=BLOCK, mask_mod=sees)


def list_blocks(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many entries of each row are true, and where: the true ones first. int32 (1, 1, ...) each."""
    indices = table.int().argsort(dim=1, descending=True, stable=True)
    return table.sum(1, dtype=torch.int32)[None, None], indices.int()[None, None]


class Linear(nn.Linear):
    """A linear layer without bias that computes in the type of its input, whatever the type of its weight."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


class Attention(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.q = Linear(args.d_model, args.d_model)
        self.k = Linear(args.d_model, args.d_model)
        self.v = Linear(args.d_model, args.d_model)
        self.proj = Linear(args.d_model, args.d_model)
        nn.init.zeros_(self.proj.weight)
        self.value_mix = nn.Parameter(torch.tensor([0.5, 0.5]))  # factors on the own values and on those looked up

    def forward(self, x: Tensor, looked_up: Tensor | None, mask: Mask, cos: Tensor, sin: Tensor) -> Tensor:
        """x, the values that were looked up, if any, and the result: (B, T, D) each."""
        B, T, D = x.shape
        q, k, v = (linear(x).view(B, T, self.n_head, -1) for linear in (self.q, self.k, self.v))  # (B, T, H, Dh) each
        v = self.value_mix[0] * v
        if looked_up is not None:
            v = v + self.value_mix[1] * looked_up.view_as(v)
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, H, T, Dh) each
        if isinstance(mask, BlockMask):
            y = flex_attention(q, k, v, block_mask=mask)  # (B, H, T, Dh)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.fc = Linear(args.d_model, 4 * args.d_model)
        self.proj = Linear(4 * args.d_model, args.d_model)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.relu(self.fc(x)).square())


class Block(nn.Module):
    def __init__(self, args: Hyperparameters, place: int):
        super().__init__()
        self.attn = Attention(args) if place != args.block_without_attention else None
        self.mlp = MLP(args)
        self.input_mix = nn.Parameter(torch.tensor([1.0, 0.0]))  # factors on the stream and on the embedding

    def forward(self, x: Tensor, x0: Tensor, looked_up: Tensor | None, mask: Mask, cos: Tensor, sin: Tensor) -> Tensor:
        x = self.input_mix[0] * x + self.input_mix[1] * x0
        if self.attn is not None:
            x = x + self.attn(rms_norm(x), looked_up, mask, cos, sin)
        return x + self.mlp(rms_norm(x))


class GPT(nn.Module):
    """Inputs and targets (1, T) in, mean cross-entropy in nats out. Weights start at PyTorch's defaults or at zero."""

    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.d_model)
        self.blocks = nn.ModuleList(Block(args, place) for place in range(args.n_layer))
        tables = min(args.value_tables, args.n_layer // 2)  # the bound acts only in models made small for a test
        self.value_embeds = nn.ModuleList(nn.Embedding(args.vocab_size, args.d_model) for _ in range(tables))
        self.skip_weights = nn.Parameter(torch.ones(args.n_layer // 2))
        self.head = Linear(args.d_model, args.padded_vocab_size)
        nn.init.zeros_(self.head.weight)
        # Plain tensors on the device of construction: buffers would be sent to all ranks in every forward pass.
        table_dtype = torch.bfloat16 if args.device == "cuda" else torch.float32
        self.cos, self.sin = rotary_tables(args.sequence_length, args.d_model // args.n_head, table_dtype)

    def logits(self, inputs: Tensor, window: Tensor) -> Tensor:
        T = inputs.size(1)
        mask = attention_mask(inputs, window)
        x = x0 = rms_norm(self.embed(inputs))  # (B, T, D)
        half = len(self.blocks) // 2
        values = [embed(inputs) for embed in self.value_embeds]  # (B, T, D) each
        values = [*values, *[None] * (len(self.blocks) - 2 * len(values)), *values]  # one for each block
        skips = []  # outputs of the first half of the blocks, taken back in reverse order by the second half
        for i, block in enumerate(self.blocks):
            if i >= half:
                x = x + self.skip_weights[i - half] * skips.pop()
            x = block(x, x0, values[i], mask, self.cos[:T], self.sin[:T])
            if i < half:
                skips.append(x)
        logits = self.head(rms_norm(x))  # (B, T, V)
        return 30 * torch.tanh(logits / 30)

    def forward(self, inputs: Tensor, targets: Tensor, window: Tensor) -> Tensor:
        logits = self.logits(inputs, window).float()  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


def cast_to_bf16(model: GPT) -> None:
    """Make all parameters bf16, and with them activations and Adam's state, except the weights of linear layers."""
    model.bfloat16()
    for module in model.modules():
        if isinstance(module, Linear):
            module.float()


def make_model(args: Hyperparameters) -> GPT:
    with torch.device(args.device):
        model = GPT(args)
    if args.device == "cuda":
        cast_to_bf16(model)
    return model


def compile_model(model: GPT, args: Hyperparameters) -> nn.Module:
    if args.device != "cuda":
        return model
    import torch._inductor.config as inductor_config

    inductor_config.coordinate_descent_tuning = True  # allowed by the rules of the time
    return torch.compile(model, dynamic=False)


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Return a saved model as a function from tokens (B, T), int64, to logits (B, T, V), without training anything."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    args = Hyperparameters(**saved["settings"] | {"device": "cuda" if torch.cuda.is_available() else "cpu"})
    model = make_model(args)
    model.load_state_dict(saved["model"])
    window = torch.tensor(window_size(args.num_iterations, args), device=args.device)  # that of the last validation
    # Without compilation FlexAttention would hold all products of a row's queries and keys.
    run = torch.compile(model.logits, dynamic=False) if args.device == "cuda" else model.logits

    def logits(tokens: Tensor) -> Tensor:
        T = tokens.size(1)
        if args.device == "cuda":  # whole blocks; no token sees those behind it
            tokens = F.pad(tokens, (0, -T % BLOCK))
        rows = tokens.to(args.device).split(1)  # a mask is that of one row
        return torch.cat([run(row, window)[:, :T] for row in rows])

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
        B = b * A + c * A @ A
        X = a * X + B @ X
    return X.T if G.size(0) > G.size(1) else X


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for weight matrices, whose gradients are already averaged over ranks.

    m ← m + (1 - momentum) · (g - m),  u = g + momentum · (m - g),
    W ← W - lr · √max(1, rows/cols) · newton_schulz(u).
    Matrices of one size are dealt to the ranks like cards. A rank keeps the momentum of its own matrices and computes
    their updates. After each round of dealing all updates travel to all ranks, while the next round is computed.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float):
        sizes = dict.fromkeys(p.numel() for p in params)
        groups = [{"params": [p for p in params if p.numel() == size]} for size in sizes]
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        on_gpu = params[0].is_cuda
        self.orthogonalize = torch.compile(newton_schulz, dynamic=False) if on_gpu else newton_schulz
        self.dtype = torch.bfloat16 if on_gpu else torch.float32

    def update(self, p: nn.Parameter, group: dict) -> Tensor:
        if not self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        m = self.state[p]["momentum_buffer"]
        m.lerp_(p.grad, 1 - group["momentum"])
        return self.orthogonalize(p.grad.lerp_(m, group["momentum"]), self.dtype)

    @torch.no_grad()
    def step(self) -> None:
        rank, world_size = dist.get_rank(), dist.get_world_size()
        for group in self.param_groups:
            params = group["params"]
            received = torch.empty(world_size, params[0].numel(), dtype=self.dtype, device=params[0].device)
            under_way = None
            for first in range(0, len(params), world_size):
                dealt = params[first : first + world_size]  # one for each rank; in the last round maybe fewer
                update = self.update(dealt[rank], group) if rank < len(dealt) else torch.empty_like(received[rank])
                if under_way:
                    self.apply(*under_way, received, group["lr"])
                under_way = dist.all_gather(list(received), update.flatten(), async_op=True), dealt
            self.apply(*under_way, received, group["lr"])

    def apply(self, exchange: dist.Work, dealt: list[nn.Parameter], received: Tensor, lr: float) -> None:
        exchange.wait()
        for p, update in zip(dealt, received[: len(dealt)], strict=True):
            p.add_(update.view_as(p), alpha=-lr * max(1, p.size(0) / p.size(1)) ** 0.5)


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    scalars = [p for p in model.parameters() if p.ndim < 2]
    adam = torch.optim.Adam(
        [
            {"params": [model.embed.weight, *model.value_embeds.parameters()], "lr": args.embed_lr},
            {"params": [model.head.weight], "lr": args.head_lr},
            {"params": scalars, "lr": args.scalar_lr},
        ],
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_eps,
        fused=True,
    )
    muon = Muon(matrices, lr=args.muon_lr, momentum=args.muon_momentum_start)
    optimizers = [adam, muon]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """The factor on every base learning rate at 0-based `step`: a plateau, then a ramp down to zero."""
    warmdown = min(args.warmdown_steps, args.num_iterations)  # the bound acts only in runs shortened for a test
    return min(1.0, (args.num_iterations - step) / warmdown)


def muon_momentum(step: int, args: Hyperparameters) -> float:
    """Muon's momentum at 0-based `step`: a straight line from start to end, then constant."""
    progress = min(step / args.muon_momentum_steps, 1.0)
    return args.muon_momentum_start + progress * (args.muon_momentum_end - args.muon_momentum_start)


def window_size(step: int, args: Hyperparameters) -> int:
    """The attention window in blocks at 0-based `step`, in training and validation: nearest to a line in tokens."""
    tokens_by_steps = args.window_start * args.num_iterations + (args.window_end - args.window_start) * step
    return (2 * tokens_by_steps + BLOCK * args.num_iterations) // (2 * BLOCK * args.num_iterations)


# ----------------------------------------------------------------------------------------------------------------------
# Training
# ----------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def validate(model: nn.Module, loaders: Loaders, args: Hyperparameters, window: Tensor) -> float:
    """Return the mean loss over the first val_tokens tokens of the validation file, the same on every rank.

    Without gradients: the compiler would keep a graph with them for training too, in one piece. DDP has it cut, so that
    the gradients of one piece are summed over ranks while those of the next are computed.
    """
    total = torch.zeros((), device=args.device)
    for loader in loaders:
        loader.reset()
    for _ in range(args.val_tokens // (args.batch_size * args.sequence_length)):
        for inputs, targets in next_micro_batches(loaders, args):
            total += model(inputs, targets, window)
    dist.all_reduce(total)
    return total.item() * args.device_batch_size * args.sequence_length / args.val_tokens


def train(model: GPT, train_loaders: Loaders, val_loaders: Loaders, args: Hyperparameters) -> None:
    """Take all steps and log their losses; the clock stands still while the model is validated."""
    optimizers = make_optimizers(model, args)
    compiled_model = compile_model(model, args)
    ddp_model = DistributedDataParallel(compiled_model, gradient_as_bucket_view=True)
    micro_batches = next_micro_batches(train_loaders, args)
    window = torch.zeros((), dtype=torch.int32, device=args.device)
    clock = Clock(args)
    clock.start()
    last_step = args.num_iterations
    for step in range(last_step + 1):
        if step == 10:  # the first ten steps, in which the compiler works, are not timed
            clock = Clock(args)
            clock.start()

        window.fill_(window_size(step, args))  # a copy from the host would wait for the GPU
        if step % args.val_loss_every == 0 or step == last_step:
            clock.stop()
            val_loss = validate(compiled_model, val_loaders, args, window)
            log(f"step:{step}/{last_step} val_loss:{val_loss:.4f} {times(clock.milliseconds, step, step)}")
            if step == last_step:
                break
            clock.start()

        for i, (inputs, targets) in enumerate(micro_batches, start=1):
            is_last = i == len(micro_batches)
            ddp_model.require_backward_grad_sync = is_last  # average over ranks once per step
            # Once all is compiled, only the guards that tell training from validation are evaluated.
            with torch.compiler.set_stance(skip_guard_eval_unsafe=step >= 5):
                loss = ddp_model(inputs, targets, window)
            if is_last:  # the next batch is read and copied while the GPU is busy with this one
                micro_batches = next_micro_batches(train_loaders, args)
            (loss / len(micro_batches)).backward()

        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * learning_rate_scale(step, args)
                if "momentum" in group:
                    group["momentum"] = muon_momentum(step, args)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        log(f"step:{step + 1}/{last_step} {times(clock.read(), step, step + 1)}")  # to read the loss would be to wait


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
