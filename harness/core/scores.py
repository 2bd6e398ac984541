"""What the harness found when it scored a trained model itself, and the weights that it scored.

A script that keeps the contract saves its weights; `harness.score` loads them in a confined process. None means "not
measured"; 0, -1 or "" never do.
"""

from dataclasses import dataclass

from harness.core.constraints import Sha256

MOST_WEIGHTS_BYTES = 4 << 30  # 124 M parameters have 0.5 GB in fp32


@dataclass(frozen=True, slots=True)
class Weights:
    """The file that a run saved, as it was when the run had ended."""

    bytes: int
    sha256: Sha256 | None  # None where it is larger than MOST_WEIGHTS_BYTES, and nobody read it


@dataclass(frozen=True, slots=True)
class Twins:
    """What changed at positions before a change: rows whose tokens behind a random position are of other text."""

    rows: int
    positions: int  # whose loss was compared: up to the last unchanged token of every row
    largest: float  # of |loss after − loss before| of one token, nats
    shift: float  # mean of (loss after − loss before) of the token right behind the last unchanged one, nats


@dataclass(frozen=True, slots=True)
class Gap:
    """Whether the official text is known better than other text, held against an honest model.

    difference: (loss on official − on other text) of the script, less the same of the reference; nats.
    """

    difference: float
    error: float  # standard error of the difference
    blocks: int  # of consecutive tokens, of both texts together
    reference: str  # "the source of the text", or the name of a script whose trained model stood beside it


@dataclass(frozen=True, slots=True)
class Score:
    """What score.json says of one run."""

    run: str
    weights_sha256: Sha256
    tier: str  # how the scorer was confined
    tokens: int  # of the official text that were predicted
    wall_time_s: float
    problem: str | None = None  # why the script's own `load` gave no valid logits, as a clause; then all below is None
    val_loss: float | None = None  # mean over the official text, nats per token
    other_loss: float | None = None  # mean over as much other held-out text
    sequence_tokens: int | None = None  # of a row, as the script wants it
    twins: Twins | None = None
    gap: Gap | None = None
    no_gap: str | None = None  # why there is no gap, as a clause
