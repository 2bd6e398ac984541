"""Which started runs count, and which were aborted."""

from __future__ import annotations

import pytest

from harness.store.entries import Chain, Declared, Ended, Entry, Started

HASH = "a" * 64


def chain(*ends: tuple[str, int | None, str | None]) -> Chain:
    """A chain of runs that ended like this: state, last step, hash of the log."""
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
