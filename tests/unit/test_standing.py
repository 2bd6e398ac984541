"""Which started runs count, and which were broken off."""

from __future__ import annotations

import pytest

from harness.store.ledger import Entry, standing

HASH = "a" * 64


def chain(*ends: tuple[str, int | None, str | None]) -> list[Entry]:
    """A chain of runs that ended like this: state, last step, hash of the log."""
    entries = [Entry(1, b"", {"kind": "declare"})]
    for number, (state, step, log) in enumerate(ends, start=1):
        entries.append(Entry(2 * number, b"", {"kind": "start", "run": f"run-{number}"}))
        end = {"kind": "end", "run": f"run-{number}", "state": state, "last_step": step, "log_sha256": log}
        entries.append(Entry(2 * number + 1, b"", end))
    return entries


@pytest.mark.parametrize(
    ("ends", "order", "broken"),
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
    ends: list[tuple[str, int | None, str | None]], order: list[int], broken: list[int]
) -> None:
    known = standing(chain(*ends))
    assert known.order == tuple(f"run-{n}" for n in order)
    assert known.broken == tuple(f"run-{n}" for n in broken)


def test_a_run_without_an_end_counts() -> None:
    assert standing(chain(("finished", 9, HASH))[:2]).order == ("run-1",)
