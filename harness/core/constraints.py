"""What a stored value must be beyond its type: texts that people can read, and the names and numbers of this project.

A declaration says `Annotated[str, Text(…)]`. pydantic is imported only when a file is read, so that the modules of
values, `--help` and the log reader do without it.
"""

import datetime
import re
import unicodedata
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Len, Lt, MinLen

T = TypeVar("T")
# Letters and signs that show nothing: the fillers of Hangul, the empty Braille cell.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"


@dataclass(frozen=True, slots=True)
class Text:
    """A text that can be seen: no control characters, something visible, and `pattern` from end to end."""

    what: str = "text"  # what it is, for messages
    pattern: str | None = None
    max_length: int = 300
    many_lines: bool = False

    def fault(self, value: Any) -> tuple[str, str] | None:
        """Say what is wrong with a value of whatever type, and what it must be; None where nothing is."""
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

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import PydanticCustomError, core_schema

        def check(value: Any) -> Any:
            fault = self.fault(value)
            if fault is not None:
                raise PydanticCustomError("fault", "see ctx", {"what": fault[0], "todo": f"it must be {fault[1]}"})
            return value

        return core_schema.no_info_plain_validator_function(check)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        told = {"type": "string", "minLength": 1, "maxLength": self.max_length, "description": self.what}
        return told | ({"pattern": f"^({self.pattern})$"} if self.pattern else {})


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
FrozenFiles = Annotated[FileHashes, Len(1, 32)]  # of one script
TrackName = Annotated[str, Text("a track like short", r"[a-z][a-z0-9-]{0,30}")]
RulesetId = Annotated[str, Text("a ruleset like short@2", r"[a-z][a-z0-9-]*@[1-9]\d*")]
RecordName = Annotated[
    str, Text("a record like short/12", r"[a-z][a-z0-9-]*/(\d+(\.\d+)?|\d{4}-\d{2}-\d{2}_[a-z0-9-]+)")
]
Several = Annotated[tuple[T, ...], MinLen(1)]
Loss = Annotated[float, Gt(-1e6), Lt(1e6)]  # the square of a larger one might not be a number
Count = Annotated[int, Ge(1)]
Size = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
