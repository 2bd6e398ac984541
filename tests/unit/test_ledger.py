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


ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("slug", ["2026-11-21_adamw-baseline", "2026-11-21_muon"])
def test_entries_of_the_old_form_are_read_as_they_are(slug: str) -> None:
    file = ROOT / "records" / "smoke" / slug / "evidence" / "ledger.jsonl"
    chain = read_chain(file.read_bytes(), "ledger.jsonl")
    assert chain.is_old and chain.breaks() == () and len(chain.counted) == 3
    assert chain.raw == file.read_bytes()


NEW_FIELDS = {
    "declare": ["subject", "earlier", "others"],
    "start": ["purpose"],
    "end": ["received", "files", "launched"],
}
ODD_VALUES = (None, "", "sometimes", [], {"": 1}, {"log.txt": "short"}, {"../x": "a" * 64}, 1.5, -1, "a" * 101)


@pytest.mark.parametrize("line", [1, 2, 3])
def test_a_line_has_all_fields_of_today_or_none_and_each_is_what_it_must_be(ledger: Ledger, line: int) -> None:
    data = json.loads(ledger.path.read_bytes().splitlines()[line - 1])
    fields = NEW_FIELDS[data["kind"]]
    old = {key: value for key, value in data.items() if key not in fields}
    assert read_chain(json.dumps(old).encode() + b"\n", "ledger.jsonl").is_old
    partly = [{k: v for k, v in data.items() if k != field} for field in fields if len(fields) > 1]
    for wrong in [*partly, *(data | {field: value} for field in fields for value in ODD_VALUES)]:
        with pytest.raises(StoreError, match=r"ledger\.jsonl:1"):
            read_chain(json.dumps(wrong).encode() + b"\n", "ledger.jsonl")


def test_an_entry_without_the_fields_of_today_is_never_written(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()
    with pytest.raises(AssertionError):
        ledger.append(Started(script=SCRIPT, run="r9", series="s", seed=1))
    assert ledger.path.read_bytes() == before


def test_an_entry_that_nobody_could_read_again_is_never_written(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()
    with pytest.raises(StoreError, match=r"ledger\.jsonl:8"):
        ledger.append(ended("r9", exit_code=10**30))
    assert ledger.path.read_bytes() == before


def test_an_old_entry_after_a_new_one_is_a_break(ledger: Ledger) -> None:
    *lines, last = ledger.path.read_text().splitlines()
    old = {key: value for key, value in json.loads(last).items() if key not in NEW_FIELDS["end"]}
    ledger.path.write_text("".join(f"{line}\n" for line in (*lines, json.dumps(old, sort_keys=True))))
    assert breaks(ledger.path) == ["ledger.jsonl:7 is of an older form than the entries before it"]


def test_only_judged_runs_need_a_declaration_before_them(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    for purpose in ("dry", "screening", "probe"):
        ledger.append(started(purpose, purpose=purpose))
        ledger.append(ended(purpose))
    ledger.append(declared(n_max=7))
    ledger.append(started("r1"))
    ledger.append(ended("r1"))
    chain = ledger.chain(SCRIPT)
    assert (chain.breaks(), chain.n_max, chain.counted) == ((), 7, ("r1",))


def test_what_was_changed_or_lost_since_a_snapshot_is_named(ledger: Ledger) -> None:
    whole = ledger.snapshot()
    ledger.append(started("r9"))
    ledger.check_unchanged(whole)
    lines = whole.splitlines(keepends=True)
    for now, said in (
        (b"".join(lines[:5]), "lost its last 2 lines"),
        (b"".join([*lines[:2], *lines[3:]]), r"ledger\.jsonl:3: was changed"),
        (whole.replace(b'"seed": 1', b'"seed": 2'), r"ledger\.jsonl:4: was changed"),
        (b"", "lost its last 7 lines"),
    ):
        ledger.path.write_bytes(now)
        with pytest.raises(StoreError, match=said):
            ledger.check_unchanged(whole)
    ledger.path.unlink()
    with pytest.raises(StoreError, match="lost its last 7 lines"):
        ledger.check_unchanged(whole)


def test_the_scripts_of_one_folder_are_found_together(ledger: Ledger) -> None:
    ledger.append(declared(OTHER, subject="submissions/2026-11-22_else"))
    ledger.append(declared("d" * 64, earlier=1))
    assert list(ledger.read().of_folder("d" * 64).scripts) == [SCRIPT, "d" * 64]
    assert list(ledger.read().of_folder(OTHER).scripts) == [OTHER]


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
