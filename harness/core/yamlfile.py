"""YAML text in, plain values with line numbers out. The only place that imports pyyaml.

Manifests come from strangers, so the document is built from parser events rather than by a loader: no tags, no
anchors (an alias bomb cannot expand), no duplicate keys, bounded size, depth and number of values. `Fields` then
reads a mapping strictly and collects every problem with its line, instead of stopping at the first one.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from harness.core.errors import HarnessError, Problem, YamlError

MAX_BYTES = 256 * 1024  # the largest file we write ourselves (a record with 100 hashes) is below 20 kB
MAX_DEPTH = 12
MAX_VALUES = 20_000
MAX_NUMBER = 1e300  # keeps out infinity, NaN, and whole numbers that no float can hold
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ALLOWED_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")  # what YAML forbids unescaped
# Letters and signs that show nothing: the fillers of Hangul, the empty Braille cell.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"

Path_ = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Document:
    """The values of one YAML file and the line each of them stands on."""

    name: str  # how to call the file in messages
    data: Any
    lines: dict[Path_, int] = field(repr=False)

    def where(self, path: Path_ = ()) -> str:
        """Name the file and, where known, the line of the value at `path`."""
        line = self.lines.get(path)
        return self.name if line is None else f"{self.name}:{line}"


def load(path: Path, *, name: str | None = None, max_bytes: int = MAX_BYTES) -> Document:
    """Read one YAML mapping from a regular file.

    Raises YamlError naming file and line: unreadable, too large, not UTF-8, malformed, duplicate key, anchor, tag.
    """
    name = name or str(path)
    try:
        if not path.is_file():
            raise YamlError.at(name, "there is no such file", "create it or correct the path")
        size = path.stat().st_size
        if size > max_bytes:
            raise YamlError.at(name, f"the file has {size:,} bytes", f"keep it below {max_bytes:,} bytes")
        raw = path.read_bytes()
    except OSError as error:
        raise YamlError.at(name, f"cannot be read ({error.strerror})", "check the path and its permissions") from None
    return parse(raw, name)


def parse(raw: bytes, name: str) -> Document:
    """Parse the bytes of one YAML mapping; same errors as `load`."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError.at(f"{name}:{line}", "not valid UTF-8", "save the file as UTF-8") from None
    control = _CONTROL.search(text)
    if control:  # the parser would refuse it too, but without saying where
        line = text.count("\n", 0, control.start()) + 1
        raise YamlError.at(f"{name}:{line}", f"holds the control character {control[0]!a}", "use printable text only")
    builder = _Builder(name)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        what = getattr(error, "problem", None) or "malformed YAML"
        raise YamlError.at(where, f"malformed YAML ({what})", "correct the syntax") from None
    return builder.finish()


def dump(data: dict[str, Any]) -> str:
    """Write a mapping as YAML in the order of its keys; the same data gives the same bytes everywhere."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)


class _Builder:
    """Builds plain values from parser events with a stack of its own, so that deep nesting cannot overflow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.lines: dict[Path_, int] = {}
        self.stack: list[dict[str, Any] | list[Any]] = []
        self.path: list[str | int] = []
        self.keys: list[str | None] = []  # per open mapping: the key that waits for its value
        self.root: Any = None
        self.has_root = False
        self.values = 0
        self.resolver = yaml.SafeLoader("")

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise YamlError.at(f"{self.name}:{line}", "anchors and aliases are not allowed", "write the value out")
        if isinstance(event, yaml.DocumentStartEvent) and self.has_root:
            raise YamlError.at(f"{self.name}:{line}", "more than one document", "keep one document per file")
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if event.tag is not None:
                raise YamlError.at(f"{self.name}:{line}", f"the tag {_show(event.tag)} is not allowed", "take it out")
            if len(self.stack) >= MAX_DEPTH:
                raise YamlError.at(f"{self.name}:{line}", f"nested deeper than {MAX_DEPTH} levels", "flatten it")
            value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(value, line)
            self.stack.append(value)
            self.keys.append(None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()
            self.keys.pop()
            self._leave()

    def finish(self) -> Document:
        if not self.has_root or self.root is None:
            self.problems.append(Problem(self.name, "the file is empty", "write the keys it needs"))
        elif not isinstance(self.root, dict):
            self.problems.append(Problem(self.name, "not a mapping of keys to values", "start with `key: value` lines"))
        if self.problems:
            raise YamlError(*self.problems)
        return Document(self.name, self.root, self.lines)

    def _scalar(self, event: Any, line: int) -> None:
        waiting_for_key = bool(self.stack) and isinstance(self.stack[-1], dict) and self.keys[-1] is None
        if waiting_for_key:
            key = event.value
            if event.tag is not None:
                raise YamlError.at(f"{self.name}:{line}", f"the tag {_show(event.tag)} is not allowed", "take it out")
            if key in self.stack[-1]:
                self.problems.append(Problem(f"{self.name}:{line}", f"the key {_show(key)} appears twice", "keep one"))
            self.keys[-1] = key
            return
        tag = event.tag or self.resolver.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag not in _ALLOWED_TAGS:
            raise YamlError.at(
                f"{self.name}:{line}", f"the tag or value {_show(tag)} is not allowed", "use plain values"
            )
        try:
            value = self.resolver.construct_object(yaml.ScalarNode(tag, event.value))
        except (ValueError, OverflowError):
            self.problems.append(Problem(f"{self.name}:{line}", f"{event.value[:60]!r} is no value", "quote it"))
            value = None
        self._add(value, line)
        self._leave()

    def _add(self, value: Any, line: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise YamlError.at(f"{self.name}:{line}", f"more than {MAX_VALUES:,} values", "keep the file small")
        if not self.stack:
            self.root, self.has_root = value, True
            self.lines[()] = line
            return
        parent = self.stack[-1]
        if isinstance(parent, list):
            self.path.append(len(parent))
            parent.append(value)
        else:
            key = self.keys[-1]
            if key is None:
                raise YamlError.at(f"{self.name}:{line}", "a key must be plain text", "use a simple key")
            self.path.append(key)
            parent[key] = value
            self.keys[-1] = None
        self.lines[tuple(self.path)] = line

    def _leave(self) -> None:
        if self.path:
            self.path.pop()


class Fields:
    """Reads the keys of one mapping strictly, collecting problems; call `done` last."""

    def __init__(
        self, document: Document, data: dict[str, Any], path: Path_ = (), problems: list[Problem] | None = None
    ):
        self.document = document
        self.data = data
        self.path = path
        self.problems: list[Problem] = [] if problems is None else problems
        self.known: set[str] = set()

    @classmethod
    def of(cls, document: Document) -> Fields:
        """Read the top of a document."""
        return cls(document, document.data)

    def problem(self, key: str | int | None, what: str, todo: str) -> None:
        """Note a problem at a key (or at the mapping itself)."""
        path = self.path if key is None else (*self.path, key)
        self.problems.append(Problem(self.document.where(path), what, todo))

    def _take(self, key: str, kind: Callable[[Any], T | None], what: str, optional: bool) -> T | None:
        self.known.add(key)
        if key not in self.data:
            if not optional:
                self.problem(None, f"the key `{key}` is missing", f"add `{key}: …` ({what})")
            return None
        value = self.data[key]
        if value is None and optional:
            return None
        taken = kind(value)
        if taken is None:
            self.problem(key, f"`{key}` is {_show(value)}", f"it must be {what}")
        return taken

    def text(self, key: str, *, pattern: str | None = None, what: str = "text", max_length: int = 300) -> str:
        """Read a text of one line; "" after noting a problem."""
        text = self._text(key, pattern, what, max_length, optional=False) or ""
        if "\n" in text:
            self.problem(key, f"`{key}` has more than one line", f"it must be {what} on one line")
            return ""
        return text

    def text_or_none(
        self, key: str, *, pattern: str | None = None, what: str = "text", max_length: int = 2000
    ) -> str | None:
        """Read an optional text."""
        return self._text(key, pattern, what, max_length, optional=True)

    def _text(self, key: str, pattern: str | None, what: str, max_length: int, *, optional: bool) -> str | None:
        value = self._take(key, lambda v: v if isinstance(v, str) else None, what, optional)
        if value is None:
            return None
        if len(value) > max_length:
            self.problem(
                key, f"`{key}` has {len(value)} characters", f"it must be {what} of 1 to {max_length} characters"
            )
        elif any(not char.isprintable() and char != "\n" for char in value):
            self.problem(key, f"`{key}` holds control characters", "use printable text only")
        elif not is_visible(value):
            self.problem(key, f"`{key}` shows nothing", f"it must be {what} of 1 to {max_length} characters")
        elif pattern is not None and not re.fullmatch(pattern, value):
            self.problem(key, f"`{key}` is {_show(value)}", f"it must be {what}")
        else:
            return value
        return None

    def integer(self, key: str, *, minimum: int = 0) -> int:
        """Read a whole number; `minimum` after noting a problem."""
        value = self.integer_or_none(key, minimum=minimum, optional=False)
        return minimum if value is None else value

    def integer_or_none(self, key: str, *, minimum: int = 0, optional: bool = True) -> int | None:
        """Read an optional whole number."""
        good: Callable[[Any], int | None] = lambda v: v if type(v) is int and v >= minimum else None  # noqa: E731
        return self._take(key, good, f"a whole number of at least {minimum}", optional)

    def number(self, key: str) -> float:
        """Read a finite number; 0.0 after noting a problem."""
        value = self.number_or_none(key, optional=False)
        return 0.0 if value is None else value

    def number_or_none(self, key: str, *, optional: bool = True) -> float | None:
        """Read an optional finite number."""
        good: Callable[[Any], float | None] = lambda v: (  # noqa: E731
            float(v) if type(v) in (int, float) and -MAX_NUMBER < v < MAX_NUMBER else None
        )
        return self._take(key, good, "a finite number", optional)

    def date_or_none(self, key: str, *, optional: bool = True) -> datetime.date | None:
        """Read an ISO date."""
        good: Callable[[Any], datetime.date | None] = lambda v: v if type(v) is datetime.date else None  # noqa: E731
        return self._take(key, good, "a date like 2026-07-17", optional)

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        """Read one of a few words; the first of them after noting a problem."""
        what = "one of " + ", ".join(choices)
        value = self._take(key, lambda v: v if isinstance(v, str) and v in choices else None, what, False)
        return choices[0] if value is None else value

    def strings(self, key: str, *, optional: bool = False, minimum: int = 0) -> tuple[str, ...]:
        """Read a list of one-line texts."""
        what = f"a list of {minimum or 'any number of'} or more texts" if minimum else "a list of texts"

        def good(value: Any) -> tuple[str, ...] | None:
            if not isinstance(value, list) or len(value) < minimum:
                return None
            ok = all(isinstance(v, str) and is_visible(v) and len(v) <= 300 and v.isprintable() for v in value)
            return tuple(value) if ok else None

        return self._take(key, good, what, optional) or ()

    def mapping(self, key: str, *, optional: bool = False) -> Fields | None:
        """Descend into a nested mapping; None after noting a problem or where it is absent."""
        value = self._take(key, lambda v: v if isinstance(v, dict) else None, "a mapping of keys to values", optional)
        return None if value is None else Fields(self.document, value, (*self.path, key), self.problems)

    def mappings(self, key: str) -> list[Fields]:
        """Descend into a list of mappings."""
        value = self._take(key, lambda v: v if isinstance(v, list) else None, "a list of mappings", False) or []
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                self.problems.append(
                    Problem(self.document.where((*self.path, key, index)), f"{_show(item)} is no mapping", "use keys")
                )
        return [
            Fields(self.document, item, (*self.path, key, index), self.problems)
            for index, item in enumerate(value)
            if isinstance(item, dict)
        ]

    def unknown_keys(self) -> None:
        """Note every key that nobody asked for."""
        for key in self.data:
            if key not in self.known:
                known = ", ".join(sorted(self.known))
                self.problem(key, f"the key {_show(key)} is unknown", f"remove it (known here: {known})")

    def done(self, kind: type[HarnessError]) -> None:
        """Raise `kind` with all the problems noted here and below, unknown keys included."""
        self.unknown_keys()
        if self.problems:
            raise kind(*self.problems)


def is_visible(text: str) -> bool:
    """Whether a text holds a letter, a digit or a sign that can be seen."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in text)


def _show(value: object) -> str:
    """A short, printable form of a value for a message."""
    text = ascii(value) if not isinstance(value, dict | list) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."
