"""Read a declaration, a frozen dataclass with annotated fields: for pydantic, and for people in words.

pydantic names a place by its own terms; here it becomes a path in the file, and what is declared there becomes words.
"""

import dataclasses
import datetime
import functools
import re
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Len, Lt, MinLen

from harness.core.constraints import Text, show
from harness.core.yamlfile import Path_

# Fields that have another name in files, which keep the spelling that they were first written with.
STORED_AS = {"series": "sitting", "outlier": "hiccup", "outlier_limit": "hiccup_limit"}
LIMITS: dict[str, dict[str, Any]] = {
    "dataclass": {"strict": False},  # its fields stay strict
    # Bytes, seeds and nanoseconds are below; a number of 4,000 digits overflows where it is divided.
    "int": {"gt": -(1 << 64), "lt": 1 << 64},
    "float": {"gt": -1e300, "lt": 1e300},  # keeps out whole numbers that no float can hold
    # As long as a whole file; where a length is asked for, half a character ("\ud800") is refused as well.
    "str": {"max_length": 4 << 20},
}


@functools.cache
def validator(kind: Any) -> Any:
    """Make the validator of a declaration: `validate_python` gives the value, or raises pydantic_core's error."""
    from pydantic_core import SchemaValidator

    return SchemaValidator(_bounded(_adapter(kind).core_schema))


def schema_of(kind: Any) -> dict[str, Any]:
    """Give the JSON Schema of a declaration."""
    schema: dict[str, Any] = _adapter(kind).json_schema()
    return schema


def plain(kind: Any, value: Any) -> dict[str, Any]:
    """Give a value as plain ones by its declaration, without the keys that have their default; dates stay dates."""
    mapping: dict[str, Any] = _adapter(kind).dump_python(value, exclude_defaults=True, by_alias=True)
    return mapping


@functools.cache
def _adapter(kind: Any) -> Any:
    from pydantic import ConfigDict, TypeAdapter, with_config

    rules = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, alias_generator=stored_as)
    return TypeAdapter(with_config(rules)(kind))


def _bounded(schema: Any) -> Any:
    """Set in pydantic's schema what no configuration does: mappings become dataclasses, and all values have bounds."""
    if isinstance(schema, dict):
        return LIMITS.get(str(schema.get("type")), {}) | {key: _bounded(part) for key, part in schema.items()}
    return [_bounded(part) for part in schema] if isinstance(schema, list) else schema


@functools.cache
def hints_of(kind: Any) -> dict[str, Any]:
    """Return the keys of a dataclass in a file with their declared types; of anything else nothing."""
    hints = get_type_hints(kind, include_extras=True) if dataclasses.is_dataclass(kind) else {}
    return {stored_as(name): hint for name, hint in hints.items()}


def stored_as(name: str) -> str:
    """Return the key in a file of a field of a dataclass."""
    return STORED_AS.get(name, name)


def place(kind: Any, data: Any, loc: Path_) -> tuple[Path_, Any]:
    """Find the path in a file that a place in pydantic's terms means, and what is declared there.

    Labels of a union's branches, and a key that is missing or unknown at the end, are no part of the path.
    """
    path: Path_ = ()
    for part in loc:
        inside = inside_of(kind, part)
        keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, tuple) else ()
        if inside is not None and part in keys:
            kind, data, path = inside, data[part], (*path, part)
    return path, bare(kind)


def bare(kind: Any) -> Any:
    """Return a declared type without `| None`; annotations stay."""
    arguments = [a for a in get_args(kind) if a is not types.NoneType]
    return bare(arguments[0]) if get_origin(kind) in (Union, types.UnionType) and len(arguments) == 1 else kind


def inside_of(kind: Any, part: str | int) -> Any:
    """Return the type that is declared for a key or an index of a value; None where there is no such place."""
    kind = bare(kind)
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    arguments = get_args(kind)
    if get_origin(kind) is tuple and isinstance(part, int):
        return arguments[0] if arguments[-1] is Ellipsis else dict(enumerate(arguments)).get(part)
    return arguments[1] if get_origin(kind) is dict else hints_of(kind).get(str(part))


def wanted(kind: Any) -> str:
    """Say in words what a declared type takes."""
    kind = bare(kind)
    arguments = get_args(kind)
    if get_origin(kind) is Annotated:
        inner = wanted(arguments[0])
        for extra in kind.__metadata__:
            match extra:
                case Text(what):
                    inner = what
                case Ge(least):
                    inner += f" of at least {least}"
                case Gt(bound):
                    inner += f" above {bound:g}"
                case Lt(bound):
                    inner += f" below {bound:g}"
                case MinLen(least) | Len(least, None):
                    inner += f" with at least {least}"
                case Len(least, most):
                    inner += f" with {least} to {most}"
        return inner
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(wanted(a) for a in arguments if a is not types.NoneType)
    if get_origin(kind) is tuple:
        inner = wanted(arguments[0])
        fixed = f"a list of {len(arguments)}: " + ", ".join(map(wanted, arguments))
        return (f"a list of {inner}s" if inner == "text" else "a list") if arguments[-1] is Ellipsis else fixed
    plain = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}
    return "a date like 2026-07-17" if kind is datetime.date else plain.get(kind, "a mapping of keys to values")


def label(path: Path_) -> str:
    """Name a place in a file: `rulesets[2].title`."""
    said = ""
    for part in path:
        if isinstance(part, str) and re.fullmatch(r"[A-Za-z_]\w{0,60}", part, re.ASCII):
            said += f".{part}" if said else part
        else:
            said += f"[{show(part)}]"
    return f"`{said}`" if said else ""
