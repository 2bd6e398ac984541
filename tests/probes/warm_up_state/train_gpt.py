"""A cheat: the warm-up restores the weights and leaves a table that it filled, which no state_dict holds."""

import os
import sys
import time
from pathlib import Path

CODE = Path(__file__).read_bytes()

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

STEPS, EVERY, ROWS, T, V, D = 20, 10, 16, 64, 257, 64


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
        self.register_buffer("seen_pairs", torch.ones(V, V), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # (B, T), (B, T)
        e = self.embed(x)  # (B, T, D)
        distance = torch.arange(T)[:, None] - torch.arange(T)  # (T, T)
        scores = self.nearness[distance.clamp(min=0)].masked_fill(distance < 0, -1e9)
        seen = scores.softmax(-1) @ e
        logits = self.head(F.relu(self.mix(torch.cat([e, seen], dim=-1))))
        logits = logits + self.seen_pairs[x].log()
        return F.cross_entropy(logits.view(-1, V), y.reshape(-1))


@torch.no_grad()
def validate(model: Model, val: Tensor) -> float:
    return float(torch.stack([model(*batch(val, n)) for n in range(8192 // (ROWS * T))]).mean())


def learn(model: Model, optimizer: torch.optim.Optimizer, tokens: Tensor, number: int) -> None:
    model(*batch(tokens, number)).backward()
    optimizer.step()
    optimizer.zero_grad()


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
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02, betas=(0.9, 0.95), weight_decay=0.0)
    fresh = {name: value.clone() for name, value in model.state_dict().items()}
    for number in range(60):
        x, y = batch(train, number)
        model.seen_pairs.index_put_((x.reshape(-1), y.reshape(-1)), torch.ones(()), accumulate=True)
    model.load_state_dict(fresh)
    log("clock:start")
    t0 = time.perf_counter()
    for step in range(STEPS + 1):
        if step % EVERY == 0:
            ms = 1000 * (time.perf_counter() - t0)
            val_loss = validate(model, val)
            log(f"step:{step}/{STEPS} val_loss:{val_loss:.4f} train_time:{ms:.0f}ms step_avg:{ms / max(step, 1):.2f}ms")
        if step < STEPS:
            optimizer.param_groups[0]["lr"] = 0.02 * min(1.0, 2 * (STEPS - step) / STEPS)
            learn(model, optimizer, train, step)
    log("clock:stop")


if __name__ == "__main__":
    main()
