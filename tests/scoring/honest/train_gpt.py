"""An honest training script in its smallest form: a table of pairs is counted, saved, and gives logits."""

import math
import os
import sys
import time
from array import array
from pathlib import Path

STEPS, TOKENS_PER_STEP, ROW, VAL_TOKENS, SYMBOLS = 4, 16384, 16, 8192, 257


def read(name):
    tokens = array("H")
    tokens.frombytes(Path("data/tiny", name).read_bytes()[1024:])
    return [min(token, 256) for token in tokens]


def train_step(model, tokens):
    for a, b in zip(tokens, tokens[1:]):
        model[a * SYMBOLS + b] += 1.0


def loss_of(model, row, t):
    """The loss of token t + 1 of a row of 17."""
    counts = model[row[t] * SYMBOLS : (row[t] + 1) * SYMBOLS]
    return -math.log(counts[row[t + 1]] / sum(counts))


def validate(model, val):
    rows = [val[start : start + ROW + 1] for start in range(0, VAL_TOKENS, ROW)]
    return sum(loss_of(model, row, t) for row in rows for t in range(ROW)) / VAL_TOKENS


def write(model, val, path):
    with open(path, "wb") as file:
        model.tofile(file)


def load(path):
    import torch

    model = torch.frombuffer(bytearray(Path(path).read_bytes()), dtype=torch.float64)
    table = model[: SYMBOLS * SYMBOLS].view(SYMBOLS, SYMBOLS).log().float()

    def logits(tokens):  # (B, T)
        return table[tokens.clamp(max=256)]

    logits.sequence_tokens = ROW
    return logits


def main():
    code = Path(__file__).read_bytes()
    settings = dict(argument.split("=", 1) for argument in sys.argv[1:])
    seed, save = settings.get("seed"), settings.get("save")
    sys.stdout.buffer.write(code)
    for line in ("=" * 100, f"seed:{seed}", f"world_size:{os.environ['WORLD_SIZE']}", f"val_tokens:{VAL_TOKENS}", "=" * 100):
        print(line, flush=True)
    train, val = read("tiny_train_000001.bin"), read("tiny_val_000000.bin")
    model = array("d", [0.1 + int(seed) % 100 / 10000]) * (SYMBOLS * SYMBOLS)
    timed, t0 = 0.0, time.perf_counter()
    print("clock:start", flush=True)
    for step in range(STEPS + 1):
        if step in (0, STEPS):
            timed += time.perf_counter() - t0
            print("clock:stop", flush=True)
            loss = validate(model, val)
            print(f"step:{step}/{STEPS} val_loss:{loss:.4f} train_time:{1000 * timed:.0f}ms step_avg:{1000 * timed / max(step, 1):.2f}ms", flush=True)
            if step == STEPS:
                break
            print("clock:start", flush=True)
            t0 = time.perf_counter()
        train_step(model, train[step * TOKENS_PER_STEP : (step + 1) * TOKENS_PER_STEP + 1])
        now = timed + time.perf_counter() - t0
        print(f"step:{step + 1}/{STEPS} train_time:{1000 * now:.0f}ms step_avg:{1000 * now / (step + 1):.2f}ms", flush=True)
    if save is not None:
        write(model, val, save)


if __name__ == "__main__":
    main()
