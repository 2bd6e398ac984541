"""The JSON form of the frozen values: there and back without loss, and every stranger named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core import jsonform
from harness.core.errors import Problem, StoreError
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


@pytest.mark.parametrize("value", [GPU, MACHINE, RECEIPT, OUTCOME, LOG], ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    text = jsonform.to_text(value)
    assert text.endswith("\n")
    assert jsonform.decode(type(value), json.loads(text), "f") == value


def test_whole_numbers_become_floats_only_where_a_float_is_meant() -> None:
    read = jsonform.decode(RunOutcome, {"state": "finished", "exit_code": 0, "wall_time_s": 8}, "f")
    assert type(read.wall_time_s) is float
    assert type(read.exit_code) is int
    assert read.reason is None, "what has a default may be absent"


GOOD = jsonform.encode(MACHINE)


def changed(**values: Any) -> dict[str, Any]:
    return {**GOOD, **values}


# A machine as nobody wrote it, where the message points, and words of it.
STRANGE: dict[str, tuple[Any, str, str]] = {
    "a missing key": ({k: v for k, v in GOOD.items() if k != "cpu"}, "f", "the key `cpu` is missing"),
    "an unknown key": (changed(host="mine"), "f", "the key 'host' is unknown"),
    "text for a number": (changed(cpu_count="8"), "f: cpu_count", "is '8'"),
    "true for a number": (changed(cpu_count=True), "f: cpu_count", "is True"),
    "a decimal for a whole number": (changed(memory_bytes=1.5), "f: memory_bytes", "is 1.5"),
    "a number for text": (changed(kernel=6.1), "f: kernel", "is 6.1"),
    "null where a value is needed": (changed(cpu=None), "f: cpu", "is None"),
    "half a character": (changed(cpu="\ud800"), "f: cpu", "is '\\ud800'"),
    "text for a list": (changed(gpus="none"), "f: gpus", "is 'none'"),
    "a list of the wrong things": (changed(gpus=[GOOD["gpus"][0], 7]), "f: gpus[1]", "is 7"),
    "a stranger further down": (changed(gpus=[{**GOOD["gpus"][0], "slot": 1}]), "f: gpus[0]", "'slot' is unknown"),
    "infinity": (changed(gpus=[{**GOOD["gpus"][0], "power_cap_w": float("inf")}]), "f: gpus[0]: power_cap_w", "is inf"),
    "not a number": (
        changed(gpus=[{**GOOD["gpus"][0], "power_cap_w": float("nan")}]),
        "f: gpus[0]: power_cap_w",
        "nan",
    ),
    "400 digits": (changed(gpus=[{**GOOD["gpus"][0], "power_cap_w": 10**400}]), "f: gpus[0]: power_cap_w", "is 1000"),
    "a list": ([], "f", "it must be an object"),
    "nothing": (None, "f", "it must be an object"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_nobody_wrote_is_named_with_its_place(case: str) -> None:
    data, where, words = STRANGE[case]
    with pytest.raises(StoreError) as caught:
        jsonform.decode(Machine, data, "f")
    [problem] = caught.value.problems
    assert problem.where == where
    assert words in f"{problem.what}; {problem.todo}"
    assert len(str(problem)) < 200


def test_an_unknown_word_is_answered_with_the_known_ones() -> None:
    with pytest.raises(StoreError, match="it must be one of finished, failed, hung, stopped, lost"):
        jsonform.decode(RunOutcome, {"state": "won", "exit_code": 0, "wall_time_s": 1}, "f")


def test_all_problems_of_a_file_come_at_once() -> None:
    with pytest.raises(StoreError) as caught:
        jsonform.decode(Machine, changed(cpu=1, cpu_count="x", host="mine", gpus=[{"name": "a"}]), "f")
    assert len(caught.value.problems) == 5  # three wrong values, and a GPU without its memory and its power cap


def test_a_pair_of_the_wrong_length_is_refused() -> None:
    data = jsonform.encode(LOG)
    data["curve"] = [[0, 10.8]]
    with pytest.raises(StoreError, match=r"curve\[0\]"):
        jsonform.decode(RunLog, data, "f")


TORN: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut in the middle": (lambda raw: raw[: len(raw) // 2], "is no JSON"),
    "empty": (lambda raw: b"", "is no JSON"),
    "not UTF-8": (lambda raw: raw.replace(b"hub", b"h\xffb"), "is no JSON"),
    "NaN": (lambda raw: raw.replace(b"1034", b"NaN"), "NaN is no number"),
    "Infinity": (lambda raw: raw.replace(b"1034", b"-Infinity"), "-Infinity is no number"),
    "5000 digits": (lambda raw: raw.replace(b"1034", b"9" * 5000), "is no JSON"),
    "a key twice": (lambda raw: raw.replace(b'"source"', b'"source": "x", "source"'), "'source' appears twice"),
    "very deep": (lambda raw: b"[" * 200_000, "is no JSON"),
    "very large": (lambda raw: raw + b" " * (4 << 20), "has more than 4,194,304 bytes"),
}


@pytest.mark.parametrize("case", TORN)
def test_a_torn_file_is_one_message(tmp_path: Path, case: str) -> None:
    damage, words = TORN[case]
    path = tmp_path / "receipt.json"
    raw = jsonform.to_text(RECEIPT).encode()
    path.write_bytes(raw)
    assert jsonform.read(path, DataReceipt) == RECEIPT
    path.write_bytes(damage(raw))
    with pytest.raises(StoreError, match=words) as caught:
        jsonform.read(path, DataReceipt, name="receipt.json")
    assert [problem.where for problem in caught.value.problems] == ["receipt.json"]


def test_a_file_that_is_not_there_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        jsonform.read(tmp_path / "none.json", DataReceipt)


def test_what_is_no_number_is_never_written() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        jsonform.to_text(RunOutcome("finished", 0, float("nan")))


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
        read = jsonform.decode(Machine, changed(**{key: value}), "f")
    except StoreError as error:
        problems = error.problems
    assert (read is None) == bool(problems)
    assert all(problem.where.startswith(f"f: {key}") for problem in problems)
    if read is not None:
        assert jsonform.decode(Machine, json.loads(jsonform.to_text(read)), "f") == read


def test_the_file_of_a_run_needs_all_its_keys() -> None:
    with pytest.raises(StoreError) as caught:
        jsonform.decode(RunFile, {}, "run.json")
    needed = [f for f in dataclasses.fields(RunFile) if f.default is f.default_factory is dataclasses.MISSING]
    assert len(caught.value.problems) == len(needed)
