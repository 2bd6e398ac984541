"""Stored files and the values in them, both ways by one declaration: a frozen dataclass with annotated fields.

A `Form` is one kind of file. Reading is strict, because files come by pull request: no unknown or missing key, no value
that is nearly of its type, no number that overflows where it is divided. All problems of a file come at once, each
with its line. pydantic checks the values; what it says is put into words of ours. It is imported when the first file
is read (0.1 s), so that commands that read none start without it.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from harness.core import yamlfile
from harness.core.constraints import show
from harness.core.declarations import hints_of, inside_of, label, place, plain, schema_of, stored_as, validator, wanted
from harness.core.errors import HarnessError, Problem, StoreError, YamlError
from harness.core.yamlfile import Document, Path_

T = TypeVar("T")
MAX_JSON_BYTES = 4 << 20
RESTORE = "restore the file as speedrun wrote it"


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """One kind of stored file: what it holds, how it is written, and which error a bad one raises.

    A YAML file is written without the keys that have their default, a JSON file with all.
    """

    kind: type[T]
    syntax: Literal["yaml", "json"]
    versions: tuple[int, ...] = ()  # of its key `schema`, the one that is written last; none: it has no such key
    error: type[HarnessError] = StoreError
    max_bytes: int | None = None
    upgrade: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # plain values of an older file to those of today
    header: str = ""  # comment lines at the top of a YAML file

    def open(self, path: Path, *, name: str | None = None) -> Reading[T]:
        """Read a file and note what is wrong with it; raises YamlError or `error` where it is no YAML or JSON."""
        name = name or str(path)
        usual, malformed = (yamlfile.MAX_BYTES, YamlError) if self.syntax == "yaml" else (MAX_JSON_BYTES, StoreError)
        return self._parse(yamlfile.read_bytes(path, name, self.max_bytes or usual, malformed), name)

    def read(self, path: Path, *, name: str | None = None) -> T:
        """Read a file; raises `error` with every problem of it."""
        return self.open(path, name=name).done()

    def parse(self, raw: bytes, name: str) -> T:
        """Read the bytes of a file; same errors as `read`."""
        return self._parse(raw, name).done()

    def text(self, value: T) -> str:
        """Write a value; the same value gives the same bytes everywhere. JSON refuses NaN and infinity."""
        first = {"schema": self.versions[-1]} if self.versions else {}
        if self.syntax == "json":
            return to_text(first | encode(value))
        return self.header + yamlfile.dump(first | plain(self.kind, value))

    def json_schema(self) -> dict[str, Any]:
        """Describe the file in JSON Schema, for editors."""
        kind: Any = self.kind
        schema = schema_of(kind)
        if self.versions and "schema" not in hints_of(kind):
            known = self.versions if self.upgrade is None else self.versions[-1:]
            schema["properties"] = {"schema": {"enum": sorted(known)}, **schema["properties"]}
            schema["required"] = ["schema", *schema["required"]]
        return schema

    def _parse(self, raw: bytes, name: str) -> Reading[T]:
        document = yamlfile.parse(raw, name) if self.syntax == "yaml" else _parse_json(raw, name)
        reading: Reading[T] = Reading(self, document)
        reading.check()
        return reading


@dataclass(slots=True)
class Reading(Generic[T]):
    """A file that was read: its plain values, and everything that is known to be wrong with it so far."""

    form: Form[T]
    document: Document
    value: T | None = None  # None where a key has a problem
    problems: list[Problem] = field(default_factory=list)
    _faulty: set[Path_] = field(default_factory=set)

    @property
    def data(self) -> Any:
        """What stands in the file, of whatever type: rules across keys look at this, so a bad key hides none of them."""
        return self.document.data

    def problem(self, path: Path_, what: str, todo: str) -> None:
        """Note a problem at a key, unless its own value has one."""
        if path not in self._faulty:
            self._add(path, what, todo)

    def done(self) -> T:
        """Give the value; raises the form's error with all the problems noted."""
        if self.problems:
            raise self.form.error(*dict.fromkeys(self.problems))
        assert self.value is not None
        return self.value

    def check(self) -> None:
        """Check every value by the declaration."""
        from pydantic_core import ValidationError

        kind: Any = self.form.kind
        data = self.data
        if self.form.upgrade is not None and isinstance(data, dict):
            data = self.form.upgrade(data)
        if self.form.versions and isinstance(data, dict):
            self._check_version(data.get("schema", ...))
            if "schema" not in hints_of(kind):
                data = {key: value for key, value in data.items() if key != "schema"}
        try:
            self.value = validator(kind).validate_python(data)
        except ValidationError as error:
            for found in error.errors(include_url=False):
                self._note(found["type"], found["loc"], found["input"], found.get("ctx", {}))

    def _check_version(self, version: object) -> None:
        known = self.form.versions
        if version is ...:
            self._missing((), "schema", str(known[-1]))
        elif type(version) is not int or version not in known:
            reads = " and ".join(map(str, sorted(known)))
            self._add(("schema",), f"schema {show(version)} is unknown", f"this harness reads schema {reads}")

    def _note(self, kind: str, loc: Path_, value: object, ctx: dict[str, Any]) -> None:
        """Note one of pydantic's errors in words of ours."""
        if kind == "too_short" and len(value) >= ctx["min_length"]:  # type: ignore[arg-type]
            return  # pydantic counts the good values alone, and what is wrong with the others is noted
        path, declared = place(self.form.kind, self.data, loc)
        if kind == "missing" and isinstance(loc[-1], str):
            self._missing(path, loc[-1], "…", f" ({wanted(inside_of(declared, loc[-1]))})")
        elif kind == "unexpected_keyword_argument":
            known = sorted([*hints_of(declared), *(["schema"] if self.form.versions and not path else [])])
            todo = RESTORE if self.form.syntax == "json" else f"remove it (known here: {', '.join(known)})"
            self._add((*path, loc[-1]), f"the key {label((*path, loc[-1]))} is unknown", todo)
        else:
            what, todo = ctx.get("what", f"is {show(value)}"), ctx.get("todo", f"it must be {wanted(declared)}")
            self._add(path, f"{label(path)} {what}".lstrip(), todo)
            self._faulty.add(path)

    def _add(self, path: Path_, what: str, todo: str) -> None:
        self.problems.append(Problem(self.document.where(path), what, todo))

    def _missing(self, path: Path_, key: str, value: str, what: str = "") -> None:
        todo = RESTORE if self.form.syntax == "json" else f"add `{key}: {value}`{what}"
        self._add(path, f"the key {label((*path, key))} is missing", todo)


# ------------------------------------------------------------------------------------------------ writing


def encode(value: Any) -> Any:
    """Give a dataclass (or a value inside one) as plain JSON values."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {stored_as(field.name): encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return value


def to_text(value: Any) -> str:
    """Write a value as indented JSON; NaN and infinity are refused with ValueError."""
    return json.dumps(encode(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


# ------------------------------------------------------------------------------------------------ JSON


def _parse_json(raw: bytes, name: str) -> Document:
    try:
        return Document(name, _tuples(json.loads(raw, object_pairs_hook=_unique)), {})
    except json.JSONDecodeError as error:
        what = f"is not JSON from line {error.lineno}, column {error.colno} on"
    except UnicodeDecodeError:
        what = "is not UTF-8"
    except RecursionError:
        what = "is nested too deeply"
    except ValueError as error:  # a key that appears twice, or a number of more digits than Python reads
        what = str(error) if "appears twice" in str(error) else "holds a number of too many digits"
    raise StoreError.at(name, what, RESTORE)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object a dict; a key that appears twice would hide one of its values."""
    data = {key: _tuples(value) for key, value in pairs}
    if len(data) < len(pairs):
        twice = next(key for key in data if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {show(twice)} appears twice")
    return data


def _tuples(value: Any) -> Any:
    """Make tuples of lists: strict reading refuses a list, and says nothing of what is wrong inside it."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
