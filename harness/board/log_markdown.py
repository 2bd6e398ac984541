"""Write a table of logs as Markdown, in the columns that reviewers of modded-nanogpt make by hand.

Paths and versions come from pull requests, so every one is escaped; the longest table stays below what GitHub takes as a
comment (65,536 characters).
"""

import bisect
from collections.abc import Sequence

from harness.board import log_oddities
from harness.board.markdown import cell
from harness.board.tabulation import MARGIN
from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.log_table import Beside, LogTable, TableGroup
from harness.core.text import plural

MOST_CHARACTERS = 60_000
MOST_NAMES = 4  # in one sentence
_NO_PEEKING = (
    "p is a one-sided t-test, as if the number of runs had been fixed before the first. Logs cannot show that: somebody who "
    "tests after each of 3 to 20 runs gets p < 0.01 for a script at the target in 5.6 % of the cases."
)


def markdown(table: LogTable) -> str:
    """Write the table, what is odd below it, and what its columns mean; groups that would exceed a comment are counted."""

    def page(count: int) -> str:
        return _page(table, table.groups[:count], table.more_groups + len(table.groups) - count)

    fits = bisect.bisect_right(range(len(table.groups) + 1), MOST_CHARACTERS, key=lambda count: len(page(count))) - 1
    return page(max(1, fits))


def _page(table: LogTable, groups: Sequence[TableGroup], more: int) -> str:
    base = table.groups[0] if table.has_baseline else None
    head = ["runs of", "script", "n", "steps", "GPUs", "time (s)", "sd", "loss", "sd", f"p at {table.target:g}", "left"]
    steps = table.track == "optimization"
    head += ["left·√n", "earliest step"] if steps else []
    head += ["Δ time (s)", "Δ loss", "code"] if base else []
    rows = [_row(table, one, base) for one in groups]
    lines = [_line(head), _line(["---", "---", *["--:"] * (len(head) - 2)]), *map(_line, rows), ""]
    odd: dict[str, list[TableGroup]] = {}
    for one in groups:
        odd.setdefault("; ".join(log_oddities.of_group(table, one, cell)), []).append(one)
    lines += [f"- {_titles(mine)}: {said}." for said, mine in odd.items() if said]
    if more:
        lines.append(f"- {more} more groups of runs are not shown; name fewer folders.")
    if table.beside is not None:
        lines += _beside(table.beside)
    return "\n".join([*lines, "", *_legend(table)]) + "\n"


def _beside(found: Beside) -> list[str]:
    """Say what a pull request changes beside its logs, which hold the whole text of their scripts."""
    lines = [f"- The pull request changes +{found.outside.added} −{found.outside.removed} lines beside its logs."]
    if found.unread:
        lines.append(f"- Not read: {plural(found.unread, 'added file')} of another track, or beyond 2,000.")
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _titles(groups: Sequence[TableGroup]) -> str:
    """Name the groups that one sentence is about."""
    names = [cell(one.name) + (f" ({one.script[:8]})" if one.script else "") for one in groups[:MOST_NAMES]]
    more = len(groups) - len(names)
    return ", ".join(names) + (f" and {more} more, each" if more else ", each" if len(names) > 1 else "")


def _row(table: LogTable, one: TableGroup, base: TableGroup | None) -> list[str]:
    times, losses = _times(one), _losses(one)
    left = table.target - stats.mean(losses) if losses else None
    cells = [
        cell(one.name) + (" (baseline)" if one is base else ""),
        one.script[:8] if one.script else "–",
        str(len(one.complete)),
        _figure(one.steps, ","),
        _gpus(one),
        _figure(stats.mean(times) if times else None, ".3f"),
        _figure(stats.sd(times) if len(times) > 1 else None, ".3f"),
        _figure(stats.mean(losses) if losses else None, ".5f"),
        _figure(stats.sd(losses) if len(losses) > 1 else None, ".5f"),
        _p(losses, table.target),
        _figure(left, ".5f"),
    ]
    if table.track == "optimization":
        cells += [_figure(stats.closed_form(losses, table.target) if losses else None, ".4f"), _earliest(table, one)]
    if base is not None:
        cells += ["", "", ""] if one is base else _differences(one, base)
    return cells


def _differences(one: TableGroup, base: TableGroup) -> list[str]:
    same = (one.gpu_count, one.gpu_name) == (base.gpu_count, base.gpu_name)
    time = difference(_times(one), _times(base), ".3f", share=True) if same else "–"
    code = "–" if one.code is None else f"+{one.code.added} −{one.code.removed}"
    return [time, difference(_losses(one), _losses(base), ".5f", share=False), code]


def difference(mine: Sequence[float], its: Sequence[float], form: str, *, share: bool) -> str:
    """Write a difference of means with its 95 % interval, where both sides have runs enough for one."""
    if not mine or not its:
        return "–"
    text = _signed(stats.mean(mine) - stats.mean(its), form)
    try:
        low, high = stats.difference_interval(mine, its)
        text += f" ({_signed(low, form)} to {_signed(high, form)})"
    except StatisticsError:
        pass  # one run on a side, or no spread at all
    return text + (f", {_signed(100 * (stats.mean(mine) / stats.mean(its) - 1), '.2f')} %" if share else "")


def _earliest(table: LogTable, one: TableGroup) -> str:
    if one.earliest is None:
        return "–"
    losses = one.earliest.losses
    value = stats.closed_form(losses, table.target)
    return f"{one.earliest.step:,}: {stats.mean(losses):.4f}, {value:.4f}"


def _p(losses: Sequence[float], target: float) -> str:
    try:
        return f"{stats.t_below(losses, target):.2g}"
    except StatisticsError:
        return "–"


def _times(one: TableGroup) -> list[float]:
    return [run.time_s for run in one.complete if run.time_s is not None]


def _losses(one: TableGroup) -> list[float]:
    return [run.loss for run in one.complete if run.loss is not None]


def _gpus(one: TableGroup) -> str:
    if one.gpu_name is None and one.gpu_count is None:
        return "–"
    return cell(f"{one.gpu_count or '?'}× {(one.gpu_name or '?').removeprefix('NVIDIA ')}")


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else _minus(f"{value:{form}}")


def _signed(value: float, form: str) -> str:
    return _minus(f"{value:+{form}}")


def _minus(text: str) -> str:
    """Write a minus sign, and none before a number that is zero in the digits shown."""
    return text.replace("-", "−") if text.strip("-0.") else text.lstrip("-")


def _legend(table: LogTable) -> list[str]:
    target = f"{table.target:g}"
    lines = [f"n: complete runs of one script. left: {target} − mean loss. {_NO_PEEKING}"]
    if table.track == "optimization":
        lines.append(
            f"left·√n must reach {MARGIN:g}; earliest step: the first at which all runs validated and it does, with mean "
            "loss and left·√n there (one of several steps that could be chosen)."
        )
    if table.has_baseline:
        lines.append(
            "Δ: to the baseline, with Welch's 95 % interval; whether both ran on one machine is not in the logs. code: "
            "lines added and removed against the baseline's logged script, without comments and blank lines."
        )
    return lines
