"""What a board says of one later run of a record: who, where, and how far from the claim."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Spread = Literal["yes", "no", "unknown"]  # whether a mean loss lies within the spread of a record's own runs
Script = Literal["original", "reimplementation"]
Label = Literal["exact", "substituted"]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One stored replay. A reimplementation stands for itself: its figures are never shown as the original's."""

    date: str
    by: str
    gpus: str  # "8× NVIDIA H100 80GB HBM3"
    script: Script
    environment: Label
    runs: int
    time_off: float | None  # replayed / claimed − 1; None where the time does not count
    loss_off: float | None  # replayed − claimed mean loss, nats per token
    within_spread: Spread
