"""Where the training scripts are and how a test gets at them: as files, as modules, as running processes."""

import functools
import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
END_OF_TEXT = 50_256

FOLDERS = {
    "short/1": "2024-05-28_llmc-baseline",
    "short/2": "2024-06-06_adamw",
    "short/4": "2024-10-11_muon",
    "short/5": "2024-10-14_modern-arch",
    "short/6": "2024-10-18_distributed-muon",
    "short/8": "2024-11-03_untie-embed",
    "short/9": "2024-11-06_shortcuts-tweaks",
    "short/10": "2024-11-08_cast-bf16",
    "short/11": "2024-11-10_unet-double-lr",
    "short/12": "2024-11-19_flex-attention",
    "short/13": "2024-11-24_window-warmup",
    "short/15": "2024-12-08_unet-value-embeds-tweaks",
    "short/17": "2024-12-17_sparsify-embeds",
    "short/21.1": "2025-02-01_rule-tweak",
    "short/24": "2025-05-30_reduce-scatter",
    "optimization/36": "2026-06-11_tuned-muon-baseline",
}
ALL = tuple(FOLDERS)
SHORT = tuple(name for name in ALL if name.startswith("short/"))
FLEX = ("short/12", "short/13", "short/15", "short/17", "short/21.1", "short/24")
PADDED = ("short/1", "short/17", "short/21.1")  # which tell the rows of the vocabulary from its tokens
RETIMED = ("short/21.1", "short/24")  # which time all steps, after a warm-up that is undone
MASK_INSIDE = ("short/15", "short/17", *RETIMED)  # whose model takes the window and makes the mask itself
WITHOUT_TRAIN_LOSS = ("short/15", "short/17", *RETIMED)  # in the lines of their logs
VOCABULARY, END = 2048, 256  # of the tiny models, and the token that begins a document for them

# One set of overrides scales every script down to a CPU.
TINY = {
    "device": "cpu",
    "n_layer": 2,
    "n_head": 2,
    "d_model": 32,
    "sequence_length": 32,
    "batch_size": 8,
    "device_batch_size": 1,
    "val_tokens": 1024,
    "val_loss_every": 10,
}

SHORT_WARM_UP = {"val_sequence_length": 32, "warmup_steps": 2}


def small_vocabulary(name: str) -> dict[str, int]:
    """Settings that shrink the vocabulary, so that logits do not cost more than all else together."""
    return {"vocab_size": VOCABULARY} | ({"padded_vocab_size": VOCABULARY} if name in PADDED else {})


def tiny(name: str) -> dict[str, object]:
    """The overrides that scale this script down."""
    return TINY | small_vocabulary(name) | (SHORT_WARM_UP if name in RETIMED else {})


def with_small_vocabulary(source: str) -> str:
    """A script whose documents begin with END: the masks of FLEX know that token by a constant."""
    changed = source.replace("\nEND_OF_TEXT = 50_256 ", f"\nEND_OF_TEXT = {END} ")
    assert (changed != source) == ("END_OF_TEXT" in source)
    return changed


def script_path(name: str) -> Path:
    track = name.split("/")[0]
    return ROOT / "records" / track / FOLDERS[name] / "script" / "train_gpt.py"


def import_file(path: Path, *, small: bool = False) -> ModuleType:
    """Import a script under a name of its own; nothing runs. small: with the end of text of a small vocabulary."""
    spec = importlib.util.spec_from_file_location(f"script_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    if small and hasattr(module, "END_OF_TEXT"):
        module.END_OF_TEXT = END  # type: ignore[attr-defined]
    return module


@functools.cache
def load(name: str) -> ModuleType:
    return import_file(script_path(name))


def mask_arguments(name: str, inputs: Any, window: int) -> tuple[Any, ...]:
    """What a model takes beside a row of tokens and its targets so that it sees `window` tokens or blocks."""
    if name not in FLEX:
        return ()
    size = torch.tensor(window)
    return (size,) if name in MASK_INSIDE else (load(name).attention_mask(inputs, size),)


def arguments(**settings: object) -> list[str]:
    return [f"{name}={value}" for name, value in settings.items()]


def write_shard(path: Path, tokens: np.ndarray) -> None:
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, 1, len(tokens)
    path.write_bytes(header.tobytes() + tokens.astype("<u2").tobytes())


def torchrun(name: str, ranks: int, folder: Path, settings: dict[str, object]) -> subprocess.CompletedProcess[bytes]:
    """Run a script as its users do, in a folder that holds data/."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    command += [str(script_path(name)), *arguments(**settings)]
    environment = {key: value for key, value in os.environ.items() if key != "DATA_PATH"}
    environment["OMP_NUM_THREADS"] = "1"
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=1800)
