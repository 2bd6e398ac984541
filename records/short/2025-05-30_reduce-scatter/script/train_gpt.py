"""
Record 24 of the short track (2025-05-30, 2.965 minutes on 8×H100): gradients go only where they are used.

The idea over record 21: no rank gets the averaged gradient of a weight that it does not update. A matrix's goes to the
rank that computes Muon's update of it; those of tables, head and scalars go in equal parts to all ranks, which take
Adam's step on their part; then all ranks gather the new weights. So Adam's work and states are shared, too, and rows
of each such tensor must be a multiple of the ranks: tables have 50,304 rows, and all scalars are one vector.

Records 21.2 to 23 brought, since 21.1: losses that are summed over a row, and a cap of the logits that counts in units
of √768, so the head learns at another rate. Now autocast multiplies in bf16; before, each layer cast its weights.

Recipe: 1,770 steps of 393,216 tokens (696 M); 12 layers, width 768, 6 heads; 275,742,784 parameters, 121,208,832 of
them in matrix products; bf16 activations. The loss at step 0 is ln 50,304 = 10.8258.

This is a reimplementation from facts, not the original program. They leave open whether RMSNorm in the PyTorch of the
time added the epsilon of bf16 to a mean square of bf16 numbers or, as here, that of fp32. The original had its model
recorded as CUDA graphs by a mode of the compiler, which the rules of its time do not allow; here there is no mode. On a
CPU the head's product is a plain one in training too, and attention is dense.

Start it where data/fineweb10B/ lies (or set DATA_PATH):

    torchrun --standalone --nproc_per_node=8 train_gpt.py [name=value ...]

1, 2, 4 and 8 GPUs do the same training on the same tokens. Everything that counts is printed by rank 0 on stdout; the
lines clock:start and clock:stop enclose every timed section. `save=PATH` writes the weights after the last validation,
and `load(PATH)` gives the trained model back.
"""

import copy
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
    sequence_length: int = 49_152  # tokens per row
    val_sequence_length: int = 262_144  # the same in validation
    # model
    vocab_size: int = 50_304  # 50,257 padded to a multiple of 128
    n_layer: int = 12
    n_head: int = 6
    d_model: int = 768
    value_tables: int = 3  # each for one of the first and one of the last blocks
    block_without_attention: int = 7  # counted from 0
    window_end: int = 1_728  # tokens, reached after the last step; what a query sees is whole blocks, its own included
    # optimizer
    num_iterations: int = 1_770
    warmup_steps: int = 10  # before the clock starts, and undone
    cooldown_fraction: float = 0.4  # share of the run in which the learning rate falls
    final_lr_scale: float = 0.1  # what it falls to
    embed_lr: float = 0.6  # for all tables, of inputs and of values
    head_lr: float = 0.22
    scalar_lr: float = 0.04
    adam_beta1: float = 0.8
    adam_beta2: float = 0.95
    adam_eps: float = 1e-10
    muon_lr: float = 0.05  # for the matrices of the blocks
    muon_momentum_start: float = 0.85
    muon_momentum_end: float = 0.95
    muon_momentum_steps: int = 300
    # run
    seed: int | None = None  # drawn and logged when not given
    save: str | None = None  # where the weights are written after the last validation
    device: str = "cuda"  # "cpu" is for tests: fp32, not compiled

    def val_row(self) -> int:
        """Return the tokens of a row of validation; a test run on few tokens has shorter ones."""
        most = self.val_tokens // (self.batch_size * BLOCK) * BLOCK
        return min(self.val_sequence_length, most or BLOCK)

    def requirements(self) -> list[tuple[bool, str]]:
        """Say what the model needs of these settings, with the sentence that ends a run where it does not hold."""
        whole_blocks = self.sequence_length % BLOCK == 0 and self.val_row() % BLOCK == 0
        return [
            (self.d_model % (4 * self.n_head) == 0, "d_model must be a multiple of 4 · n_head"),
            (self.n_layer % 2 == 0, "n_layer must be even: one half of the blocks feeds the other"),
            (self.vocab_size % RECIPE_RANKS == 0, f"vocab_size must be a multiple of {RECIPE_RANKS}"),
            (self.device_batch_size == 1, "device_batch_size must be 1: the mask is that of one row"),
            (self.device == "cpu" or whole_blocks, f"rows must be multiples of {BLOCK} tokens on a GPU"),
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
    """The way of one recipe rank through the token files, in stored order: one cursor, moved by the batch of all ranks.

    All ranks leave a file at the same step. Of 100 M tokens 254 batches of 393,216 are read and the tail is dropped.
    """

    def __init__(self, pattern: str, recipe_rank: int, args: Hyperparameters, row_tokens: int):
        pattern = os.path.join(os.environ.get("DATA_PATH", "."), pattern)
        self.files = sorted(glob.glob(pattern))
        if not self.files:
            raise SystemExit(f"no file matches {pattern}; fetch the data, or set DATA_PATH to the folder above data/")
        self.shape = (args.batch_size // RECIPE_RANKS, row_tokens)
        self.chunk = math.prod(self.shape)  # tokens of this rank per batch
        self.stride = RECIPE_RANKS * self.chunk  # tokens of all ranks per batch
        self.start = recipe_rank * self.chunk
        self.reset()

    def reset(self) -> None:
        self.open_file(0)

    def open_file(self, index: int) -> None:
        self.file_index = index
        self.tokens = open_shard(self.files[index])
        self.position = 0
        if len(self.tokens) < self.stride + 2:
            raise SystemExit(f"{self.files[index]} is not longer than one batch of {self.stride} tokens and a target")

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return inputs, int32, and targets, int64 (batch_size / 8, row_tokens); a target is the token that follows."""
        if self.position + self.stride + 1 >= len(self.tokens):
            self.open_file((self.file_index + 1) % len(self.files))
        first = self.position + self.start
        window = self.tokens[first : first + self.chunk + 1]  # (chunk + 1,)
        self.position += self.stride
        inputs, targets = window[:-1].astype(np.int32), window[1:].astype(np.int64)
        return torch.from_numpy(inputs).view(self.shape), torch.from_numpy(targets).view(self.shape)


Loaders = list[DistributedDataLoader]  # one for each recipe rank whose data a process takes
MicroBatches = list[tuple[Tensor, Tensor]]  # inputs and targets, (device_batch_size, tokens of a row) each


def open_data(rank: int, world_size: int, args: Hyperparameters) -> tuple[Loaders, Loaders]:
    """Return this process's loaders for training and for validation."""
    recipe_ranks = range(rank, RECIPE_RANKS, world_size)
    train_loaders = [DistributedDataLoader(args.train_files, r, args, args.sequence_length) for r in recipe_ranks]
    return train_loaders, [DistributedDataLoader(args.val_files, r, args, args.val_row()) for r in recipe_ranks]


def to_device(tokens: Tensor, args: Hyperparameters) -> Tensor:
    """Copy tokens to where the model is; to a GPU from pinned memory, so that neither side waits for the copy."""
    return tokens.pin_memory().to(args.device, non_blocking=True) if args.device == "cuda" else tokens


def next_micro_batches(loaders: Loaders, args: Hyperparameters) -> MicroBatches:
    """Draw this process's share of one batch, cut into forward passes of (device_batch_size, tokens of a row)."""
    micro_batches = []
    for loader in loaders:
        inputs, targets = (to_device(tokens, args).split(args.device_batch_size) for tokens in loader.next_batch())
        micro_batches.extend(zip(inputs, targets, strict=True))
    return micro_batches


# ----------------------------------------------------------------------------------------------------------------------
# Model.  Shapes: B rows, T tokens per row, D width, H heads, Dh = D / H, V vocabulary
# ----------------------------------------------------------------------------------------------------------------------


def rms_norm(x: Tensor) -> Tensor:
    """Scale the last dimension to root mean square 1, in the type of x; no gain."""
    return F.rms_norm(x, (x.size(-1),), eps=torch.finfo(torch.float32).eps).type_as(x)


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


END_OF_TEXT = 50_256  # the token that opens every document
BLOCK = 128  # tokens: FlexAttention takes or leaves the products of a block of queries and a block of keys as a whole
Mask = BlockMask | Tensor  # on a GPU, on a CPU


def attention_masks(inputs: Tensor, window: Tensor) -> tuple[Mask, Mask]:
    """Say which keys each query of the row inputs (1, T) sees, in blocks with the long window and with the short one.

    Those of its document in the last `window` blocks, its own included; or in half of them, but at least in its own.
    On a GPU these are FlexAttention's masks of blocks; on a CPU, where that has no backward, booleans (T, T).
    The window is a tensor () so that a new one needs no new compilation.
    """
    documents = (inputs[0] == END_OF_TEXT).cumsum(0)  # (T,)

    def sees(b, h, q, k):  # called with broadcastable positions q and k; batch b and head h make no difference
        return (q >= k) & (documents[q] == documents[k])

    if inputs.is_cuda:
        return block_masks(documents, window, sees)
    positions = torch.arange(len(documents), device=inputs.device)
    q, k = positions[:, None], positions[None, :]
    back = q // BLOCK - k // BLOCK  # blocks
    return sees(None, None, q, k) & (back < window), sees(None, None, q, k) & (back < (window // 2).clamp(min=1))


def block_masks(documents: Tensor, window: Tensor, sees: Callable) -> tuple[BlockMask, BlockMask]:
    """Keep the blocks where `sees` can hold, the most recent ones first; where it holds throughout it is not asked.

    Told from their places and from the documents at their ends alone. The two masks differ in how many blocks count.
    """
    first, last = documents[::BLOCK], documents[BLOCK - 1 :: BLOCK]  # of each block
    place = torch.arange(len(first), device=documents.device)
    back = place[:, None] - place[None, :]  # (queries' blocks, keys' blocks), as all that follows
    full = (back > 0) & (last[:, None] == first[None, :])  # from the key block's first token on all is one document
    partial = (back >= 0) & (first[:, None] <= last[None, :]) & ~full
    (n_full, full), (n_partial, partial) = list_blocks(full), list_blocks(partial)

    def mask(window: Tensor) -> BlockMask:
        kept_partial = torch.minimum(n_partial, (window - n_full).clamp(min=1))  # the query's own is the first
        kept_full = torch.minimum(n_full, (window - 1).clamp(min=0))
        return BlockMask.from_kv_blocks(kept_partial, partial, kept_full, full, BLOCK_SIZE=BLOCK, mask_mod=sees)

    return mask(window), mask(window // 2)


def list_blocks(table: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many entries of each row are true, and where: the true ones first, backwards. int32 (1, 1, ...)."""
    indices = table.size(1) - 1 - table.flip(1).int().argsort(dim=1, descending=True, stable=True)
    return table.sum(1, dtype=torch.int32)[None, None], indices.int()[None, None]


class Linear(nn.Linear):
    """A linear layer without bias."""

    def __init__(self, in_features: int, out_features: int):
        super().__init__(in_features, out_features, bias=False)

    def reset_parameters(self) -> None:
        uniform_init(self.weight)


def uniform_init(weight: Tensor) -> None:
    """Draw a weight (..., inputs) with standard deviation 0.5 / √inputs."""
    bound = math.sqrt(3) * 0.5 / math.sqrt(weight.size(-1))
    nn.init.uniform_(weight, -bound, bound)


# The numbers that 1 stands for in 8 bits, of which 448 is the largest that e4m3 has; x has root mean square 1.
X_UNIT, WEIGHT_UNIT, GRADIENT_UNIT = math.sqrt(768) / 448, 24 / 448, 1 / 448


class Product8(torch.autograd.Function):
    """x Wᵀ of x (T, D) and W (V, D), both rounded to 8 bits; so is the gradient of z, for the products that go back.

    e4m3 has 4 bits of exponent and 3 of mantissa, for the products forward; e5m2 has a wider range.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        x8, weight8 = (x / X_UNIT).to(torch.float8_e4m3fn), (weight / WEIGHT_UNIT).to(torch.float8_e4m3fn)
        ctx.save_for_backward(x8, weight8)
        return multiply8(x8, weight8.T, X_UNIT, WEIGHT_UNIT, x.dtype, fast=True)  # (T, V)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x8, weight8 = ctx.saved_tensors
        gradient8 = (gradient / GRADIENT_UNIT).to(torch.float8_e5m2)  # (T, V)
        x_gradient = multiply8(gradient8, column_major(weight8), GRADIENT_UNIT, WEIGHT_UNIT, gradient.dtype)
        # As the transpose of x8ᵀ gradient8, which is the faster one of the two at this shape.
        weight_gradient = multiply8(
            x8.T.contiguous(), column_major(gradient8), X_UNIT, GRADIENT_UNIT, torch.float32
        ).T  # (V, D)
        return x_gradient, weight_gradient


def column_major(a: Tensor) -> Tensor:
    """Return the same matrix with its columns in one piece, as the second factor of a product in 8 bits must lie."""
    return a.T.contiguous().T


def multiply8(a: Tensor, b: Tensor, a_unit: float, b_unit: float, dtype: torch.dtype, fast: bool = False) -> Tensor:
    """Multiply two matrices of 8-bit numbers; fast: with sums of fewer bits."""
    a_scale, b_scale = (torch.full((), unit, dtype=torch.float32, device=a.device) for unit in (a_unit, b_unit))
    return torch._scaled_mm(a, b, scale_a=a_scale, scale_b=b_scale, out_dtype=dtype, use_fast_accum=fast)


class Head(Linear):
    """The last layer: while training on a GPU its products are those of 8-bit numbers."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.is_cuda:
            return Product8.apply(x.flatten(0, 1), self.weight).unflatten(0, x.shape[:2])
        return super().forward(x)


class Attention(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.n_head = args.n_head
        self.qkv = nn.Parameter(torch.empty(3, args.d_model, args.d_model))  # three weights (outputs, inputs)
        uniform_init(self.qkv)
        self.proj = Linear(args.d_model, args.d_model)
        nn.init.zeros_(self.proj.weight)

    def forward(
        self, x: Tensor, looked_up: Tensor | None, value_mix: Tensor, mask: Mask, cos: Tensor, sin: Tensor
    ) -> Tensor:
        """x, the values that were looked up, if any, and the result: (B, T, D) each."""
        B, T, D = x.shape
        heads = F.linear(x, self.qkv.flatten(0, 1)).view(B, T, 3 * self.n_head, -1)
        q, k, v = heads.chunk(3, dim=2)  # (B, T, H, Dh) each
        v = value_mix[0] * v
        if looked_up is not None:
            v = v + value_mix[1] * looked_up.view_as(v)
        q, k = rotate(rms_norm(q), cos, sin), rotate(rms_norm(k), cos, sin)
        q, k, v = (heads.transpose(1, 2) for heads in (q, k, v))  # (B, H, T, Dh) each
        if isinstance(mask, BlockMask):
            y = flex_attention(q, k, v, block_mask=mask, scale=0.12)  # (B, H, T, Dh)
        else:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.12)
        return self.proj(y.transpose(1, 2).reshape(B, T, D))


class MLP(nn.Module):
    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.fc = Linear(args.d_model, 4 * args.d_model)
        self.proj = Linear(4 * args.d_model, args.d_model)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(F.relu(self.fc(x)).square())


LONG_WINDOW = (0, 4, 11)  # the other blocks have the short one


class Block(nn.Module):
    def __init__(self, args: Hyperparameters, place: int):
        super().__init__()
        self.attn = Attention(args) if place != args.block_without_attention else None
        self.mlp = MLP(args)

    def forward(
        self,
        x: Tensor,
        x0: Tensor,
        looked_up: Tensor | None,
        input_mix: Tensor,  # (2,), factors on the stream and on the embedding
        value_mix: Tensor,  # (2,), on the own values and on those looked up
        mask: Mask,
        cos: Tensor,
        sin: Tensor,
    ) -> Tensor:
        x = input_mix[0] * x + input_mix[1] * x0
        if self.attn is not None:
            x = x + self.attn(rms_norm(x), looked_up, value_mix, mask, cos, sin)
        return x + self.mlp(rms_norm(x))


class GPT(nn.Module):
    """Inputs and targets (1, T) in, cross-entropy in nats out: the sum in training, else the mean.

    All scalars are one vector: one for each block, of which the first half are factors on the skips and the others are
    unused; two for each, on stream and embedding; two for each, on values; what makes it a multiple of RECIPE_RANKS.
    """

    def __init__(self, args: Hyperparameters):
        super().__init__()
        self.embed = nn.Embedding(args.vocab_size, args.d_model)
        tables = min(args.value_tables, args.n_layer // 2)  # the bound acts only in models made small for a test
        self.value_embeds = nn.ModuleList(nn.Embedding(args.vocab_size, args.d_model) for _ in range(tables))
        self.blocks = nn.ModuleList(Block(args, place) for place in range(args.n_layer))
        factors = [1.0] * args.n_layer + [1.0, 0.0] * args.n_layer + [0.5, 0.5] * args.n_layer
        factors += [1.0] * (-len(factors) % RECIPE_RANKS)
        self.scalars = nn.Parameter(torch.tensor(factors))
        self.head = Head(args.d_model, args.vocab_size)
        nn.init.zeros_(self.head.weight)
        # Plain tensors on the device of construction, for the longest row in whole blocks.
        length = -(-max(args.sequence_length, args.val_row()) // BLOCK) * BLOCK
        self.cos, self.sin = rotary_tables(length, args.d_model // args.n_head)

    def logits(self, inputs: Tensor, window: Tensor) -> Tensor:
        T = inputs.size(1)
        long_mask, short_mask = attention_masks(inputs, window)
        x = x0 = rms_norm(self.embed(inputs))  # (B, T, D)
        layers, half = len(self.blocks), len(self.blocks) // 2
        skip_weights, *mixes = self.scalars[: 5 * layers].split((layers, 2 * layers, 2 * layers))
        input_mixes, value_mixes = (mix.view(layers, 2) for mix in mixes)
        values = [embed(inputs) for embed in self.value_embeds]  # (B, T, D) each
        values = [*values, *[None] * (layers - 2 * len(values)), *values]  # one for each block
        skips = []  # outputs of the first half of the blocks, taken back in reverse order by the second half
        for i, block in enumerate(self.blocks):
            if i >= half:
                x = x + skip_weights[i - half] * skips.pop()
            mask = long_mask if i in LONG_WINDOW else short_mask
            x = block(x, x0, values[i], input_mixes[i], value_mixes[i], mask, self.cos[:T], self.sin[:T])
            if i < half:
                skips.append(x)
        logits = self.head(rms_norm(x)).float()  # (B, T, V)
        return 30 * torch.sigmoid(logits / (7.5 * self.head.in_features**0.5))

    def forward(self, inputs: Tensor, targets: Tensor, window: Tensor) -> Tensor:
        logits = self.logits(inputs, window)  # (B, T, V)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum" if self.training else "mean")


def cast_to_bf16(model: GPT) -> None:
    """Make the tables bf16, and with them activations and Adam's state of the tables; all else stays fp32."""
    model.embed.bfloat16()
    model.value_embeds.bfloat16()


def make_model(args: Hyperparameters) -> GPT:
    with torch.device(args.device):
        model = GPT(args)
    if args.device == "cuda":
        cast_to_bf16(model)
    return model


def mixed_precision(args: Hyperparameters) -> torch.autocast:
    """Return the context in which a GPU multiplies matrices in bf16."""
    return torch.autocast(args.device, dtype=torch.bfloat16, enabled=args.device == "cuda")


def compile_model(model: GPT, args: Hyperparameters) -> nn.Module:
    return torch.compile(model, dynamic=False) if args.device == "cuda" else model


def load(path: str) -> Callable[[Tensor], Tensor]:
    """Return a saved model as a function from tokens (B, T), int64, to logits (B, T, V), without training anything."""
    saved = torch.load(path, weights_only=True, map_location="cpu")
    args = Hyperparameters(**saved["settings"] | {"device": "cuda" if torch.cuda.is_available() else "cpu"})
    model = make_model(args).eval()
    model.load_state_dict(saved["model"])
    window = torch.tensor(window_size(args.num_iterations, args), device=args.device)  # that of the last validation
    # Without compilation FlexAttention would hold all products of a row's queries and keys.
    run = torch.compile(model.logits, dynamic=False) if args.device == "cuda" else model.logits

    def logits(tokens: Tensor) -> Tensor:
        T = tokens.size(1)
        if args.device == "cuda":  # whole blocks; no token sees those behind it
            tokens = F.pad(tokens, (0, -T % BLOCK))
        rows = tokens.to(args.device).split(1)  # a mask is that of one row
        with mixed_precision(args):
            return torch.cat([run(row, window)[:, :T] for row in rows])

    logits.sequence_tokens = args.val_row()  # what a row of validation holds
    return logits


# ----------------------------------------------------------------------------------------------------------------------
# Optimizer
# ----------------------------------------------------------------------------------------------------------------------


def newton_schulz(G: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return the matrices G (..., rows, cols) with nearly equal singular values: orthogonal factors, roughly.

    Each is scaled to Frobenius norm 1; then, five times, its singular values s become 3.4445 s - 4.7750 s³ + 2.0315 s⁵,
    which brings those above 0.01 to between 0.68 and 1.14. So steep a polynomial does not converge to 1; it need not.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    X = G.to(dtype)
    if G.size(-2) > G.size(-1):
        X = X.mT  # so that X Xᵀ is the smaller square
    X = X / (X.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        A = X @ X.mT
        B = b * A + c * A @ A
        X = a * X + B @ X
    return X.mT if G.size(-2) > G.size(-1) else X


class ShardedAdam(torch.optim.Optimizer):
    """Adam on parts of tensors, whose gradients are not yet averaged over ranks.

    m ← β₁ m + (1 - β₁) g,  v ← β₂ v + (1 - β₂) g²,  W ← W - lr · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + eps);
    so eps is added to what is not yet corrected. Rank i keeps m and v of the i-th part of the rows alone. All gradients
    set out at once; a part takes its step when it has arrived, and its weights return while the next one takes its own.
    """

    def __init__(self, groups: list[dict], betas: tuple[float, float], eps: float):
        super().__init__(groups, {"betas": betas, "eps": eps})

    def update(self, part: Tensor, g: Tensor, state: dict, group: dict) -> None:
        if not state:
            state |= {"step": 0, "m": torch.zeros_like(part), "v": torch.zeros_like(part)}
        state["step"] += 1
        beta1, beta2 = group["betas"]
        m, v = state["m"].mul_(beta1).add_(g, alpha=1 - beta1), state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        correction = math.sqrt(1 - beta2 ** state["step"]) / (1 - beta1 ** state["step"])
        part.sub_(m / v.sqrt().add_(group["eps"]) * (group["lr"] * correction))

    @torch.no_grad()
    def step(self) -> None:
        rank, world_size = dist.get_rank(), dist.get_world_size()
        under_way = []
        for group in self.param_groups:
            for p in group["params"]:
                g = torch.empty_like(p.grad.chunk(world_size)[rank])
                exchange = dist.reduce_scatter_tensor(g, p.grad, op=dist.ReduceOp.AVG, async_op=True)
                under_way.append((group, p, g, exchange))
        gathered = []
        for group, p, g, exchange in under_way:
            exchange.wait()
            part = p.chunk(world_size)[rank]
            self.update(part, g, self.state[p], group)
            gathered.append(dist.all_gather_into_tensor(p, part, async_op=True))
        for exchange in gathered:
            exchange.wait()


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for matrices (..., rows, cols), whose gradients are not yet averaged over ranks.

    m ← m + (1 - momentum) · (g - m),  u = g + momentum · (m - g),
    W ← W - lr · √max(1, rows/cols) · newton_schulz(u).
    Matrices of one shape are dealt to the ranks like cards. A rank gets the gradients of its own matrices, keeps their
    momentum and updates them. All gradients set out at once; after each round of dealing the new weights travel to all
    ranks, while the next round is computed.
    """

    def __init__(self, params: list[nn.Parameter], lr: float, momentum: float):
        shapes = dict.fromkeys(p.shape for p in params)
        groups = [{"params": [p for p in params if p.shape == shape]} for shape in shapes]
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        on_gpu = params[0].is_cuda
        self.orthogonalize = torch.compile(newton_schulz, dynamic=False) if on_gpu else newton_schulz
        self.dtype = torch.bfloat16 if on_gpu else torch.float32

    def update(self, p: nn.Parameter, g: Tensor, group: dict) -> None:
        if not self.state[p]:
            self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        m = self.state[p]["momentum_buffer"]
        m.lerp_(g, 1 - group["momentum"])
        update = self.orthogonalize(g.lerp_(m, group["momentum"]), self.dtype)
        p.add_(update, alpha=-group["lr"] * max(1, p.size(-2) / p.size(-1)) ** 0.5)

    @torch.no_grad()
    def step(self) -> None:
        rank, world_size = dist.get_rank(), dist.get_world_size()
        under_way = []
        for group in self.param_groups:
            for first in range(0, len(group["params"]), world_size):
                dealt = group["params"][first : first + world_size]  # one for each rank; in the last round maybe fewer
                gradients = [p.grad for p in dealt] + [torch.zeros_like(dealt[0])] * (world_size - len(dealt))
                g = torch.empty_like(gradients[0])
                exchange = dist.reduce_scatter(g, gradients, op=dist.ReduceOp.AVG, async_op=True)
                under_way.append((group, dealt, g, exchange))
        gathered = []
        for group, dealt, g, exchange in under_way:
            exchange.wait()
            if rank < len(dealt):
                self.update(dealt[rank], g, group)
            places = [p.detach() for p in dealt] + [torch.empty_like(g) for _ in range(world_size - len(dealt))]
            gathered.append(dist.all_gather(places, places[rank], async_op=True))
        for exchange in gathered:
            exchange.wait()


def make_optimizers(model: GPT, args: Hyperparameters) -> list[torch.optim.Optimizer]:
    matrices = [p for p in model.blocks.parameters() if p.ndim >= 2]
    adam = ShardedAdam(
        [
            {"params": [model.scalars], "lr": args.scalar_lr},
            {"params": [model.head.weight], "lr": args.head_lr},
            {"params": [model.embed.weight, *model.value_embeds.parameters()], "lr": args.embed_lr},
        ],
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_eps,
    )
    muon = Muon(matrices, lr=args.muon_lr, momentum=args.muon_momentum_end)  # that of the warm-up
    optimizers = [adam, muon]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def learning_rate_scale(step: int, args: Hyperparameters) -> float:
    """The factor on every base learning rate at 0-based `step`: a plateau, then a ramp down to a tenth."""
    left = min(1.0, (1 - step / args.num_iterations) / args.cooldown_fraction)
    return left + (1 - left) * args.final_lr_scale


def muon_momentum(step: int, args: Hyperparameters) -> float:
    """Muon's momentum at 0-based `step`: a straight line from start to end, then constant."""
    progress = min(step / args.muon_momentum_steps, 1.0)
    return args.muon_momentum_start + progress * (args.muon_momentum_end - args.muon_momentum_start)


def window_size(step: int, args: Hyperparameters) -> int:
    """The long attention window in blocks at 0-based `step`, in training and validation: at least a line in tokens."""
    return max(1, -(-args.window_end * step // (args.num_iterations * BLOCK)))


# ----------------------------------------------------------------------------------------------------------------------
# Training
# ----------------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def validate(model: nn.Module, loaders: Loaders, args: Hyperparameters, window: Tensor) -> float:
    """Return the mean loss over the first val_tokens tokens of the validation file, the same on every rank."""
    total = torch.zeros((), device=args.device)
    model.eval()
    for loader in loaders:
        loader.reset()
    for _ in range(args.val_tokens // (args.batch_size * args.val_row())):
        for inputs, targets in next_micro_batches(loaders, args):
            with mixed_precision(args):
                total += model(inputs, targets, window)
    model.train()
    dist.all_reduce(total)
    return total.item() * args.device_batch_size * args.val_row() / args.val_tokens


def add_gradients(
    model: nn.Module, micro_batches: MicroBatches, loaders: Loaders, args: Hyperparameters, window: Tensor
) -> MicroBatches:
    """Give all parameters the gradients of this rank's share of a batch, and return its share of the next one."""
    for i, (inputs, targets) in enumerate(micro_batches, start=1):
        with mixed_precision(args):
            loss = model(inputs, targets, window)
        if i == len(micro_batches):  # the next batch is read and copied while the GPU is busy with this one
            next_ones = next_micro_batches(loaders, args)
        (loss / len(micro_batches)).backward()
    return next_ones


def update_weights(optimizers: list[torch.optim.Optimizer]) -> None:
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def warm_up(
    model: GPT, compiled: nn.Module, optimizers: list[torch.optim.Optimizer], loaders: Loaders, args: Hyperparameters
) -> None:
    """Take steps on the first batches, so that all is compiled, then put weights, optimizers and data back."""
    start = copy.deepcopy([model.state_dict(), *(optimizer.state_dict() for optimizer in optimizers)])
    micro_batches = next_micro_batches(loaders, args)
    window = torch.ones((), dtype=torch.int32, device=args.device)
    for _ in range(args.warmup_steps):
        micro_batches = add_gradients(compiled, micro_batches, loaders, args, window)
        update_weights(optimizers)
    for part, state in zip((model, *optimizers), start, strict=True):
        part.load_state_dict(state)
    for loader in loaders:
        loader.reset()


def train(model: GPT, train_loaders: Loaders, val_loaders: Loaders, args: Hyperparameters) -> None:
    """Take all steps and log their losses; the clock stands still while the model is validated."""
    for p in model.parameters():
        dist.broadcast(p.detach(), src=0)
    optimizers = make_optimizers(model, args)
    compiled_model = compile_model(model, args)
    warm_up(model, compiled_model, optimizers, train_loaders, args)
    micro_batches = next_micro_batches(train_loaders, args)
    window = torch.zeros((), dtype=torch.int32, device=args.device)
    clock = Clock(args)
    clock.start()
    last_step = args.num_iterations
    for step in range(last_step + 1):
        window.fill_(window_size(step, args))  # a copy from the host would wait for the GPU
        if step % args.val_loss_every == 0 or step == last_step:
            clock.stop()
            val_loss = validate(compiled_model, val_loaders, args, window)
            log(f"step:{step}/{last_step} val_loss:{val_loss:.4f} {times(clock.milliseconds, step)}")
            if step == last_step:
                break
            clock.start()

        micro_batches = add_gradients(compiled_model, micro_batches, train_loaders, args, window)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * learning_rate_scale(step, args)
                if "momentum" in group:
                    group["momentum"] = muon_momentum(step, args)
        update_weights(optimizers)

        log(f"step:{step + 1}/{last_step} {times(clock.read(), step + 1)}")  # to read the loss would be to wait


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
    batch_tokens = args.batch_size * args.val_row()
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
        log("clock:start")
        self.started_at = time.perf_counter()

    def read(self) -> float:
        """Return the time so far without waiting for the GPU."""
        return self.milliseconds + 1000 * (time.perf_counter() - self.started_at)

    def stop(self) -> None:
        self.synchronize()
        self.milliseconds = self.read()
        log("clock:stop")


def times(milliseconds: float, steps_done: int) -> str:
    """Format the time of the steps and its mean."""
    return f"train_time:{milliseconds:.0f}ms step_avg:{milliseconds / max(steps_done, 1):.2f}ms"


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
