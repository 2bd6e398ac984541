"""Which started runs count, and which were aborted."""

from __future__ import annotations

from typing import Any

import pytest

from harness.store.entries import Chain, Declared, Ended, Entry, Started
from tests.ledgers import declared, ended, started

HASH = "a" * 64


def chain(*ends: tuple[str, int | None, str | None]) -> Chain:
    """A chain of the old form, of runs that ended like this: state, last step, hash of the log."""
    entries: list[Entry] = [Declared(script=HASH, track="tiny", ruleset="tiny@1", n_max=None)]
    for number, (state, step, log) in enumerate(ends, start=1):
        run = f"run-{number}"
        entries.append(Started(script=HASH, run=run, series="s", seed=number))
        entries.append(Ended(script=HASH, run=run, state=state, exit_code=None, last_step=step, log_sha256=log))
    return Chain(tuple(entries))


@pytest.mark.parametrize(
    ("ends", "counted", "aborted"),
    [
        ([("finished", 9, HASH)], [1], []),
        ([("stopped", None, HASH), ("finished", 9, HASH)], [2], []),  # Ctrl-C while it compiles
        ([("stopped", 0, HASH), ("finished", 9, HASH)], [1, 2], [1]),  # its clock had started
        ([("stopped", 5, HASH), ("finished", 9, HASH)], [1, 2], [1]),
        ([("lost", 5, HASH)], [1], [1]),  # the host vanished
        ([("lost", None, None)], [1], [1]),  # and so did the log, by whatever hand
        ([("failed", None, HASH), ("hung", None, HASH), ("finished", 9, HASH)], [3], []),  # not brought to life yet
        ([("finished", 9, HASH), ("failed", None, HASH)], [1, 2], [2]),  # a script that ends the seeds it dislikes
        ([("failed", 5, HASH), ("failed", 5, HASH)], [1, 2], []),  # judged as they are: L1 says that they failed
        ([("failed", 5, HASH), ("finished", 9, HASH), ("hung", 3, HASH)], [1, 2, 3], [1, 3]),  # out of memory, say
    ],
)
def test_what_becomes_of_a_run(
    ends: list[tuple[str, int | None, str | None]], counted: list[int], aborted: list[int]
) -> None:
    known = chain(*ends)
    assert known.counted == tuple(f"run-{n}" for n in counted)
    assert known.aborted == tuple(f"run-{n}" for n in aborted)
    assert known.judged == tuple(f"run-{n}" for n in counted if n not in aborted)


def test_a_run_without_an_end_counts() -> None:
    assert Chain(chain(("finished", 9, HASH)).entries[:2]).counted == ("run-1",)


def test_every_judged_run_of_today_counts_once_it_was_launched() -> None:
    entries: list[Entry] = [declared()]
    ends: tuple[dict[str, Any], ...] = (
        {"state": "stopped", "last_step": None},  # before its clock started
        {"state": "failed", "last_step": None},
        {"state": "failed", "exit_code": None, "last_step": None, "launched": False},  # nothing could be started
        {},
        {
            "state": "lost",
            "last_step": None,
            "log_sha256": None,
            "launched": False,
        },  # its harness died before the launch
        {"state": "hung", "last_step": None},
    )
    for number, changes in enumerate(ends, start=1):
        entries += [started(f"run-{number}"), ended(f"run-{number}", **changes)]
    known = Chain(tuple(entries))
    assert known.counted == ("run-1", "run-2", "run-4", "run-6")
    assert known.aborted == ("run-1", "run-2", "run-6")
    assert known.judged == ("run-4",)


@pytest.mark.parametrize("purpose", ["screening", "prime", "probe", "dry"])
def test_a_run_with_another_purpose_never_counts(purpose: str) -> None:
    known = Chain((declared(), started("run-1", purpose=purpose), ended("run-1")))
    assert (known.counted, known.aborted, known.judged, known.finished) == ((), (), (), ())
    assert not known.has_judged
