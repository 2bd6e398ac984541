"""CSV tables whose rows are declared as a dataclass: one column per field, an empty cell for None.

Like every stored file they come by pull request, so a cell that is no number where one is declared is named with its
line, and all of a file at once.
"""

import csv
import dataclasses
import functools
import io
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from harness.core.constraints import show
from harness.core.declarations import bare, hints_of, wanted
from harness.core.errors import Problem, StoreError, raise_if

T = TypeVar("T")
RESTORE = "restore the file"


def read_table(path: Path, kind: type[T], *, name: str) -> tuple[T, ...]:
    """Read the rows of a file; raises StoreError with every problem of it."""
    declared: Any = kind
    hints = hints_of(declared)
    columns = list(hints)
    try:
        reader = csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), strict=True)
        header = next(reader, [])
        rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise StoreError.at(name, f"cannot be read ({error})", RESTORE) from None
    if header != columns:
        raise StoreError.at(f"{name}:1", "has other columns than it must", f"they are {','.join(columns)}")
    problems, made, checked = [], [], _checked(declared)
    for line, row in rows:
        if len(row) != len(columns):
            raise StoreError.at(f"{name}:{line}", f"has not {len(columns)} cells", RESTORE)
        values: list[Any] = [text or None for text in row]
        for index, optional, read in checked:
            try:
                values[index] = read(row[index]) if row[index] or not optional else None
            except (ValueError, KeyError):
                key = columns[index]
                what = f"{key} is {show(row[index])}"
                problems.append(Problem(f"{name}:{line}", what, f"it must be {wanted(hints[key])}"))
        made.append(kind(*values))
    raise_if(problems, StoreError)
    return tuple(made)


def table_text(kind: type[T], rows: Iterable[T]) -> str:
    """Write rows; the same rows give the same bytes everywhere."""
    columns = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if (v := getattr(row, c)) is None else v for c in columns] for row in rows)
    return text.getvalue()


@functools.cache
def _checked(kind: Any) -> tuple[tuple[int, bool, Callable[[str], Any]], ...]:
    """Index, whether it may be empty, and reader of the cells that are more than a text which may be empty."""
    found = []
    for index, hint in enumerate(hints_of(kind).values()):
        needed = bare(hint)
        words = {word: word for word in get_args(needed)}
        if hint != str | None:
            read = words.__getitem__ if get_origin(needed) is Literal else READERS[needed]
            found.append((index, needed is not hint, read))
    return tuple(found)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text):
        raise ValueError
    return int(text)


def _decimal(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


READERS: dict[Any, Callable[[str], Any]] = {int: _whole, float: _decimal, str: _text}
