"""What the harness found when it scored a trained model itself, and the weights that it scored.

A script that keeps the contract saves its weights; `harness.model_score` loads them in a confined process. None means "not
measured"; 0, -1 or "" never do.
"""

from dataclasses import dataclass

from harness.core.constraints import Count, Line, Loss, Sha256, Size

MOST_WEIGHTS_BYTES = 4 << 30  # 124 M parameters have 0.5 GB in fp32


@dataclass(frozen=True, slots=True)
class Weights:
    """The file that a run saved, as it was when the run had ended."""

    bytes: Size
    sha256: Sha256 | None  # None where it is larger than MOST_WEIGHTS_BYTES, and nobody read it


@dataclass(frozen=True, slots=True)
class Twins:
    """What changed at positions before a change: rows whose tokens behind a random position are of other text."""

    rows: Count
    positions: Count  # whose loss was compared: up to the last unchanged token of every row
    largest: Loss  # of |loss after − loss before| of one token, nats
    shift: Loss  # mean of (loss after − loss before) of the token right behind the last unchanged one, nats


@dataclass(frozen=True, slots=True)
class Gap:
    """Whether the official text is known better than other text, held against an honest model.

    difference: (loss on official − on other text) of the script, less the same of the reference; nats.
    """

    difference: Loss
    error: Loss  # standard error of the difference
    blocks: Count  # of consecutive tokens, of both texts together
    reference: Line  # "the source of the text", or the name of a script whose trained model stood beside it


@dataclass(frozen=True, slots=True)
class Score:
    """What score.json says of one run."""

    run: Line
    weights_sha256: Sha256
    tier: Line  # how the scorer was confined
    tokens: Count  # of the official text that were predicted
    wall_time_s: float
    problem: Line | None = None  # why the script's own `load` gave no valid logits, as a clause; then all below is None
    val_loss: Loss | None = None  # mean over the official text, nats per token
    other_loss: Loss | None = None  # mean over as much other held-out text
    sequence_tokens: Count | None = None  # of a row, as the script wants it
    twins: Twins | None = None
    gap: Gap | None = None
    no_gap: Line | None = None  # why there is no gap, as a clause
