"""Read the final figures of a log's last run from its end alone.

Only an end without any oddity is trusted: one problem, one control character, no validation at the last step, and the
caller has to read the whole file. So the figures are those that reading everything gives; what an end cannot show is
that all its lines are echoes behind the end of a seed, and problems further up.
"""

import dataclasses
from typing import Any

from harness.core.measurement import LogProblem, RunLog
from harness.runlog import grammar
from harness.runlog.lines import Scanner
from harness.runlog.runs import Gatherer, RunLines, memory_behind
from harness.runlog.source import find_layout

Bytes = bytes | bytearray
TAIL_BYTES = (1 << 10, 8 << 10, 64 << 10)  # most logs need the first only: a few train lines and the final one


def read_final(data: Bytes, path: str, *, whole: bool) -> RunLog | None:
    """Read the final figures of the last run from the end of a log; None where more of it is needed to be sure.

    `data` is the end of the file, or all of it (`whole`). Only the figures of the last line are given; everything that
    would need the rest of the file is None.
    """
    if whole and data.find(grammar.ECHO_MARK) >= 0:
        return None
    tail = data if len(data) <= TAIL_BYTES[-1] else data[-TAIL_BYTES[-1] :]
    for size in TAIL_BYTES:
        log = _final_of(tail[-size:] if len(tail) > size else tail, path, whole and len(data) <= size)
        if log is not None or len(tail) <= size:
            return log
    return None


_UNUSUAL = (b"\r", b"\x1b", b"\0", grammar.ECHO_MARK, *grammar.TRACEBACK_MARKS)


def _final_of(tail: Bytes, path: str, whole: bool) -> RunLog | None:
    if not tail.isascii() or any(mark in tail for mark in _UNUSUAL):
        return None
    start = 0 if whole else tail.find(b"\n") + 1
    if not whole and start == 0:
        return None
    layout = find_layout(tail, start)
    for form in (grammar.STEP_FORM, grammar.PLAIN_FORM):
        if form.line not in tail:
            continue
        gatherer = Gatherer(tail, path, False)
        Scanner(form, gatherer).scan(layout.log_start, len(tail))
        if gatherer.problems:
            return None
        if gatherer.runs:
            break
    else:
        return None
    run = gatherer.runs[-1]
    if run.last_val is None or run.last_val.step != run.step:
        return None
    return final_log(tail, gatherer.runs, path, ())


def final_log(data: Bytes, runs: list[RunLines], path: str, problems: tuple[LogProblem, ...]) -> RunLog:
    """Give the final figures of the last run alone."""
    memory = memory_behind(data, runs, len(runs) - 1)
    figures = {**runs[-1].figures(), "path": path, "peak_memory_mib": memory, "problems": problems}
    return RunLog(**{**_BLANK, **figures})


_BLANK: dict[str, Any] = {field.name: None for field in dataclasses.fields(RunLog)}
_BLANK |= {"overrides": (), "curve": ()}
