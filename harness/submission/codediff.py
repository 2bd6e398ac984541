"""Two frozen scripts in, the change of the code alone out: comments, docstrings and blank lines do not count.

Both sides are read with `ast` and `tokenize` and never executed. What cannot be parsed is compared line by line; a
script that mentions `__doc__` keeps its docstrings, because there they may be code.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.originals import published
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError

MAX_LINES = 10_000  # the longest script of the history has 3,600; matching grows with the square
CONTEXT = 3
_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
_FSTRING_START, _FSTRING_END = (getattr(tokenize, f"FSTRING_{end}", -1) for end in ("START", "END"))  # Python ≥ 3.12


@dataclass(frozen=True, slots=True)
class CodeDiff:
    """The change of the code from one folder of files to another."""

    added: int
    removed: int
    lines: tuple[str, ...]  # a unified diff; text of strangers, to be escaped where it is shown
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """`+12 −3 lines of code`."""
        return f"+{self.added} −{self.removed} lines of code"


def against(catalog: Catalog, subject: Subject, name: str | None = None, *, checkout: Path | None = None) -> Subject:
    """Return the record that a submission is compared with: `name`, else the parent of its manifest.

    One without a script here is compared by its frozen original, from the cache or from `checkout`; nothing is
    downloaded. Raises HarnessError where there is none or it has no script.
    """
    name = name or (subject.manifest.parent if subject.manifest else None)
    if name is None:
        raise StoreError.at(subject.name, "names no parent", "say what to compare with: --against RECORD")
    named = catalog.find(name)
    try:
        return catalog.script(named, checkout=checkout, allow_network=False, frozen=False)
    except StoreError as error:
        if checkout is not None or named.record is None or not published(named.record):
            raise
        [problem, *_] = error.problems
        get = "fetch all with `speedrun replay --original --plan`, or name a copy with --checkout DIR"
        raise StoreError.at(problem.where, f"has no script here, and {problem.what}", get) from None


def between(old: Subject, new: Subject) -> CodeDiff:
    """The change of the code from one subject to another, over all their files."""
    return diff(_read(old), _read(new))


def _read(subject: Subject) -> dict[str, bytes]:
    # The entry counts as the same file under whatever name.
    return {
        "train_gpt.py" if name == subject.entry else name: (subject.files_folder / name).read_bytes()
        for name in subject.files
    }


def diff(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> CodeDiff:
    """The change from one set of files to another; pure."""
    lines: list[str] = []
    remarks: list[str] = []
    added = removed = 0
    for name in sorted(old.keys() | new.keys()):
        before, after = (_code(name, side.get(name, b""), remarks) for side in (old, new))
        if before == after:
            continue
        if max(len(before), len(after)) > MAX_LINES:
            remarks.append(f"{name} is too long to be matched line by line: {len(before)} against {len(after)} lines")
            added, removed = added + len(after), removed + len(before)
            continue
        shown = list(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", n=CONTEXT, lineterm=""))
        lines += shown
        added += sum(line.startswith("+") for line in shown[2:])
        removed += sum(line.startswith("-") for line in shown[2:])
    return CodeDiff(added, removed, tuple(lines), tuple(remarks))


def _code(name: str, raw: bytes, remarks: list[str]) -> list[str]:
    if not name.endswith(".py"):
        return _plain(raw)
    try:
        return code_lines(raw)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError, UnicodeError):
        remarks.append(f"{name} is no Python that can be parsed here; its comments count")
        return _plain(raw)


def _plain(raw: bytes) -> list[str]:
    return [line.rstrip() for line in raw.decode("utf-8", "replace").split("\n") if line.strip()]


def code_lines(raw: bytes) -> list[str]:
    """The lines of a Python source without comments, docstrings and blank lines; strings keep theirs.

    Raises what `ast` and `tokenize` raise where it is no Python.
    """
    if tokenize.detect_encoding(io.BytesIO(raw).readline)[0] not in ("utf-8", "utf-8-sig"):
        raise ValueError("in another encoding a comment may be code")
    text = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline=None).read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    docstrings = set() if "__doc__" in text else _docstrings(tree)
    source = [*text.split("\n"), ""]
    kept: dict[int, tuple[int, int]] = {}  # line -> the columns from its first to behind its last token
    inside: set[int] = set()  # lines that a string goes on in: whole, blank ones included
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in _SKIPPED or token.start in docstrings:
            continue
        for line, begin, end in (
            (token.start[0], token.start[1], token.end[1] if token.end[0] == token.start[0] else len(token.line)),
            (token.end[0], 0 if token.end[0] != token.start[0] else token.start[1], token.end[1]),
        ):
            first, last = kept.get(line, (begin, end))
            kept[line] = (min(first, begin), max(last, end))
        inside.update(range(token.start[0], token.end[0]))
        if token.type == _FSTRING_START:
            opened.append(token.start[0])
        elif token.type == _FSTRING_END:
            inside.update(range(opened.pop(), token.end[0]))
    found = []
    for number in sorted(kept.keys() | inside):
        whole = source[number - 1]
        first, last = kept.get(number, (0, len(whole)))
        cut = whole if number in inside else whole[:last]
        # Indentation stays; what stood before the first token was a docstring or another line's end.
        found.append(cut if cut[:first].isspace() or first == 0 else " " * first + cut[first:])
    return found


def _docstrings(tree: ast.AST) -> set[tuple[int, int]]:
    """Where the docstrings of modules, classes and functions begin: line from 1, column in characters from 0."""
    places = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) or not node.body:
            continue
        first = node.body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            places.add((first.value.lineno, first.value.col_offset))
    return places


def style(line: str) -> str | None:
    """How a line of a diff is coloured on a terminal."""
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
