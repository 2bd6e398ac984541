"""Measure the training scripts at full size on one GPU, in pieces: `python benchmarks/gpu.py OUT [--checkout DIR]`.

Each piece takes a few minutes, prints what it finds and writes OUT/<piece>.json; one that fails stops no other, and a
second start makes only the pieces that are missing or failed. `--list` names them, `--only TEXT` chooses among them.

    start_<record>      the script starts and learns on learnable tokens; nothing is compiled after step 10; ms per step,
                        optimizer apart; memory; model FLOP utilisation
    original_<record>   the same of the published original (--checkout: a clone of its repository), and both curves
    confined            the ms per step of one script, confined and bare
    eval                the loss of a trained model over a file of tokens, in bf16 and int8
    sample              64 tokens drawn from it (the tokenizer's files are downloaded)

One GPU does the work of one of eight ranks, so that a step takes about as long as in a race, without communication
between GPUs. What cannot be cut to that share does the work of all eight, and its JSON says so (`share`). Utilisation
counts 6 operations per token and parameter in matrix products, leaves attention's own products out, and divides by
the 989 · 10^12 per second of an H100 SXM in dense bf16. `--small` runs tiny models on a CPU, to try the program.
"""

import argparse
import dataclasses
import importlib.util
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(Path(__file__).parent))

TIMED_SCRIPT = Path(__file__).with_name("timed_script.py")
STEPS, EVERY, RANKS = 60, 20, 8
BATCH_TOKENS = 524_288  # of a step of all eight ranks
PEAK_FLOPS = 989e12
VOCABULARY, MARKER, DOCUMENT_TOKENS = 50_257, 50_256, 700
LIMIT_S = 1800  # of one run
SMALL = {
    "device": "cpu",
    "n_layer": 2,
    "n_head": 2,
    "d_model": 32,
    "sequence_length": 32,
    "batch_size": 8,
    "device_batch_size": 1,
    "val_tokens": 1024,
    "num_iterations": 30,
    "val_loss_every": 10,
}


@dataclass(frozen=True)
class Bench:
    """Where the pieces run."""

    out: Path
    data: Path  # holds data/fineweb10B
    small: bool
    checkout: Path | None


def scripts() -> dict[str, Path]:
    """Return every script by the record it stands for, in record order."""
    found = {}
    for path in ROOT.glob("records/*/*/script/script.yaml"):
        data = yaml.safe_load(path.read_text())
        if "same_as" not in data and data["of"].startswith(("short/", "optimization/")):
            found[data["of"]] = path.with_name(data["entry"])
    return dict(sorted(found.items(), key=lambda item: (item[0].split("/")[0], float(item[0].split("/")[1]))))


# ------------------------------------------------------------------------------------------------ tokens


def learnable_tokens(count: int, seed: int, vocabulary: int = VOCABULARY, marker: int = MARKER) -> np.ndarray:
    """Return tokens whose next one is often a fixed function of this one, else drawn by Zipf's law; cut into documents."""
    random = np.random.default_rng(seed)
    ranks = np.minimum(random.zipf(1.2, count), vocabulary - 1) - 1
    tokens = ((ranks * 7_919) % (vocabulary - 1)).astype(np.int64)
    tokens[tokens >= marker] += 1
    starts = random.random(count) < 0.4  # else it follows from the token before
    starts[0] = True
    age = np.arange(count) - np.maximum.accumulate(np.where(starts, np.arange(count), 0))
    for distance in range(1, int(age.max()) + 1):
        here = np.flatnonzero(age == distance)
        tokens[here] = (tokens[here - 1] * 5 + 3) % (vocabulary - 1)
        tokens[here[tokens[here] == marker]] = 0
    tokens[random.random(count) < 1 / DOCUMENT_TOKENS] = marker
    tokens[0] = marker
    return tokens.astype("<u2")


def write_shards(folder: Path, *, small: bool) -> None:
    """Write a training and a validation file in the real format."""
    folder.mkdir(parents=True)
    sizes = (40_001, 2_049) if small else ((STEPS + 40) * BATCH_TOKENS + 1, 20 * BATCH_TOKENS + 1)
    for seed, (name, count) in enumerate(zip(("train_000001", "val_000000"), sizes, strict=True)):
        header = np.zeros(256, dtype="<i4")
        header[:3] = 20240520, 1, count
        tokens = learnable_tokens(count, seed)
        (folder / f"fineweb_{name}.bin").write_bytes(header.tobytes() + tokens.tobytes())


# ------------------------------------------------------------------------------------------------ pieces


def share_of(script: Path, folder: Path) -> tuple[Path, float]:
    """Return a copy of a script that does the work of one of the recipe's ranks, and its share of a step; else itself."""
    text = script.read_text()
    cut = re.sub(r"^RECIPE_RANKS = 8\b", "RECIPE_RANKS = 1", text, flags=re.M)
    copy = folder / "train_gpt.py"
    copy.write_text(cut)
    return copy, 1.0 if cut == text else 1 / RANKS


def run_timed(bench: Bench, folder: Path, script: Path, settings: dict[str, object]) -> tuple[dict[str, Any], str]:
    """Run a script on one process; return what its steps take and its log. Raises RuntimeError where it breaks."""
    figures = folder / "figures.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", str(TIMED_SCRIPT)]
    arguments = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [*command, str(figures), str(script), *arguments],
        cwd=bench.data,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: " + "\n".join(done.stderr.strip().splitlines()[-15:]))
    return (json.loads(figures.read_text()) if figures.exists() else {}), done.stdout


def losses(log: str) -> dict[int, float]:
    """Return the validation losses of a log by their steps."""
    return {int(step): float(loss) for step, loss in re.findall(r"^step:(\d+)/\d+ val_loss:(\S+)", log, re.M)}


def settings_of(script: Path, bench: Bench, share: float) -> dict[str, object]:
    """Return what a piece changes in the settings of a script: fewer steps and validation tokens, and its share."""
    if bench.small:
        return {**SMALL, "seed": 1}
    rows = re.search(r"^    batch_size: int = ([\d_]+)", script.read_text(), re.M)
    batch = {"batch_size": round(int(rows[1].replace("_", "")) * share)} if rows and share < 1 else {}
    return {"num_iterations": STEPS, "val_loss_every": EVERY, "val_tokens": BATCH_TOKENS, "seed": 1, **batch}


def start(name: str, script: Path, bench: Bench) -> dict[str, object]:
    """Let a script of ours start and learn."""
    with tempfile.TemporaryDirectory() as folder:
        copy, share = share_of(script, Path(folder))
        figures, log = run_timed(bench, Path(folder), copy, settings_of(script, bench, share))
    curve = losses(log)
    said: dict[str, object] = {"share": share, **figures, "val_losses": curve}
    said["learned"] = len(curve) > 1 and curve[max(curve)] < curve[min(curve)] - (0.05 if bench.small else 1.0)
    said["compiled_after_step_10"] = figures.get("graphs", 0) != figures.get("graphs_after_10_steps", 0)
    if not bench.small and figures.get("step_ms"):
        flops = 6 * parameters_in_products(script) * BATCH_TOKENS * share / (figures["step_ms"] / 1000)
        said["model_flop_utilisation"] = round(flops / PEAK_FLOPS, 4)
    return said


def parameters_in_products(script: Path) -> int:
    """Count the weights of a script's blocks and head that a token is multiplied with."""
    spec = importlib.util.spec_from_file_location("measured_script", script)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with torch.device("meta"):
        model = module.GPT(module.Hyperparameters(device="cpu"))
    return sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2) + int(model.head.weight.numel())


def original(name: str, bench: Bench) -> dict[str, object]:
    """Run the published original of a record for as many steps as ours; its own settings are cut in its text."""
    from harness.catalog.lookup import Catalog
    from harness.replay.plan import plan
    from harness.store.layout import Project

    catalog = Catalog(Project(ROOT))
    found = plan(catalog, catalog.record(name), which="original", checkout=bench.checkout, allow_network=False)
    if found.needs is not None and found.needs.world_size == f"== {RANKS}":
        raise RuntimeError(f"it asserts {RANKS} ranks")
    with tempfile.TemporaryDirectory() as folder:
        for file in found.subject.files:
            text = (found.subject.files_folder / file).read_text()
            for setting, value in (("num_iterations", STEPS), ("val_loss_every", EVERY), ("val_tokens", BATCH_TOKENS)):
                text = re.sub(rf"^(\s*{setting}\s*(?::\s*int\s*)?=\s*)[\d_*^ ]+", rf"\g<1>{value} ", text, flags=re.M)
            text = re.sub(
                r"^(\s*(?:warmdown_iters|cooldown_iters)\s*(?::\s*int\s*)?=\s*)\d+", r"\g<1>20", text, flags=re.M
            )
            (Path(folder) / file).write_text(text)
        (Path(folder) / "data").symlink_to(bench.data / "data")
        inside = dataclasses.replace(bench, data=Path(folder))
        figures, log = run_timed(inside, Path(folder), Path(folder) / found.subject.entry, {})
        written = "".join(path.read_text("utf-8", "replace") for path in Path(folder).glob("logs/*.txt"))
    curve = losses(log) or losses(written)
    ours = bench.out / f"start_{label(name)}.json"
    beside = json.loads(ours.read_text()).get("val_losses", {}) if ours.exists() else {}
    return {"share": 1.0, **figures, "val_losses": curve, "val_losses_of_ours": beside}


def confined(script: Path, bench: Bench) -> dict[str, object]:
    """Measure the ms per step of one script as the harness starts it, in the best tier of this machine and without one."""
    from harness.launch.launcher import LaunchPlan
    from harness.launch.torchrun import TorchrunLauncher

    said: dict[str, object] = {}
    for tier in ("none", None):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder) / "work"
            work.mkdir()
            copy, share = share_of(script, work)
            (work / "data/fineweb10B").mkdir(parents=True)
            for shard in (
                bench.data / "data/fineweb10B"
            ).iterdir():  # a link to outside leads nowhere in a confined run
                os.link(shard, work / "data/fineweb10B" / shard.name)
            settings = settings_of(script, bench, share)
            seed = settings.pop("seed")
            plan = LaunchPlan(
                run_id="gpu-benchmark",
                folder=Path(folder),
                entry=copy.name,
                processes=1,
                seed=int(str(seed)),
                overrides=tuple(f"{name}={value}" for name, value in settings.items()),
                silence_limit_s=LIMIT_S,
                time_limit_s=LIMIT_S,
                tokens="data/fineweb10B",
            )
            os.environ.pop("SPEEDRUN_CONFINEMENT", None)
            if tier is not None:
                os.environ["SPEEDRUN_CONFINEMENT"] = tier
            launcher = TorchrunLauncher()
            used = launcher.confined_by(plan)
            outcome = launcher.run(dataclasses.replace(plan, confinement=used), lambda line: None)
            averages = re.findall(r"step_avg:([\d.]+)ms", (Path(folder) / "log.txt").read_text("utf-8", "replace"))
            said[used.tier] = {"state": outcome.state, "step_avg_ms": float(averages[-1]) if averages else None}
    os.environ.pop("SPEEDRUN_CONFINEMENT", None)
    return said


def evaluate(script: Path, bench: Bench, asked: tuple[str, ...]) -> dict[str, object]:
    """Train a model for some steps and let `speedrun eval` answer what is asked of it."""
    weights = bench.out / "weights.pt"
    with tempfile.TemporaryDirectory() as folder:
        copy, share = share_of(script, Path(folder))
        try:
            run_timed(bench, Path(folder), copy, settings_of(script, bench, share) | {"save": weights})
            command = [sys.executable, "-m", "harness", "--root", str(ROOT), "eval", str(weights)]
            began = time.monotonic()
            done = subprocess.run(
                [*command, "--script", str(copy), "--trust", *asked, "--json"],
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
                check=False,
            )
        finally:
            weights.unlink(missing_ok=True)
    if done.returncode != 0:
        raise RuntimeError(f"exit status {done.returncode}: {done.stderr[-2000:]}")
    return {"seconds": round(time.monotonic() - began, 1), "eval": json.loads(done.stdout)}


# ------------------------------------------------------------------------------------------------ all of them


def label(name: str) -> str:
    return name.replace("/", "-")


def pieces(bench: Bench) -> dict[str, Callable[[], dict[str, object]]]:
    """Return all pieces by their names, the most important first."""
    known = scripts()
    found: dict[str, Callable[[], dict[str, object]]] = {}
    for name, script in known.items():
        found[f"start_{label(name)}"] = lambda name=name, script=script: start(name, script, bench)  # type: ignore[misc]
    last = known["short/11"]
    found["confined"] = lambda: confined(last, bench)
    tokens = str(bench.data / "data/fineweb10B/fineweb_val_000000.bin")
    limit = "1024" if bench.small else "1048576"
    found["eval"] = lambda: evaluate(known["short/6"], bench, ("--tokens", tokens, "--limit", limit, "--int8"))
    found["sample"] = lambda: evaluate(
        known["short/6"], bench, ("--sample", "In a hole in the ground", "--length", "64")
    )
    if bench.checkout is not None:
        for name in known:
            found[f"original_{label(name)}"] = lambda name=name: original(name, bench)  # type: ignore[misc]
    return found


def make(piece: str, do: Callable[[], dict[str, object]], out: Path) -> bool:
    """Make one piece and write what it found; True where it did not break."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    said: dict[str, object] = {"piece": piece, "device": f"1 x {device}", "torch": torch.__version__}
    print(f"{piece} …", flush=True)
    began = time.monotonic()
    try:
        said |= {"state": "done", **do()}
    except Exception as error:
        said |= {"state": "failed", "why": str(error), "where": traceback.format_exc(limit=3)}
    said["took_s"] = round(time.monotonic() - began, 1)
    text = json.dumps(said, indent=1, default=str)
    (out / f"{piece}.json").write_text(text.replace("NaN", "null") if math.nan in said.values() else text)
    shown = {key: value for key, value in said.items() if key not in ("piece", "device", "torch", "where")}
    print(f"{piece}: {json.dumps(shown, default=str)}", flush=True)
    return said["state"] == "done"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the JSON files; made if it is not there")
    parser.add_argument("--checkout", type=Path, help="a clone of the repository of the originals")
    parser.add_argument("--only", default="", metavar="TEXT", help="pieces whose names hold this")
    parser.add_argument("--list", action="store_true", help="name the pieces; run nothing")
    parser.add_argument("--small", action="store_true", help="tiny models on a CPU, to try the program")
    args = parser.parse_args()
    if not (args.small or args.list or torch.cuda.is_available()):
        print("these figures need an NVIDIA GPU with about 80 GB, and no CUDA GPU is visible here", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args.out.resolve(), Path(folder), args.small, args.checkout and args.checkout.resolve())
        wanted = {name: do for name, do in pieces(bench).items() if args.only in name}
        if args.list:
            print("\n".join(wanted))
            return 0
        write_shards(Path(folder) / "data/fineweb10B", small=args.small)
        left = {name: do for name, do in wanted.items() if not is_done(args.out / f"{name}.json")}
        broken = [name for name, do in left.items() if not make(name, do, args.out)]
    print(
        f"{len(wanted) - len(broken)} of {len(wanted)} pieces are done"
        + (f"; failed: {', '.join(broken)}" if broken else "")
    )
    return 1 if broken else 0


def is_done(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text())["state"] == "done")
    except (OSError, ValueError, KeyError):
        return False


if __name__ == "__main__":
    sys.exit(main())
