"""Draw token shards from a seeded source whose best possible loss is known in closed form.

The source is a second-order class Markov chain over 256 symbols. The last two tokens are mapped to classes (eight,
and one more for the document start); the pair selects one permutation of the symbols, and the next symbol is the
permutation's entry at a Zipf-distributed rank. A document ends with probability 1/256; the next one starts with
50256. Every context permutes the same distribution, so the entropy rate is one number, h₂(1/256) + (255/256)·H(Zipf)
= 2.7291 nats per token: a verdict can name a loss that no honest model reaches. An order-1 model stays far above it
(smoothed bigrams score 3.58 on the smoke track). A varied source has up to 5 % of the weights 1/rank in its
distribution, by its seed, and an entropy between 2.7291 and 2.9455: whoever does not know the seed knows neither its
tables nor its entropy.

The same bytes everywhere: raw 64-bit outputs of PCG64, and thresholds that are sums of correctly rounded operations.
Tokens are drawn in 256 lanes side by side; each lane starts a document. Many more lanes would force so many document
starts that the entropy of a short shard shifts (4,096 lanes on 131 k tokens: +0.087 nats).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.core.token_format import DOCUMENT_START, Tokens

SYMBOLS = 256
CLASSES = 8  # of symbols; the document start has a class of its own
LANES = 256
END_PROBABILITY = 1 / 256
MOST_MIXED = 0.05  # of the weights 1/rank in a varied source
_START = SYMBOLS  # index of the document start inside this module
_END_LIMIT = 1 << 24  # draws are 32 bits: 2**32 / 256


@dataclass(frozen=True, slots=True)
class Source:
    """The tables of one source."""

    classes: npt.NDArray[np.int64]  # (257,) token -> class
    permutations: npt.NDArray[np.int64]  # (81, 256) context -> rank -> symbol
    limits: npt.NDArray[np.uint64]  # (256,) rank thresholds over 32-bit draws
    mixed: float = 0.0  # share of the weights 1/rank


def make_source(seed: int, *, varied: bool = False) -> Source:
    """Draw the tables of the source that `seed` names; varied: and its entropy."""
    bits = np.random.PCG64(seed)
    classes = (bits.random_raw(SYMBOLS + 1) % CLASSES).astype(np.int64)
    classes[_START] = CLASSES
    contexts = (CLASSES + 1) ** 2
    # Sorting random keys permutes; the keys of 64 bits do not collide within a row.
    permutations = np.argsort(bits.random_raw(contexts * SYMBOLS).reshape(contexts, SYMBOLS), axis=1, kind="stable")
    mixed = MOST_MIXED * (int(bits.random_raw()) / 2**64) if varied else 0.0
    weights, total = _weights(mixed)
    limits = [round(math.fsum(weights[: rank + 1]) / total * 2**32) for rank in range(SYMBOLS)]
    return Source(classes, permutations.astype(np.int64), np.array(limits, dtype=np.uint64), mixed)


def draw(source: Source, count: int, seed: int) -> Tokens:
    """Draw `count` tokens, a multiple of 256, from the source; shape (count,), ids 0..255 and 50256."""
    if count % LANES or count <= 0:
        raise ValueError(f"the number of tokens must be a multiple of {LANES}, not {count}")
    length = count // LANES
    raw = np.random.PCG64(seed).random_raw(count).reshape(length, LANES)  # (time, lane)
    ranks = np.searchsorted(source.limits, raw & np.uint64(0xFFFFFFFF), side="right").astype(np.int64)
    ends = (raw >> np.uint64(32)) < _END_LIMIT
    ends[0] = True
    tokens = np.empty((length, LANES), dtype=np.int64)
    before = last = np.full(LANES, CLASSES, dtype=np.int64)  # classes of the tokens at t-2 and t-1
    for time in range(length):
        symbol = source.permutations[last * (CLASSES + 1) + before, ranks[time]]
        token = np.where(ends[time], _START, symbol)
        tokens[time] = token
        before, last = np.where(ends[time], CLASSES, last), source.classes[token]
    ids = tokens.T.reshape(-1)  # lane after lane
    return np.where(ids == _START, DOCUMENT_START, ids).astype(np.uint16)


def entropy_rate(mixed: float = 0.0) -> float:
    """Return the entropy of a source, nats per token."""
    weights, total = _weights(mixed)
    zipf = -math.fsum(weight / total * math.log(weight / total) for weight in weights)
    p = END_PROBABILITY
    return -p * math.log(p) - (1 - p) * math.log(1 - p) + (1 - p) * zipf


def oracle_loss(source: Source, tokens: Tokens) -> float:
    """Return the loss of the source itself on `tokens`, nats per token, over every position after the first."""
    return float(oracle_losses(source, tokens).mean())


def oracle_losses(source: Source, tokens: Tokens) -> npt.NDArray[np.float64]:
    """Return the loss of the source itself on every token after the first, nats."""
    ids = np.where(tokens == DOCUMENT_START, _START, tokens).astype(np.int64)
    classes = source.classes[ids]
    before = np.concatenate([[CLASSES], classes[:-2]])
    before[classes[:-1] == CLASSES] = CLASSES  # a document start is its own predecessor
    contexts = classes[:-1] * (CLASSES + 1) + before
    ranks = np.argsort(source.permutations, axis=1)  # context, symbol -> rank
    weights, total = _weights(source.mixed)
    symbol_loss = -np.log(np.array(weights) / total) - math.log(1 - END_PROBABILITY)
    targets = ids[1:]
    ended = targets == _START
    losses = symbol_loss[ranks[contexts, np.where(ended, 0, targets)]]
    return np.where(ended, -math.log(END_PROBABILITY), losses)


def _weights(mixed: float) -> tuple[list[float], float]:
    """Return Zipf weights of exponent 1.5, mixed with those of exponent 1, and their sum; all is correctly rounded."""
    ranks = range(1, SYMBOLS + 1)
    weights = [(1.0 - mixed) * (1.0 / (rank * math.sqrt(rank))) + mixed * (1.0 / rank) for rank in ranks]
    return weights, math.fsum(weights)


def make_shards(source_seed: int, train_tokens: int, val_tokens: int, *, varied: bool = False) -> tuple[Tokens, Tokens]:
    """Draw the train and the validation shard of a source; both counts are rounded up to a multiple of 256."""
    source = make_source(source_seed, varied=varied)
    train = draw(source, -(-train_tokens // LANES) * LANES, source_seed + 1)
    val = draw(source, -(-val_tokens // LANES) * LANES, source_seed + 2)
    return train, val
