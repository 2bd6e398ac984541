"""Read every run of one log from its bytes. Pure: no file, no clock, no environment.

`read_bytes` reads logs that anybody made, `read_stamped` those of runs that this harness stamped line by line.

One reader serves all dialects. It is hard because the numbers decide records and the text comes from anywhere: a torn,
interleaved or glued log must give fewer numbers and a problem, never a number that was not printed; and it should be
quick enough that nobody thinks of sampling logs instead of reading them.
"""

import dataclasses
import re
from itertools import pairwise
from typing import Any

from harness.core.errors import LogError
from harness.core.measurement import LogProblem, RunLog, TimedLine
from harness.runlog import grammar
from harness.runlog.dialect import name_dialect
from harness.runlog.final import final_log, read_final
from harness.runlog.grammar import MetricLine
from harness.runlog.header import MOST_BYTES, read_header
from harness.runlog.lines import split_lines
from harness.runlog.part import Part, note_oddities, read_part
from harness.runlog.runs import RunLines, memory_behind
from harness.runlog.source import Layout, find_layout, metrics_before, read_source
from harness.runlog.stamped import read_stamped_part, timed_line

Bytes = bytes | bytearray


class NoLog(LogError):
    """A file has nothing of a training log."""


def read_bytes(
    data: Bytes, path: str, *, curve: bool = False, final_only: bool = False, quick: bool = True
) -> list[RunLog]:
    """Read every run of one log; `path` is only passed on.

    `curve` keeps all validation points. `final_only` gives one RunLog for the last run with its final figures alone.
    `quick=False` reads every line through the grammar; the result is the same, tests compare the two.
    Raises LogError where the bytes are no training log.
    """
    if final_only and (log := read_final(data, path, whole=True)):
        return [log]
    layout = find_layout(data)
    part = read_part(data, layout, path, curve, quick)
    if final_only and part.runs:
        note_oddities(data, layout, part)
        return [final_log(data, part.runs, path, _problems(data, part)[-1])]
    return _logs(data, layout, part, path)


def read_stamped(data: Bytes, path: str) -> tuple[RunLog, list[TimedLine]]:
    """Read the log of a run that this harness stamped: the last run, and all lines that tell a time, from one pass.

    Raises LogError where the bytes are no training log.
    """
    layout = find_layout(data)
    part, timed = read_stamped_part(data, layout, path)
    return _logs(data, layout, part, path)[-1], timed


def _problems(data: Bytes, part: Part) -> list[tuple[LogProblem, ...]]:
    # Each run has the problems from its first line to the next run's; the first run has all before it too.
    bounds = [0, *(run.position for run in part.runs[1:]), len(data) + 1]
    placed = part.problems.placed()
    return [tuple(problem for at, problem in placed if low <= at < high) for low, high in pairwise(bounds)]


def _logs(data: Bytes, layout: Layout, part: Part, path: str) -> list[RunLog]:
    runs = part.runs
    if not runs:
        raise _no_log(data, layout, path)
    note_oddities(data, layout, part)
    problems = _problems(data, part)
    text = bytes(data[layout.header_start : min(runs[0].position, layout.header_start + MOST_BYTES)])
    header = read_header(text)
    shared: dict[str, Any] = {
        "path": path,
        "n_runs": len(runs),
        "dialect": name_dialect(layout, part, header, text),
        **dataclasses.asdict(header),
        **dataclasses.asdict(read_source(data, layout)),
    }
    seeds = _seeds(data, layout, runs)
    return [
        RunLog(
            run=index + 1,
            first_step=run.first.step,
            n_val_points=run.n_val,
            n_train_points=run.n_train,
            peak_memory_mib=memory_behind(data, runs, index),
            seed=seeds[index],
            problems=problems[index],
            curve=tuple(run.curve),
            **run.figures(),
            **shared,
        )
        for index, run in enumerate(runs)
    ]


def timed_lines(data: Bytes) -> list[TimedLine]:
    """List the lines of the log part that tell a time, metric lines and clock marks, with their 1-based number.

    Meant for the logs of runs that a harness stamped before `read_stamped` was there; lines end at newlines only.
    """
    lines = []
    for number, start, stop in split_lines(data, find_layout(data).log_start):
        common = grammar.COMMON_LINE.fullmatch(data, start, stop)
        if common is not None:  # nearly every line: a quarter of the work of the general way
            lines.append(_timed_line(number, common))
        elif stop - start <= grammar.MAX_LINE_BYTES:
            raw = grammar.undress(bytes(data[start:stop]).rstrip(b"\r"))
            kind = grammar.clock_mark(raw)
            if kind is not None:
                lines.append(TimedLine(number, kind, None, None))
            elif stop < len(data) or grammar.WHOLE_END.search(raw):
                line = grammar.parse_line(raw)
                if isinstance(line, MetricLine) and line.kind != "note":
                    lines.append(timed_line(number, line))
    return lines


def _timed_line(number: int, common: re.Match[bytes]) -> TimedLine:
    """Make of a match of COMMON_LINE what the general way makes of its line."""
    step, _, kind, _, time, unit, average = common.groups()
    return TimedLine(
        number,
        "val" if kind == b"val" else "train",
        int(step),
        float(time) / 1000.0 if unit == b"ms" else float(time),
        step_avg_ms=None if average is None else float(average),
    )


def _seeds(data: Bytes, layout: Layout, runs: list[RunLines]) -> list[int | None]:
    """Find the seed of each run: the last one printed between the run before it and its own first line."""
    seeds: list[int | None] = []
    low = layout.header_start
    for run in runs:
        seed = None
        if data.find(grammar.SEED_MARK, low, run.position) >= 0:
            for match in grammar.SEED.finditer(data, low, run.position):
                seed = int(match[1])
        seeds.append(seed)
        low = run.stop
    return seeds


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
    return NoLog.at(path, "no training log: it holds no metric line", "name logs of training runs")
