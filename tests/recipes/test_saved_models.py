"""Every script keeps the contract and gives its trained model back: what it saved scores what it printed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.catalog.contract import keeps_contract

from .scripts import ALL, END, ROOT, TINY, load, script_path
from .test_training import val_losses

ROWS, LENGTH = TINY["val_tokens"] // TINY["sequence_length"], TINY["sequence_length"]


@pytest.mark.parametrize("name", ALL)
def test_a_saved_model_scores_what_was_printed_and_knows_no_row_from_another(
    name: str,
    data: Path,
    trained_model: Callable[[str], Path],
    trained_log: Callable[[str], bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if hasattr(load(name), "END_OF_TEXT"):
        monkeypatch.setattr(load(name), "END_OF_TEXT", END)
    logits_of = load(name).load(str(trained_model(name)))
    assert logits_of.sequence_tokens == LENGTH  # also where rows of validation have a length of their own
    raw = np.fromfile(data / "data" / "fineweb10B" / "fineweb_val_000000.bin", dtype="<u2", offset=1024)
    tokens = torch.from_numpy(raw[: ROWS * LENGTH + 1].astype(np.int64))
    rows = tokens[:-1].view(ROWS, LENGTH)
    with torch.inference_mode():
        logits = logits_of(rows)
        alone = logits_of(rows[3:4])
    loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[1:]).item()
    assert abs(loss - val_losses(trained_log(name))[-1]) < 1e-4
    torch.testing.assert_close(alone, logits[3:4])


def test_all_scripts_to_start_from_keep_the_contract_and_the_first_smoke_records_do_not() -> None:
    for path in (*map(script_path, ALL), ROOT / "submissions" / "_smoke" / "train_gpt.py"):
        assert keeps_contract(path.read_bytes()), path
    for path in (ROOT / "records" / "smoke").glob("*/script/train_gpt.py"):
        scored = "ruleset: smoke@1\n" not in (path.parents[1] / "record.yaml").read_text()
        assert keeps_contract(path.read_bytes()) == scored, path
