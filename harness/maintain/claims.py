"""Read the tables of the upstream READMEs: one row per record, whatever form its cells have.

The tables are kept by hand: rows without a bar in front, three rows of one number, times as `45 minutes` or
`5.8 hours`, two forms of dates, cells that hold a link, `none` or nothing. What is not understood is a problem with its
line and gives no row. The text is anybody's, so links, marks and control characters are taken out, and lengths have limits.
"""

import datetime
import posixpath
import re
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from harness.core.constraints import is_visible
from harness.core.errors import Problem

READMES = ("README.md", "records/track_3_optimization/README.md")
TIMED = ("#", "record time", "description", "date", "log", "contributors")
STEPPED = ("#", "steps to 3.28", "evidence", "description", "date", "log", "contributors")
MOST_BYTES, MOST_LINE, MOST_ROWS = 4 << 20, 8_000, 5_000
MOST_TITLE, MOST_NAME, MOST_PEOPLE = 300, 100, 50
_LINK = re.compile(r"!?\[([^\[\]]*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s[^()]*)?\)")
_ROW = re.compile(r"\|?\s*\d+\s*\|")  # what looks like one outside of the tables
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(seconds?|s|minutes?|min|hours?|h)(?:\s+\2)?\s*\*?")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_NOTHING = ("", "-", "–", "none")
_TIMED_AGAIN = re.compile(r"not a new record|re-?tim", re.I)


@dataclass(frozen=True, slots=True)
class Row:
    """What one row claims."""

    track: str
    number: int
    where: str  # README.md:203
    date: datetime.date | None
    title: str
    contributors: tuple[str, ...]
    logs: tuple[str, ...]  # paths below the root that its log cell links; they may be dead
    pull_request: str | None
    train_time_s: float | None = None
    steps: int | None = None
    val_loss: float | None = None
    runs: int | None = None
    timing: int = 0  # 1 for the first row that times the record of its number again
    before: datetime.date | None = None  # the date of the row before it, for the name of one without a date

    @property
    def name(self) -> str:
        """As people write it: short/21, or short/21.1 for its first re-timing."""
        return f"{self.track}/{self.number}" + (f".{self.timing}" if self.timing else "")


@dataclass(slots=True)
class Claims:
    """All rows that were understood, and what was not."""

    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    tracks: set[str] = field(default_factory=set)  # whose tables were found


def read_claims(texts: dict[str, bytes]) -> Claims:
    """Read the tables of the READMEs, given by path."""
    claims = Claims()
    for path, data in texts.items():
        if len(data) > MOST_BYTES:
            claims.problems.append(Problem(path, f"has more than {MOST_BYTES:,} bytes", "it is not read"))
            continue
        _read_tables(path, data.decode("utf-8", "replace"), claims)
    for track in ("short", "medium", "optimization"):
        if track not in claims.tracks:
            where = READMES[1] if track == "optimization" else READMES[0]
            claims.problems.append(Problem(where, f"has no table of the {track} track", "see whether its form changed"))
    return claims


def _read_tables(path: str, text: str, claims: Claims) -> None:
    track: str | None = None  # of the table that the lines are in
    heading, seen = "", {(row.track, row.number): row.timing for row in claims.rows}
    before: datetime.date | None = None
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{path}:{number}"
        cells = _cells(line) if "|" in line and len(line) <= MOST_LINE else []
        if line.startswith("#"):
            heading, track = line.lower(), None
        columns = tuple(cell.lower() for cell in cells if cell)
        if columns in (TIMED, STEPPED):
            track = _track_of(columns, heading)
            if track in claims.tracks:
                claims.problems.append(Problem(where, f"is a second table of the {track} track", "it is not read"))
                track = None
            else:
                claims.tracks.add(track)
            before = None
        elif not line.count("|") >= 3 or not set(line) - set("|-: "):
            continue  # no text ends a table, so that no row behind it is lost
        elif track is None:
            if _ROW.match(line):
                claims.problems.append(Problem(where, "looks like a row, and stands in no table", "it is left out"))
        elif len(line) > MOST_LINE or len(claims.rows) >= MOST_ROWS:
            claims.problems.append(Problem(where, "is too long, or one row too many", "it is left out"))
        else:
            try:
                row = _row(track, where, cells, path)
                before, row = row.date or before, replace(row, before=before)
                claims.rows.append(_timed_again(row, cells, seen))
            except ValueError as error:
                claims.problems.append(Problem(where, str(error), "it is left out"))


def _track_of(columns: tuple[str, ...], heading: str) -> str:
    if columns == STEPPED:
        return "optimization"
    return "medium" if "medium" in heading or "track 2" in heading else "short"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().removeprefix("|"))]


def _timed_again(row: Row, cells: list[str], seen: dict[tuple[str, int], int]) -> Row:
    """Tell a second row of a number, which times the first again, from two records that were given one number."""
    key = (row.track, row.number)
    if key in seen:
        if not any(_TIMED_AGAIN.search(cell) for cell in cells):
            raise ValueError(f"gives the number {row.number} again, and does not say that it is a re-timing")
        row = replace(row, timing=seen[key] + 1, contributors=())
    seen[key] = row.timing
    return row


def _row(track: str, where: str, cells: list[str], path: str) -> Row:
    """Make a row of its cells; raises ValueError with what is not understood."""
    columns = STEPPED if track == "optimization" else TIMED
    cells = cells[:-1] if len(cells) == len(columns) + 1 and not cells[-1] else cells  # the bar at the end
    if len(cells) != len(columns):
        raise ValueError(f"has {len(cells)} cells, its table has {len(columns)} columns")
    of = dict(zip(columns, cells, strict=True))
    number = int(of["#"]) if re.fullmatch(r"\d{1,5}", of["#"]) else 0
    if not number:
        raise ValueError(f"{of['#'][:40]!a} is no number of a record")
    links = _LINK.findall(of["log"])
    pulls = [m[1] for _, url in links + _LINK.findall(of["contributors"]) if (m := _PULL.search(url))]
    claim = _stepped(of) if track == "optimization" else {"train_time_s": _seconds(of["record time"])}
    return Row(
        track=track,
        number=number,
        where=where,
        date=_date(of["date"]),
        title=_title(of["description"]),
        contributors=_people(of["contributors"]),
        logs=tuple(log for text, url in links if text.lower() != "pr" and (log := _inside(url, path))),
        pull_request=pulls[0] if pulls else None,
        **claim,
    )


_PULL = re.compile(r"/pull/(\d{1,7})(?:\D|$)")
_BLOB = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+/(?:blob|tree)/[\w.-]+/(.*)")


def _inside(url: str, readme: str) -> str | None:
    """Return the path below the repository's root that a link means; None for one that leads elsewhere."""
    at_host = _BLOB.fullmatch(url)
    if at_host is None and ("://" in url or url.startswith(("#", "/", "mailto:"))):
        return None
    path = urllib.parse.unquote(at_host[1] if at_host else posixpath.join(posixpath.dirname(readme), url))
    path = posixpath.normpath(path.split("#")[0])
    return None if path.startswith("..") or not path.isprintable() or len(path) > 1000 else path


def _seconds(cell: str) -> float:
    found = _TIME.fullmatch(cell.lower())
    if found is None or not 0 < float(found[1]) < 1e6:
        raise ValueError(f"{cell[:60]!a} is no time like 1.23 minutes")
    return round(float(found[1]) * _SECONDS[found[2][0]], 3)


def _stepped(of: dict[str, str]) -> dict[str, int | float]:
    steps = re.fullmatch(r"([1-9]\d{0,6})\s*(?:\(!\))?", of["steps to 3.28"])
    evidence = re.fullmatch(r"(\d{1,3}\.\d+)\s*\(n=([1-9]\d{0,5})\)\D*", of["evidence"])
    if steps is None:
        raise ValueError(f"{of['steps to 3.28'][:60]!a} is no number of steps like 2690(!)")
    if evidence is None:
        raise ValueError(f"{of['evidence'][:60]!a} is no evidence like 3.2783 (n=8)")
    return {"steps": int(steps[1]), "val_loss": float(evidence[1]), "runs": int(evidence[2])}


def _date(cell: str) -> datetime.date | None:
    if cell.lower() in _NOTHING:
        return None
    for form in ("%m/%d/%y", "%m/%d/%Y", "%Y/%m/%d", "%Y-%m-%d"):
        try:
            return datetime.datetime.strptime(cell, form).date()
        except ValueError:
            continue
    raise ValueError(f"{cell[:40]!a} is no date like 07/17/26 or 2026/06/19")


def _plain(cell: str) -> str:
    """Return a cell without links, marks of Markdown, tags and control characters."""
    text = re.sub(r"<[^<>]{0,200}>", " ", _LINK.sub(r"\1", cell))
    text = re.sub(r"[*`]|\\(?=[!-/:-@\[-`{-~])", "", text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _title(cell: str) -> str:
    text = _plain(cell)
    if not is_visible(text):
        raise ValueError("has no description")
    return text if len(text) <= MOST_TITLE else f"{text[: MOST_TITLE - 2].rstrip()} …"


def _people(cell: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_names(cell)))[:MOST_PEOPLE]


def _names(cell: str) -> Iterator[str]:
    """Give the names of a cell like `[PR](…) by [@a](…) (author) and B [@b](…), feat. @c & AI System [D](…)`."""
    cell = re.sub(r"\[PR\]\([^()]*\)\s*(?:by\s)?", "", cell)
    text = re.sub(r"\([^()]*\)", "", _plain(cell))
    for part in re.split(r"[,;]|\s&\s|\sand\s", f" {text} "):
        name = " ".join(part.split()).removeprefix("feat. ").strip()
        person = re.fullmatch(r"([^@]*\S)\s+(@\S+)", name)
        name = f"{person[1]} ({person[2]})" if person else name
        if name.lower() not in _NOTHING and is_visible(name):
            yield name[:MOST_NAME]
