"""Count what a submission's text can carry beyond its parent's: weights, tables and texts fit into any of it.

Literals and comments are counted byte by byte, so that a weight cannot be cheaper in many small ones than in one large
one. What has no such count (docstrings, names, blanks, the order of statements) is bounded together with all else by
compression: what weights add to a text compresses no further, while code does, to a quarter. A piece counts as the
parent's as often as the parent has it, wherever it stands, so that code may be moved.
"""

import ast
import io
import lzma
import tokenize
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from harness.verdict.scan.formats import PYTHON

COUNTED = ("literal", "comment")
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6}]  # its window of 8 MB reaches over the parent's text and the own
_CONSTANTS = {"True", "False", "None"}
_UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that can carry data."""

    kind: str  # literal, comment, docstring or name; a line of a file that is no Python is a literal
    text: str
    line: int

    @property
    def size(self) -> int:
        """Its bytes, as they stand in the file."""
        return len(self.text.encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Carried:
    """What some files have that others have not."""

    counted: int  # bytes of literals and comments
    compressed: int  # bytes that all of the text adds to the other's, compressed
    lines: tuple[tuple[str, int, int], ...] = ()  # file, line, its bytes of new literals and comments; most first
    others: tuple[tuple[str, int, int], ...] = ()  # the same for docstrings and names
    unreadable: str | None = None  # why nothing was counted, as a sentence
    untold: str | None = None  # why something may be the parent's that was counted, as a sentence


def beyond(own: Mapping[str, bytes], parent: Mapping[str, bytes]) -> Carried:
    """Count what the files of `own` have that those of `parent` have not; both are text in UTF-8."""
    had: Counter[tuple[str, str]] = Counter()
    untold: str | None = None
    for name, data in sorted(parent.items()):
        try:
            had.update((piece.kind, piece.text) for piece in pieces(name, data))
        except _UNREADABLE:
            untold = f"{name} of its parent cannot be parsed as Python here"
    lines: dict[bool, Counter[tuple[str, int]]] = defaultdict(Counter)
    for name, data in sorted(own.items()):
        try:
            for piece in pieces(name, data):
                if had[piece.kind, piece.text]:
                    had[piece.kind, piece.text] -= 1
                else:
                    lines[piece.kind in COUNTED][name, piece.line] += piece.size
        except _UNREADABLE as error:
            return Carried(0, 0, unreadable=f"{name} cannot be parsed as Python ({type(error).__name__})")
    counted, others = (
        tuple((*place, size) for place, size in lines[is_counted].most_common()) for is_counted in (True, False)
    )
    before, after = (b"".join(files[name] for name in sorted(files)) for files in (parent, own))
    compressed = max(0, _compressed(before + after) - _compressed(before)) if after else 0
    return Carried(sum(size for *_, size in counted), compressed, counted, others, untold=untold)


def pieces(name: str, data: bytes) -> Iterator[Piece]:
    """Yield the pieces of one file in order; raises what `ast` and `tokenize` raise where a .py file is no Python."""
    if not name.endswith(PYTHON):
        for number, line in enumerate(data.decode("utf-8").split("\n"), start=1):
            yield Piece("literal", line, number)
        return
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=None).read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        described = docstrings(ast.parse(text))
    opened: list[tuple[int, int]] = []  # where the format strings around a token begin: since Python 3.12 many tokens
    lines = text.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):
            opened.append(token.start)
        elif kind.endswith("STRING_END"):
            begin = opened.pop()
            if not opened:
                yield Piece("literal", _between(lines, begin, token.end), begin[0])
        elif opened:
            continue
        elif token.type == tokenize.COMMENT:
            yield Piece("comment", token.string, token.start[0])
        elif token.type == tokenize.STRING:
            yield Piece("docstring" if token.start in described else "literal", token.string, token.start[0])
        elif token.type == tokenize.NUMBER or token.string in _CONSTANTS:
            yield Piece("literal", token.string, token.start[0])
        elif token.type == tokenize.NAME:
            yield Piece("name", token.string, token.start[0])


def _between(lines: list[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    """Return the text from one place (line from 1, column) to another."""
    (first, left), (last, right) = begin, end
    if first == last:
        return lines[first - 1][left:right]
    return "\n".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


def docstrings(tree: ast.AST) -> set[tuple[int, int]]:
    """Return where the docstrings of modules, classes and functions begin: line from 1, column from 0."""
    bodies = (
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body
    )
    return {
        (first.value.lineno, first.value.col_offset)
        for first in bodies
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    }


def _compressed(data: bytes) -> int:
    return len(lzma.compress(data, format=lzma.FORMAT_RAW, filters=_FILTERS))
