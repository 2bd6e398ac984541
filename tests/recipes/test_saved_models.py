"""A script that keeps the contract gives its trained model back: what it saved scores what it printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from harness.catalog.contract import keeps_contract

from .scripts import ROOT, TINY, load, script_path
from .test_training import val_losses

ROWS, LENGTH = TINY["val_tokens"] // TINY["sequence_length"], TINY["sequence_length"]


def test_the_saved_model_of_the_optimization_track_scores_what_was_printed(
    data: Path, programs_folder: Path, trained_log: Callable[[str], bytes]
) -> None:
    logits_of = load("optimization/36").load(str(programs_folder / "model"))
    assert logits_of.sequence_tokens == LENGTH
    raw = np.fromfile(data / "data" / "fineweb10B" / "fineweb_val_000000.bin", dtype="<u2", offset=1024)
    tokens = torch.from_numpy(raw[: ROWS * LENGTH + 1].astype(np.int64))
    with torch.inference_mode():
        logits = logits_of(tokens[:-1].view(ROWS, LENGTH))
    loss = F.cross_entropy(logits.flatten(0, 1), tokens[1:]).item()
    assert abs(loss - val_losses(trained_log("optimization/36"))[-1]) < 1e-4


def test_the_template_and_a_smoke_script_keep_the_contract_and_the_first_smoke_records_do_not() -> None:
    for path in (script_path("optimization/36"), ROOT / "submissions" / "_smoke" / "train_gpt.py"):
        assert keeps_contract(path.read_bytes())
    for path in (ROOT / "records" / "smoke").glob("*/script/train_gpt.py"):
        scored = "ruleset: smoke@1\n" not in (path.parents[1] / "record.yaml").read_text()
        assert keeps_contract(path.read_bytes()) == scored, path
