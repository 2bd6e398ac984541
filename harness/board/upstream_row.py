"""Write a record's row for the README of modded-nanogpt, in the form of the table that it belongs to.

The tables differ: two rank minutes and have no bars at the ends of a line, the third ranks steps and has them. Their
columns hold live links and handles, so text is escaped less than on our own board: it cannot end a cell, start a link, an
image or HTML, and a person reads the row before it goes anywhere.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from harness.board.rows import Row
from harness.board.tabulation import MARGIN
from harness.core import stats
from harness.core.errors import StoreError
from harness.core.record import Record
from harness.core.text import printable

REPOSITORY = "KellerJordan/modded-nanogpt"
_DECIMALS = {"short": 3, "medium": 2}  # of the minutes in the rows of 2026
_LOGS = "records/track_3_optimization/"  # the README of the third table lies in this folder
_ESCAPED = str.maketrans({char: f"&#{ord(char)};" for char in "&<>|`[]\\"})
_ADDRESS = re.compile(r":(?=//)|www(?=\.)", re.IGNORECASE)  # what GitHub would make a link of
_HANDLE = re.compile(r"@[A-Za-z0-9_.-]{1,50}")
_GITHUB = re.compile(r"@[A-Za-z0-9-]{1,39}")  # names there have no other characters


def upstream_row(record: Record, row: Row, others: Sequence[Row]) -> str:
    """Write the row of a record; `others` are all rows of its track.

    Raises StoreError for a track that their README does not have, and for a record that claims nothing of its kind.
    """
    if row.track in _DECIMALS and row.claimed_time_s is not None:
        minutes = f"{row.claimed_time_s / 60:.{_DECIMALS[row.track]}f} minutes"
        date = "-" if record.date is None else f"{record.date:%m/%d/%y}"
        links = ",".join([*_log(record), *_pull_request(record)]) or "-"
        cells = [str(record.number), minutes, _cell(row.title), date, links, _names(row.contributors)]
        return " | ".join(cells)
    if row.track == "optimization" and row.claimed_steps is not None:
        date = "-" if record.date is None else f"{record.date:%Y/%m/%d}"
        mark = "(!)" if _fewest(record, row, others) else ""
        by = " by ".join([*_pull_request(record), _linked(row.contributors)])
        cells = [str(record.number), f"{row.claimed_steps}{mark}", _evidence(record, row), _cell(row.title), date]
        return f"| {' | '.join([*cells, ','.join(_log(record)) or '-', by])} |"
    raise StoreError.at(
        f"{row.track}/{row.number}", "has no row in their README", "name a record of short, medium or optimization"
    )


def is_linked(record: Record) -> bool:
    """Whether the row of a record links a log or a pull request of their repository."""
    return bool(_log(record) or _pull_request(record))


def _log(record: Record) -> list[str]:
    original = record.original
    if original is None or original.kind != "log" or original.repository != REPOSITORY or not original.path:
        return []
    path = original.path.removeprefix(_LOGS) if record.track == "optimization" else original.path
    return [f"[log]({quote(path)})"]


def _pull_request(record: Record) -> list[str]:
    """Link the pull request; the number of one of another repository would lead to somebody else's."""
    known = record.original is not None and record.original.repository == REPOSITORY
    if not known or record.pull_request is None or not re.fullmatch(r"[0-9]{1,9}", record.pull_request):
        return []
    return [f"[PR](https://github.com/{REPOSITORY}/pull/{record.pull_request})"]


def _fewest(record: Record, row: Row, others: Sequence[Row]) -> bool:
    """Whether no earlier record that stands needed as few steps."""
    earlier = [
        other.claimed_steps
        for other in others
        if other.withdrawn is None and other.claimed_steps is not None and _number(other) < record.number
    ]
    return row.claimed_steps is not None and row.claimed_steps < min(earlier, default=row.claimed_steps + 1)


def _number(row: Row) -> int:
    return int(row.number.partition(".")[0])


def _evidence(record: Record, row: Row) -> str:
    """Write mean loss and number of runs, with their mark for whether (3.28 − mean)·√n reaches 0.004."""
    loss = row.loss_mean if row.loss_mean is not None else record.claimed.val_loss
    runs = row.runs or record.claimed.runs
    if loss is None or runs is None:
        return "-"
    value = row.rule_value if row.rule_value is not None else stats.closed_form([loss] * min(runs, 1000), 3.28)
    return f"{loss:.4f} (n={runs}){'✓' if value >= MARGIN - 1e-12 else 'Ⓧ'}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(name if _HANDLE.fullmatch(name) else _cell(name) for name in names) or "-"


def _linked(names: Sequence[str]) -> str:
    """Write names as the third table does: a handle is taken for one of GitHub where it can be, else of X."""
    found = []
    for name in names:
        place = "github" if _GITHUB.fullmatch(name) else "x"
        found.append(f"[{name}](https://{place}.com/{name[1:]})" if _HANDLE.fullmatch(name) else _cell(name))
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found) or "-"


def _cell(text: str) -> str:
    return _ADDRESS.sub(r"\g<0><!-- -->", printable(text).replace("\n", " ").translate(_ESCAPED))
