"""The text of a track's file in, the same text with revision and hashes pinned out; comments and order stay.

The file belongs to people, so it is edited line by line rather than written anew; the caller parses the result and
compares before it replaces the file.
"""

from __future__ import annotations

import re

from harness.core import yamlfile
from harness.core.errors import TrackError
from harness.core.task import Shard


def with_pins(text: str, name: str, revision: str | None, shards: tuple[Shard, ...]) -> str:
    """Set `data.revision` (where given) and `data.shards` in the text of a track's file; `name` is for messages.

    Raises TrackError where the file has no plain `data:` block to edit.
    """
    document = yamlfile.parse(text.encode("utf-8"), name)
    if not isinstance(document.data.get("data"), dict):
        raise TrackError.at(name, "there is no `data` block", "write one before pinning")
    lines = text.splitlines()
    if revision is not None:
        lines = _with_revision(lines, document, revision)
        document = yamlfile.parse("\n".join(lines).encode("utf-8"), name)
    return "\n".join(_with_shards(lines, document, shards)) + "\n"


def _with_revision(lines: list[str], document: yamlfile.Document, revision: str) -> list[str]:
    if "revision" not in document.data["data"]:
        at, indent = _key(lines, document, "repository")
        return [*lines[: at + 1], f"{indent}revision: {_quoted(revision)}", *lines[at + 1 :]]
    at, indent = _key(lines, document, "revision")
    return [*lines[:at], f"{indent}revision: {_quoted(revision)}{_comment(lines[at])}", *lines[at + 1 :]]


def _with_shards(lines: list[str], document: yamlfile.Document, shards: tuple[Shard, ...]) -> list[str]:
    if "shards" in document.data["data"]:
        at, indent = _key(lines, document, "shards")
        head = f"{indent}shards:{_comment(lines[at])}"
        end = _block_end(lines, at, indent)
    else:
        last = max(line for path, line in document.lines.items() if path[:1] == ("data",) and len(path) == 2)
        _, indent = _key(lines, document, "folder")
        at, head = last, f"{indent}shards:"
        end = at
    kept = {match.group(1): _comment(line) for line in lines[at:end] if (match := re.search(r"name: ([\w.-]+)", line))}
    comments = [line for line in lines[at + 1 : end] if line.lstrip().startswith("#")]
    pins = [
        f"{indent}  - {{name: {shard.name}, tokens: {shard.tokens or 'null'}, sha256: {_quoted(shard.sha256)}}}"
        + kept.get(shard.name, "")
        for shard in shards
    ]
    return [*lines[:at], head, *comments, *pins, *lines[end:]]


def _key(lines: list[str], document: yamlfile.Document, key: str) -> tuple[int, str]:
    """Index of the line that holds `data.<key>`, and its indentation."""
    found = document.lines.get(("data", key))
    if found is not None:
        # A list in block form starts a line or more below its key.
        for at in range(found - 1, -1, -1):
            match = re.match(rf"(\s+){re.escape(key)}:", lines[at])
            if match:
                return at, match.group(1)
    raise TrackError.at(document.where(("data", key)), f"`data.{key}` is not on a line of its own", "write it so")


def _block_end(lines: list[str], at: int, indent: str) -> int:
    """Index after the last line of the block that the key at `at` opens; comments after the block stay outside."""
    end = at + 1
    for index in range(at + 1, len(lines)):
        line = lines[index]
        inner = len(line) - len(line.lstrip())
        if line.strip() and not line.lstrip().startswith("#"):
            if inner < len(indent) or (inner == len(indent) and not line.lstrip().startswith("-")):
                break
            end = index + 1
    return end


def _comment(line: str) -> str:
    match = re.search(r"\s+#.*$", line)
    return match.group(0) if match else ""


def _quoted(digits: str | None) -> str:
    """Hexadecimal digits as YAML text: without quotes, a hash that happens to hold no letter would be a number."""
    return "null" if digits is None else f'"{digits}"'
