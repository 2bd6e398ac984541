"""Write the parts of a record's page that hold much foreign text: its runs, the change of its code, its README.

A diff stands in a fenced block whose fence is longer than any run of backticks inside, so that no line of it can end
the block; characters that a terminal or a browser would obey are escapes.
"""

import re
from collections.abc import Mapping, Sequence

from harness.board.code_changes import Change
from harness.board.markdown import cell, line, seconds
from harness.board.rows import Row
from harness.core.record import Record, RecordRun
from harness.core.text import plural, printable

README_LINES = 120  # of the submitter's text that are quoted
DIFF_LINES = 200  # of a change that are shown; 12 of the 13 changes here have fewer
RUNS = 40  # that are listed
_WIDEST = 2_000  # characters of a line of the submitter's text
_WIDEST_CODE = 200


def name_of(record: Record, row: Row) -> str:
    """Return what commands call a record: upstream may give the number of one that was accepted here to another."""
    return f"{row.track}/{row.number}" if record.original is not None else f"records/{row.track}/{row.slug}"


def runs_table(record: Record) -> list[str]:
    """List the runs of a record, folded: its own, its baseline's, others beside them."""
    if not record.runs:
        return []
    head = ["runs of", "script", "step", "loss", "time (s)", "note"]
    listed = sorted(record.runs, key=lambda run: ("own", "baseline", "other").index(run.role))
    lines = [_run_line(run) for run in listed[:RUNS]]
    more = len(listed) - RUNS
    rest = ["", f"{plural(more, 'more run')} in its runs.csv."] if more > 0 else []
    summary = f"<details><summary>All {plural(len(record.runs), 'run')} that are known</summary>"
    if len(record.runs) == 1:
        summary = "<details><summary>The one run that is known</summary>"
    return [summary, "", line(head), line(["---", "---", *["--:"] * 3, "---"]), *lines, *rest, "", "</details>", ""]


def _run_line(run: RecordRun) -> str:
    above = "" if run.metric != "above_entropy" else "entropy + "
    loss = "" if run.value is None else f"{above}{run.value:.4f}"
    script = "" if run.script_sha256 is None else run.script_sha256[:8]
    whose = {"own": "this record", "baseline": "a baseline", "other": "another, beside"}[run.role]
    step = "" if run.step is None else f"{run.step:,}"
    return line([whose, cell(script), step, loss, seconds(run.train_time_s), cell(run.note or "")])


def code_change(record: Record, row: Row, change: Change | None, shown: Mapping[str, str]) -> list[str]:
    """Write how much of the code changed, and the change folded, as far as a page shows it."""
    if change is None:
        return []
    against = shown[change.against.slug]
    whose = " Both scripts are read as they are here; at least one is a reimplementation, not its author's."
    size = change.diff.size if change.diff.lines or change.diff.remarks else "Nothing"
    told = f"{size} against {against}. Comments, docstrings and blank lines do not count."
    told += whose if change.reimplemented else ""
    told += "".join(f" {cell(remark)}." for remark in change.diff.remarks)
    lines = [_code(one) for one in change.diff.lines[:DIFF_LINES]]
    more = len(change.diff.lines) - len(lines)
    theirs = f"{row.track}/{against}" if change.against.original else f"records/{row.track}/{change.against.slug}"
    command = f"speedrun diff {name_of(record, row)} --against {theirs}"
    whole = f"{plural(more, 'more line')}: `{command}`" if more > 0 else f"The same in a terminal: `{command}`"
    head = ["## What it changed in the code", "", told, ""]
    if not lines:
        return head
    fence = "`" * (1 + max([2, *(len(run) for one in lines for run in re.findall("`+", one))]))
    block = [f"{fence}diff", *lines, fence]
    return [*head, "<details><summary>The change</summary>", "", *block, "", "</details>", "", whole, ""]


def _code(text: str) -> str:
    shown = printable(text.replace("\n", " ").replace("\t", "    "))
    return shown if len(shown) <= _WIDEST_CODE else f"{shown[:_WIDEST_CODE]}…"


def commands(record: Record, row: Row, before: str | None) -> list[str]:
    """Write what runs a record again and shows it; `before` is the name of the record before it."""
    name = name_of(record, row)
    told = [f"speedrun replay {name} --plan", f"speedrun replay {name}", f"speedrun show {name}"]
    if before is not None:
        told.append(f"speedrun diff {name} --against {before}")
    # Indented: a folder's name, whatever it holds, cannot end such a block.
    return ["## Run it again", "", *(f"    {printable(one.replace(chr(10), ' '))}" for one in told), ""]


def quoted_readme(text: str | None) -> list[str]:
    """Quote what its submitter wrote, escaped."""
    if text is None:
        return []
    written: Sequence[str] = text.splitlines()
    quoted = [f"> {cell(one.strip()[:_WIDEST])}".rstrip() for one in written[:README_LINES]]
    more = len(written) - len(quoted)
    rest = ["", f"{more:,} more lines are in its README.md."] if more > 0 else []
    return ["## What its submitter wrote", "", *quoted, *rest, ""]
