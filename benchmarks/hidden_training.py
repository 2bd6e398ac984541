"""How much hidden training is worth on the smoke track: final losses of its script with and without, for docs/judging.md.

    .venv/bin/python benchmarks/hidden_training.py [--seeds N] [--small]

One process trains the script of submissions/_smoke in each way, on the track's public source. The tokens are those that
the printed steps use: a run is offered no others. "other text" is held-out text that no way trains on.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.catalog.tracks import load_track
from harness.dataset import fetching

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Way:
    """One way to train: what is hidden beside the printed steps."""

    steps: int = 100
    before: int = 0  # steps before the first, with the whole learning rate
    updates: float = 1  # in each step, on all of its tokens; of 1.5 two in every second step
    epochs: bool = False  # its further updates go on through the tokens, and begin again at their end
    parts: int = 1  # of a step's tokens, with an update each
    on_validation: int = 0  # updates on validation text before the last validation


WAYS = {
    "honest": Way(),
    "90 steps": Way(steps=90),
    "110 steps": Way(steps=110),
    "140 steps": Way(steps=140),
    "170 steps": Way(steps=170),
    "10 steps before the clock": Way(before=10),
    "35 steps before the clock": Way(before=35),
    "70 steps before the clock": Way(before=70),
    "3 updates a step": Way(updates=3),
    "1.3 updates a step, of all tokens": Way(updates=1.3, epochs=True),
    "1.5 updates a step, of all tokens": Way(updates=1.5, epochs=True),
    "2 updates a step, of all tokens": Way(updates=2, epochs=True),
    "3 updates a step, of all tokens": Way(updates=3, epochs=True),
    "1.3 updates in each of 80 steps": Way(steps=80, updates=1.3, epochs=True),
    "3 updates in each of 60 steps": Way(steps=60, updates=3, epochs=True),
    "10 updates in each of 10 steps": Way(steps=10, updates=10),
    "8 updates a step, on an eighth each": Way(parts=8),
    "10 updates on validation text": Way(on_validation=10),
    "32 updates on validation text": Way(on_validation=32),
}


def load_script() -> ModuleType:
    """Import the script, without training."""
    spec = importlib.util.spec_from_file_location("smoke_script", ROOT / "submissions" / "_smoke" / "train_gpt.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["smoke_script"] = script
    spec.loader.exec_module(script)
    return script


class Trainer:
    """One model of the script and its optimizers."""

    def __init__(self, script: Any, args: Any) -> None:
        script.torch.manual_seed(args.seed)
        self.model = script.GPT(args)
        self.optimizers = script.make_optimizers(self.model, args)
        self.lrs = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    def update(self, inputs: Any, targets: Any, scale: float) -> None:
        self.model(inputs, targets).backward()
        for optimizer, lrs in zip(self.optimizers, self.lrs, strict=True):
            for group, lr in zip(optimizer.param_groups, lrs, strict=True):
                group["lr"] = lr * scale
            optimizer.step()
        self.model.zero_grad(set_to_none=True)


def train(script: Any, way: Way, args: Any, train: Any, val: Any, other: Any) -> tuple[float, float, float]:
    """Train in one way; return the loss on the official text, on other text, and the processor time of a step."""
    args = replace(args, num_iterations=way.steps)
    trainer = Trainer(script, args)
    for step in range(way.before):
        trainer.update(*script.batch_at(train, step % way.steps, args, 0, 1), 1.0)
    began = time.process_time()
    for step in range(way.steps):
        for update in range(int(step * way.updates), int((step + 1) * way.updates)):
            number = update % way.steps if way.epochs else step
            inputs, targets = script.batch_at(train, number, args, 0, 1)
            for rows in zip(inputs.chunk(way.parts), targets.chunk(way.parts), strict=True):
                trainer.update(*rows, script.learning_rate_scale(step, args))
    step_s = (time.process_time() - began) / way.steps
    whole = args.val_tokens // (args.batch_size * args.sequence_length)
    for hidden in range(way.on_validation):
        scale = 0.3 * (1 - hidden / way.on_validation)
        trainer.update(*script.batch_at(val, hidden % whole, args, 0, 1), scale)
    losses = [script.validate(trainer.model, text, args, 0, 1) for text in (val, other)]
    return losses[0], losses[1], step_s


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="runs of each way")
    parser.add_argument("--small", action="store_true", help="two ways of a few steps, to see that it works")
    options = parser.parse_args()
    script = load_script()
    shards = fetching.make_synthetic(load_track(ROOT / "tracks", "smoke")).paths
    val, tokens = (script.read_shard(path) for path in shards)
    script.torch.set_num_threads(1)
    os.environ |= {"RANK": "0", "WORLD_SIZE": "1"}
    args, ways = script.Hyperparameters(), WAYS
    if options.small:
        ways = {"honest": Way(steps=2), "1 step before the clock": Way(steps=2, before=1)}
        args = replace(args, val_tokens=16384)
    other = tokens[-args.val_tokens - 1 :]
    with tempfile.TemporaryDirectory() as folder:
        place = f"file://{folder}/meeting"
        script.dist.init_process_group("gloo", init_method=place, rank=0, world_size=1)
        print(f"{'':36}  official     other  CPU of a step")
        for name, way in ways.items():
            for seed in range(1, 2 if options.small else options.seeds + 1):
                official, elsewhere, step_s = train(script, way, replace(args, seed=seed), tokens, val, other)
                print(f"{name:36}  {official:8.4f}  {elsewhere:8.4f}  {1000 * step_s:8.1f} ms", flush=True)
        script.dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
