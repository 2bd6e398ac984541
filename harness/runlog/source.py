"""Find the parts of a log, its separators, embedded source and log part, and the files inside the source.

The source is whatever stands before the separator that follows it, byte for byte, so
hashes and extraction work on the raw bytes. What makes it hard: scripts that print their source add one newline at its
end and scripts that write it add none, and only the header that follows tells which kind it was. And a source may hold a
separator line of its own, so the one that ends it is the last before the run that a header follows, else the first: what
stands behind an earlier one would be in no hash.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from harness.core.errors import LogError, Problem, raise_if
from harness.runlog import grammar

Span = tuple[int, int]
_HEAD_BYTES = 4096  # the lines that tell printed from written stand first in the header
_SEPARATOR = b"=" * 100  # alone on its line
_PLACEHOLDER = re.compile(rb"\[source removed: (\d{1,12}) bytes, sha256 ([0-9a-f]{64})\]\r?\n")
# A file behind the script: its name on a line of its own between two lines of 40 dashes, an empty line on either side.
_EXTRA_PART = re.compile(rb"\n\n-{40}\n# ?([^\n]{1,200})\n-{40}\n\n")
_PART_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_OWN_HEADER = re.compile(rb"^val_tokens:\d+\s*$", re.MULTILINE)  # scripts of this project add no newline
_HEADER = b"Running "  # so begins the header behind a source in every log of the archive with two separators or more
_WRITTEN_HEADER = b"Running pytorch "  # the scripts that write their source into the file, byte for byte
_PRINTED_HEADER = re.compile(rb"^Running [Pp]ython ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Layout:
    """Byte offsets of the parts of a log."""

    separators: tuple[int, ...]  # where each separator line begins
    source: Span | None  # raw bytes between separators
    header_start: int  # where text about the machine may begin
    log_start: int  # just behind the last separator

    @property
    def leads(self) -> bool:
        """Whether the file starts with a separator."""
        return bool(self.separators) and self.separators[0] == 0


@dataclass(frozen=True, slots=True)
class Source:
    """What a log says about the script it embeds, by the names in `RunLog`; None throughout where it embeds none."""

    source_sha256: str | None = None
    source_bytes: int | None = None
    source_origin: Literal["bytes", "placeholder"] | None = None
    script_sha256: str | None = None  # None where only a placeholder is left


def find_layout(data: bytes | bytearray, start: int = 0) -> Layout:
    """Find the separators of a log (lines of exactly 100 `=`) and what lies between them."""
    separators = []
    log_start = start
    after_first = start
    position = data.find(_SEPARATOR, start)
    while position >= 0:
        end = position + len(_SEPARATOR)
        tail = data[end : end + 2]
        alone = tail[:1] in (b"\n", b"") or tail == b"\r\n"
        if alone and (position == 0 or data[position - 1] == 0x0A):
            separators.append(position)
            log_start = min(end + (2 if tail == b"\r\n" else 1), len(data))
            if len(separators) == 1:
                after_first = log_start
        line_end = data.find(b"\n", position)
        if line_end < 0:
            break
        position = data.find(_SEPARATOR, line_end + 1)
    source = _source_span(data, separators, after_first)
    header_start = start if source is None else source[1]
    return Layout(tuple(separators), source, header_start, log_start)


def _source_span(data: bytes | bytearray, separators: list[int], after_first: int) -> Span | None:
    if not separators:
        return None
    start, ends = (0, separators) if separators[0] > 0 else (after_first, separators[1:])
    # A capture without source may still carry a separator after its header.
    if not ends or data[start : start + len(_HEADER)] == _HEADER or start == ends[0]:
        return None
    ran = _metric_line(data, ends[0], ends[-1])  # what stands behind a metric line is of another run
    headers = [end for end in ends if _has_header(data, end) and (ran is None or end < ran)]
    return start, headers[-1] if headers else ends[0]


def _has_header(data: bytes | bytearray, separator: int) -> bool:
    """Whether a header begins behind the separator line at this position."""
    begin = separator + len(_SEPARATOR)
    return data[begin : begin + 4 + len(_HEADER)].lstrip(b"\r\n").startswith(_HEADER)


def read_source(data: bytes | bytearray, layout: Layout) -> Source:
    """Hash the embedded source of a log, or take the figures of the placeholder that stands for it."""
    if layout.source is None:
        return Source()
    start, end = layout.source
    placeholder = _PLACEHOLDER.fullmatch(data, start, end)
    if placeholder is not None:
        return Source(placeholder[2].decode("ascii"), int(placeholder[1]), "placeholder")
    body = end - _added_newline(data, layout)
    view = memoryview(data)
    script = hashlib.sha256(view[start:body])
    whole = script.copy()
    whole.update(view[body:end])
    return Source(whole.hexdigest(), end - start, "bytes", script.hexdigest())


def _added_newline(data: bytes | bytearray, layout: Layout) -> int:
    """Return 1 where the script printed its source (and print added a newline), 0 where it wrote it byte for byte.

    Scripts of this project's kind print `val_tokens:` in the header and write their source as it is. So did the early
    scripts, whose files start with a separator or whose header names `pytorch` before any Python. All others print.
    """
    assert layout.source is not None
    start, end = layout.source
    if end == start or data[end - 1] != 0x0A or layout.leads:
        return 0
    head = bytes(data[layout.header_start : min(layout.header_start + _HEAD_BYTES, len(data))])
    if _OWN_HEADER.search(head):
        return 0
    printed = _PRINTED_HEADER.search(head) is not None
    return 0 if _WRITTEN_HEADER in head and not printed else 1


def embedded_files(data: bytes | bytearray, path: str = "the log", script: str = "train_gpt.py") -> dict[str, bytes]:
    """Take the script that a log embeds, as it was on disk, and the extra files behind it; the script comes first.

    `path` names the log in messages. A script of this project's kind that ends without a newline gets the one that its
    log added. Raises LogError where the log holds no source, only a placeholder, or a file name that is not plain.
    """
    layout = find_layout(data)
    if layout.source is None:
        raise LogError.at(path, "the log embeds no source", "only logs with a separator line after a script hold one")
    start, end = layout.source
    if _PLACEHOLDER.fullmatch(data, start, end):
        raise LogError.at(path, "the source was replaced by a placeholder", "get the original log")
    text = bytes(data[start : end - _added_newline(data, layout)])
    files: dict[str, bytes] = {}
    problems: list[Problem] = []
    at, current = 0, script
    for part in _EXTRA_PART.finditer(text):
        files[current] = text[at : part.start()]
        at, current = part.end(), part[1].decode("utf-8", "replace")
        if not _PART_NAME.fullmatch(current):
            problems.append(Problem(path, f"the embedded file name {current!a} is not plain", "extract it by hand"))
        elif current in files:
            problems.append(Problem(path, f"the log embeds {current} twice", "extract it by hand"))
    files[current] = text[at:]
    raise_if(problems, LogError)
    return files


def embed(files: dict[str, bytes]) -> bytes:
    """Join the files of a script as a log embeds them, the script first: what `embedded_files` takes apart."""
    line = b"-" * 40
    first, *others = files.items()
    return first[1] + b"".join(b"\n\n%s\n# %s\n%s\n\n%s" % (line, n.encode(), line, text) for n, text in others)


def metrics_before(data: bytes | bytearray, layout: Layout) -> int | None:
    """Find a metric line before the last separator and outside the source; its position, or None without one."""
    return _metric_line(data, layout.header_start, layout.log_start) if layout.separators else None


def _metric_line(data: bytes | bytearray, position: int, stop: int) -> int | None:
    """Find the first metric line between two positions; None without one."""
    while (position := data.find(grammar.STEP_MARK, position, stop)) >= 0:
        if position == 0 or data[position - 1] in b"\r\n":
            end = data.find(b"\n", position, position + grammar.MAX_LINE_BYTES)
            line = bytes(data[position : end if end >= 0 else position]).rstrip(b"\r")
            if isinstance(grammar.parse_line(line), grammar.MetricLine):
                return position
        position += len(grammar.STEP_MARK)
    return None
