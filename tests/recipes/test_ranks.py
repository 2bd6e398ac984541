"""1, 2 and 4 ranks are the same training: same tokens, same losses, same weights."""

import re
from pathlib import Path

import pytest
import torch

from .ranks import MUON_WORLDS, SHARDED, result, worlds
from .scripts import ALL, TINY, WITHOUT_TRAIN_LOSS

LOSS = re.compile(r"^step:(\d+)/10 .*?(train|val)_loss:([\d.]+)", re.M)


def losses(folder: Path, name: str, world: int) -> dict[tuple[str, int], float]:
    text = result(folder, {"kind": "train", "name": name, "world": world}, 0, "log").read_text()
    return {(kind, int(step)): float(loss) for step, kind, loss in LOSS.findall(text)}


@pytest.mark.parametrize("name", ALL)
def test_ten_steps_give_the_same_losses_on_any_number_of_ranks(name: str, ranks_folder: Path) -> None:
    reference = losses(ranks_folder, name, 1)
    dense = name in WITHOUT_TRAIN_LOSS
    assert {step for kind, step in reference if kind == "val"} == set(range(0, 11, 2 if dense else 10))
    if name.startswith("short") and not dense:
        assert {step for kind, step in reference if kind == "train"} == set(range(1, 11))
    assert reference["val", 10] < reference["val", 0] - 0.02, "the run did not train, so equality shows nothing"
    for world in worlds(name)[1:]:
        assert losses(ranks_folder, name, world) == pytest.approx(reference, abs=6e-4)


@pytest.mark.parametrize("name", ALL)
def test_only_rank_0_writes_to_stdout(name: str, ranks_folder: Path) -> None:
    world = worlds(name)[-1]
    for rank in range(1, world):
        assert result(ranks_folder, {"kind": "train", "name": name, "world": world}, rank, "log").read_bytes() == b""


@pytest.mark.parametrize("name", SHARDED)
def test_sharded_muon_equals_unsharded_muon_with_uneven_splits(name: str, ranks_folder: Path) -> None:
    def weights(world: int, rank: int) -> list[torch.Tensor]:
        return torch.load(result(ranks_folder, {"kind": "muon", "name": name, "world": world}, rank, "weights"))

    reference = weights(1, 0)
    for world in MUON_WORLDS[1:]:
        for rank in range(world):
            for ours, theirs in zip(weights(world, rank), reference, strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_tiny_settings_leave_one_row_for_each_of_the_recipes_eight_ranks() -> None:
    assert TINY["batch_size"] == 8 * TINY["device_batch_size"]
