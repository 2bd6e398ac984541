"""What a board says of one later run of a record: who, where, how far from the claim, and whether that is within reason."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core import stats

LEVEL = 0.95  # of the interval that a replayed mean is expected in

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


def within_spread(own: Sequence[float], replayed: Sequence[float]) -> tuple[Spread, str]:
    """Whether the mean of replayed losses is one that the record's own runs let expect, and the sentence that says so.

    The rule is the prediction interval of the mean of m further runs, given n own ones:
    own mean ± t(n − 1, 0.975) · sd · √(1/n + 1/m). Few runs say little of their spread, so it is wide for few (± 5 sd
    for 3 own runs and 1 replayed, ± 2.4 sd for 10 and 1). Unknown where fewer than two own runs, or equal ones, have
    no spread, and where nothing was replayed.
    """
    n, m = len(own), len(replayed)
    if not m:
        return "unknown", "the replay printed no final loss"
    if n < 2:
        return "unknown", f"{n} own run{'' if n == 1 else 's'} of the record, so its spread is not known"
    centre, spread = stats.mean(own), stats.sd(own)
    if spread == 0.0:
        return "unknown", f"its {n} own runs all end at {centre:.4f}, so its spread is not known"
    room = stats.student_range(n - 1, LEVEL) * spread * math.sqrt(1 / n + 1 / m)
    inside = abs(stats.mean(replayed) - centre) <= room
    what = "1 further run" if m == 1 else f"the mean of {m} further runs"
    said = (
        f"its {n} own runs lie at {centre:.4f} ± {spread:.4f}, which lets expect {what} within ± {room:.4f} "
        f"({100 * LEVEL:g} % prediction interval)"
    )
    return ("yes" if inside else "no"), said
