"""Damage to logs, and what must hold of the reader whatever the damage; shared by the tests and the fuzzing benchmark.

A mutation takes bytes and a source of randomness. `KEEPS_NUMBERS` are those that never create a metric line that was
not printed (they cut, repeat, mix and decorate lines); after them every point that the reader reports must be a point
of an undamaged line. After any mutation at all every number must stand in the bytes that were read.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from pathlib import Path

from harness.core.errors import LogError
from harness.core.measurement import RunLog
from harness.runlog.grammar import COLOUR
from harness.runlog.problems import MEANING
from harness.runlog.reader import read_bytes, timed_lines

Mutation = Callable[[bytes, random.Random], bytes]
CORPUS = {
    path.stem: path.read_bytes() for path in sorted((Path(__file__).parents[1] / "golden" / "logs").glob("*.txt"))
}


def cut_the_end(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def cut_the_start(data: bytes, draw: random.Random) -> bytes:
    return data[data.find(b"\n", draw.randrange(len(data) + 1)) + 1 :]


def repeat_lines(data: bytes, draw: random.Random) -> bytes:
    return b"".join(line * draw.choice((1, 1, 1, 2, 3)) for line in data.splitlines(keepends=True))


def shuffle_lines(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    low = draw.randrange(len(lines) + 1)
    piece = lines[low : low + draw.randrange(2, 30)]
    draw.shuffle(piece)
    return b"".join(lines[:low] + piece + lines[low + len(piece) :])


def drop_lines(data: bytes, draw: random.Random) -> bytes:
    return b"".join(line for line in data.splitlines(keepends=True) if draw.random() > 0.1)


def line_within_line(data: bytes, draw: random.Random) -> bytes:
    """A metric line that starts in the middle of another line, as two ranks on one pipe do it."""
    lines = [line for line in data.splitlines(keepends=True) if line.startswith((b"step:", b"s:"))]
    if not lines:
        return data
    at = draw.randrange(len(data))
    return data[:at] + draw.choice(lines) + data[at:]


def windows_ends(data: bytes, draw: random.Random) -> bytes:
    return data.replace(b"\n", b"\r\n")


def colours(data: bytes, draw: random.Random) -> bytes:
    return _insert(data, draw, (b"\x1b[31m", b"\x1b[0m", b"\x1b[1;32m", b"\x1b[K"))


def cursor_moves(data: bytes, draw: random.Random) -> bytes:
    return _insert(data, draw, (b"\x1b[1D", b"\x1b[2A", b"\x1b]0;title\x07", b"\x08", b"\x1b"))


def progress_bars(data: bytes, draw: random.Random) -> bytes:
    bar = "".join(f"\r {n * 10}%|{'█' * n}| {n}/10 [00:01<00:02, 3.1it/s]" for n in range(10)).encode()
    lines = data.splitlines(keepends=True)
    return b"".join((bar + b"\r" + line if draw.random() < 0.2 else line) for line in lines)


def nul_bytes(data: bytes, draw: random.Random) -> bytes:
    return _insert(data, draw, (b"\0", b"\0" * 512))


def no_utf8(data: bytes, draw: random.Random) -> bytes:
    return _insert(data, draw, (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x80"))


def not_finite(data: bytes, draw: random.Random) -> bytes:
    words = (b"nan", b"inf", b"-inf", b"NaN", b"1e999")
    return re.sub(
        rb"((?:_loss|tel|trl):)[\d.]+",
        lambda match: match[1] + (draw.choice(words) if draw.random() < 0.3 else match[0][len(match[1]) :]),
        data,
    )


def glue(data: bytes, draw: random.Random) -> bytes:
    return data + draw.choice(list(CORPUS.values()))


def tracebacks(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    text = b'Traceback (most recent call last):\n  File "train_gpt.py", line 7, in <module>\nValueError: step\n'
    at = draw.randrange(len(lines) + 1)
    return b"".join(lines[:at]) + text + b"".join(lines[at:])


def separators(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    at = draw.randrange(len(lines) + 1)
    return b"".join(lines[:at]) + b"=" * draw.choice((99, 100, 100, 101)) + b"\n" + b"".join(lines[at:])


def rank_prefixes(data: bytes, draw: random.Random) -> bytes:
    return b"".join(
        (b"[rank%d]: " % draw.randrange(3) if line.startswith(b"step:") else b"") + line
        for line in data.splitlines(keepends=True)
    )


def seed_marks(data: bytes, draw: random.Random) -> bytes:
    marks = (
        b"=== seed 3 exit_status=0 ===\n",
        b"=== seed 4 start ===\n",
        b"===== seed 0 end =====\n",
        b"trial:1/2 seed:9\n",
    )
    lines = data.splitlines(keepends=True)
    for _ in range(draw.randrange(1, 4)):
        lines.insert(draw.randrange(len(lines) + 1), draw.choice(marks))
    return b"".join(lines)


def any_bytes(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(draw.randrange(1, 20)):
        if changed:
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def drop_bytes(data: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(data) + 1)
    return data[:at] + data[at + draw.randrange(1, 60) :]


def move_bytes(data: bytes, draw: random.Random) -> bytes:
    low = draw.randrange(len(data) + 1)
    piece = data[low : low + draw.randrange(1, 200)]
    rest = data[:low] + data[low + len(piece) :]
    at = draw.randrange(len(rest) + 1)
    return rest[:at] + piece + rest[at:]


def hostile_numbers(data: bytes, draw: random.Random) -> bytes:
    words = (b"9" * 400, b"-0", b"1e5", b".5", b"5.", b"0x1", b"1_0", b"", b"1:2", b"+3", b"3.1.2", b"\xd9\xa3")
    return re.sub(rb"[\d.]+", lambda match: draw.choice(words) if draw.random() < 0.02 else match[0], data)


def _insert(data: bytes, draw: random.Random, what: tuple[bytes, ...]) -> bytes:
    for _ in range(draw.randrange(1, 5)):
        at = draw.randrange(len(data) + 1)
        data = data[:at] + draw.choice(what) + data[at:]
    return data


KEEPS_NUMBERS: tuple[Mutation, ...] = (
    cut_the_end,
    cut_the_start,
    repeat_lines,
    shuffle_lines,
    drop_lines,
    line_within_line,
    windows_ends,
    colours,
    cursor_moves,
    progress_bars,
    nul_bytes,
    no_utf8,
    not_finite,
    glue,
    tracebacks,
    separators,
    rank_prefixes,
    seed_marks,
)
ANY: tuple[Mutation, ...] = (*KEEPS_NUMBERS, any_bytes, drop_bytes, move_bytes, hostile_numbers)

# Independent of the harness's own patterns on purpose.
_LOSS = re.compile(rb"(?:val_loss|val_ema_loss|tel): ?([^\s:]*)")
_TIME = re.compile(rb"train_time: ?([^\s:]*?)(ms|s)(?![a-z])")
_STEP = re.compile(rb"(?:step|s):(\d+)")
_LINE = re.compile(rb"(?:step|s):(\d+)(?:/\d+)? (?:val_loss|tel):([\d.]+)(?:.*? train_time:([\d.]+)(ms|s))?")


def _number(text: bytes) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def points(data: bytes) -> set[tuple[int, float, float | None]]:
    """Every (step, val_loss, train_time_s) that stands on one line of an undamaged log."""
    found = set()
    for line in data.splitlines():
        match = _LINE.match(line)
        if match is not None:
            time = None if match[3] is None else float(match[3]) / (1000 if match[4] == b"ms" else 1)
            found.add((int(match[1]), float(match[2]), time))
    return found


ALL_POINTS = set().union(*(points(data) for data in CORPUS.values()))


def read_or_refuse(data: bytes, *, quick: bool = True) -> list[RunLog]:
    """The runs of damaged bytes; none where they are refused. Anything but LogError is a finding."""
    try:
        return read_bytes(data, "damaged.txt", curve=True, quick=quick)
    except LogError:
        return []


def check(data: bytes, *, keeps_numbers: bool) -> int:
    """Hold the reader to its promises on one input; returns how many runs it found. Raises AssertionError."""
    runs = read_or_refuse(data)
    assert runs == read_or_refuse(data, quick=False), "the quick way and the line-by-line way differ"
    shown = COLOUR.sub(b"", data)
    losses = {_number(text) for text in _LOSS.findall(shown)}
    times = {
        None if (n := _number(t)) is None else n / (1000 if unit == b"ms" else 1) for t, unit in _TIME.findall(shown)
    }
    steps = {int(text) for text in _STEP.findall(shown) if len(text) < 15}
    for number, run in enumerate(runs, 1):
        assert (run.run, run.n_runs) == (number, len(runs))
        _check_run(run, losses, times, steps)
        if keeps_numbers:
            assert set(run.curve) <= ALL_POINTS, f"a point that nobody printed: {set(run.curve) - ALL_POINTS}"
    _check_final(data, runs)
    timed_lines(data)
    return len(runs)


def _check_run(run: RunLog, losses: set[float | None], times: set[float | None], steps: set[int]) -> None:
    for loss in (run.final_val_loss, run.final_val_ema_loss, run.last_val_loss, *(point[1] for point in run.curve)):
        assert loss is None or (math.isfinite(loss) and loss in losses), f"the loss {loss} is not printed"
    for time in (run.final_train_time_s, *(point[2] for point in run.curve)):
        assert time is None or (math.isfinite(time) and time in times), f"the time {time} is not printed"
    for step in (run.first_step, run.final_step, run.last_val_step, *(point[0] for point in run.curve)):
        assert step is None or step in steps, f"the step {step} is not printed"
    assert run.step_avg_ms is None or math.isfinite(run.step_avg_ms)
    assert run.first_step is not None
    assert run.final_step is not None
    assert run.first_step <= run.final_step
    assert (run.n_val_points or 0) >= len(run.curve)
    assert [point[0] for point in run.curve] == sorted(point[0] for point in run.curve)
    assert all(problem.kind in MEANING and problem.line >= 1 for problem in run.problems)
    assert run.has_final_val == (run.last_val_step == run.final_step)
    run.to_json(with_curve=True)


def _check_final(data: bytes, runs: list[RunLog]) -> None:
    try:
        (final,) = read_bytes(data, "damaged.txt", final_only=True)
    except LogError:
        assert not runs
        return
    assert runs, "final_only reads what all of it refuses"
    for name in (
        "final_step",
        "total_steps",
        "final_val_loss",
        "final_val_ema_loss",
        "final_train_time_s",
        "step_avg_ms",
    ):
        assert getattr(final, name) == getattr(runs[-1], name), f"final_only differs in {name}"
