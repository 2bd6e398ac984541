"""Read every run of one log from its bytes. Pure: no file, no clock, no environment.

One reader serves all dialects. It is hard because the numbers decide records and the text comes from anywhere: a torn,
interleaved or glued log must give fewer numbers and a problem, never a number that was not printed; and it should be
quick enough that nobody thinks of sampling logs instead of reading them.
"""

import bisect
from collections.abc import Sequence

from harness.core.errors import LogError
from harness.core.measurement import LogProblem, RunLog, TimedLine
from harness.runlog import grammar
from harness.runlog.dialect import Traits, name_dialect
from harness.runlog.final import final_figures, read_final
from harness.runlog.grammar import MetricLine
from harness.runlog.header import MOST_BYTES, Header, read_header
from harness.runlog.part import note_oddities, read_part
from harness.runlog.runs import RunLines, memory_behind
from harness.runlog.source import Layout, Source, find_layout, metrics_before, read_source

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
    if final_only:
        return [read_final(data, path, whole=True) or final_figures(read_bytes(data, path)[-1])]
    layout = find_layout(data)
    part = read_part(data, layout, path, curve, quick)
    runs = part.runs
    if not runs:
        raise _no_log(data, layout, path)
    note_oddities(data, layout, part)
    text = bytes(data[layout.header_start : min(runs[0].position, layout.header_start + MOST_BYTES)])
    header = read_header(text)
    source = read_source(data, layout)
    dialect = name_dialect(
        Traits(
            layout,
            header,
            text.startswith(b"Running python ") or b"\nRunning python " in text,
            b"Training dataloader files" in text,
            part.odd is not None and b"\ntailavg step:" in part.odd,
            runs,
        )
    )
    placed = part.problems.placed() if part.problems else []
    seeds = _seeds(data, layout, runs)
    return [
        _run_log(path, index, runs, dialect, header, source, seeds[index], memory_behind(data, runs, index), placed)
        for index in range(len(runs))
    ]


def timed_lines(data: Bytes) -> list[TimedLine]:
    """List the lines of the log part that tell a time, metric lines and clock marks, with their 1-based number.

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
                line = grammar.parse_line(raw)
                if isinstance(line, MetricLine) and line.kind != "note":
                    lines.append(
                        TimedLine(number, line.kind, line.step, line.train_time_s, step_avg_ms=line.step_avg_ms)
                    )
        start = stop + 1
    return lines


# ---------------------------------------------------------------------------------------- one run


def _run_log(
    path: str,
    index: int,
    runs: list[RunLines],
    dialect: str,
    header: Header,
    source: Source | None,
    seed: int | None,
    memory: int | None,
    placed: list[tuple[int, LogProblem]],
) -> RunLog:
    run = runs[index]
    return RunLog(
        path=path,
        run=index + 1,
        n_runs=len(runs),
        dialect=dialect,
        first_step=run.first.step,
        n_val_points=run.n_val,
        n_train_points=run.n_train,
        source_sha256=source.sha256 if source else None,
        source_bytes=source.bytes if source else None,
        source_origin=source.origin if source else None,
        script_sha256=source.script_sha256 if source else None,
        gpu_name=header.gpu_name,
        gpu_count=header.gpu_count,
        world_size=header.world_size,
        driver=header.driver,
        cuda=header.cuda,
        torch=header.torch,
        triton=header.triton,
        python=header.python,
        peak_memory_mib=memory,
        started_at=header.started_at,
        seed=seed,
        val_tokens=header.val_tokens,
        overrides=header.overrides,
        problems=_own(placed, runs, index),
        curve=tuple(run.curve),
        **run.figures(),
    )


def _own(placed: Sequence[tuple[int, LogProblem]], runs: list[RunLines], index: int) -> tuple[LogProblem, ...]:
    """Select the problems from a run's first line to the next run's; the first run has all before it too."""
    if not placed:
        return ()
    low = 0 if index == 0 else bisect.bisect_left(placed, runs[index].position, key=_position)
    high = (
        len(placed) if index + 1 == len(runs) else bisect.bisect_left(placed, runs[index + 1].position, key=_position)
    )
    return tuple(problem for _, problem in placed[low:high])


def _position(placed: tuple[int, LogProblem]) -> int:
    return placed[0]


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
