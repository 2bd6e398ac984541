"""What one run was given, what it printed and what the harness saw of it.

Nothing in this module reads a file or a clock. None means "not measured"; 0, -1 or "" never do.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from harness.core.scores import Score, Weights


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
    shards: tuple[ShardReceipt, ...]  # whole, validation first
    unchanged: bool | None = None  # None until hashed again after the run
    seed: int | None = (
        None  # of a secret source; the hashes commit to it, and whoever knows it can draw the shards again
    )
    # The last shard as it was offered, where its steps need a part of it only: its first tokens under a header of their own.
    cut: ShardReceipt | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the seed of a secret source gives, drawn again by the judge."""

    oracle_loss: float  # nats/token that the source itself scores on the validation tokens
    shards: tuple[ShardReceipt, ...]
    cut: ShardReceipt | None = None  # as the receipt's, of as many tokens


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


@dataclass(frozen=True, slots=True)
class GpuAtStart:
    """One accelerator right before a run, as nvidia-smi tells of it."""

    index: int
    temperature_c: int | None
    power_cap_w: float | None
    clock_mhz: int | None  # of its SMs at that moment
    clock_max_mhz: int | None
    clock_application_mhz: int | None  # what the clock was set to; newer drivers do not say
    clock_limits: tuple[str, ...] | None  # what holds the clock down: "gpu_idle", "applications_clocks_setting", …
    memory_mib: int | None
    memory_used_mib: int | None
    processes: tuple[int, ...] | None  # the numbers of those that compute on it


@dataclass(frozen=True, slots=True)
class MachineState:
    """This computer right before a run. Holds no host name, user, path or name of a process."""

    gpus: tuple[GpuAtStart, ...] | None  # empty where there is no nvidia-smi; None where it gives no answer
    load: float | None  # processes that want a core, mean over one minute
    memory_available_bytes: int | None
    shm_used_bytes: int | None  # in /dev/shm


Tier = Literal["bubblewrap", "landlock", "none"]
Purpose = Literal["judged", "screening", "prime", "probe", "dry"]


@dataclass(frozen=True, slots=True)
class Confinement:
    """How a run was confined; see `harness.launch.confinement`."""

    tier: Tier
    version: str | None  # "0.8.0" of bubblewrap, "ABI 7" of Landlock
    network: bool = True  # whether more than its own loopback could be reached
    user: int | None = None  # the user id that it ran with, where that was another than the harness's


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How one execution ended, as the recorder saw it."""

    state: Literal["finished", "failed", "hung", "stopped", "lost"]
    exit_code: int | None
    wall_time_s: float
    reason: str | None = None  # one sentence, where it did not finish
    received: dict[str, str] = field(default_factory=dict)  # log.txt, clock.csv -> sha256 of the bytes as they arrived
    survivors: tuple[int, ...] = ()  # processes of the run that could not be ended
    # In /dev/shm after the run and not before, of the run's user and used by no living program; None: not looked at.
    left_bytes: int | None = None

    def refused(self, changed: list[str]) -> Self:
        """Return the outcome of a run during which something was changed; what ended it by then stands first."""
        if not changed:
            return self
        reason = "; ".join([*([self.reason] if self.reason else []), *changed])
        return dataclasses.replace(self, state="failed" if self.state == "finished" else self.state, reason=reason)


@dataclass(frozen=True, slots=True)
class LogProblem:
    """Something in a log that a reader must not pass over."""

    kind: str
    line: int  # 1-based
    text: str


_NOT_SHOWN = ("curve", "final_val_text", "tokens_per_step")  # by `speedrun log --json`


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
    tokens_per_step: int | None = None

    @classmethod
    def nothing(cls, path: str) -> Self:
        """Return what a log says that holds no metric line."""
        kinds = {field.name: None for field in dataclasses.fields(cls) if field.default is dataclasses.MISSING}
        counts = {"run": 1, "n_runs": 1, "n_val_points": 0, "n_train_points": 0, "has_final_val": False}
        texts = {"path": path, "dialect": "none", "overrides": ()}
        return cls(**{**kinds, **counts, **texts, "extra": {}})  # type: ignore[arg-type]

    def to_json(self, *, with_curve: bool = False) -> dict[str, Any]:
        """Return the object that `speedrun log --json` prints for this run."""
        shown = [field.name for field in dataclasses.fields(self) if field.name not in _NOT_SHOWN]
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
class WrittenFile:
    """A file that the observer found; `copy` and `shared` hold validation text, `file` is large and of unknown content."""

    seen_s: float  # after the start; it was made at most two looks before
    kind: Literal["copy", "file", "shared"]  # shared: in a folder that others write to as well
    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Observed:
    """What the observer beside a run saw; None where the platform did not let it look."""

    opens: tuple[tuple[float, str], ...] | None  # (seconds after the start, name of the shard)
    read_bytes: tuple[tuple[float, int], ...] | None  # (seconds, bytes that all processes of the run had read by then)
    throttling: tuple[str, ...] | None  # slow-downs by heat or hardware that any GPU named
    busy: tuple[tuple[float, float], ...] | None  # (seconds, mean utilisation of the GPUs, 0 to 1)
    # (seconds, largest delay of a wake-up since the one before); None of an observer that had no heartbeat yet
    beats: tuple[tuple[float, float], ...] | None = None
    ended: bool = False  # whether it said that it ended in order
    written_bytes: tuple[tuple[float, int], ...] | None = None  # as read_bytes
    files: tuple[WrittenFile, ...] = ()  # that the run wrote and that are or may be copies of its validation shard
    lost: tuple[tuple[float, str], ...] = ()  # (seconds, what was not seen from then on)
    # (seconds, the longest that the recorder or a process of the run was ready and had no processor since the one before)
    waits: tuple[tuple[float, float], ...] = ()
    # (seconds, processor time of all processes of the run by then, without the kernel's); None: nobody counted it
    user_s: tuple[tuple[float, float], ...] | None = None


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
    confinement: Confinement | None = None  # None: by a harness that confined nothing
    weights: Weights | None = None  # that it saved
    score: Score | None = None  # of these weights, by the harness
    drawn: Drawn | None = None  # where its receipt names the seed of a secret source

    @property
    def is_stamped(self) -> bool:
        """Whether its figures were read from lines that this harness stamped, and from nothing else.

        Not those of an old harness, which read log and stamps apart, nor those of a log that a script wrote by itself.
        """
        return self.confinement is not None and any(line.arrival_s is not None for line in self.timed_lines)
