"""The scale-up of short/6: its sizes, schedule and tokens are the field's, and a narrow copy trains and can be loaded."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.catalog.contract import keeps_contract
from harness.dataset import larger

from .conftest import free_ports
from .scripts import ROOT, arguments, import_file, load

SCRIPT = ROOT / "examples" / "scale_up" / "train_gpt.py"
NARROW = {"device": "cpu", "n_layer": 2, "n_head": 2, "d_model": 32, "vocab_size": 512, "sequence_length": 32}
NARROW |= {"batch_size": 32, "device_batch_size": 2, "pass_rows": 1, "val_tokens": 1024, "val_loss_every": 12}
NARROW |= {"num_iterations": 24, "warmdown_steps": 8, "seed": 3}
NARROW |= {f"{kind}_files": f"data/fineweb10B/fineweb_{kind}_*.bin" for kind in ("train", "val")}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return import_file(SCRIPT)


def settings(script: ModuleType, *argv: str) -> object:
    return script.parse_overrides(list(argv))[0]


@pytest.mark.parametrize(
    ("preset", "weights", "embed_lr", "muon_lr"),
    [("1.5b", 1_549_467_648, 0.0018, 0.00018), ("350m", 353_501_184, 0.0025, 0.00025)],
)
def test_a_preset_has_its_weights_rates_steps_and_tokens(
    script: ModuleType, preset: str, weights: int, embed_lr: float, muon_lr: float
) -> None:
    args, overrides = script.parse_overrides([f"preset={preset}", "seed=1"])
    assert overrides == []
    with torch.device("meta"):
        model = script.GPT(args)
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert all(parameter.is_meta for parameter in model.parameters())
    assert args.d_model // args.n_head == 128
    assert (args.embed_lr, args.muon_lr) == (embed_lr, muon_lr)
    assert args.num_iterations * args.batch_size * args.sequence_length == 9_999_482_880
    assert args.val_tokens == 10_420_224 == 106 * 8 * args.device_batch_size * args.sequence_length
    assert args.draws == 5
    flat = args.num_iterations - 5_812
    scales = [script.learning_rate_scale(step, args) for step in (0, flat, flat + 1, args.num_iterations - 1)]
    assert scales == [1.0, 1.0, pytest.approx(5_811 / 5_812), pytest.approx(1 / 5_812)]


def test_the_first_loss_is_that_of_a_network_which_predicts_its_own_input(script: ModuleType) -> None:
    """The logit of the input itself is √d times the norm of its row of the table, about √(d/3); the others are about 0."""
    args = settings(script, *arguments(**NARROW), "d_model=768", "vocab_size=50304")
    torch.manual_seed(0)
    with torch.no_grad():
        tokens = torch.randint(0, 50_000, (4, 33), generator=torch.Generator().manual_seed(1))
        loss = float(script.make_model(args)(tokens[:, :-1], tokens[:, 1:]))
    assert loss == pytest.approx(math.sqrt(768 / 3), abs=0.5), "16.0, and 22.6 at a width of 1,536"


def test_of_a_file_ranks_read_as_many_draws_as_those_of_the_field(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "open_shard", lambda path: np.broadcast_to(np.uint16(1), (100_000_000,)))
    monkeypatch.setattr(torch, "from_numpy", lambda window: torch.empty(1).expand(window.shape))
    for number in (1, 2):
        (tmp_path / f"{number}.bin").touch()
    args = settings(script, f"train_files={tmp_path}/*.bin")
    counts = []
    for rank in range(8):
        loader, draws = script.DistributedDataLoader(args.train_files, rank, args), 0
        while loader.file_index == 0:
            loader.next_batch()
            draws += 1
        counts.append(draws)
    assert counts == [1017] * 3 + [1016] * 5
    used = math.ceil(args.num_iterations * args.draws / 1016)
    assert used * 100_000_000 == larger.find("fineweb100B").train_tokens, "what `speedrun fetch fineweb100B` brings"


def test_fewer_rows_at_a_time_are_the_same_rows_in_the_same_order(
    script: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_PATH", str(data))
    drawn = []
    for rows in (1, 2):
        args = settings(script, *arguments(**NARROW | {"pass_rows": rows}))
        loaders, _ = script.open_data(0, 2, args)
        drawn.append([torch.cat(part) for part in zip(*script.next_micro_batches(loaders, args, 2), strict=True)])
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
    assert drawn[0][0].shape == (2 * 4 * 2, 32), "two draws of the four recipe ranks of one of two processes"


def test_memory_is_counted_by_parts_and_momenta_are_shared_out(script: ModuleType) -> None:
    args = settings(script, "preset=1.5b")
    with torch.device("meta"):
        model = script.GPT(args)
    eight, one, fewer = (
        script.memory_bytes(model, wanted, world)
        for wanted, world in ((args, 8), (args, 1), (settings(script, "pass_rows=3"), 8))
    )
    assert eight["weights"] == 4 * 1_549_467_648
    assert one["momenta of Muon"] == 4 * 1_472_200_704 and eight["momenta of Muon"] * 7 < one["momenta of Muon"]
    assert fewer["activations"] * 4 == eight["activations"]
    assert 50e9 < sum(eight.values()) < 80e9, "12 rows fit an H100 of 80 GB, as the field's run shows"


def test_the_model_is_that_of_record_6(script: ModuleType) -> None:
    theirs = load("short/6")
    small = {name: NARROW[name] for name in ("device", "n_layer", "n_head", "d_model", "vocab_size", "sequence_length")}
    models = []
    for module in (script, theirs):
        torch.manual_seed(4)
        models.append(module.make_model(module.parse_overrides(arguments(**small))[0]))
    tokens = torch.arange(64).view(2, 32)
    with torch.no_grad():
        for mine, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
            assert torch.equal(mine, other)
            mine.mul_(1.1).add_(0.01), other.mul_(1.1).add_(0.01)
        assert torch.equal(models[0].logits(tokens), models[1].logits(tokens))


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [("preset=7b", "is no preset; write preset=NAME with one of: 1.5b, 350m"), ("rows=1", "is no override")],
)
def test_a_preset_that_there_is_not_ends_the_program(script: ModuleType, argument: str, sentence: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        settings(script, argument)
    with pytest.raises(SystemExit, match="pass_rows must divide device_batch_size"):
        script.check_settings(settings(script, *arguments(**NARROW | {"pass_rows": 3})), 1)


def test_a_narrow_copy_trains_and_is_loaded_as_what_it_printed(script: ModuleType, data: Path, tmp_path: Path) -> None:
    assert keeps_contract(SCRIPT.read_bytes())
    [port] = free_ports(1)
    alone = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, str(SCRIPT), *arguments(**NARROW), f"save={tmp_path / 'model'}"]
    environment = os.environ | alone | {"DATA_PATH": str(data), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    printed = done.stdout.split("=" * 100)[-2] + done.stdout.split("=" * 100)[-1]
    losses = [float(loss) for loss in re.findall(r"^step:\d+/24 val_loss:([\d.]+) ", printed, re.M)]
    assert losses[2] < losses[1] < losses[0] - 0.05
    assert re.search(r"^memory of a GPU at least [\d.]+ GB: weights [\d.]+, gradients", printed, re.M)
    assert "override:pass_rows=1" in printed and "tokens_per_step:1024" in printed
    model = script.load(str(tmp_path / "model"))
    raw = np.fromfile(data / "data" / "fineweb10B" / "fineweb_val_000000.bin", dtype="<u2", offset=1024)
    tokens = torch.from_numpy(raw[:1025].astype(np.int64))
    with torch.inference_mode():
        logits = model(tokens[:-1].view(-1, model.sequence_tokens))
    assert F.cross_entropy(logits.flatten(0, 1), tokens[1:]).item() == pytest.approx(losses[-1], abs=1e-4)
