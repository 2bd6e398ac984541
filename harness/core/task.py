"""The task: tracks, dated rulesets, and what somebody submits to them.

Nothing in this module reads a file. Units are in the names; inside, time is seconds.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Significance:
    """How a ruleset decides that the mean validation loss is below the target."""

    test: Literal["t", "closed-form", "sequential"]
    alpha: float | None = None  # one-sided level of `t`
    margin: float | None = None  # `closed-form`: (target − mean)·√n must reach it
    sigma_floor: float | None = None  # `sequential`: the least standard deviation that is believed
    bounds: tuple[tuple[int, int, float], ...] = ()  # `sequential`: (first n, last n, bound)
    min_runs: int = 1
    systems_margin: float | None = None  # nats that a `claim: systems` may lose against its parent, one-sided


@dataclass(frozen=True, slots=True)
class Ruleset:
    """One dated version of a track's rules."""

    id: str  # "short@2"
    since: datetime.date | None
    until: datetime.date | None
    summary: str
    timer: str  # what the timed sections cover
    untimed_steps: int
    significance: Significance
    evidence: tuple[str, ...]  # families of evidence that it requires: "logs", "clock", "data", "ledger", …
    forbidden: tuple[str, ...]  # flags and compile options that a script may not set
    allowed: tuple[str, ...]  # allowances of the era, named


@dataclass(frozen=True, slots=True)
class Shard:
    """One token file and, once somebody has pinned it, what it must be."""

    name: str
    tokens: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class TrackData:
    """Where a track's tokens come from and where a script looks for them."""

    source: Literal["hub", "synthetic"]
    folder: str  # relative to the run folder, for example "data/fineweb10B"
    train_pattern: str  # "fineweb_train_%06d.bin"
    val_pattern: str
    train_shards: int  # how many there are, numbered from 1; the validation shard is number 0
    shard_tokens: int  # tokens in a full shard
    repository: str | None = None  # hub dataset
    revision: str | None = None  # null until a maintainer pins it
    shards: tuple[Shard, ...] = ()  # pins: hashes and token counts
    seed: int | None = None  # of a synthetic source
    oracle_loss: float | None = None  # nats/token that the source itself scores on the validation tokens


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a rankable run needs."""

    kind: Literal["gpu", "any"]
    processes: int  # ranks that the launcher starts
    gpu_name: str | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """One fixed task with one target."""

    name: str
    title: str
    target_loss: float  # nats per token
    metric: Literal["train_time", "steps"]
    validation_tokens: int
    train_tokens: int  # what a run reads unless its script.yaml says otherwise; decides how many shards it needs
    runs: int  # how many runs `run` makes unless told otherwise
    silence_limit_s: float  # no output for this long means that the run hangs
    hardware: Hardware
    data: TrackData
    time_limit_s: float  # a run that takes longer is ended
    dry: tuple[str, ...]  # name=value overrides of a scaled-down run
    rulesets: tuple[Ruleset, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What somebody submits: identity and claims, no number that ranking uses."""

    track: str
    ruleset: str
    title: str
    contributors: tuple[str, ...]
    parent: str | None
    claim: Literal["ml", "systems"]
    entry: str
    files: tuple[tuple[str, str], ...]  # name, sha256; the entry among them
    notes: str | None
    folder: Path
