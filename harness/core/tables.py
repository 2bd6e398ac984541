"""CSV tables whose rows are declared as a dataclass: one column per field, an empty cell for None.

Like every stored file they come by pull request, so a cell that is no number where one is declared is named with its
line, and all of a file at once.
"""

from __future__ import annotations

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
    problems, made, cells = [], [], _cells(declared)
    for line, row in rows:
        if len(row) != len(columns):
            raise StoreError.at(f"{name}:{line}", f"has not {len(columns)} cells", RESTORE)
        values: list[Any] = [text or None for text in row]
        for index, key, read in cells:
            values[index] = read(row[index])
            if values[index] is ...:
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
def _cells(kind: Any) -> tuple[tuple[int, str, Callable[[str], Any]], ...]:
    """Index, column and reader of the cells that are more than a text which may be empty."""
    hints = enumerate(hints_of(kind).items())
    return tuple((i, key, functools.partial(_read_cell, hint)) for i, (key, hint) in hints if hint != str | None)


def _read_cell(kind: Any, text: str) -> Any:
    """The value of one cell by its declared type; ... for what is none."""
    needed = bare(kind)
    if text == "" and needed is not kind:
        return None
    if get_origin(needed) is Literal:
        return text if text in get_args(needed) else ...
    if needed is int:
        return int(text) if re.fullmatch(r"[0-9]{1,19}", text) else ...
    if needed is float:
        try:
            value = float(text)
        except ValueError:
            return ...
        return value if math.isfinite(value) else ...
    return text or ...
