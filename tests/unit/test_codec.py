"""The codec: there and back without loss, and everything that is wrong with a file named at once, with its place."""

from __future__ import annotations

import dataclasses
import datetime
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge, Len
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core import codec
from harness.core.codec import Form
from harness.core.constraints import Line, Positive, Prose, Sha256, Size, Text, is_visible, show
from harness.core.errors import Problem, StoreError, TrackError
from harness.core.measurement import DataReceipt, Gpu, LogProblem, Machine, RunLog, RunOutcome, ShardReceipt
from harness.store.run_files import RunFile

GPU = Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0, "96.00.74.00.01")
MACHINE = Machine((GPU, GPU), "550.54", "a CPU", 8, 1 << 34, "6.1", "3.11.7", None, "f" * 64)
RECEIPT = DataReceipt("hub", "c" * 40, (ShardReceipt("a.bin", 1034, 5, "0" * 64),), None)
OUTCOME = RunOutcome("failed", 1, 8.25, "é → exit code 1")
LOG = dataclasses.replace(
    RunLog.nothing("log.txt"),
    final_step=3,
    overrides=("a=1",),
    extra={"x": "y"},
    problems=(LogProblem("kind", 7, "text"),),
    curve=((0, 10.8, None), (3, 9.5, 1.25)),
)


def decode(kind: type[Any], data: Any) -> Any:
    """Read the JSON text of plain values."""
    return Form(kind, "json").parse(json.dumps(data).encode(), "f")


# ------------------------------------------------------------------------------------------------ JSON


@pytest.mark.parametrize("value", [GPU, MACHINE, RECEIPT, OUTCOME, LOG], ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    text = codec.to_text(value)
    assert text.endswith("\n")
    assert Form(type(value), "json").parse(text.encode(), "f") == value
    assert Form(type(value), "json").text(value) == text


def test_whole_numbers_become_floats_only_where_a_float_is_meant() -> None:
    read = decode(RunOutcome, {"state": "finished", "exit_code": 0, "wall_time_s": 8})
    assert type(read.wall_time_s) is float
    assert type(read.exit_code) is int
    assert read.reason is None, "what has a default may be absent"


GOOD = codec.encode(MACHINE)


def changed(**values: Any) -> dict[str, Any]:
    return {**GOOD, **values}


def powered(watts: Any) -> dict[str, Any]:
    return changed(gpus=[{**GOOD["gpus"][0], "power_cap_w": watts}])


# A machine as nobody wrote it, and the message.
STRANGE: dict[str, tuple[Any, str]] = {
    "a missing key": ({k: v for k, v in GOOD.items() if k != "cpu"}, "the key `cpu` is missing; restore the file"),
    "an unknown key": (changed(host="mine"), "the key `host` is unknown; restore the file"),
    "text for a number": (changed(cpu_count="8"), "`cpu_count` is '8'; it must be a whole number"),
    "true for a number": (changed(cpu_count=True), "`cpu_count` is true; it must be a whole number"),
    "a decimal for a whole number": (changed(memory_bytes=1.5), "`memory_bytes` is 1.5; it must be a whole number"),
    "a whole decimal for a whole number": (changed(memory_bytes=2.0), "`memory_bytes` is 2.0; it must be a whole"),
    "a number for text": (changed(kernel=6.1), "`kernel` is 6.1; it must be text"),
    "null where a value is needed": (changed(cpu=None), "`cpu` is null; it must be text"),
    "half a character": (changed(cpu="\ud800"), r"`cpu` is '\ud800'; it must be text"),
    "half a character that may be null": (changed(torch="\ud800"), r"`torch` is '\ud800'; it must be text"),
    "text for a list": (changed(gpus="none"), "`gpus` is 'none'; it must be a list"),
    "a list of the wrong things": (changed(gpus=[GOOD["gpus"][0], 7]), "`gpus[1]` is 7; it must be a mapping"),
    "an unknown key further down": (
        changed(gpus=[{**GOOD["gpus"][0], "slot": 1}]),
        "the key `gpus[0].slot` is unknown",
    ),
    "infinity": (powered(float("inf")), "`gpus[0].power_cap_w` is inf; it must be a finite number"),
    "minus infinity": (powered(float("-inf")), "`gpus[0].power_cap_w` is -inf; it must be a finite number"),
    "not a number": (powered(float("nan")), "`gpus[0].power_cap_w` is nan; it must be a finite number"),
    "400 digits": (powered(10**400), "`gpus[0].power_cap_w` is 1000"),
    "more than any quantity": (powered(1e301), "`gpus[0].power_cap_w` is 1e+301; it must be a finite number"),
    "400 digits as a whole number": (changed(memory_bytes=10**400), "`memory_bytes` is 1000"),
    "2 to the 64": (changed(memory_bytes=1 << 64), "`memory_bytes` is 18446744073709551616"),
    "a list": ([], "is a list of 0; it must be a mapping of keys to values"),
    "nothing": (None, "is null; it must be a mapping of keys to values"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_nobody_wrote_is_named_with_its_place(case: str) -> None:
    data, words = STRANGE[case]
    with pytest.raises(StoreError) as caught:
        decode(Machine, data)
    [problem] = caught.value.problems
    assert str(problem).startswith(f"f: {words}")
    assert str(problem).isascii()
    assert len(str(problem)) < 200


def test_an_unknown_word_is_answered_with_the_known_ones() -> None:
    with pytest.raises(StoreError, match="`state` is 'won'; it must be one of finished, failed, hung, stopped, lost"):
        decode(RunOutcome, {"state": "won", "exit_code": 0, "wall_time_s": 1})


def test_all_problems_of_a_file_come_at_once() -> None:
    with pytest.raises(StoreError) as caught:
        decode(Machine, changed(cpu=1, cpu_count="x", host="mine", gpus=[{"name": "a"}]))
    assert len(caught.value.problems) == 5  # three wrong values, and a GPU without its memory and its power cap


@pytest.mark.parametrize("point", [[0, 10.8], [0, 10.8, None, 1]])
def test_a_list_of_the_wrong_length_is_refused(point: list[Any]) -> None:
    data = codec.encode(LOG)
    data["curve"] = [point]
    with pytest.raises(StoreError) as caught:
        decode(RunLog, data)
    [problem] = caught.value.problems
    assert problem.what == f"`curve[0]` is a list of {len(point)}"
    assert "a list of 3: a whole number, a finite number, a finite number" in problem.todo


TORN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the middle": (lambda raw: raw[: len(raw) // 2], "is not JSON from line"),
    "empty": (lambda raw: b"", "is not JSON from line 1"),
    "not UTF-8": (lambda raw: raw.replace(b"hub", b"h\xffb"), "is not UTF-8"),
    "NaN": (lambda raw: raw.replace(b"1034", b"NaN"), r"`shards\[0\].bytes` is nan; it must be a whole number"),
    "Infinity": (lambda raw: raw.replace(b"1034", b"-Infinity"), r"`shards\[0\].bytes` is -inf; it must be a whole"),
    "an overflow": (lambda raw: raw.replace(b"1034", b"1e999"), r"`shards\[0\].bytes` is inf; it must be a whole"),
    "5000 digits": (lambda raw: raw.replace(b"1034", b"9" * 5000), "holds a number of too many digits"),
    "a key twice": (lambda raw: raw.replace(b'"source"', b'"source": "x", "source"'), "'source' appears twice"),
    "very deep": (lambda raw: b"[" * 200_000, "is nested too deeply"),
    "very large": (lambda raw: raw + b" " * (4 << 20), "keep it below 4,194,304 bytes"),
}


@pytest.mark.parametrize("case", TORN)
def test_a_torn_file_is_one_message(tmp_path: Path, case: str) -> None:
    damage, words = TORN[case]
    path = tmp_path / "receipt.json"
    form = Form(DataReceipt, "json")
    raw = form.text(RECEIPT).encode()
    path.write_bytes(raw)
    assert form.read(path) == RECEIPT
    path.write_bytes(damage(raw))
    with pytest.raises(StoreError, match=words) as caught:
        form.read(path, name="receipt.json")
    assert [problem.where for problem in caught.value.problems] == ["receipt.json"]


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file"):
        Form(DataReceipt, "json").read(tmp_path / "none.json")


def test_what_is_no_number_is_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        codec.to_text(RunOutcome("finished", 0, float("nan")))


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(GOOD)), inner, max_size=5),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(key=st.sampled_from(sorted(GOOD)), value=ANY)
def test_any_value_in_any_place_is_read_or_named(key: str, value: Any) -> None:
    problems: tuple[Problem, ...] = ()
    read = None
    try:
        read = decode(Machine, changed(**{key: value}))
    except StoreError as error:
        problems = error.problems
    assert (read is None) == bool(problems)
    assert all(f"`{key}" in problem.what and str(problem).isprintable() for problem in problems)
    if read is not None:
        assert decode(Machine, json.loads(codec.to_text(read))) == read


def test_the_file_of_a_run_needs_all_its_keys() -> None:
    with pytest.raises(StoreError) as caught:
        decode(RunFile, {})
    needed = [f for f in dataclasses.fields(RunFile) if f.default is f.default_factory is dataclasses.MISSING]
    assert len(caught.value.problems) == len(needed)


# ------------------------------------------------------------------------------------------------ YAML


@dataclass(frozen=True, slots=True)
class Inner:
    c: int
    b: int = 0


@dataclass(frozen=True, slots=True)
class Sheet:
    """One field of each kind; all may be absent."""

    number: float = 0.0
    above: Positive = 1.0
    whole: Size = 0
    some: Annotated[int, Ge(3)] = 3
    bare_whole: int = 0
    text: Line = "x"
    long: Prose | None = None
    word: Annotated[str, Text("a lower-case word", r"[a-z]+", max_length=9)] = "x"
    date: datetime.date | None = None
    choice: Literal["one", "two"] = "one"
    flag: bool = False
    texts: tuple[Line, ...] = ()
    needed: Annotated[tuple[Line, ...], Len(1, 3)] = ("x",)
    pairs: tuple[tuple[int, float], ...] = ()
    inner: Inner | None = None
    inners: tuple[Inner, ...] = ()
    hashes: Annotated[dict[Line, Sha256], Len(0, 2)] = dataclasses.field(default_factory=dict)
    either: float | str | None = None


SHEET = Form(Sheet, "yaml", error=TrackError)

# A key of the sheet, the text of its value, and words of what must be done.
WRONG: dict[str, tuple[str, str, str]] = {
    "not a number": ("number", ".nan", "a finite number"),
    "infinity": ("number", "-.inf", "a finite number"),
    "a number of 400 digits": ("number", "9" * 400, "a finite number"),
    "an overflow": ("number", "1.0e+999", "a finite number"),
    "a number in quotes": ("number", "'3.28'", "a finite number"),
    "true as a number": ("number", "true", "a finite number"),
    "nothing as a number": ("number", "null", "a finite number"),
    "an overflow, far": ("number", "1.0e+301", "a finite number"),
    "zero where more is needed": ("above", "0", "a finite number above 0"),
    "true as a whole number": ("whole", "true", "a whole number of at least 0"),
    "a decimal as a whole number": ("whole", "1.0", "a whole number of at least 0"),
    "a negative whole number": ("whole", "-1", "a whole number of at least 0"),
    "too small a whole number": ("some", "2", "a whole number of at least 3"),
    "2 to the 64": ("whole", "18446744073709551616", "a whole number"),
    "a decimal, undeclared": ("bare_whole", "1.0", "a whole number"),
    "true as a whole number, undeclared": ("bare_whole", "true", "a whole number"),
    "2 to the 64, undeclared": ("bare_whole", "18446744073709551616", "a whole number"),
    "one as true": ("flag", "1", "true or false"),
    "a word as true": ("flag", "'true'", "true or false"),
    "a number as text": ("text", "12", "it must be text"),
    "a yes as text": ("text", "yes", "it must be text"),
    "a time as text": ("text", "1:30", "it must be text"),
    "a date as text": ("text", "2026-11-21", "it must be text"),
    "nothing as text": ("text", "null", "it must be text"),
    "empty text": ("text", "''", "of 1 to 300 characters"),
    "blank text": ("text", "'  '", "of 1 to 300 characters"),
    "letters that show nothing": ("text", '"\\u3164\\u2800 \\u0301"', "of 1 to 300 characters"),
    "long text": ("text", "x" * 301, "of 1 to 300 characters"),
    "two lines as one": ("text", '"x\\ny"', "on one line"),
    "a folded text that ends in a line end": ("text", ">\n  x\n  y", "on one line"),
    "an escape sequence": ("text", '"\\e[2J"', "printable"),
    "text that turns the direction of writing": ("text", '"\\u202e"', "printable"),
    "an escape sequence in a long text": ("long", '"x\\n\\e[2J"', "printable"),
    "a number as a long text": ("long", "12", "it must be text"),
    "a text of another form": ("word", "X", "it must be a lower-case word"),
    "a text that begins well": ("word", '"x\\n"', "on one line"),
    "too long a word": ("word", "xxxxxxxxxx", "a lower-case word of 1 to 9 characters"),
    "an unknown word": ("choice", "three", "one of one, two"),
    "a list as a word": ("choice", "[one]", "one of one, two"),
    "a moment as a date": ("date", "2026-11-21 10:00:00", "a date like"),
    "a text as a date": ("date", "'2026-11-21'", "a date like"),
    "a number as a date": ("date", "20261121", "a date like"),
    "text as a list": ("texts", "x", "a list of texts"),
    "a mapping as a list": ("texts", "{x: 1}", "a list of texts"),
    "a number as one of the texts": ("texts", "[1]", "it must be text"),
    "an empty text in a list": ("texts", "['']", "text of 1 to 300 characters"),
    "a filler in a list": ("texts", "[a, \u3164]", "text of 1 to 300 characters"),
    "two lines in a list": ("texts", '["x\\ny"]', "on one line"),
    "too short a list": ("needed", "[]", "a list of texts with 1 to 3"),
    "too long a list": ("needed", "[a, b, c, d]", "a list of texts with 1 to 3"),
    "too short a pair": ("pairs", "[[1]]", "a list of 2: a whole number, a finite number"),
    "too long a pair": ("pairs", "[[1, 2, 3]]", "a list of 2: a whole number, a finite number"),
    "true in a pair": ("pairs", "[[1, true]]", "a finite number"),
    "a list as a mapping": ("inner", "[x]", "a mapping of keys to values"),
    "a text among mappings": ("inners", "[x]", "a mapping of keys to values"),
    "a bad value in a mapping": ("hashes", "{a: b}", "64 hexadecimal digits"),
    "a bad key in a mapping": ("hashes", f'{{"\\e": {"a" * 64}}}', "printable"),
    "too many in a mapping": (
        "hashes",
        f"{{a: {'a' * 64}, b: {'a' * 64}, c: {'a' * 64}}}",
        "a mapping of keys to values with 0 to 2",
    ),
    "a list that may be a number or text": ("either", "[1]", "it must be a finite number or text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_the_wrong_kind_is_a_problem_with_its_line(case: str) -> None:
    key, value, words = WRONG[case]
    with pytest.raises(TrackError) as caught:
        SHEET.parse(f"# first\n{key}: {value}\n".encode(), "f")
    [problem] = caught.value.problems
    assert problem.where == "f:2"
    assert problem.what.startswith(f"`{key}")
    assert words in problem.todo
    assert len(str(problem)) < 250
    assert str(problem).isascii()


def test_good_values_are_read_as_they_stand() -> None:
    text = (
        "text: é\nwhole: 3\nnumber: 3\nabove: 0.5\ndate: 2026-11-21\ntexts: [a, b]\ninner: {c: 1}\n"
        "long: |\n  x\n  y\npairs: [[1, 2], [3, 4.5]]\nflag: true\neither: x\ninners: []\n"
    )
    sheet = SHEET.parse(text.encode(), "f")
    assert sheet == Sheet(
        text="é",
        whole=3,
        number=3.0,
        above=0.5,
        date=datetime.date(2026, 11, 21),
        texts=("a", "b"),
        inner=Inner(1),
        long="x\ny\n",
        pairs=((1, 2.0), (3, 4.5)),
        flag=True,
        either="x",
    )
    for value in (sheet.number, sheet.pairs[0][1]):
        assert type(value) is float
    assert SHEET.parse(SHEET.text(sheet).encode(), "f") == sheet
    assert "whole: 3\n" in SHEET.text(sheet)
    assert "some:" not in SHEET.text(sheet), "what has its default is not written"


@dataclass(frozen=True, slots=True)
class Letter:
    a: Line
    m: Inner
    z: Line | None = None


LETTER = Form(Letter, "yaml", (1,), TrackError)


def test_missing_unknown_and_wrong_keys_come_together_each_with_its_line() -> None:
    with pytest.raises(TrackError) as caught:
        LETTER.parse(b"a: 1\nm:\n  b: x\n  z: 1\ny: 1\n", "f")
    assert {(p.where, p.what) for p in caught.value.problems} == {
        ("f:1", "`a` is 1"),
        ("f:3", "`m.b` is 'x'"),
        ("f:3", "the key `m.c` is missing"),
        ("f:4", "the key `m.z` is unknown"),
        ("f:5", "the key `y` is unknown"),
        ("f:1", "the key `schema` is missing"),
    }
    todo = {p.what: p.todo for p in caught.value.problems}
    assert todo["the key `m.z` is unknown"] == "remove it (known here: b, c)"
    assert todo["the key `y` is unknown"] == "remove it (known here: a, m, schema, z)"
    assert todo["the key `m.c` is missing"] == "add `c: …` (a whole number)"


@pytest.mark.parametrize("version", ["2", "true", "'1'", "1.0", "[1]", "null"])
def test_an_unknown_schema_is_named_with_the_known_ones(version: str) -> None:
    form = Form(Letter, "yaml", (1, 3), TrackError)
    with pytest.raises(TrackError, match=r"f:1: schema .* is unknown; this harness reads schema 1 and 3"):
        form.parse(f"schema: {version}\na: x\nm: {{c: 1}}\n".encode(), "f")
    assert form.text(form.parse(b"schema: 1\na: x\nm: {c: 1}\n", "f")) == "schema: 3\na: x\nm:\n  c: 1\n"


def test_a_bad_field_hides_no_broken_rule_across_fields(tmp_path: Path) -> None:
    """pydantic skips validators of the whole once a field fails; rules here look at the file, not at the value."""
    (tmp_path / "f").write_text("schema: 1\na: x\nm: {c: 5, b: 9}\nz: 7\n")
    reading = LETTER.open(tmp_path / "f", name="f")
    assert reading.value is None
    if reading.data["m"]["b"] > reading.data["m"]["c"]:
        reading.problem(("m", "b"), "`b` is above `c`", "lower it")
    reading.problem(("z",), "never said", "because the key has a problem of its own")
    with pytest.raises(TrackError) as caught:
        reading.done()
    assert [str(p) for p in caught.value.problems] == [
        "f:4: `z` is 7; it must be text",
        "f:3: `b` is above `c`; lower it",
    ]


def test_a_place_in_an_untrusted_file_is_named_in_ascii_and_short() -> None:
    with pytest.raises(TrackError) as caught:
        SHEET.parse(f'hashes:\n  "{"é" * 200}": {"z" * 200}\n"k\\u202e": 1\n'.encode(), "f")
    for problem in caught.value.problems:
        assert str(problem).isascii()
        assert len(str(problem)) < 250


def test_nothing_of_pydantics_own_words_reaches_a_user() -> None:
    said = []
    for key, value, _ in WRONG.values():
        with pytest.raises(TrackError) as caught:
            SHEET.parse(f"{key}: {value}\n".encode(), "f")
        said.append(str(caught.value))
    for word in ("Input should", "pydantic", "validation", "_type", "dataclass", "instance of", "tuple", "dict"):
        assert word not in "\n".join(said)


@pytest.mark.parametrize(
    ("text", "visible"), [("a", True), ("—", True), ("\u3164", False), (" \u0301", False), ("字", True), ("", False)]
)
def test_a_text_is_visible_where_a_letter_or_a_sign_is(text: str, visible: bool) -> None:
    assert is_visible(text) == visible


def test_values_are_shown_shortly() -> None:
    assert [show(v) for v in (None, True, {"a": 1}, (1, 2), "é", datetime.date(2026, 1, 2))] == [
        "null",
        "true",
        "a mapping",
        "a list of 2",
        "'\\xe9'",
        "2026-01-02",
    ]
    assert len(show("x" * 1000)) == 80


def test_values_and_the_codec_are_imported_without_pydantic() -> None:
    """The log reader, `--help`, the recorder and the observer need none of it, and it takes 0.1 s."""
    modules = "harness.core.codec, harness.core.measurement, harness.core.task, harness.core.record"
    program = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"pydantic", "pydantic_core"} & {name.partition(".")[0] for name in done.stdout.split()}
