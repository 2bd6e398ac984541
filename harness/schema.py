"""The frozen values that pass between the stages, in the order of the story.

    Manifest → DataReceipt → Machine → Run (log + clock) → RunLog → Metrics → Verdict → Record → leaderboard

Nothing here reads a file or a clock. Units are in the names; inside, time is seconds. None means "not measured".
"""

from __future__ import annotations

import dataclasses
import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.replayed import Replayed

Outcome = Literal["pass", "fail", "inconclusive", "not applicable"]
Status = Literal["measured", "logged", "published"]


# ------------------------------------------------------------------------------------------------ tracks


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


# ------------------------------------------------------------------------------------------------ submission


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


@dataclass(frozen=True, slots=True)
class ShardReceipt:
    """What one token file was when it was looked at."""

    name: str
    bytes: int
    tokens: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DataReceipt:
    """Which tokens a run was given: hashed before and after."""

    source: str
    revision: str | None
    shards: tuple[ShardReceipt, ...]
    unchanged: bool | None = None  # None until hashed again after the run


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator as the driver names it."""

    name: str
    memory_mib: int | None
    power_cap_w: float | None
    vbios: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """This computer, as far as a result may depend on it. Holds no host name, user or address."""

    gpus: tuple[Gpu, ...]
    driver: str | None
    cpu: str
    cpu_count: int
    memory_bytes: int
    kernel: str
    python: str
    torch: str | None
    fingerprint: str  # sha256 over all the other fields


# ------------------------------------------------------------------------------------------------ run


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How one execution ended, as the harness saw it."""

    state: Literal["finished", "failed", "hung", "stopped", "lost"]
    exit_code: int | None
    wall_time_s: float
    reason: str | None = None  # one sentence, where it did not finish


@dataclass(frozen=True, slots=True)
class LogProblem:
    """Something in a log that a reader must not pass over."""

    kind: str
    line: int  # 1-based
    text: str


@dataclass(frozen=True, slots=True)
class RunLog:
    """What one run in one log says; a value that the log does not hold is None."""

    path: str
    run: int | None  # 1-based within the file; None where only the end of the file was read, as are the next two
    n_runs: int | None
    dialect: str | None
    first_step: int | None
    final_step: int | None
    total_steps: int | None
    final_val_loss: float | None  # at the final step
    final_val_ema_loss: float | None
    last_val_step: int | None
    last_val_loss: float | None
    final_train_time_s: float | None
    step_avg_ms: float | None  # as printed on the final line
    n_val_points: int | None
    n_train_points: int | None
    reached_last_step: bool | None
    has_final_val: bool
    source_sha256: str | None
    source_bytes: int | None
    source_origin: Literal["bytes", "placeholder"] | None
    script_sha256: str | None
    gpu_name: str | None
    gpu_count: int | None
    world_size: int | None
    driver: str | None
    cuda: str | None
    torch: str | None
    triton: str | None
    python: str | None
    peak_memory_mib: int | None
    started_at: str | None
    seed: int | None
    val_tokens: int | None
    overrides: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)
    problems: tuple[LogProblem, ...] = ()
    curve: tuple[tuple[int, float, float | None], ...] = ()  # (step, val_loss, train_time_s)
    final_val_text: str | None = None  # final_val_loss as printed, with all its decimals

    @classmethod
    def nothing(cls, path: str) -> RunLog:
        """What a log says that holds no metric line."""
        kinds = {field.name: None for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
        counts = {"run": 1, "n_runs": 1, "n_val_points": 0, "n_train_points": 0, "has_final_val": False}
        texts = {"path": path, "dialect": "none", "overrides": ()}
        return cls(**{**kinds, **counts, **texts, "extra": {}})  # type: ignore[arg-type]

    def to_json(self, *, with_curve: bool = False) -> dict[str, Any]:
        """The object that `speedrun log --json` prints for this run."""
        shown = [field.name for field in dataclasses.fields(self) if field.name not in ("curve", "final_val_text")]
        data = {name: getattr(self, name) for name in shown}
        data["overrides"] = list(self.overrides)
        data["problems"] = [dataclasses.asdict(problem) for problem in self.problems]
        if with_curve:
            data["curve"] = [list(point) for point in self.curve]
        return data


@dataclass(frozen=True, slots=True)
class TimedLine:
    """A line of a log that says something about time, and when the harness saw it arrive."""

    line: int  # 1-based in the log file
    kind: Literal["val", "train", "clock_start", "clock_stop"]
    step: int | None
    train_time_s: float | None  # as printed
    arrival_s: float | None = None  # on the harness's monotonic clock; None where nobody stamped
    step_avg_ms: float | None = None  # as printed


@dataclass(frozen=True, slots=True)
class Observed:
    """What the observer beside a run saw; None where the platform did not let it look."""

    opens: tuple[tuple[float, str], ...] | None  # (seconds after the start, name of the shard)
    read_bytes: tuple[tuple[float, int], ...] | None  # (seconds, bytes that all processes of the run had read by then)
    throttling: tuple[str, ...] | None  # slow-downs by heat or hardware that any GPU named
    busy: tuple[tuple[float, float], ...] | None  # (seconds, mean utilisation of the GPUs, 0 to 1)


@dataclass(frozen=True, slots=True)
class Metrics:
    """What one run measured, in base units, beside what the harness saw of it."""

    run_id: str
    log: RunLog
    seed: int | None
    step: int | None  # the step that the loss was taken at
    val_loss: float | None  # nats per token
    train_time_s: float | None  # timed sections, as the script reports
    wall_time_s: float | None  # process start to exit, as the harness saw
    timed_lines: tuple[TimedLine, ...] = ()
    log_sha256: str | None = None  # of the log's bytes
    outcome: RunOutcome | None = None  # None where only a log is left
    machine: Machine | None = None
    data: DataReceipt | None = None
    first_line_s: float | None = None  # arrival of the first line of the log, seconds after the start
    header_end_s: float | None = None  # arrival of the line before the first timed one
    given_seed: int | None = None  # the seed that the harness gave the run
    given_files: tuple[tuple[str, str], ...] | None = None  # name and sha256 of what the harness laid out for the run
    started_at: str | None = None  # by the harness's calendar, UTC
    observed: Observed | None = None


# ------------------------------------------------------------------------------------------------ verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one rule, as a sentence with its numbers."""

    rule: str  # "S1"
    name: str  # "mean below target"
    outcome: Outcome
    text: str  # a sentence: what was found; what to do
    measured: float | str | None = None
    required: float | str | None = None
    unit: str | None = None
    more_runs: int | None = None  # how many more runs are likely needed for a decision; None where that is no question

    def __str__(self) -> str:
        return f"{self.rule} {self.outcome}  {self.text}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """All findings of one submission or record under one ruleset, and what they come to."""

    subject: str
    ruleset: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...] = ()  # never change the outcome


# ------------------------------------------------------------------------------------------------ records


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a record claims."""

    train_time_s: float | None
    steps: int | None
    val_loss: float | None
    runs: int | None


@dataclass(frozen=True, slots=True)
class Original:
    """Where the frozen original of an imported record lies."""

    repository: str | None
    commit: str | None
    kind: Literal["file", "log", "git", "none"]
    path: str | None
    files: tuple[tuple[str, str], ...]  # name, sha256
    torch: str | None
    reason: str | None  # why there is none


@dataclass(frozen=True, slots=True)
class RecordRun:
    """One row of runs.csv: the figures of one run that stands for a record."""

    id: str
    role: Literal["own", "baseline"]
    step: int | None
    metric: str
    value: float | None
    train_time_s: float | None
    gpu_name: str | None
    gpu_count: int | None
    driver: str | None
    torch: str | None
    started_at: str | None
    script_sha256: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a leaderboard: identity, claim, and the figures of its runs."""

    track: str
    slug: str
    ruleset: str
    number: int
    kind: Literal["record", "retiming"]
    retimes: int | None
    date: datetime.date | None
    title: str
    contributors: tuple[str, ...]
    pull_request: str | None
    claimed: Claimed
    original: Original | None
    notes: str | None
    withdrawn: str | None
    runs: tuple[RecordRun, ...] = ()
    has_evidence: bool = False  # this harness ran it and the folder holds the pack
    replays: tuple[Replayed, ...] = ()
    faster_than: str | None = None  # the record that it beat in a same-machine comparison, like short/<slug>
    official: bool = False  # a maintainer timed it: its folder holds the comparison
