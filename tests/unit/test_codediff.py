"""The change of the code alone: what counts, what does not, and text that must not reach a terminal as it is."""

from __future__ import annotations

import functools

import pytest

from harness.submission.codediff import code_lines, diff
from tests.counting import calls_of


def size(old: str, new: str) -> tuple[int, int]:
    change = diff({"train_gpt.py": old.encode()}, {"train_gpt.py": new.encode()})
    return change.added, change.removed


SAME = {
    "a comment": ("x = 1\n", "# why\nx = 1  # because\n"),
    "blank lines": ("x = 1\ny = 2\n", "\n\nx = 1\n   \n\ny = 2\n\n"),
    "a module's docstring": ("x = 1\n", '"""What\n\nit is"""\nx = 1\n'),
    "a function's docstring": ("def f():\n    return 1\n", 'def f():\n    """One\n    # two\n    """\n    return 1\n'),
    "line ends": ("x = 1\ny = 2\n", "x = 1\r\ny = 2\r\n"),
    "a mark at the start": ("x = 1\n", "\ufeffx = 1\n"),
}


@pytest.mark.parametrize("case", SAME)
def test_what_is_no_code_does_not_count(case: str) -> None:
    assert size(*SAME[case]) == (0, 0)


CHANGED = {
    "a number": ("x = 1\n", "x = 2\n", (1, 1)),
    "a hash sign in a string": ("x = 'a # b'\n", "x = 'a # c'\n", (1, 1)),
    "a blank line in a string": ('x = """a\nb"""\n', 'x = """a\n\nb"""\n', (1, 0)),
    "a comment in a string": ('k = """\n# a\n"""\n', 'k = """\n# b\n"""\n', (1, 1)),
    "an f-string of many lines": ('k = f"""\n{x}\n\n# a"""\n', 'k = f"""\n{x}\n# a"""\n', (0, 1)),
    "indentation": ("if a:\n    x = 1\n    y = 2\n", "if a:\n    x = 1\ny = 2\n", (1, 1)),
    "code behind a docstring": ('"""doc"""; x = 1\n', '"""doc"""; x = 2\n', (1, 1)),
    "a string that is no docstring": ('x = 1\n"a"\n', 'x = 1\n"b"\n', (1, 1)),
    "a docstring that may be code": ('"""a"""\nexec(__doc__)\n', '"""b"""\nexec(__doc__)\n', (1, 1)),
    "a comment that may be code": ("# -*- coding: utf-7 -*-\n# a\n", "# -*- coding: utf-7 -*-\n# b\n", (1, 1)),
    "no Python": ("x = = 1\n# a\n", "x = = 1\n# b\n", (1, 1)),
    "no text": ("\0\n", "\0 \0\n", (1, 1)),
}


@pytest.mark.parametrize("case", CHANGED)
def test_what_is_code_counts(case: str) -> None:
    old, new, expected = CHANGED[case]
    assert size(old, new) == expected


def test_files_come_and_go() -> None:
    change = diff(
        {"train_gpt.py": b"x = 1\n", "a.cu": b"// a\n\nb\n"}, {"train_gpt.py": b"x = 1\n", "b.py": b"y = 2\n"}
    )
    assert (change.added, change.removed) == (1, 2)
    assert [line for line in change.lines if line.startswith("---")] == ["--- a/a.cu", "--- a/b.py"]
    assert change.size == "+1 −2 lines of code"


@pytest.mark.parametrize(
    "source",
    [b"(" * 5000, b"x = " + b"-" * 20_000 + b"1\n", b"if 1:\n" * 200, b"'''", b"\xff\xfe", b"x\n" * 60_000],
    ids=["parentheses", "signs", "blocks", "an open string", "bytes", "lines"],
)
def test_hostile_sources_are_no_crash(source: bytes) -> None:
    change = diff({"train_gpt.py": b"x = 1\n"}, {"train_gpt.py": source})
    assert change.added > 0
    assert change.remarks


def test_a_file_of_many_lines_costs_no_more_than_its_lines() -> None:
    """Matching all of them line by line would take four times as long for twice as many."""
    few, many = (
        calls_of(functools.partial(diff, {"train_gpt.py": b"x = 1\n"}, {"train_gpt.py": b"x\n" * count}))
        for count in (30_000, 60_000)
    )
    assert many <= 2.5 * few


def test_the_lines_of_a_real_script_keep_their_order() -> None:
    assert code_lines(
        b'class A:\n    """Doc."""\n\n    x: int = 1  # one\n\n    def f(self):  # two\n        return (1,\n # c\n  2)\n'
    ) == (
        "class A:",
        "    x: int = 1",
        "    def f(self):",
        "        return (1,",
        "  2)",
    )
