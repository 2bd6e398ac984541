"""Log bytes in, a list of `RunLog` out: one per run. Pure: no clock, no environment.

One reader serves all dialects. It is hard because the numbers decide records and the text comes from anywhere: a torn,
interleaved or glued log must give fewer numbers and a problem, never a number that was not printed; and it should be
quick enough that nobody thinks of sampling logs instead of reading them.
"""

from __future__ import annotations

import bisect
import codecs
import dataclasses
from collections.abc import Sequence

from harness.errors import LogError
from harness.runlog import grammar
from harness.runlog.dialect import Traits, name_dialect
from harness.runlog.grammar import MetricLine
from harness.runlog.header import MOST_BYTES, Header, read_header
from harness.runlog.problems import Problems
from harness.runlog.runs import Gatherer, RunLines
from harness.runlog.scan import Scanner
from harness.runlog.source import Layout, Source, Span, find_layout, metrics_before, read_source
from harness.schema import LogProblem, RunLog, TimedLine

Bytes = bytes | bytearray
_PIECE_BYTES = 1 << 20


def read_bytes(
    data: Bytes, path: str, *, curve: bool = False, final_only: bool = False, quick: bool = True
) -> list[RunLog]:
    """Read every run of one log; `path` is only passed on.

    `curve` keeps all validation points. `final_only` gives one RunLog for the last run with its final figures alone.
    `quick=False` reads every line through the grammar; the result is the same, tests compare the two.
    Raises LogError where the bytes are no training log.
    """
    if final_only:
        return [read_final(data, path, whole=True) or _blanked(read_bytes(data, path)[-1])]
    problems = Problems(data)
    layout = find_layout(data)
    runs = _gather(data, layout, problems, path, curve, quick)
    if not runs:
        raise _no_log(data, layout, path)
    _note_oddities(data, layout, problems)
    text = bytes(data[layout.header_start : min(runs[0].position, layout.header_start + MOST_BYTES)])
    header = read_header(text)
    source = read_source(data, layout)
    dialect = name_dialect(
        Traits(
            layout,
            header,
            b"\nRunning python " in b"\n" + text,
            b"Training dataloader files" in text,
            data.find(b"\ntailavg step:", layout.log_start) >= 0,
            runs,
        )
    )
    placed = problems.placed() if problems else []
    seeds = _seeds(data, layout, runs)
    memories = _memories(data, runs)
    return [
        _run_log(path, index, runs, dialect, header, source, seeds[index], memories[index], _own(placed, runs, index))
        for index in range(len(runs))
    ]


def read_final(data: Bytes, path: str, *, whole: bool) -> RunLog | None:
    """The final figures of the last run, from the end of a log; None where more of the file is needed to be sure.

    `data` is the end of the file, or all of it (`whole`). Only the figures of the last line are given; everything that
    would need the rest of the file is None.
    """
    tail = data if len(data) <= TAIL_BYTES[-1] else data[-TAIL_BYTES[-1] :]
    for size in TAIL_BYTES:
        found = _final_of(tail[-size:] if len(tail) > size else tail, path, whole and len(data) <= size)
        if found is not None or len(tail) <= size:
            return found
    return None


TAIL_BYTES = (4 << 10, 64 << 10)
_UNUSUAL = (b"\r", b"\x1b", b"\0", grammar.ECHO_MARK, *grammar.TRACEBACK_MARKS)


def _final_of(tail: Bytes, path: str, whole: bool) -> RunLog | None:
    if any(mark in tail for mark in _UNUSUAL) or not tail.isascii():
        return None
    problems = Problems(tail)
    start = 0 if whole else tail.find(b"\n") + 1
    if not whole and start == 0:
        return None
    layout = find_layout(tail, start)
    gatherer = Gatherer(tail, problems, path, False)
    Scanner(tail, gatherer, problems).scan(layout.log_start, len(tail))
    if not gatherer.runs or problems:
        return None
    run = gatherer.runs[-1]
    if run.last_val is None or run.last_val.step != run.step:
        return None
    memory = _memories(tail, gatherer.runs)[-1]
    return _blanked(_run_log(path, 0, [run], None, None, None, None, memory, ()))


def _blanked(log: RunLog) -> RunLog:
    """A RunLog with its final figures alone, as the end of a file gives them."""
    kept = {name: getattr(log, name) for name in _FINAL}
    blank: dict[str, object] = {field.name: None for field in dataclasses.fields(RunLog)}
    return RunLog(**{**blank, "overrides": (), "curve": (), **kept})


_FINAL = (
    "path",
    "final_step",
    "total_steps",
    "final_val_loss",
    "final_val_ema_loss",
    "last_val_step",
    "last_val_loss",
    "final_train_time_s",
    "step_avg_ms",
    "reached_last_step",
    "has_final_val",
    "peak_memory_mib",
    "extra",
    "problems",
)


def timed_lines(data: Bytes) -> list[TimedLine]:
    """Every line of the log part that speaks of time, with its 1-based number in the file: metric lines and clock marks.

    Meant for the logs of runs that were stamped line by line; lines end at newlines only.
    """
    start = find_layout(data).log_start
    number = data.count(b"\n", 0, start)
    lines = []
    while start < len(data):
        stop = data.find(b"\n", start)
        ended = stop >= 0
        stop = stop if ended else len(data)
        number += 1
        if stop - start <= grammar.MAX_LINE_BYTES:
            raw = grammar.undress(bytes(data[start:stop]).rstrip(b"\r"))
            kind = grammar.CLOCK.get(raw.strip())
            if kind is not None:
                lines.append(TimedLine(number, kind, None, None))
            elif ended or grammar.WHOLE_END.search(raw):
                found = grammar.parse_line(raw)
                if isinstance(found, MetricLine) and found.kind != "note":
                    lines.append(TimedLine(number, found.kind, found.step, found.train_time_s))
        start = stop + 1
    return lines


# ---------------------------------------------------------------------------------------- one run


def _run_log(
    path: str,
    index: int,
    runs: list[RunLines],
    dialect: str | None,
    header: Header | None,
    source: Source | None,
    seed: int | None,
    memory: int | None,
    problems: tuple[LogProblem, ...],
) -> RunLog:
    run = runs[index]
    last, val = run.last, run.last_val
    at_end = val if val is not None and val.step == run.step else None
    return RunLog(
        path=path,
        run=index + 1,
        n_runs=len(runs),
        dialect=dialect,
        first_step=run.first.step,
        final_step=run.step,
        total_steps=run.total,
        final_val_loss=at_end.val_loss if at_end else None,
        final_val_ema_loss=at_end.val_ema_loss if at_end else None,
        last_val_step=val.step if val else None,
        last_val_loss=val.val_loss if val else None,
        final_train_time_s=last.train_time_s,
        step_avg_ms=last.step_avg_ms,
        n_val_points=run.n_val,
        n_train_points=run.n_train,
        reached_last_step=None if run.total is None else run.step == run.total,
        has_final_val=at_end is not None,
        source_sha256=source.sha256 if source else None,
        source_bytes=source.bytes if source else None,
        source_origin=source.origin if source else None,
        script_sha256=source.script_sha256 if source else None,
        gpu_name=header.gpu_name if header else None,
        gpu_count=header.gpu_count if header else None,
        world_size=header.world_size if header else None,
        driver=header.driver if header else None,
        cuda=header.cuda if header else None,
        torch=header.torch if header else None,
        triton=header.triton if header else None,
        python=header.python if header else None,
        peak_memory_mib=memory,
        started_at=header.started_at if header else None,
        seed=seed,
        val_tokens=header.val_tokens if header else None,
        overrides=header.overrides if header else (),
        extra={**last.extra, **run.notes} if run.notes else last.extra,
        problems=problems,
        curve=tuple(run.curve),
    )


def _own(placed: Sequence[tuple[int, LogProblem]], runs: list[RunLines], index: int) -> tuple[LogProblem, ...]:
    """The problems that stand within a run: from its first line to the next run's; the first run has all before it."""
    if not placed:
        return ()
    low = 0 if index == 0 else bisect.bisect_left(placed, runs[index].position, key=_position)
    high = (
        len(placed) if index + 1 == len(runs) else bisect.bisect_left(placed, runs[index + 1].position, key=_position)
    )
    return tuple(problem for _, problem in placed[low:high])


def _position(placed: tuple[int, LogProblem]) -> int:
    return placed[0]


# ---------------------------------------------------------------------------------------- the log part


def _gather(data: Bytes, layout: Layout, problems: Problems, path: str, curve: bool, quick: bool) -> list[RunLines]:
    gatherer = Gatherer(data, problems, path, curve)
    scanner = Scanner(data, gatherer, problems, quick=quick)
    parts, echoes = _echoes(data, layout.log_start)
    for start, end in parts:
        scanner.scan(start, end)
    if not gatherer.runs and not problems:
        scanner.scan_plain(layout.log_start, len(data))
    for start, end in echoes:
        _check_echo(data, layout.log_start, start, end, problems)
    return gatherer.runs


def _echoes(data: Bytes, start: int) -> tuple[list[Span], list[Span]]:
    """The log part without and only with what lies between the end of one seed and the start of the next."""
    if data.find(grammar.ECHO_MARK, start) < 0:
        return [(start, len(data))], []
    parts, echoes = [], []
    while begin := grammar.ECHO_START.search(data, start):
        finish = grammar.ECHO_END.search(data, begin.end())
        stop = finish.start() if finish else len(data)
        parts.append((start, begin.start()))
        echoes.append((begin.end(), stop))
        start = stop
    parts.append((start, len(data)))
    return parts, echoes


def _check_echo(data: Bytes, low: int, start: int, end: int, problems: Problems) -> None:
    position = start
    while (position := data.find(grammar.STEP_MARK, position, end)) >= 0:
        stop = data.find(b"\n", position, min(end, position + grammar.MAX_LINE_BYTES))
        line = bytes(data[position : stop if stop >= 0 else min(end, position + 160)])
        if isinstance(grammar.parse_line(line), MetricLine) and data.find(line, low, start) < 0:
            problems.note("echo-differs", position, line)
        position = stop if stop >= 0 else end


def _no_log(data: Bytes, layout: Layout, path: str) -> LogError:
    """Say why a file gives no run."""
    before = metrics_before(data, layout)
    if before is not None:
        line = data.count(b"\n", 0, before) + 1
        what = f"metric lines stand before the last separator (line {line}) and none behind it"
        return LogError.at(path, what, "remove the separator behind the metric lines if it does not belong there")
    if layout.separators and layout.header_start < layout.log_start:
        what = "it has a header and no metric line: the run ended before its first step"
        return LogError.at(path, what, "leave it out or look at the run's error output")
    return LogError.at(path, "no training log: it holds no metric line", "name logs of training runs")


def _note_oddities(data: Bytes, layout: Layout, problems: Problems) -> None:
    """Note what a log part should not hold, where it first occurs."""
    start = layout.log_start
    for mark, kind in ((b"\r", "carriage-returns"), (b"\x1b", "escape-sequences"), (b"\0", "nul-bytes")):
        position = data.find(mark, start)
        if position >= 0:
            problems.note(kind, position, bytes(data[position : position + 40]))
    for needle in grammar.TRACEBACK_MARKS:
        position = data.find(needle, start)
        if position >= 0 and grammar.TRACEBACK.search(data, max(start, position - 20), position + 60):
            problems.note("traceback", position, bytes(data[position : position + 80]).split(b"\n")[0])
            break
    wrong = _not_utf8(data, start)
    if wrong is not None:
        problems.note("not-utf8", wrong, bytes(data[wrong : wrong + 40]))
    before = metrics_before(data, layout)
    if before is not None:
        problems.note("metrics-before-separator", before, bytes(data[before : before + 80]).split(b"\n")[0])


def _not_utf8(data: Bytes, start: int) -> int | None:
    """The offset near which the log part stops being UTF-8; piece by piece, so that nothing large is copied."""
    decoder = None
    for low in range(start, len(data), _PIECE_BYTES):
        piece = data[low : low + _PIECE_BYTES]
        if decoder is None:
            if piece.isascii():
                continue
            decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(piece, low + _PIECE_BYTES >= len(data))
        except UnicodeDecodeError as error:
            return min(low + error.start, len(data))
    return None


def _seeds(data: Bytes, layout: Layout, runs: list[RunLines]) -> list[int | None]:
    """The seed of each run: what was last said between the run before it and its own first line."""
    seeds: list[int | None] = []
    low = layout.header_start
    for run in runs:
        found = None
        if data.find(grammar.SEED_MARK, low, run.position) >= 0:
            for match in grammar.SEED.finditer(data, low, run.position):
                found = int(match[1])
        seeds.append(found)
        low = run.stop
    return seeds


def _memories(data: Bytes, runs: list[RunLines]) -> list[int | None]:
    """The peak memory printed behind the last line of each run and before the next run, in MiB."""
    memories: list[int | None] = []
    for index, run in enumerate(runs):
        end = runs[index + 1].position if index + 1 < len(runs) else len(data)
        found = None
        if data.find(grammar.PEAK_MEMORY_MARK, run.position, end) >= 0:
            for match in grammar.PEAK_MEMORY.finditer(
                data, data.find(grammar.PEAK_MEMORY_MARK, run.position, end), end
            ):
                found = int(match[1])
        memories.append(found)
    return memories
