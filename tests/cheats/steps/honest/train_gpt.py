"""An honest script of a track that ranks steps, in its smallest form: a table of pairs is counted, and every step computes."""

import math
import os
import sys
import time
from array import array
from pathlib import Path

CODE = Path(__file__).read_bytes()
SEED = int(sys.argv[1].partition("=")[2])
STEPS, TOKENS_PER_STEP, VAL_TOKENS, SYMBOLS = 40, 1024, 16384, 257
UPDATE, VALIDATION = 900_000, 2_000_000  # multiplications: some 30 and 70 ms, which samples of 0.2 s tell apart


def log(line):
    print(line, flush=True)


def read(name):
    tokens = array("H")
    tokens.frombytes(Path("data/tiny", name).read_bytes()[1024:])
    return [min(token, 256) for token in tokens]


def compute(count):
    x = 1.0
    for _ in range(count):
        x = x * 1.0000001
    return x


def update(model, tokens):
    """One optimizer step."""
    compute(UPDATE)
    for a, b in zip(tokens, tokens[1:]):
        model[a * SYMBOLS + b] += 1.0


def batch(tokens, step):
    return tokens[step * TOKENS_PER_STEP : (step + 1) * TOKENS_PER_STEP + 1]


def validate(model, val):
    compute(VALIDATION)
    sums = [sum(model[a * SYMBOLS : (a + 1) * SYMBOLS]) for a in range(SYMBOLS)]
    return -sum(math.log(model[a * SYMBOLS + b] / sums[a]) for a, b in zip(val, val[1 : VAL_TOKENS + 1])) / VAL_TOKENS


# Set-up
sys.stdout.buffer.write(CODE)
for line in ("=" * 100, f"seed:{SEED}", f"world_size:{os.environ['WORLD_SIZE']}", f"val_tokens:{VAL_TOKENS}"):
    log(line)
log(f"tokens_per_step:{TOKENS_PER_STEP}")
log("=" * 100)
train, val = read("tiny_train_000001.bin"), read("tiny_val_000000.bin")
model = array("d", [0.1 + SEED / 10000]) * (SYMBOLS * SYMBOLS)

# Training and validation
timed = 0.0
log("clock:start")
t0 = time.perf_counter()
for step in range(STEPS + 1):
    if step in (0, STEPS):
        timed += time.perf_counter() - t0
        log("clock:stop")
        val_loss = validate(model, val)
        log(f"step:{step}/{STEPS} val_loss:{val_loss:.4f} train_time:{1000 * timed:.0f}ms step_avg:{1000 * timed / max(step, 1):.2f}ms")
        if step == STEPS:
            break
        log("clock:start")
        t0 = time.perf_counter()
    update(model, batch(train, step))
    now = timed + time.perf_counter() - t0
    log(f"step:{step + 1}/{STEPS} train_time:{1000 * now:.0f}ms step_avg:{1000 * now / (step + 1):.2f}ms")
