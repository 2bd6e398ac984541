"""Read YAML into plain values that know their lines, and write it. The only place that imports pyyaml.

Manifests are untrusted input, so the document is built from parser events rather than by a loader: no tags, no
anchors (an alias bomb cannot expand), no duplicate keys, bounded size, depth and number of values. Lists become
tuples, as the frozen values have nothing else.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from harness.core.constraints import show
from harness.core.errors import HarnessError, Problem, YamlError, raise_if

MAX_BYTES = 256 * 1024  # the largest file we write ourselves (a record with 100 hashes) is below 20 kB
MAX_DEPTH = 12
MAX_VALUES = 20_000
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = yaml.SafeLoader("")  # resolves and constructs single scalars, and keeps nothing of them
_ALLOWED_TAGS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp")}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")  # what YAML forbids unescaped

Path_ = tuple[str | int, ...]


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
    return parse(read_bytes(path, name, max_bytes, YamlError), name)


def read_bytes(path: Path, name: str, max_bytes: int, error: type[HarnessError]) -> bytes:
    """Read a regular file that is not too large; raises `error` naming what keeps it from being read."""
    try:
        if not path.is_file():
            if path.exists() or path.is_symlink():
                raise error.at(name, "is a link to nothing, a folder or a special file", "put a plain file there")
            raise error.at(name, "there is no such file", "create it or correct the path")
        size = path.stat().st_size
        if size > max_bytes:
            raise error.at(name, f"the file has {size:,} bytes", f"keep it below {max_bytes:,} bytes")
        return path.read_bytes()
    except OSError as reason:
        raise error.at(name, f"cannot be read ({reason.strerror})", "check the path and its permissions") from None


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
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120, default_flow_style=False)


class _Dumper(yaml.SafeDumper):
    """Writes a value out wherever it stands: `load` refuses anchors and aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


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

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if getattr(event, "anchor", None) is not None:
            raise self._error(line, "anchors and aliases are not allowed", "write the value out")
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._refuse_tag(event, line)
            if len(self.stack) >= MAX_DEPTH:
                raise self._error(line, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
            value: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._add(value, line)
            self.stack.append(value)
            self.keys.append(None)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()
        elif isinstance(event, yaml.DocumentStartEvent) and self.has_root:
            raise self._error(line, "more than one document", "keep one document per file")

    def finish(self) -> Document:
        if not self.has_root or self.root is None:
            self.problems.append(Problem(self.name, "the file is empty", "write the keys it needs"))
        elif not isinstance(self.root, dict):
            self.problems.append(Problem(self.name, "not a mapping of keys to values", "start with `key: value` lines"))
        raise_if(self.problems, YamlError)
        return Document(self.name, self.root, self.lines)

    def _scalar(self, event: Any, line: int) -> None:
        if self.stack and isinstance(self.stack[-1], dict) and self.keys[-1] is None:
            self._refuse_tag(event, line)
            if event.value in self.stack[-1]:
                what = f"the key {show(event.value)} appears twice"
                self.problems.append(Problem(f"{self.name}:{line}", what, "keep one"))
            self.keys[-1] = event.value
        else:
            self._add(self._value(event, line), line)
            self._leave()

    def _value(self, event: Any, line: int) -> Any:
        """Make text, number, date, true, false or null of a scalar."""
        may_be_other = event.implicit[0] and event.value[:1] in _SCALARS.yaml_implicit_resolvers
        if event.tag is None and not may_be_other:
            return event.value  # most values are texts, which need no further look
        tag = event.tag or _SCALARS.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call]
        if tag not in _ALLOWED_TAGS:
            raise self._error(line, f"the tag or value {show(tag)} is not allowed", "use plain values")
        try:
            return _SCALARS.yaml_constructors[tag](_SCALARS, yaml.ScalarNode(tag, event.value))
        except (ValueError, OverflowError):
            what = f"{event.value[:60]!a} is no value"
            self.problems.append(Problem(f"{self.name}:{line}", what, "quote it"))
            return None

    def _add(self, value: Any, line: int) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise self._error(line, f"more than {MAX_VALUES:,} values", "keep the file small")
        if not self.stack:
            self.root, self.has_root = value, True
        elif isinstance(self.stack[-1], list):
            self.path.append(len(self.stack[-1]))
            self.stack[-1].append(value)
        else:
            key = self.keys[-1]
            if key is None:
                raise self._error(line, "a key must be plain text", "use a simple key")
            self.path.append(key)
            self.stack[-1][key] = value
            self.keys[-1] = None
        self.lines[tuple(self.path)] = line

    def _close(self) -> None:
        """End a mapping or a list; a list becomes a tuple where it stands."""
        closed = self.stack.pop()
        self.keys.pop()
        if isinstance(closed, list):
            if self.stack:
                self.stack[-1][self.path[-1]] = tuple(closed)  # type: ignore[index]
            else:
                self.root = tuple(closed)
        self._leave()

    def _leave(self) -> None:
        if self.path:
            self.path.pop()

    def _refuse_tag(self, event: Any, line: int) -> None:
        if event.tag is not None:
            raise self._error(line, f"the tag {show(event.tag)} is not allowed", "take it out")

    def _error(self, line: int, what: str, todo: str) -> YamlError:
        return YamlError.at(f"{self.name}:{line}", what, todo)
