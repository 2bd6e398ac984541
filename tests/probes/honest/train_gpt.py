"""A script for the tests' track that plays fair: it learns a chain of 257 symbols on one CPU in a second."""

import os
import sys
import time
from pathlib import Path

CODE = Path(__file__).read_bytes()

import numpy as np
from numpy.typing import NDArray

STEPS, EVERY, ROWS, T, V, D = 200, 100, 16, 64, 257, 64

Array = NDArray[np.float32]
Tokens = NDArray[np.int64]


def read(pattern: str) -> Tokens:
    [path] = Path("data/tiny").glob(pattern)
    return np.minimum(np.fromfile(path, dtype="<u2")[512:], 256).astype(np.int64)


def batch(tokens: Tokens, number: int) -> tuple[Tokens, Tokens]:
    chunk = tokens[number * ROWS * T :][: ROWS * T + 1]
    return chunk[:-1].reshape(ROWS, T), chunk[1:].reshape(ROWS, T)


def log_sum_exp(logits: Array) -> Array:
    highest = logits.max(-1)
    return highest + np.log(np.exp(logits - highest[..., None]).sum(-1))


def flush(a: Array) -> Array:
    """Zero for what is next to nothing: numbers below 1e-38 take a processor 20 times as long."""
    return np.where(np.abs(a) < 1e-12, np.float32(0), a)


class Model:
    """The token itself, and a causal average of the tokens so far whose weights depend on their distance."""

    def __init__(self, random: np.random.Generator) -> None:
        bound = (2 * D) ** -0.5
        self.weights = {
            "embed": random.standard_normal((V, D)).astype("f4"),
            "nearness": -np.arange(T, dtype="f4"),
            "mix": random.uniform(-bound, bound, (2 * D, 4 * D)).astype("f4"),
            "mix_bias": random.uniform(-bound, bound, 4 * D).astype("f4"),
            "head": np.zeros((4 * D, V), "f4"),
            "head_bias": np.zeros(V, "f4"),
        }

    def forward(self, x: Tokens) -> tuple[Tokens, Array, Array, Array, Array]:  # (B, T)
        w = self.weights
        e = w["embed"][x]  # (B, T, D)
        distance = np.arange(T)[:, None] - np.arange(T)  # (T, T)
        near, hidden = distance.clip(0), distance < 0
        scores = np.where(hidden, np.float32(-1e9), w["nearness"][near])
        share = flush(np.exp(scores - log_sum_exp(scores)[:, None]))
        both = np.concatenate([e, share @ e], axis=-1)  # (B, T, 2 D)
        mixed = np.maximum(both @ w["mix"] + w["mix_bias"], 0)
        logits = mixed @ w["head"] + w["head_bias"]
        return near, share, both, mixed, logits

    def loss(self, x: Tokens, y: Tokens) -> float:
        *_, logits = self.forward(x)
        right = np.take_along_axis(logits, y[..., None], -1)[..., 0]
        return float((log_sum_exp(logits) - right).mean())

    def gradients(self, x: Tokens, y: Tokens) -> dict[str, Array]:
        w = self.weights
        near, share, both, mixed, logits = self.forward(x)
        d = np.exp(logits - log_sum_exp(logits)[..., None])
        np.put_along_axis(d, y[..., None], np.take_along_axis(d, y[..., None], -1) - 1, -1)
        d = flush(d / x.size).reshape(-1, V)
        d_mixed = (d @ w["head"].T) * (mixed.reshape(-1, 4 * D) > 0)
        d_both = (d_mixed @ w["mix"].T).reshape(both.shape)
        d_seen = d_both[..., D:]
        d_share = np.tensordot(d_seen, both[..., :D], axes=([0, 2], [0, 2]))  # (T, T)
        d_scores = share * (d_share - (d_share * share).sum(-1, keepdims=True))
        d_embed = np.zeros_like(w["embed"])
        np.add.at(d_embed, x, d_both[..., :D] + share.T @ d_seen)
        return {
            "embed": d_embed,
            "nearness": np.bincount(near.ravel(), d_scores.ravel(), minlength=T).astype("f4"),
            "mix": both.reshape(-1, 2 * D).T @ d_mixed,
            "mix_bias": d_mixed.sum(0),
            "head": mixed.reshape(-1, 4 * D).T @ d,
            "head_bias": d.sum(0),
        }


class Adam:
    """Adam over all weights of a model."""

    def __init__(self, model: Model, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        self.model, self.betas, self.lr, self.steps = model, betas, 0.02, 0
        self.moments = {name: [np.zeros_like(w), np.zeros_like(w)] for name, w in model.weights.items()}

    def step(self, gradients: dict[str, Array]) -> None:
        self.steps += 1
        for name, g in gradients.items():
            first, second = self.moments[name]
            first += (1 - self.betas[0]) * (g - first)
            second += (1 - self.betas[1]) * (g * g - second)
            rate = self.lr / (1 - self.betas[0] ** self.steps)
            self.model.weights[name] -= rate * first / (np.sqrt(second / (1 - self.betas[1] ** self.steps)) + 1e-8)


def validate(model: Model, val: Tokens) -> float:
    return float(np.mean([model.loss(*batch(val, n)) for n in range(8192 // (ROWS * T))]))


def learn(model: Model, optimizer: Adam, tokens: Tokens, number: int) -> None:
    optimizer.step(model.gradients(*batch(tokens, number)))


def log(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    seed = int(sys.argv[1].partition("=")[2])
    sys.stdout.buffer.write(CODE)
    log("=" * 100)
    log(f"Running Python {sys.version}".replace("\n", " "))
    log(f"seed:{seed}")
    log(f"world_size:{os.environ['WORLD_SIZE']}")
    log("val_tokens:8192")
    log("=" * 100)
    train, val = read("*train*"), read("*val*")
    model = Model(np.random.default_rng(seed))
    optimizer = Adam(model)
    log("clock:start")
    t0 = time.perf_counter()
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            ms = 1000 * (time.perf_counter() - t0)
            val_loss = validate(model, val)
            log(f"step:{step}/{STEPS} val_loss:{val_loss:.4f} train_time:{ms:.0f}ms step_avg:{ms / max(step, 1):.2f}ms")
        if step < STEPS:
            optimizer.lr = 0.02 * min(1.0, 2 * (STEPS - step) / STEPS)
            learn(model, optimizer, train, step)
    log("clock:stop")


if __name__ == "__main__":
    main()
