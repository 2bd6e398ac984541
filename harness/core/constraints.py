"""What a stored value must be beyond its type: texts that people can read, numbers within bounds, lists that hold something.

A declaration names them as `Annotated[str, Text(…)]`. They import pydantic only when a file is read, so that the
modules of values, `--help` and the log reader do without it.
"""

from __future__ import annotations

import datetime
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any

# Letters and signs that show nothing: the fillers of Hangul, the empty Braille cell.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"
Fault = tuple[str, str]  # what is wrong with a value ("has 301 characters"), what it must be


class _Constraint:
    """A check of one value, in pydantic's terms."""

    __slots__ = ()

    def fault(self, value: Any) -> Fault | None:
        """Say what is wrong with a value, of whatever type; None where nothing is."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """Describe the same in JSON Schema, as far as it goes there."""
        raise NotImplementedError

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        kind = float if source is float else None

        def check(value: Any) -> Any:
            fault = self.fault(value)
            if fault is not None:
                raise PydanticCustomError("fault", "see ctx", {"what": fault[0], "todo": f"it must be {fault[1]}"})
            return value if kind is None else kind(value)

        return core_schema.no_info_plain_validator_function(check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return self.json_schema()


@dataclass(frozen=True, slots=True)
class Text(_Constraint):
    """A text that can be seen: no control characters, something visible, and `pattern` from end to end."""

    what: str = "text"  # what it is, for messages
    pattern: str | None = None
    max_length: int = 300
    many_lines: bool = False

    def fault(self, value: Any) -> Fault | None:
        length = f"{self.what} of 1 to {self.max_length} characters"
        if not isinstance(value, str):
            return f"is {show(value)}", self.what
        if len(value) > self.max_length:
            return f"has {len(value)} characters", length
        if not value.isprintable() and any(not char.isprintable() and char != "\n" for char in value):
            return "holds control characters", f"{self.what} of printable characters"
        if not is_visible(value):
            return "has no visible characters", length
        if "\n" in value and not self.many_lines:
            return "has more than one line", f"{self.what} on one line"
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            return f"is {show(value)}", self.what
        return None

    def json_schema(self) -> dict[str, Any]:
        schema = {"type": "string", "minLength": 1, "maxLength": self.max_length, "description": self.what}
        return schema | ({"pattern": f"^({self.pattern})$"} if self.pattern else {})


@dataclass(frozen=True, slots=True)
class Whole(_Constraint):
    """A whole number of at least `minimum`."""

    minimum: int = 0
    maximum: int = (1 << 63) - 1  # more than any count of tokens or bytes

    @property
    def what(self) -> str:
        return f"a whole number of at least {self.minimum}"

    def fault(self, value: Any) -> Fault | None:
        good = type(value) is int and self.minimum <= value <= self.maximum
        return None if good else (f"is {show(value)}", self.what)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum}


@dataclass(frozen=True, slots=True)
class Number(_Constraint):
    """A finite number, in `float` fields as a float: above `above`, and no further from 0 than `most`."""

    above: float | None = None
    most: float = 1e300  # keeps out infinity, NaN, and whole numbers that no float can hold

    @property
    def what(self) -> str:
        return "a finite number" if self.above is None else f"a finite number above {self.above:g}"

    def fault(self, value: Any) -> Fault | None:
        good = type(value) in (int, float) and -self.most < value < self.most
        return None if good and (self.above is None or value > self.above) else (f"is {show(value)}", self.what)

    def json_schema(self) -> dict[str, Any]:
        return {"type": "number"} | ({} if self.above is None else {"exclusiveMinimum": self.above})


@dataclass(frozen=True, slots=True)
class Items:
    """A list or mapping of so many entries; what each of them must be stands in the type."""

    minimum: int = 1
    maximum: int = 10_000

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: Any) -> Any:
            if self.minimum <= len(value) <= self.maximum:
                return value
            todo = f"it must have {self.minimum} to {self.maximum:,}"
            raise PydanticCustomError("fault", "see ctx", {"what": f"has {len(value)} entries", "todo": todo})

        return core_schema.no_info_after_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        inner = handler(schema)
        return inner | {"minItems" if inner["type"] == "array" else "minProperties": self.minimum}


def is_visible(text: str) -> bool:
    """Tell whether a text holds a letter, a digit or a sign that can be seen."""
    return any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANK for char in text)


def show(value: object) -> str:
    """Write a value of an untrusted file shortly and in ASCII."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, tuple | list):
        return f"a list of {len(value)}"
    if isinstance(value, datetime.date):
        return value.isoformat()
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else ascii(value)
    return text if len(text) <= 80 else text[:77] + "..."


Line = Annotated[str, Text()]
Prose = Annotated[str, Text(max_length=2000, many_lines=True)]
Sha256 = Annotated[str, Text("64 hexadecimal digits (sha256)", r"[0-9a-f]{64}")]
Commit = Annotated[str, Text("a commit of 40 hexadecimal digits", r"[0-9a-f]{40}")]
FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}"
FileName = Annotated[str, Text("a plain file name of letters, digits, '_', '-' and '.'", FILE_NAME)]
FileHashes = dict[FileName, Sha256]
FrozenFiles = Annotated[FileHashes, Items(1, 32)]  # of one script
TrackName = Annotated[str, Text("a track like short", r"[a-z][a-z0-9-]{0,30}")]
RulesetId = Annotated[str, Text("a ruleset like short@2", r"[a-z][a-z0-9-]*@[1-9]\d*")]
RecordName = Annotated[
    str, Text("a record like short/12", r"[a-z][a-z0-9-]*/(\d+(\.\d+)?|\d{4}-\d{2}-\d{2}_[a-z0-9-]+)")
]
Count = Annotated[int, Whole(1)]
Size = Annotated[int, Whole()]
Finite = Annotated[float, Number()]
Positive = Annotated[float, Number(above=0)]
