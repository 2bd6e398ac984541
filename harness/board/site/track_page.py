"""What the index and the page of a track show: the record in words, the last ideas, and the rows as cells.

A cell has the text that people read and the value that it came from, which scripts sort by.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from harness.board import markdown, milestones
from harness.board.milestones import in_order
from harness.board.rows import Row
from harness.catalog.standing import MEANINGS
from harness.core.task import Track

Value = float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its key, its heading, and what its values are."""

    key: str
    heading: str
    kind: str  # "number" or "text"
    about: str


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell says, and the value that it is sorted by."""

    text: str
    value: Value


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table."""

    row: Row
    cells: Mapping[str, Cell]
    page: str  # its place in the site
    pull_request: str | None  # an address
    has_curve: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Some rows under a heading."""

    heading: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Idea:
    """A record and what it gained, in words."""

    row: Row
    page: str
    gain: str


_NUMBER = Column("number", "#", "number", "21.1 is the first re-timing of 21")
_LOSS = Column("loss", "loss (n)", "number", "mean of its n complete runs, nats per token")
_SHARED = (
    Column("evidence", "evidence", "text", "on what it stands, and what else must be known"),
    Column("date", "date", "text", "when it was set"),
    Column("idea", "idea", "text", "what it is; the link leads to its page"),
    Column("by", "by", "text", "who"),
)
_P = Column("test", "p", "number", "one-sided t-test of the mean loss below the target")
_MARGIN = Column("test", "margin·√n", "number", "(target − mean)·√n")


def columns(track: Track, rows: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns of a track's tables, in their order."""
    if track.metric == "train_time":
        time = Column("claim", "time (s)", "number", "claimed training time")
        gain = Column("gain", "gain, same host (s)", "number", "time less that of a baseline which ran beside it")
        return (_NUMBER, time, gain, _LOSS, _P, *_SHARED)
    steps = Column("claim", "steps", "number", "claimed optimizer steps")
    delta = Column("gain", "Δ", "number", "steps less the fewest of any earlier row that stands")
    test = _MARGIN if any(row.rule_value is not None for row in rows) else _P
    return (_NUMBER, steps, delta, _LOSS, test, *_SHARED)


def tables(track: Track, rows: Sequence[Row], curves: Iterable[str]) -> list[Table]:
    """Return a track's tables: one where time is ranked; where steps are, what only documents stands apart."""
    having = set(curves)
    if track.metric == "train_time":
        return [Table("All records", tuple(_line(row, _time_cells(row), having) for row in rows))]
    deltas = markdown.step_changes(rows)
    by_steps = sorted(in_order(rows), key=lambda row: (row.claimed_steps is None, row.claimed_steps or 0))
    lines = [(row, _line(row, _step_cells(row, deltas), having)) for row in by_steps]
    was = tuple(line for row, line in lines if markdown.is_advance(row, deltas))
    apart = tuple(line for row, line in lines if not markdown.is_advance(row, deltas))
    found = [
        Table("Records", was),
        Table("Baselines, and rows that document an idea without taking fewer steps", apart),
    ]
    return [one for one in found if one.lines]


def head(track: Track, rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return what is said first of a track: who holds the record, with what, and on what evidence."""
    if not rows or not rows[0].current:
        return None
    row = rows[0]
    by_time = track.metric == "train_time"
    figure = f"{markdown.seconds(row.claimed_time_s)} s" if by_time else f"{row.claimed_steps:,} steps"
    return {
        "row": row,
        "figure": figure,
        "more": markdown.time_text(row.claimed_time_s) if by_time else "",
        "page": place(row),
        "names": names(row),
        "meaning": MEANINGS[row.evidence],
    }


def ideas(track: Track, rows: Sequence[Row], gains: Mapping[str, str]) -> list[Idea]:
    """Return the last rows that brought a gain, the newest first."""
    found = milestones.ideas(track, rows)[::-1][: markdown.NEWEST]
    return [Idea(row, place(row), gains[row.slug]) for row, _ in found]


def gains(track: Track, rows: Sequence[Row]) -> dict[str, str]:
    """Say by slug what each record gained over the one before, in the words of the board."""
    deltas = markdown.step_changes(rows) if track.metric == "steps" else {}
    before: Row | None = None
    found = {}
    for row in in_order(rows):
        found[row.slug] = markdown.gain_text(row, before, deltas)
        if milestones.is_idea(row):
            before = row
    return found


def place(row: Row) -> str:
    """Return where the page of a row lies in the site, as a link from its top."""
    return f"records/{quote(f'{row.track}/{row.slug}')}.html"


def names(row: Row) -> str:
    """Return who made a record, without what would call them."""
    return ", ".join(name.removeprefix("@") for name in row.contributors)


def pull_request(row: Row) -> str | None:
    """Return the address of its pull request, where it is a plain number and its repository is known."""
    if row.pull_request is None or row.repository is None or not re.fullmatch(r"[0-9]{1,9}", row.pull_request):
        return None
    return f"https://github.com/{quote(row.repository)}/pull/{row.pull_request}"


def _line(row: Row, cells: Mapping[str, Cell], having: set[str]) -> Line:
    shared = {
        "number": Cell(row.number, _number(row.number)),
        "loss": Cell(markdown.loss_text(row, runs=True), row.loss_mean),
        "test": _test(row),
        "evidence": Cell(markdown_free(row), row.evidence),
        "date": Cell(row.date or "", row.date),
        "idea": Cell(row.title, row.title.casefold()),
        "by": Cell(names(row), names(row).casefold()),
    }
    return Line(row, {**shared, **cells}, place(row), pull_request(row), row.slug in having)


def markdown_free(row: Row) -> str:
    """Return the word for a row's evidence and the names of its flags."""
    return ", ".join([row.evidence, *(flag.name for flag in row.flags)])


def _time_cells(row: Row) -> dict[str, Cell]:
    gain = markdown.same_host(row)
    measured = Cell("", None) if gain is None else Cell(markdown.measured_text(gain, ",.2f"), gain.time_s)
    return {"claim": Cell(markdown.seconds(row.claimed_time_s), row.claimed_time_s), "gain": measured}


def _step_cells(row: Row, deltas: Mapping[str, int | None]) -> dict[str, Cell]:
    steps, delta = row.claimed_steps, deltas[row.slug]
    claim = Cell("" if steps is None else f"{steps:,}", steps)
    return {"claim": claim, "gain": Cell("" if delta is None else markdown.signed(delta, ",d"), delta)}


def _test(row: Row) -> Cell:
    if row.rule_value is not None:
        return Cell(f"{row.rule_value:.4f}", row.rule_value)
    return Cell("" if row.p is None else f"{row.p:.2g}", row.p)


def _number(text: str) -> float:
    """Make a number of it that sorts as people count: 21, 21.1, 21.2, … 21.10, 22."""
    whole, _, part = text.partition(".")
    return int(whole) + int(part or 0) / 10_000
