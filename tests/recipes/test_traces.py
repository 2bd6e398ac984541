"""The losses of the originals at tiny size, which a script must give from the same weights on the same tokens."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from .scripts import RETIMED, load, write_shard

END = 500  # the token that begins a document

# name: settings beside those of all, and the validation losses before each of 16 steps and after the last. They come from
# the originals of the records, run in fp32 on one rank with dense attention in place of FlexAttention.
TRACES: dict[str, tuple[dict[str, int], str]] = {
    "short/15": (
        {"d_model": 64, "vocab_size": 512, "warmdown_steps": 6},
        """6.3141356 5.3551617 4.8031454 4.4156399 4.1136661 3.8553724 3.6194534 3.4368577 3.2839785 3.1592088 3.0758109
        3.0107055 2.9629936 2.9313867 2.9084468 2.8930001 2.8850164""",
    ),
    "short/17": (
        {"d_model": 64, "vocab_size": 503, "padded_vocab_size": 512, "warmdown_steps": 6},
        """6.2889442 5.2906342 4.7613306 4.3939791 4.1121349 3.8458943 3.6325221 3.4578710 3.3134356 3.1906774 3.1121898
        3.0416284 2.9872022 2.9524517 2.9284387 2.9103723 2.9012170""",
    ),
    "short/21.1": (
        {"d_model": 256, "vocab_size": 503, "padded_vocab_size": 512, "val_sequence_length": 512, "warmup_steps": 1},
        """6.4267435 3.9075780 3.5159898 3.4895945 3.3735762 3.2039380 3.1119761 3.0995653 3.0573390 2.9865589 2.9778800
        2.9511070 2.9131331 2.8852749 2.8766408 2.8695548 2.8550315""",
    ),
    "short/24": (
        {"d_model": 256, "vocab_size": 512, "val_sequence_length": 512, "warmup_steps": 1},
        """6.2364140 5.2827320 4.0371995 3.5227156 3.3371181 3.2517631 3.1842473 3.1885805 3.2048240 3.1249325 3.1165757
        3.0649362 2.9975348 2.9700370 2.9525776 2.9313793 2.9130354""",
    ),
}

HELD = dict.fromkeys(
    RETIMED, 12
)  # their Newton-Schulz costs a second a step; the learning rate has begun to fall by then


class EnoughError(Exception):
    """Ends a training whose losses so far are to be compared."""


def tokens(seed: int, count: int) -> np.ndarray:
    """Documents of 60 tokens on average, most of whose tokens follow from the one before."""
    random = np.random.default_rng(seed)
    u, x = random.random((count, 2)), random.integers(0, 500, count)
    row = [END]
    for i in range(1, count):
        row.append(END if u[i, 0] < 1 / 60 else (5 * row[-1] + 3) % 500 if u[i, 1] < 0.7 else int(x[i]))
    return np.array(row)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traces")
    for name, seed, count in (("train_1", 1, 5_000), ("train_2", 2, 20_000), ("val", 3, 5_000)):
        write_shard(folder / f"{name}.bin", tokens(seed, count))
    return folder


def set_weights(model: Any) -> None:
    """Every matrix from a seed of its own; the learned scalars stay."""
    with torch.no_grad():
        for number, (name, p) in enumerate(model.named_parameters()):
            if p.ndim > 1:
                drawn = torch.randn(p.shape, generator=torch.Generator().manual_seed(1_000 + number))
                p.copy_(drawn if "embed" in name else 0.05 * drawn)


@pytest.mark.parametrize("name", TRACES)
def test_a_script_gives_the_losses_of_the_original_at_tiny_size(
    name: str, shards: Path, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, (sizes, trace) = load(name), TRACES[name]
    monkeypatch.setattr(module, "END_OF_TEXT", END)
    monkeypatch.setattr(module, "RECIPE_RANKS", 1)
    losses, validate = [], module.validate

    def note(*given: Any) -> float:
        losses.append(validate(*given))
        if len(losses) == HELD.get(name):
            raise EnoughError
        return losses[-1]

    monkeypatch.setattr(module, "validate", note)
    files = {"train_files": str(shards / "train_*.bin"), "val_files": str(shards / "val.bin")}
    run = {"batch_size": 1, "sequence_length": 512, "val_tokens": 1_024, "val_loss_every": 1, "num_iterations": 16}
    args = module.Hyperparameters(device="cpu", n_head=2, **files, **run, **sizes)
    model = module.make_model(args)
    set_weights(model)
    with contextlib.suppress(EnoughError):
        module.train(model, *module.open_data(0, 1, args), args)
    expected = [float(loss) for loss in trace.split()][: HELD.get(name)]
    assert losses[0] == pytest.approx(expected[0], abs=2e-5)
    assert losses == pytest.approx(expected, abs=2e-3)
