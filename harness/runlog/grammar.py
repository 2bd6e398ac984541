"""The patterns of a log part, and the parser of one metric line.

The difficulty is to be strict and general at once: 26 dialects differ in fields, units and decimals, unknown
`name:value` pairs must survive, and yet a line that was torn or interleaved with another one must never give a number
that nobody printed. Three rules do most of that work: a line starts with its step; losses count only on a line that
goes on to a `train_time` and a `step_avg` with their units; and nothing on a line may look like the step of a second
line.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

MAX_LINE_BYTES = 1 << 16  # the longest line of a log part in the field's archive has 587

# ---------------------------------------------------------------------------------------- metric lines

# step:1480/1480 val_loss:3.2759 train_time:236723ms step_avg:161.04ms [name:value ...]; a blank may follow a colon.
_STEP_LINE = re.compile(rb"step:(\d{1,12})/(\d{1,12})((?: +[A-Za-z_][A-Za-z0-9_.]*: ?[^\s:\x00-\x1f\x7f]+)+)[ \t]*")
_PAIR = re.compile(rb"([A-Za-z_][A-Za-z0-9_.]*): ?([^\s:]+)")
# s:19560 tel:3.2722 and s:0 trl:11.0091 lr:0.000001 norm:15.37
_PLAIN_LINE = re.compile(rb"s:(\d{1,12}) (tel|trl):([^\s:]+)((?: [A-Za-z_][A-Za-z0-9_.]*:[^\s:]+)*)[ \t]*")
_NUMBERED_STEP = re.compile(rb"step:[+-]?\d")
_SLASHED_STEP = re.compile(rb"step:\d+/\d+")
_NUMBER = re.compile(rb"[+-]?\d{1,40}(?:\.\d{0,60})?(?:[eE][+-]?\d{1,4})?")
MOST_LOSS = 1e100  # squares and sums of larger numbers overflow; they count as infinite
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf(?:inity)?)", re.IGNORECASE)
_TIME = re.compile(rb"(\d{1,20}(?:\.\d{1,20})?)(ms|s)")
_NO_TIME = re.compile(rb"[+-]?(?:nan|inf)(?:ms|s)")

# The two lines that nearly every metric line is, read in one step; everything else goes the general way.
COMMON_LINE = re.compile(
    rb"step:(\d{1,9})/(\d{1,9}) (?:(val|train)_loss:(\d{1,9}\.\d{1,12}) )?"
    rb"train_time:(\d{1,15}(?:\.\d{1,9})?)(ms|s) step_avg:(?:(\d{1,15}\.\d{1,9})|nan)ms"
)
WHOLE_END = re.compile(rb"step_avg:(?:\d+(?:\.\d+)?|nan)m?s[ \t]*$")  # a last line that ends so lacks nothing


@dataclass(frozen=True, slots=True)
class Form:
    """How the lines of one family look: marks to search for, and whole stretches of ordinary train lines.

    Each match of a train line begins with the newline before it and ends before the newline behind it; so as many
    matches as newlines means that every line matched as a whole. Numbers are shorter here than the grammar allows.
    """

    line: bytes  # stands on every metric line
    validation: bytes  # stands on every validation line
    train_lines: tuple[re.Pattern[bytes], ...]  # the commonest first


STEP_MARK = b"step:"
STEP_FORM = Form(
    STEP_MARK,
    b" val_",
    (
        re.compile(rb"\nstep:(\d{1,9}+)/\d{1,9}+ train_time:\d{1,9}+ms step_avg:\d{1,9}+\.\d{1,9}+ms(?=\n)"),
        re.compile(
            rb"\nstep:(\d{1,9}+)/\d{1,9}+ (?:train_loss:\d{1,9}+\.\d{1,9}+ )?train_time:\d{1,9}+(?:ms|\.\d{1,9}+s) "
            rb"step_avg:(?:\d{1,9}+\.\d{1,9}+|nan)ms(?=\n)"
        ),
    ),
)
PLAIN_MARK = b"s:"
PLAIN_FORM = Form(
    PLAIN_MARK,
    b" tel:",
    (re.compile(rb"\ns:(\d{1,9}+) trl:\d{1,9}+\.\d{1,9}+(?: lr:\d{1,9}+\.\d{1,9}+ norm:\d{1,9}+\.\d{1,9}+)?(?=\n)"),),
)
PLAIN_VALIDATION = re.compile(rb"^s:\d+ tel:", re.MULTILINE)
# Words that print a step and are no metric lines, by what stands before `step:` on the line.
ASIDE = re.compile(rb"[A-Za-z_]\w*(?: \[?[A-Za-z_]\w*\]?)?[ =]")
RANK_PREFIX = re.compile(rb"\[(?:[a-z]*)(\d{1,5})\]:? ?")
COLOUR = re.compile(rb"\x1b\[[0-9;]*m|\x1b\[K")  # all that a line may hold of escape sequences and still be read

# ---------------------------------------------------------------------------------------- other lines of a log part

ClockMark = Literal["clock_start", "clock_stop"]
_CLOCK: dict[bytes, ClockMark] = {b"clock:start": "clock_start", b"clock:stop": "clock_stop"}
TOKENS_PER_STEP = re.compile(rb"^tokens_per_step:(\d{1,15})\s*$", re.MULTILINE)
PEAK_MEMORY = re.compile(rb"^peak memory (?:consumption|allocated): (\d{1,9}) MiB", re.MULTILINE)
PEAK_MEMORY_MARK = b"peak memory "
SEED = re.compile(
    rb"^(?:trial:\d+/\d+ seed:|seed:|Using seed=|=+ seed )(\d{1,20})(?=\s|$)(?! exit_status)(?! end)", re.MULTILINE
)
SEED_MARK = b"seed"
ECHO_START = re.compile(rb"^=+ seed \d+ (?:exit_status|end)[^\n]*", re.MULTILINE)
ECHO_END = re.compile(rb"^=+ seed \d+ (?:start|begin)", re.MULTILINE)
ECHO_MARK = b"== seed "
TRACEBACK = re.compile(
    rb"Traceback \(most recent call last\)|ChildFailedError|Signal \d+ \(SIG[A-Z]+\)|CUDA out of memory"
)
TRACEBACK_MARKS = (b"Traceback (most", b"ChildFailedError", b" (SIG", b"CUDA out of memory")


@dataclass(frozen=True, slots=True)
class MetricLine:
    """What one metric line prints; times in seconds, a value that is not there or not finite is None."""

    step: int
    total_steps: int | None
    val_loss: float | None = None
    val_ema_loss: float | None = None
    train_loss: float | None = None
    train_time_s: float | None = None
    step_avg_ms: float | None = None
    unit: str | None = None  # the printed unit of train_time
    not_finite: tuple[str, ...] = ()  # names of losses that are NaN or infinite
    extra: dict[str, str] = field(default_factory=dict)  # unknown pairs, as printed
    kind: Literal["train", "val", "note"] = "train"  # a note only adds pairs to its step
    text: str = ""  # val_loss as printed


@dataclass(frozen=True, slots=True)
class Flaw:
    """A line that looks like a metric line and is none that may be used."""

    why: str


def parse_metric(line: str) -> MetricLine | None:
    """Parse one line of a log as it comes, for the display of a run; None where it is no usable metric line.

    A rank prefix, colours and the line's end are taken off first. Never raises.
    """
    raw = line.encode("utf-8", "replace").rstrip(b"\r\n")
    if len(raw) > MAX_LINE_BYTES:
        return None
    line_read = parse_line(undress(raw))
    return line_read if isinstance(line_read, MetricLine) and line_read.kind != "note" else None


def clock_mark(raw: bytes) -> ClockMark | None:
    """Read a mark of the clock from a line without its end; None for other text. Colours and rank are off already."""
    return _CLOCK.get(raw.strip(b" \t"))


def undress(raw: bytes) -> bytes:
    """Take colours and the prefix of rank 0 off a line; a line of another rank becomes empty."""
    if b"\x1b" in raw:
        raw = COLOUR.sub(b"", raw)
    if raw.startswith(b"["):
        prefix = RANK_PREFIX.match(raw)
        if prefix is not None:
            return raw[prefix.end() :] if int(prefix[1]) == 0 else b""
    return raw


def parse_line(raw: bytes) -> MetricLine | Flaw | None:
    """Read one line without its end: a MetricLine, a Flaw where a step line is unusable, None for other text."""
    if raw.startswith(STEP_MARK):
        common = COMMON_LINE.fullmatch(raw)
        return _step_line(raw) if common is None else _common_line(common)
    if raw.startswith(PLAIN_MARK):
        return _plain_line(raw)
    if STEP_MARK in raw and _SLASHED_STEP.search(raw):
        before = raw[: raw.index(STEP_MARK)]
        return None if ASIDE.fullmatch(before) and raw.count(STEP_MARK) == 1 else Flaw("text before its step")
    return None


def _common_line(match: re.Match[bytes]) -> MetricLine:
    step, total, kind, loss, time, unit, average = match.groups()
    number = None if loss is None else float(loss)
    return MetricLine(
        int(step),
        int(total),
        number if kind == b"val" else None,
        None,
        number if kind == b"train" else None,
        float(time) / 1000.0 if unit == b"ms" else float(time),
        None if average is None else float(average),
        unit.decode("ascii"),
        (),
        {},
        "val" if kind == b"val" else "train",
        loss.decode("ascii") if kind == b"val" else "",
    )


def _step_line(raw: bytes) -> MetricLine | Flaw | None:
    match = _STEP_LINE.fullmatch(raw)
    if match is None:
        return Flaw("not of the form step:N/N name:value ...") if _NUMBERED_STEP.match(raw) else None
    pairs: dict[bytes, bytes] = {}
    for name, value in _PAIR.findall(match[3]):
        if name in pairs:
            return Flaw(f"{name.decode('ascii')} stands on it twice")
        # `ref_step:2375` is a pair; `val_lostep:250/250` is where another line broke in.
        if name.endswith(b"step") and (not name.endswith(b"_step") or b"/" in value):
            return Flaw("a second step on the line")
        pairs[name] = value
    return _fields(int(match[1]), int(match[2]), pairs)


def _fields(step: int, total: int, pairs: dict[bytes, bytes]) -> MetricLine | Flaw:
    losses: dict[bytes, float | None] = {}
    for name in (b"val_loss", b"val_avg_loss", b"val_ema_loss", b"train_loss"):
        if name in pairs:
            try:
                losses[name] = _loss(pairs[name])
            except ValueError:
                return Flaw(f"{name.decode('ascii')} is no number")
    timed = b"train_time" in pairs and b"step_avg" in pairs
    if not timed and (losses or b"train_time" in pairs or b"step_avg" in pairs):
        return Flaw("train_time or step_avg is missing")
    extra = {n.decode("ascii"): v.decode("utf-8", "replace") for n, v in pairs.items() if n not in _KNOWN}
    if not timed:
        return MetricLine(step, total, extra=extra, kind="note")
    time, average = _TIME.fullmatch(pairs[b"train_time"]), _TIME.fullmatch(pairs[b"step_avg"])
    if time is None and not _NO_TIME.fullmatch(pairs[b"train_time"]):
        return Flaw("train_time has no number with a unit")
    if average is None and not _NO_TIME.fullmatch(pairs[b"step_avg"]):
        return Flaw("step_avg has no number with a unit")
    bad = tuple(name.decode("ascii") for name, value in losses.items() if value is None)
    if time is None:
        bad = (*bad, "train_time")
    is_val = b"val_loss" in pairs or b"val_ema_loss" in pairs or b"val_avg_loss" in pairs
    return MetricLine(
        step,
        total,
        losses.get(b"val_loss"),
        losses.get(b"val_ema_loss"),
        losses.get(b"train_loss"),
        _seconds(time),
        None if average is None else _milliseconds(average),
        None if time is None else time[2].decode("ascii"),
        bad,
        extra,
        "val" if is_val else "train",
        pairs.get(b"val_loss", b"").decode("ascii", "replace"),
    )


_KNOWN = frozenset((b"val_loss", b"val_avg_loss", b"val_ema_loss", b"train_loss", b"train_time", b"step_avg"))


def _plain_line(raw: bytes) -> MetricLine | Flaw | None:
    match = _PLAIN_LINE.fullmatch(raw)
    if match is None:
        return Flaw("not of the form s:N tel:F") if re.match(rb"s:\d+ (?:tel|trl):", raw) else None
    try:
        loss = _loss(match[3])
    except ValueError:
        return Flaw("its loss is no number")
    is_val = match[2] == b"tel"
    extra = {n.decode("ascii"): v.decode("utf-8", "replace") for n, v in _PAIR.findall(match[4])}
    return MetricLine(
        int(match[1]),
        None,
        val_loss=loss if is_val else None,
        train_loss=None if is_val else loss,
        not_finite=() if loss is not None else ("val_loss" if is_val else "train_loss",),
        extra=extra,
        kind="val" if is_val else "train",
        text=match[3].decode("ascii", "replace") if is_val else "",
    )


def _loss(value: bytes) -> float | None:
    """Read a printed loss; None where it is NaN, infinite or beyond MOST_LOSS. Raises ValueError where it is no number."""
    if _NUMBER.fullmatch(value):
        number = float(value)
        return number if abs(number) < MOST_LOSS else None
    if _NOT_FINITE.fullmatch(value):
        return None
    raise ValueError(value)


def _seconds(time: re.Match[bytes] | None) -> float | None:
    if time is None:
        return None
    # Dividing keeps 236723 ms the double nearest to 236.723; multiplying by 0.001 does not.
    return float(time[1]) / 1000.0 if time[2] == b"ms" else float(time[1])


def _milliseconds(time: re.Match[bytes]) -> float:
    return float(time[1]) if time[2] == b"ms" else float(time[1]) * 1000.0
