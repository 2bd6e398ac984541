"""Processes of ours are looked at without a lock that a Ctrl-C could leave locked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from harness.launch import following, processes
from tests.faults.projects import wait_for


def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_a_child_has_ended_when_it_has_and_its_status_is_left() -> None:
    process = child()
    assert not processes.has_ended(process.pid)
    process.communicate(b"\n")
    assert processes.has_ended(process.pid), "collected"
    other = child()
    assert other.stdin is not None
    other.stdin.close()  # input() raises
    wait_for(lambda: processes.has_ended(other.pid))
    assert other.wait() == 1


def test_a_run_is_followed_to_its_end_while_the_lock_of_its_recorder_is_held(tmp_path: Path) -> None:
    recording, observing = child(), child()
    lock = recording._waitpid_lock  # type: ignore[attr-defined]
    lock.acquire()  # as a Ctrl-C in Popen.poll leaves it
    (tmp_path / "work").mkdir()
    (tmp_path / "log.txt").write_bytes(b"a line\n")
    seen: list[bytes] = []

    def watch(line: bytes) -> None:
        seen.append(line)
        assert recording.stdin is not None
        recording.stdin.close()

    following.follow(recording, observing, tmp_path, watch)
    lock.release()
    assert seen == [b"a line"] and recording.wait() == 1
    observing.communicate(b"\n")
