"""Measure the training scripts at full size on one GPU: `python benchmarks/scripts_h100.py [short/4 optimization/36 …]`.

Each script runs 60 steps of 524,288 random tokens, from shards in the real format, on one process; the first 10 steps
compile and do not count. Out comes YAML, one block per script, for docs/unverified.md: no figure goes into script.yaml.

One GPU does the work of the recipe's eight, so a step takes about eight times as long; what the figures say is how well
the script uses a GPU. Model FLOP utilisation counts 6 operations per token and parameter in matrix products (blocks and
head), leaves attention's own products out, and divides by the 989 · 10^12 per second of an H100 SXM in dense bf16.
"""

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
SKIPPED, TIMED = 10, 50  # steps
BATCH_TOKENS = 524_288
PEAK_FLOPS = 989e12
DOCUMENT_TOKENS = 700  # mean length of a document


def scripts() -> dict[str, Path]:
    """Return every script by the record it stands for, in record order."""
    found = {}
    for path in ROOT.glob("records/*/*/script/script.yaml"):
        data = yaml.safe_load(path.read_text())
        if "same_as" not in data and data["of"].startswith(("short/", "optimization/")):
            found[data["of"]] = path.with_name(data["entry"])
    return dict(sorted(found.items(), key=lambda item: (item[0].split("/")[0], int(item[0].split("/")[1]))))


def write_random_shards(folder: Path) -> None:
    """Write a training and a validation file of uniform random tokens, cut into documents."""
    random = np.random.default_rng(0)
    for name, count in (("train_000001", (SKIPPED + TIMED + 3) * BATCH_TOKENS), ("val_000000", 2 * BATCH_TOKENS)):
        header = np.zeros(256, dtype="<i4")
        header[:3] = 20240520, 1, count
        tokens = random.integers(0, 50_256, count).astype("<u2")
        tokens[random.random(count) < 1 / DOCUMENT_TOKENS] = 50_256
        tokens[0] = 50_256
        (folder / f"fineweb_{name}.bin").write_bytes(header.tobytes() + tokens.tobytes())


def parameters_in_products(script: Path) -> int:
    spec = importlib.util.spec_from_file_location("measured_script", script)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with torch.device("meta"):
        model = module.GPT(module.Hyperparameters(device="cpu"))
    return sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2) + int(model.head.weight.numel())


def train_time_s(log: str, step: int) -> float:
    """Return the train time on the validation line of a step, which is read after a synchronisation."""
    line = re.search(rf"^step:{step}/\d+ val_loss:\S+ train_time:([\d.]+)(ms|s) ", log, re.M)
    if line is None:
        raise SystemExit(f"the log has no validation line for step {step}")
    return float(line[1]) / (1000 if line[2] == "ms" else 1)


def measure(name: str, script: Path, data: Path) -> dict[str, object]:
    last = SKIPPED + TIMED
    settings = [f"num_iterations={last}", f"val_loss_every={SKIPPED}", f"val_tokens={BATCH_TOKENS}", "seed=1"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", str(script)]
    run = subprocess.run(
        command + settings, env=os.environ | {"DATA_PATH": str(data)}, stdout=subprocess.PIPE, text=True, check=False
    )
    if run.returncode != 0:
        raise SystemExit(f"{name} ended with exit status {run.returncode}; its messages are above")
    step_s = (train_time_s(run.stdout, last) - train_time_s(run.stdout, SKIPPED)) / TIMED
    memory = re.search(r"^peak memory allocated: (\d+) MiB", run.stdout, re.M)
    flops = 6 * parameters_in_products(script) * BATCH_TOKENS / step_s
    return {
        "gpu": f"1 x {torch.cuda.get_device_name(0)}",
        "torch": torch.__version__,
        "command": f"python benchmarks/scripts_h100.py {name}",
        "steps": TIMED,
        "ms_per_step": round(1000 * step_s, 2),
        "tokens_per_s": round(BATCH_TOKENS / step_s),
        "peak_memory_mib": int(memory[1]) if memory else None,
        "model_flop_utilisation": round(flops / PEAK_FLOPS, 4),
    }


def main() -> int:
    known = scripts()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="RECORD", help=f"of: {', '.join(known)}; all if none is given")
    names = parser.parse_args().names or list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        print(f"no script for {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print("these figures need an NVIDIA GPU with about 80 GB, and no CUDA GPU is visible here", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "data" / "fineweb10B"
        shards.mkdir(parents=True)
        write_random_shards(shards)
        for name in names:
            print(yaml.safe_dump({name: measure(name, known[name], Path(folder))}, sort_keys=False), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
