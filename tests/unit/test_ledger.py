"""The ledger: append-only, chained; a dropped, edited or moved entry is named by its line."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest

from harness.core.errors import StoreError
from harness.store.entries import Declared, Ended, Started
from harness.store.ledger import Ledger, read_chain
from tests.ledgers import SCRIPT, declared, ended, started

OTHER = "b" * 64


def fill(ledger: Ledger, runs: int = 3) -> None:
    ledger.append(declared())
    for number in range(runs):
        ledger.append(started(f"r{number}", seed=number))
        ledger.append(ended(f"r{number}"))


def breaks(path: Path) -> list[str]:
    return [found.sentence("ledger.jsonl") for found in read_chain(path.read_bytes(), "ledger.jsonl").breaks()]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger(tmp_path / "ledger.jsonl")
    fill(made)
    return made


def test_an_honest_chain_has_no_break(ledger: Ledger) -> None:
    assert breaks(ledger.path) == []
    assert [type(entry) for entry in ledger.chain(SCRIPT).entries] == [Declared] + [Started, Ended] * 3


def test_other_work_in_between_leaves_no_gap(ledger: Ledger) -> None:
    ledger.append(declared(OTHER))
    ledger.append(started("r9"))
    ledger.append(ended("r9", state="failed", exit_code=1, last_step=None, log_sha256=None))
    assert ledger.chain(SCRIPT).breaks() == ()
    assert len(ledger.chain(OTHER).entries) == 1


@pytest.mark.parametrize("line", range(1, 7))
def test_a_dropped_entry_is_named(ledger: Ledger, line: int) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(lines[: line - 1] + lines[line:]))
    assert any(f"ledger.jsonl:{line}" in problem for problem in breaks(ledger.path))


@pytest.mark.parametrize("line", range(1, 7))
def test_an_edited_entry_breaks_the_one_after_it(ledger: Ledger, line: int) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    data = json.loads(lines[line - 1])
    data["at"] = "2020-01-01T00:00:00Z"
    lines[line - 1] = json.dumps(data, sort_keys=True).encode() + b"\n"
    ledger.path.write_bytes(b"".join(lines))
    assert any(f"ledger.jsonl:{line + 1}" in problem for problem in breaks(ledger.path))


def test_moved_entries_are_named(ledger: Ledger) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join([lines[0], *lines[3:5], *lines[1:3], *lines[5:]]))
    assert any("ledger.jsonl:2" in problem for problem in breaks(ledger.path))


def test_a_run_without_an_end_is_named(ledger: Ledger) -> None:
    ledger.append(started("r9"))
    assert breaks(ledger.path) == ["ledger.jsonl: the run r9 was started and has no end"]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_torn_last_line_never_was_an_entry(ledger: Ledger, cut: int) -> None:
    raw = ledger.path.read_bytes()
    ledger.path.write_bytes(raw + raw.splitlines()[0][:cut])
    ledger.append(started("r9"))
    assert ledger.path.read_bytes().startswith(raw)
    assert len(ledger.read().entries) == 8


def test_an_entry_comes_back_as_it_was_written(ledger: Ledger) -> None:
    written = ledger.append(started("r9", series="s-9", seed=9))
    assert ledger.read().entries[-1] == written
    assert (written.line, written.run, written.series, written.seed) == (8, "r9", "s-9", 9)
    assert json.loads(written.raw)["sitting"] == "s-9", "the key on disk keeps its spelling"


NO_ENTRIES: dict[str, object] = {
    "another kind": {"kind": "gift"},
    "no kind": {"kind": None},
    "a list for a kind": {"kind": ["start"]},
    "an object for a kind": {"kind": {}},
    "a key too many": {"host": "here"},
    "a path for a run": {"run": "../r9"},
    "a list for a run": {"run": ["r9"]},
    "a fraction for a seed": {"seed": 1.5},
    "a yes for a seed": {"seed": True},
    "a number for a series": {"sitting": 5},
    "no series": {"sitting": None},
    "the name that a series has in Python": {"series": "s"},
}


@pytest.mark.parametrize("change", NO_ENTRIES.values(), ids=NO_ENTRIES)
def test_what_is_no_entry_is_refused_with_its_line(ledger: Ledger, change: dict[str, object]) -> None:
    entry = {"kind": "start", "at": "2026-11-20T00:00:00Z", "script": SCRIPT, "run": "r9", "sitting": "s", "seed": 1}
    entry["before"] = "0" * 64
    assert len(read_chain(json.dumps(entry).encode() + b"\n", "ledger.jsonl").entries) == 1
    ledger.path.write_bytes(ledger.path.read_bytes() + json.dumps(entry | change).encode() + b"\n")
    with pytest.raises(StoreError, match=r"ledger\.jsonl:8"):
        ledger.read()


@pytest.mark.parametrize("line", [b"[]", b"7", b"null", b"{}", b'"start"', b"[" * 100_000, b"\xff", b""])
def test_a_line_that_is_no_object_is_refused_with_its_number(ledger: Ledger, line: bytes) -> None:
    ledger.path.write_bytes(ledger.path.read_bytes() + line + b"\n")
    with pytest.raises(StoreError, match=r"ledger\.jsonl:8"):
        ledger.read()


def append_many(path: Path, first: int) -> None:
    for number in range(first, first + 25):
        Ledger(path).append(started(f"p{number}", seed=number))


def test_two_writers_at_once_keep_the_chain_whole(ledger: Ledger) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(ledger.path, first)) for first in (100, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(ledger.read().entries) == 57
    assert not [problem for problem in breaks(ledger.path) if "does not follow" in problem]


def test_every_kind_of_break_has_a_name_its_line_and_its_run(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.append(started("r1"))
    ledger.append(declared())
    ledger.append(started("r1"))
    ledger.append(ended("r2", state="lost", exit_code=None, last_step=None, log_sha256=None))
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join([*lines, lines[-1]]))
    assert [(found.kind, found.line, found.run) for found in ledger.read().breaks()] == [
        ("undeclared", 1, None),
        ("declared again", 2, None),
        ("started again", 3, "r1"),
        ("not open", 4, "r2"),
        ("gap", 5, None),
        ("not open", 5, "r2"),
        ("no end", 3, "r1"),
    ]
