"""A script for the tests' track that plays fair: it learns a chain of 257 symbols on one CPU in a second."""

import os
import sys
import time
from pathlib import Path

CODE = Path(__file__).read_bytes()

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS, EVERY, ROWS, T, V, D = 200, 100, 16, 64, 257, 64


def read(pattern: str) -> Tensor:
    [path] = Path("data/tiny").glob(pattern)
    return torch.from_numpy(np.minimum(np.fromfile(path, dtype="<u2")[512:], 256).astype(np.int64))


def batch(tokens: Tensor, number: int) -> tuple[Tensor, Tensor]:
    chunk = tokens[number * ROWS * T :][: ROWS * T + 1]
    return chunk[:-1].view(ROWS, T), chunk[1:].view(ROWS, T)


class Model(nn.Module):
    """The token itself, and a causal average of the tokens so far whose weights depend on their distance."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D)
        self.nearness = nn.Parameter(-torch.arange(float(T)))
        self.mix = nn.Linear(2 * D, 4 * D)
        self.head = nn.Linear(4 * D, V)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # (B, T), (B, T)
        e = self.embed(x)  # (B, T, D)
        distance = torch.arange(T)[:, None] - torch.arange(T)  # (T, T)
        scores = self.nearness[distance.clamp(min=0)].masked_fill(distance < 0, -1e9)
        seen = scores.softmax(-1) @ e
        logits = self.head(F.relu(self.mix(torch.cat([e, seen], dim=-1))))
        return F.cross_entropy(logits.view(-1, V), y.reshape(-1))


class Adam:
    """Adam over all parameters; torch's own imports a compiler for two seconds first."""

    def __init__(self, model: Model, betas: tuple[float, float] = (0.9, 0.95)) -> None:
        self.params, self.betas, self.lr, self.steps = list(model.parameters()), betas, 0.02, 0
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.params]

    @torch.no_grad()
    def step(self) -> None:
        self.steps += 1
        for p, moments in zip(self.params, self.moments, strict=True):
            for moment, g, beta in zip(moments, (p.grad, p.grad.square()), self.betas, strict=True):
                moment.lerp_(g, 1 - beta)
            first, second = (m / (1 - b**self.steps) for m, b in zip(moments, self.betas, strict=True))
            p -= self.lr * first / (second.sqrt() + 1e-8)
            p.grad = None


@torch.no_grad()
def validate(model: Model, val: Tensor) -> float:
    return float(torch.stack([model(*batch(val, n)) for n in range(8192 // (ROWS * T))]).mean())


def learn(model: Model, optimizer: Adam, tokens: Tensor, number: int) -> None:
    model(*batch(tokens, number)).backward()
    optimizer.step()


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
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    train, val = read("*train*"), read("*val*")
    model = Model()
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
