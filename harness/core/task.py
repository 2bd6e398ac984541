"""The task: tracks, dated rulesets, and what somebody submits to them.

Each is the declaration of its file too (`tracks/*.yaml`, `manifest.yaml`); reading them is the catalog's. Units are in
the names; inside, time is seconds.
"""

import datetime
from dataclasses import dataclass, field
from typing import Annotated, Literal

from harness.core.constraints import (
    Commit,
    Count,
    FileName,
    FrozenFiles,
    Line,
    Positive,
    Prose,
    RecordName,
    RulesetId,
    Several,
    Sha256,
    Size,
    Text,
    TrackName,
)
from harness.core.measurement import Tier

EvidenceFamily = Literal[
    "logs", "script", "seeds", "clock", "data", "machine", "ledger", "telemetry", "confinement", "scored", "work"
]
Flag = Literal["inductor-config", "compile-options", "compile-mode", "inductor-environment"]
Allowance = Literal[
    "any hardware",
    "any compile flags",
    "inductor tuning flags",
    "reading the environment",
    "writing logs/",
    "downloads while running",
    "warm-up on training data with restored state",
    "reading the validation shard in warm-up",
]
Claim = Literal["ml", "systems"]
# A letter that looks like another one would name somebody else, so handles are ASCII, as GitHub has them.
Handle = Annotated[str, Text("a GitHub handle like @somebody", r"@[A-Za-z0-9](-?[A-Za-z0-9]){0,38}", max_length=40)]
ShardPattern = Annotated[str, Text("a file name with %06d", r"[A-Za-z0-9_.-]+%06d[A-Za-z0-9_.-]*")]
Override = Annotated[str, Text("name=value", r"[a-z_0-9]+=\S+")]


@dataclass(frozen=True, slots=True)
class Significance:
    """How a ruleset decides that the mean validation loss is below the target."""

    test: Literal["t", "closed-form", "sequential"]
    alpha: float | None = None  # one-sided level of `t`
    margin: float | None = None  # `closed-form`: (target − mean)·√n must reach it
    sigma_floor: float | None = None  # `sequential`: the least standard deviation that is believed
    bounds: tuple[tuple[int, int, float], ...] = ()  # `sequential`: (first n, last n, bound)
    min_runs: Count = 1
    declared_n: bool = False  # `closed-form`: its number of runs is declared before the first, as that of `t` always is
    systems_margin: float | None = None  # nats that a `claim: systems` may lose against its parent, one-sided

    @property
    def fixed_n(self) -> bool:
        """Tell whether the test is made once, over the number of runs that was declared before the first."""
        return self.test == "t" or (self.test == "closed-form" and self.declared_n)


@dataclass(frozen=True, slots=True)
class TextLimits:
    """How much text a submission may bring; nothing but text."""

    total_bytes: Count  # of all its files together
    data_bytes: Count  # of literals and comments that its parent does not have; and of all that is new, compressed


@dataclass(frozen=True, slots=True)
class Waiver:
    """A finding that a maintainer has lifted for one script, after reading what it names."""

    script: Sha256  # all its frozen files together, as the finding names it
    rule: Literal["R3", "R4", "T8", "T9"]
    by: Handle
    date: datetime.date
    reason: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruleset:
    """One dated version of a track's rules."""

    id: RulesetId
    since: datetime.date | None = None
    until: datetime.date | None = None
    summary: Line
    timer: Line  # what the timed sections cover
    untimed_steps: Size
    significance: Significance
    evidence: tuple[EvidenceFamily, ...]  # families of evidence that it requires
    forbidden: tuple[Flag, ...]  # flags and compile options that a script may not set
    allowed: tuple[Allowance, ...]  # allowances of the era
    # nats/token above the entropy of a synthetic source that a secret seed draws for each series; the track's seed and
    # target are not used then.
    above_entropy: float | None = None
    tiers: tuple[Tier, ...] = ()  # how a run must be confined, one of these; none named: it need not be
    tokens_per_step: Count | None = None  # that a step trains on, and a run is offered; none: whole shards
    program_text: TextLimits | None = None  # what a submission may bring; none: it was never asked
    # What makes a record: the submitter's evidence, or a session of fresh runs by somebody in tracks/timers.yaml.
    acceptance: Literal["evidence", "session"] = "evidence"
    draft: bool = False  # nothing is accepted under it yet, and new submissions take the one before
    older_until: datetime.date | None = None  # submissions made under older rulesets are judged by those until then

    @property
    def loss_metric(self) -> str:
        """What records made under it store as the loss of a run: that loss, or its distance to the source's entropy."""
        return "val_loss" if self.above_entropy is None else "above_entropy"


@dataclass(frozen=True, slots=True)
class Timer:
    """Somebody whose sessions are official."""

    handle: Handle
    name: Line
    since: datetime.date
    until: datetime.date | None = None  # the last day
    tracks: tuple[TrackName, ...] = ()  # none named: all

    def is_official(self, track: str, day: datetime.date) -> bool:
        """Tell whether sessions of this day on a track are official."""
        in_time = self.since <= day and (self.until is None or day <= self.until)
        return in_time and (not self.tracks or track in self.tracks)


@dataclass(frozen=True, slots=True)
class TimersFile:
    """What tracks/timers.yaml says."""

    timers: tuple[Timer, ...]


@dataclass(frozen=True, slots=True)
class Shard:
    """One token file and, once somebody has pinned it, what it must be."""

    name: FileName
    tokens: Count | None = None
    sha256: Sha256 | None = None


@dataclass(frozen=True, slots=True)
class Pins:
    """What `speedrun fetch --pin` found a track's tokens to be, in tracks/<track>.pins.json beside the track."""

    written_by: Literal["speedrun fetch --pin"]
    revision: Commit | None
    shards: tuple[Shard, ...]


@dataclass(frozen=True, slots=True)
class TrackData:
    """Where a track's tokens come from and where a script looks for them."""

    source: Literal["hub", "synthetic"]
    # Relative to the run folder, for example "data/fineweb10B".
    folder: Annotated[str, Text("a relative folder", r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")]
    train_pattern: ShardPattern  # "fineweb_train_%06d.bin"
    val_pattern: ShardPattern
    train_shards: Count  # how many there are, numbered from 1; the validation shard is number 0
    shard_tokens: Count  # tokens in a full shard
    # A dataset of the hub.
    repository: Annotated[str, Text("a dataset like owner/name", r"[\w.-]+/[\w.-]+")] | None = None
    revision: Commit | None = None  # null until a maintainer pins it
    shards: tuple[Shard, ...] = ()  # pins: hashes and token counts
    seed: Size | None = None  # of a synthetic source
    varied: bool = False  # whether the seed of a synthetic source determines its entropy as well
    oracle_loss: float | None = None  # nats/token that the source itself scores on the validation tokens


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a rankable run needs."""

    kind: Literal["gpu", "any"]
    processes: Count  # ranks that the launcher starts
    gpu_name: Prose | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One fixed task with one target."""

    name: TrackName
    title: Line
    target_loss: Positive  # nats per token
    metric: Literal["train_time", "steps"]
    validation_tokens: Count
    train_tokens: Count  # what a run reads unless its script.yaml says otherwise; decides how many shards it needs
    runs: Count  # how many runs `run` makes unless told otherwise
    silence_limit_s: Positive  # no output for this long means that the run hangs
    time_limit_s: Positive  # a run that takes longer is ended
    hardware: Hardware
    data: TrackData
    dry: tuple[Override, ...]  # of a scaled-down run
    rulesets: Several[Ruleset]
    waivers: tuple[Waiver, ...] = ()
    timed_alike: tuple[tuple[RulesetId, ...], ...] = ()  # groups of rulesets whose timers cover the same sections

    def times_alike(self, a: Ruleset, b: Ruleset) -> bool:
        """Tell whether two of its rulesets time the same sections: by the same words, or in one of the groups."""
        grouped = any(a.id in group and b.id in group for group in self.timed_alike)
        return (grouped or a.timer == b.timer) and a.untimed_steps == b.untimed_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What somebody submits: identity and claims, no number that ranking uses."""

    track: TrackName
    ruleset: RulesetId
    title: Annotated[str, Text(max_length=120)]
    contributors: Several[Line]
    parent: RecordName | None = None
    claim: Claim
    entry: FileName
    notes: Prose | None = None
    files: FrozenFiles = field(default_factory=dict)  # in the file up to schema 1; since then in manifest.lock
