"""Fit lines and tables to a number of columns, without losing anything of them.

A terminal cuts lines anywhere, also within a number. Here a line breaks between words and goes on below its text; a table
breaks within the cells of its widest columns. In a file or a pipe nothing is broken, so that `grep` finds whole lines.
"""

import re
import textwrap
from collections.abc import Sequence

LONG_WORD = 16  # letters of a word that is no figure, but a name: it may go on in the next line
LABELS = 26  # columns within which labels before a text end: "  S1  inconclusive    the mean …"
GAP = 2


def wrapped(line: str, width: int) -> str:
    """Break a line between words; what follows begins below its text, behind the labels that stand before it."""
    if len(line) <= width:
        return line
    begin = _indent(line) if width > 2 * LABELS else 0
    begin = begin or len(line) - len(line.lstrip())
    first, text = line[:begin], line[begin:]
    # A path or a hash stays whole: it is to be copied, and a terminal breaks what is longer than a line.
    parts = textwrap.wrap(text, max(width - begin, 1), break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * begin).join([first + "".join(parts[:1]), *parts[1:]]).rstrip()


def _indent(line: str) -> int:
    """Return where the text of a line begins behind its labels; 0 without any."""
    ends = [match.end() for match in re.finditer(r"\S {2,}(?=\S)", line[: LABELS + 1])]
    return ends[-1] if ends else 0


def table(cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return the lines of a table whose first row is its head; None: of any width.

    Where words of the first column alone are too long, as names of runs are, each stands on a line above its row.
    """
    widths = [max((len(row[column]) for row in cells), default=0) for column in range(len(cells[0]))]
    if width is None or _total(widths) <= width:
        return [line for row in cells for line in _lines(row, widths)]
    longest = max(len(word) for row in cells for word in row[0].split() or [""])
    if len(widths) > 1 and longest > LONG_WORD and longest + _total(_narrowed(cells, widths, 0)[1:]) + GAP > width:
        rest = [["", *row[1:]] for row in cells]
        narrow = _narrowed(rest, [GAP, *widths[1:]], width)
        pairs = zip(cells, rest, strict=True)
        return [line for row, below in pairs for line in (" " * GAP + row[0], *_lines(below, narrow))]
    narrow = _narrowed(cells, widths, width)
    return [line for row in cells for line in _lines(row, narrow)]


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * len(widths)


def _lines(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    parts = [
        textwrap.wrap(cell, most, break_on_hyphens=False) if len(cell) > most else [cell]
        for cell, most in zip(row, widths, strict=True)
    ]
    lines = []
    for index in range(max(map(len, parts), default=0)):
        shown = [part[index] if index < len(part) else "" for part in parts]
        padded = (text.ljust(most) for text, most in zip(shown, widths, strict=True))
        lines.append((" " * GAP + (" " * GAP).join(padded)).rstrip())
    return lines


def _narrowed(cells: Sequence[Sequence[str]], widths: Sequence[int], width: int) -> list[int]:
    """Take columns away from the widest cells until the table fits: between words, and in those that are no figures."""
    narrow = list(widths)
    least = []
    for column in range(len(widths)):
        words = {len(word) for row in cells for word in row[column].split()}
        least.append(max((min(length, LONG_WORD) for length in words), default=1))
    while _total(narrow) > width:
        giving = [column for column, most in enumerate(narrow) if most > least[column]]
        if not giving:
            break
        narrow[max(giving, key=lambda column: narrow[column])] -= 1
    return narrow
