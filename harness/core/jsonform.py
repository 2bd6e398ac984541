"""Frozen dataclasses to JSON and back, strictly: unknown keys, missing keys and wrong types are named errors.

JSON has no tuples and our values have nothing else, so lists become tuples by the type of the field they stand in.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import types
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from harness.core.errors import Problem, StoreError

T = TypeVar("T")
MAX_NUMBER = 1e300  # keeps out infinity, NaN, and whole numbers that no float can hold
MAX_WHOLE = 1 << 64  # bytes, seeds and nanoseconds are below; a number of 4,000 digits overflows where it is divided
_HALF_CHARACTER = re.compile(r"[\ud800-\udfff]")  # "\ud800" is JSON, but no text that can be written


def encode(value: Any) -> Any:
    """A dataclass (or a value inside one) as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, datetime.date):
        return value.isoformat()
    return value


def to_text(value: Any) -> str:
    """A dataclass as indented JSON text; NaN and infinity are refused."""
    return json.dumps(encode(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read(path: Path, kind: type[T], *, name: str | None = None, max_bytes: int = 4 << 20) -> T:
    """Read one dataclass from a JSON file; raises StoreError with every problem of the file."""
    name = name or str(path)
    try:
        if path.stat().st_size > max_bytes:
            raise StoreError.at(name, f"the file has more than {max_bytes:,} bytes", "it was not written by speedrun")
        data = json.loads(path.read_bytes(), parse_constant=_refuse, object_pairs_hook=_unique)
    except OSError as error:
        raise StoreError.at(name, f"cannot be read ({error.strerror})", "check that it is there") from None
    except (ValueError, RecursionError) as error:
        raise StoreError.at(name, f"is no JSON ({error})", "restore the file as speedrun wrote it") from None
    return decode(kind, data, name)


def decode(kind: type[T], data: Any, name: str) -> T:
    """Build a dataclass from plain JSON values; raises StoreError with every problem."""
    problems: list[Problem] = []
    value = _decode(kind, data, name, problems)
    if problems:
        raise StoreError(*problems)
    return value  # type: ignore[no-any-return]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object as a dict; a key that appears twice would hide one of its values."""
    data = dict(pairs)
    if len(data) < len(pairs):
        twice = next(key for key in data if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {_show(twice)} appears twice")
    return data


def _decode(kind: Any, data: Any, where: str, problems: list[Problem]) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, data, where, problems)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in arguments:
            return None
        return _decode(next(a for a in arguments if a is not type(None)), data, where, problems)
    if origin is Literal:
        if data not in arguments:
            problems.append(Problem(where, f"is {_show(data)}", f"it must be one of {', '.join(map(str, arguments))}"))
        return data
    if origin is tuple and isinstance(data, list):
        kinds = [arguments[0]] * len(data) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) == len(data):
            return tuple(
                _decode(k, d, f"{where}[{i}]", problems) for i, (k, d) in enumerate(zip(kinds, data, strict=True))
            )
    if origin is dict and isinstance(data, dict):
        return {key: _decode(arguments[1], item, f"{where}.{key}", problems) for key, item in data.items()}
    return _decode_plain(kind, data, where, problems)


def _decode_dataclass(kind: Any, data: Any, where: str, problems: list[Problem]) -> Any:
    if not isinstance(data, dict):
        problems.append(Problem(where, f"is {_show(data)}", "it must be an object"))
        return None
    hints = get_type_hints(kind)
    needed = {f.name for f in dataclasses.fields(kind) if f.default is f.default_factory is dataclasses.MISSING}
    for key in sorted(data.keys() - hints.keys()):
        problems.append(Problem(where, f"the key {_show(key)} is unknown", "restore the file as speedrun wrote it"))
    for key in sorted(needed - data.keys()):
        problems.append(Problem(where, f"the key `{key}` is missing", "restore the file as speedrun wrote it"))
    found = len(problems)
    values = {k: _decode(hints[k], v, f"{where}: {k}", problems) for k, v in data.items() if k in hints}
    return kind(**values) if len(problems) == found and needed <= data.keys() else None


def _decode_plain(kind: Any, data: Any, where: str, problems: list[Problem]) -> Any:
    if kind is float and type(data) in (int, float) and -MAX_NUMBER < data < MAX_NUMBER:
        return float(data)
    if kind is bool and type(data) is bool:
        return data
    if kind is int and type(data) is int and abs(data) < MAX_WHOLE:
        return data
    if kind is str and isinstance(data, str) and not _HALF_CHARACTER.search(data):
        return data
    if kind is datetime.date and isinstance(data, str):
        try:
            return datetime.date.fromisoformat(data)
        except ValueError:
            pass
    wanted = getattr(kind, "__name__", str(kind))
    problems.append(Problem(where, f"is {_show(data)}", f"it must be of the kind {wanted}"))
    return None


def _show(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
