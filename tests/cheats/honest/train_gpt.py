"""What an honest training script does and prints, with a scalar in place of a model: the gallery changes one thing."""

import os
import sys
import time
from pathlib import Path

CODE = Path(__file__).read_bytes()
SEED = int(sys.argv[1].partition("=")[2])
WORLD_SIZE = int(os.environ["WORLD_SIZE"])
STEPS, EVERY, VAL_TOKENS = 100, 25, 4096
train_files = "data/tiny/tiny_train_*.bin"
val_file = "data/tiny/tiny_val_000000.bin"


def log(line):
    print(line, flush=True)


def train_step(model):
    time.sleep(0.004)
    return model + (2.9 - model) / 8


def validate(model, tokens):
    time.sleep(0.01)
    return model + SEED / 10000


# Set-up
sys.stdout.buffer.write(CODE)
sys.stdout.buffer.flush()
log("=" * 100)
log(f"Running Python {sys.version}".replace("\n", " "))
log(f"seed:{SEED}")
log(f"world_size:{WORLD_SIZE}")
log(f"val_tokens:{VAL_TOKENS}")
log("=" * 100)
train = b"".join(path.read_bytes() for path in sorted(Path().glob(train_files)))
val = Path(val_file).read_bytes()
model = 5.5

# Training and validation
timed = 0.0
log("clock:start")
t0 = time.perf_counter()
for step in range(STEPS + 1):
    if step % EVERY == 0:
        timed += time.perf_counter() - t0
        log("clock:stop")
        val_loss = validate(model, val)
        log(f"step:{step}/{STEPS} val_loss:{val_loss:.4f} train_time:{1000 * timed:.0f}ms step_avg:{1000 * timed / max(step, 1):.2f}ms")
        if step == STEPS:
            break
        log("clock:start")
        t0 = time.perf_counter()
    model = train_step(model)
    now = timed + time.perf_counter() - t0
    log(f"step:{step + 1}/{STEPS} train_time:{1000 * now:.0f}ms step_avg:{1000 * now / (step + 1):.2f}ms")
