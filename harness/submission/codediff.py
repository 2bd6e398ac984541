"""Compare the code of two frozen scripts: comments, docstrings and blank lines do not count.

Both sides are read with `ast` and `tokenize` and never executed. The lines stay as their authors wrote them rather than
as `ast.unparse` would print them: a kernel inside a string would become one line of thousands of characters, and the
counts would depend on the version of Python. What cannot be parsed is compared line by line; a script that mentions
`__doc__` keeps its docstrings, because there they may be code.
"""

import ast
import difflib
import functools
import io
import tokenize
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

from harness.catalog import ranking
from harness.catalog.lookup import Catalog, Named
from harness.catalog.originals import Source, program, published
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError
from harness.verdict.scan.carried import docstrings

MAX_LINES = 10_000  # the longest script of the history has 3,600; matching grows with the square
CONTEXT = 3


@dataclass(frozen=True, slots=True)
class CodeDiff:
    """The change of the code from one folder of files to another."""

    added: int
    removed: int
    lines: tuple[str, ...]  # a unified diff; untrusted text, to be escaped where it is shown
    remarks: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """Return `+12 −3 lines of code`."""
        return f"+{self.added} −{self.removed} lines of code"


def sides(
    catalog: Catalog, name: str, against: str | None, source: Source, *, original: bool = False, given: bool = False
) -> tuple[Subject, Subject]:
    """Return what a submission or a record is compared with, and its own script.

    That is `against`, else the parent that its manifest named, else of a record the one before it. A record against
    itself is its original against what was merged. original: of records take what their logs prove. A record without a
    script in its folder is compared by its published one, from the cache or from `source`; nothing is downloaded.
    Raises HarnessError where there is no record, or no script of it.
    """
    named = catalog.find(name)
    subject = _script(catalog, named, source, original=original, given=given)
    if against is None:
        return parent_of(catalog, subject, source, original=original, given=given), subject
    other = catalog.find(against)
    if other.record is not None and other.record == subject.record and subject.merged:
        original = program(other.record, original=True) is not None
    return _script(catalog, other, source, original=original, given=given), subject


def parent_of(
    catalog: Catalog, subject: Subject, source: Source, *, original: bool = False, given: bool = False
) -> Subject:
    """Return what a script builds on: the parent that its manifest named, else of a record the one before it.

    Raises HarnessError where there is neither, or no script of it.
    """
    parent = subject.parent
    if parent is None and subject.record is not None:
        before = ranking.before(subject.record, catalog.records(subject.record.track))
        parent = None if before is None else catalog.name(before)
    if parent is None:
        why = "has no parent in its manifest" if subject.record is None else "is the first record of its track"
        raise StoreError.at(subject.name, why, "name what to compare with: --against RECORD")
    return _script(catalog, catalog.find(parent), source, original=original, given=given)


def described(subject: Subject) -> str:
    """Name one side of a comparison, and say which script of a record it is where there are two."""
    if subject.record is None or subject.record.merged is None or subject.reimplementation:
        return subject.name
    return f"{subject.name} ({'merged' if subject.merged else 'original'})"


def _script(catalog: Catalog, named: Named, source: Source, *, original: bool, given: bool) -> Subject:
    try:
        return catalog.script(named, source, original=original, given=given, frozen=False)
    except StoreError as error:
        if given or named.record is None or not published(named.record):
            raise
        [problem, *_] = error.problems
        todo = "fetch all with `speedrun replay --original --plan`, or name a copy with --checkout DIR"
        raise StoreError.at(problem.where, f"has no script here, and {problem.what}", todo) from None


def between(old: Subject, new: Subject) -> CodeDiff:
    """Return the change of the code from one subject to another, over all their files."""
    return diff(_read(old), _read(new))


def _read(subject: Subject) -> dict[str, bytes]:
    # The entry counts as the same file, whatever its name.
    return {"train_gpt.py" if name == subject.entry else name: data for name, data in subject.contents.items()}


def same_code(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> bool:
    """Tell whether two sets of files hold the same code; False where one of them cannot be parsed and differs."""
    if old.keys() != new.keys():
        return False
    remarks: list[str] = []
    return all(
        old[name] == new[name] or _code(name, old[name], remarks) == _code(name, new[name], remarks) for name in old
    )


def diff(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> CodeDiff:
    """Return the change from one set of files (name -> bytes) to another."""
    lines: list[str] = []
    remarks: list[str] = []
    added = removed = 0
    for name in sorted(old.keys() | new.keys()):
        before, after = (_code(name, side.get(name, b""), remarks) for side in (old, new))
        if before == after:
            continue
        if max(len(before), len(after)) > MAX_LINES:
            remarks.append(f"{name} is too long to be compared line by line: {len(before)} against {len(after)} lines")
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
        return list(code_lines(raw))
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError, UnicodeError):
        remarks.append(f"{name} cannot be parsed as Python here, so its comments count")
        return _plain(raw)


def _plain(raw: bytes) -> list[str]:
    return [line.rstrip() for line in raw.decode("utf-8", "replace").split("\n") if line.strip()]


@functools.lru_cache(maxsize=8)  # a script is compared with the one before and with the one after it
def code_lines(raw: bytes) -> tuple[str, ...]:
    """Return the lines of a Python source without comments, docstrings and blank lines; strings keep theirs.

    Raises what `ast` and `tokenize` raise where it is not Python.
    """
    if tokenize.detect_encoding(io.BytesIO(raw).readline)[0] not in ("utf-8", "utf-8-sig"):
        raise ValueError("in another encoding a comment may be code")
    text = io.TextIOWrapper(io.BytesIO(raw), "utf-8-sig", newline=None).read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(text)
    described = set() if "__doc__" in text else docstrings(tree)
    lines = text.split("\n")
    inside: set[int] = set()  # indices of lines whose end is inside a string, blank ones included
    opened: list[int] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        (top, left), (bottom, right) = token.start, token.end
        if token.type == tokenize.COMMENT or token.start in described:
            for index in range(top - 1, bottom):  # with blanks, so that the columns of later tokens stay right
                begin, end = left * (index == top - 1), right if index == bottom - 1 else len(lines[index])
                lines[index] = lines[index][:begin] + " " * (end - begin) + lines[index][end:]
            continue
        kind = tokenize.tok_name[token.type]
        if kind.endswith("STRING_START"):  # an f-string since Python 3.12 is many tokens
            opened.append(top)
        elif kind.endswith("STRING_END"):
            top = opened.pop()
        inside.update(range(top - 1, bottom - 1))
    return tuple(
        line if index in inside else line.rstrip()
        for index, line in enumerate(lines)
        if index in inside or line.strip()
    )


def style(line: str) -> str | None:
    """Return how a line of a diff is coloured on a terminal."""
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
