"""The strict YAML reader: what it refuses, that it names the right line, and that it names everything at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core import yamlfile
from harness.core.errors import HarnessError, TrackError, YamlError

# What a file holds, the line that the message must name (0: none), and words of the message.
REFUSED: dict[str, tuple[str, int, str]] = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' appears twice"),
    "a key twice, quoted": ("a: 1\n'a': 2\n", 2, "appears twice"),
    "a key twice further down": ("a:\n  b: 1\n  c: 2\n  b: 3\n", 4, "'b' appears twice"),
    "a very long key twice": (f"? {'k' * 5000}\n: 1\n? {'k' * 5000}\n: 2\n", 3, "appears twice"),
    "an anchor": ("a: 1\nb: &x 2\n", 2, "anchors and aliases"),
    "an anchor on a mapping": ("a:\n  &x {b: 1}\n", 2, "anchors and aliases"),
    "an alias": ("a: 1\nb: *x\n", 2, "anchors and aliases"),
    "a merge": ("a: 1\n<<: *x\n", 2, "anchors and aliases"),
    "a tag on a value": ("a: 1\nb: !!python/name:os.system x\n", 2, "is not allowed"),
    "a tag on a mapping": ("a: 1\nb: !!python/object/apply:os.system {c: d}\n", 2, "is not allowed"),
    "a tag on a list": ("a: 1\nb: !!set [c]\n", 2, "is not allowed"),
    "a tag on a key": ("a: 1\n!!python/name:os.system b: 2\n", 2, "is not allowed"),
    "a tag of one's own": ("a: 1\nb: !mine 2\n", 2, "is not allowed"),
    "binary": ("a: !!binary aGVsbG8=\n", 1, "is not allowed"),
    "a very long tag": ("a: !" + "t" * 5000 + " 1\n", 1, "is not allowed"),
    "an escape character": ("a: 1\nb: \x1b[2J\n", 2, "control character '\\x1b'"),
    "a zero byte": ("a: 1\nb: 2\nc: \0\n", 3, "control character '\\x00'"),
    "a C1 control": ("a: \x9b2J\n", 1, "control character '\\x9b'"),
    "a list as a key": ("a: 1\n? [x]\n: y\n", 2, "a key must be plain text"),
    "an impossible date": ("a: 1\nb: 2026-13-45\n", 2, "is no value"),
    "two documents": ("a: 1\n---\nb: 2\n", 2, "more than one document"),
    "a tab": ("a: 1\n\tb: 2\n", 2, "malformed YAML"),
    "an open bracket": ("a: [1, 2\nb: 3\n", 2, "malformed YAML"),
    "a list": ("- a\n- b\n", 0, "not a mapping"),
    "a number": ("7\n", 0, "not a mapping"),
    "nothing": ("", 0, "the file is empty"),
    "a comment": ("# nothing\n", 0, "the file is empty"),
    "null": ("null\n", 0, "the file is empty"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_names_its_line_in_a_short_message(case: str) -> None:
    text, line, words = REFUSED[case]
    with pytest.raises(YamlError) as caught:
        yamlfile.parse(text.encode(), "file.yaml")
    [problem] = caught.value.problems
    assert words in problem.what
    assert problem.where == (f"file.yaml:{line}" if line else "file.yaml")
    assert problem.todo
    assert str(problem).isprintable()
    assert len(str(problem)) < 200


def test_every_key_that_appears_twice_is_named_at_once() -> None:
    with pytest.raises(YamlError) as caught:
        yamlfile.parse(b"a: 1\na: 2\nb:\n  c: 1\n  c: 2\nd: 2026-02-30\n", "f")
    assert [problem.where for problem in caught.value.problems] == ["f:2", "f:5", "f:6"]


def nested(depth: int) -> bytes:
    return b"a: " + b"[" * (depth - 1) + b"]" * (depth - 1) + b"\n"


def test_depth_size_and_number_of_values_have_limits(tmp_path: Path) -> None:
    assert yamlfile.parse(nested(yamlfile.MAX_DEPTH), "f").data
    with pytest.raises(YamlError, match="nested deeper than 12 levels"):
        yamlfile.parse(nested(yamlfile.MAX_DEPTH + 1), "f")
    with pytest.raises(YamlError, match="nested deeper"):
        yamlfile.parse(b"a: " + b"[" * 200_000, "f")
    with pytest.raises(YamlError, match="more than 20,000 values"):
        yamlfile.parse(b"a: [" + b"1," * 20_001 + b"]", "f")
    path = tmp_path / "f.yaml"
    path.write_bytes(b"a: 1\n#" + b"x" * (yamlfile.MAX_BYTES - 7) + b"\n")
    assert yamlfile.load(path).data == {"a": 1}
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(YamlError, match="keep it below 262,144 bytes"):
        yamlfile.load(path)


def test_a_path_that_is_no_file_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(YamlError, match="there is no such file"):
            yamlfile.load(path)


def test_every_value_knows_its_line() -> None:
    text = "# top\n\na: 1\nb:\n  c: [x,\n    y]\n  d:\n    - e: 2\n    - e:\n        3\n"
    document = yamlfile.parse(text.encode(), "f")
    lines = {
        ("a",): 3,
        ("b", "c"): 5,
        ("b", "c", 0): 5,
        ("b", "c", 1): 6,
        ("b", "d", 0, "e"): 8,
        ("b", "d", 1, "e"): 10,
    }
    for path, line in lines.items():
        assert document.where(path) == f"f:{line}"
    assert document.where(("nothing",)) == "f"


def test_lines_are_right_after_windows_line_ends_and_characters_of_several_bytes() -> None:
    document = yamlfile.parse("a: 'é→字'\r\nb: 2\r\n".encode(), "f")
    assert document.where(("b",)) == "f:2"
    with pytest.raises(YamlError, match="f:3: not valid UTF-8"):
        yamlfile.parse("a: 'é'\nb: 1\n".encode() + b"c: \xff\n", "f")


# Readings of the key `a`, the text of its value, and words of the problem.
WRONG: dict[str, tuple[str, str, str]] = {
    "not a number": ("number", ".nan", "a finite number"),
    "infinity": ("number", "-.inf", "a finite number"),
    "a number of 400 digits": ("number", "9" * 400, "a finite number"),
    "an overflow": ("number", "1.0e+999", "a finite number"),
    "a number in quotes": ("number", "'3.28'", "a finite number"),
    "true as a number": ("number", "true", "a finite number"),
    "nothing as a number": ("number", "null", "a finite number"),
    "true as a whole number": ("integer", "true", "a whole number of at least 0"),
    "a decimal as a whole number": ("integer", "1.0", "a whole number of at least 0"),
    "a negative whole number": ("integer", "-1", "a whole number of at least 0"),
    "a number as text": ("text", "12", "it must be text"),
    "a yes as text": ("text", "yes", "it must be text"),
    "a time as text": ("text", "1:30", "it must be text"),
    "a date as text": ("text", "2026-11-21", "it must be text"),
    "blank text": ("text", "'  '", "of 1 to 300 characters"),
    "letters that show nothing": ("text", '"\\u3164\\u2800 \\u0301"', "of 1 to 300 characters"),
    "long text": ("text", "x" * 301, "of 1 to 300 characters"),
    "two lines as one": ("text", '"x\\ny"', "on one line"),
    "a folded text that ends in a line end": ("text", ">\n  x\n  y", "on one line"),
    "an escape sequence": ("text", '"\\e[2J"', "printable text"),
    "text that turns the direction of writing": ("text", '"\\u202e"', "printable text"),
    "a moment as a date": ("date_or_none", "2026-11-21 10:00:00", "a date like"),
    "text as a list": ("strings", "x", "a list of texts"),
    "numbers as texts": ("strings", "[1]", "a list of texts"),
    "an empty text in a list": ("strings", "['']", "a list of texts"),
    "a filler in a list": ("strings", "[a, \u3164]", "a list of texts"),
    "two lines in a list": ("strings", '["x\\ny"]', "a list of texts"),
    "a list as a mapping": ("mapping", "[x]", "a mapping of keys to values"),
    "a text among mappings": ("mappings", "[x]", "use keys"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_the_wrong_kind_is_a_problem_with_its_line(case: str) -> None:
    reading, value, words = WRONG[case]
    fields = yamlfile.Fields.of(yamlfile.parse(f"# first\na: {value}\n".encode(), "f"))
    getattr(fields, reading)("a")
    with pytest.raises(HarnessError) as caught:
        fields.done(HarnessError)
    [problem] = caught.value.problems
    assert problem.where == "f:2"
    assert words in problem.todo
    assert len(str(problem)) < 250


def test_good_values_are_read_as_they_stand() -> None:
    text = "t: é\nn: 3\nx: 3.28\nd: 2026-11-21\nl: [a, b]\nm: {k: 1}\ntwo: |\n  x\n  y\nnone: null\n"
    fields = yamlfile.Fields.of(yamlfile.parse(text.encode(), "f"))
    inner = fields.mapping("m")
    assert inner is not None
    read: list[Any] = [
        (fields.text("t"), "é"),
        (fields.integer("n"), 3),
        (fields.number("n"), 3.0),
        (fields.number("x"), 3.28),
        (fields.date_or_none("d"), datetime.date(2026, 11, 21)),
        (fields.strings("l"), ("a", "b")),
        (inner.integer("k"), 1),
        (fields.text_or_none("two"), "x\ny\n"),
        (fields.text_or_none("none"), None),
        (fields.text_or_none("absent"), None),
        (fields.number_or_none("absent"), None),
    ]
    for value, expected in read:
        assert value == expected
        assert type(value) is type(expected)
    fields.done(TrackError)


def test_missing_unknown_and_wrong_keys_come_together_each_with_its_line() -> None:
    document = yamlfile.parse(b"a: 1\nm:\n  b: x\n  z: 1\ny: 1\n", "f")
    fields = yamlfile.Fields.of(document)
    fields.text("a")
    inner = fields.mapping("m")
    assert inner is not None
    inner.integer("b")
    inner.integer("c")
    inner.unknown_keys()
    with pytest.raises(TrackError) as caught:
        fields.done(TrackError)
    assert {(p.where, p.what) for p in caught.value.problems} == {
        ("f:1", "`a` is 1"),
        ("f:3", "`b` is 'x'"),
        ("f:3", "the key `c` is missing"),
        ("f:4", "the key 'z' is unknown"),
        ("f:5", "the key 'y' is unknown"),
    }


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), PLAIN, min_size=1, max_size=6))
def test_what_is_written_is_what_is_read(data: dict[str, Any]) -> None:
    assert yamlfile.parse(yamlfile.dump(data).encode(), "f").data == data


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.text("ab:-[]{}&*!|>'\"#,?% \n\t", max_size=120).map(str.encode))
def test_any_bytes_are_a_mapping_or_an_error_of_ours(raw: bytes) -> None:
    try:
        assert isinstance(yamlfile.parse(raw, "f").data, dict)
    except YamlError as error:
        for problem in error.problems:
            assert str(problem).isprintable()
            assert problem.todo
