"""The strict YAML reader: what it refuses, that it names the right line, and that it names everything at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core import yamlfile
from harness.core.errors import YamlError

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
    "half a character": ('a: 1\nb: "\\uD800"\n', 2, "malformed YAML"),
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
    for path, said in ((tmp_path / "none.yaml", "there is no such file"), (tmp_path, "a folder or a special file")):
        with pytest.raises(YamlError, match=said):
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


def test_lists_are_tuples_at_every_depth() -> None:
    """Strict validation refuses a list where a tuple is declared, and says nothing of what is wrong inside it."""
    assert yamlfile.parse(b"a: [1, [2, {b: [3]}], []]\n", "f").data == {"a": (1, (2, {"b": (3,)}), ())}


def test_scalars_are_what_yaml_says_they_are() -> None:
    text = "a: é\nb: 3\nc: 3.28\nd: 2026-11-21\ne: true\nf: ~\ng: '3'\nh: !!str 3\ni: 0x1F\nj: ''\nk:\nl: |\n  x\n  y\n"
    data = yamlfile.parse(text.encode(), "f").data
    day = datetime.date(2026, 11, 21)
    assert list(data.values()) == ["é", 3, 3.28, day, True, None, "3", "3", 31, "", None, "x\ny\n"]
    assert [type(data[key]) for key in "bcde"] == [int, float, datetime.date, bool]


def as_read(value: Any) -> Any:
    """Lists as tuples."""
    if isinstance(value, dict):
        return {key: as_read(item) for key, item in value.items()}
    return tuple(map(as_read, value)) if isinstance(value, list) else value


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(st.characters(codec="ascii"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), PLAIN, min_size=1, max_size=6))
def test_what_is_written_is_what_is_read(data: dict[str, Any]) -> None:
    assert yamlfile.parse(yamlfile.dump(data).encode(), "f").data == as_read(data)


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=200) | st.text("ab:-[]{}&*!|>'\"#,?% \n\t", max_size=120).map(str.encode))
def test_any_bytes_are_a_mapping_or_an_error_of_ours(raw: bytes) -> None:
    try:
        assert isinstance(yamlfile.parse(raw, "f").data, dict)
    except YamlError as error:
        for problem in error.problems:
            assert str(problem).isprintable()
            assert problem.todo
