"""What a run left in shared memory is told from what other programs hold there."""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.launch.torchrun import left_bytes, shared_memory


@pytest.fixture
def ballast() -> Iterator[Path]:
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("this machine has no /dev/shm to write to")
    path = Path("/dev/shm") / f"speedrun-test-{secrets.token_hex(4)}"
    yield path
    path.unlink(missing_ok=True)


def others(ballast: Path) -> dict[str, int]:
    """What is there beside it, which may be anything."""
    return {name: size for name, size in shared_memory(None).items() if name != ballast.name}


def test_what_nobody_uses_any_more_was_left(ballast: Path) -> None:
    ballast.write_bytes(bytes(5000))
    assert left_bytes(others(ballast), None) >= 5000


def test_what_was_there_before_was_not(ballast: Path) -> None:
    ballast.write_bytes(bytes(5000))
    before = others(ballast) | {ballast.name: 5000}
    assert shared_memory(None)[ballast.name] == 5000
    assert left_bytes(before, None) == left_bytes(shared_memory(None), None)


@pytest.mark.parametrize("how", ["opened", "mapped"])
def test_what_a_living_program_uses_is_its_own(ballast: Path, how: str) -> None:
    ballast.write_bytes(bytes(5000))
    with ballast.open("r+b") as file:
        use = mmap.mmap(file.fileno(), 0) if how == "mapped" else os.dup(file.fileno())
    unused = left_bytes(others(ballast), None)
    if isinstance(use, mmap.mmap):
        use.close()
    else:
        os.close(use)
    assert left_bytes(others(ballast), None) >= unused + 5000


def test_what_another_user_holds_is_not_of_the_run(ballast: Path) -> None:
    ballast.write_bytes(bytes(5000))
    assert ballast.name not in shared_memory(os.geteuid() + 1)
