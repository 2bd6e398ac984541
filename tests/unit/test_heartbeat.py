"""An observer that was late, stopped or killed: what its rows say then, and what a verdict makes of it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import StoreError
from harness.core.measurement import Metrics, Observed, WrittenFile
from harness.launch import observer
from harness.launch.observer import READS, READS_HEADER
from harness.launch.stamps import read_observed
from harness.verdict import judge
from tests.faults.projects import wait_for
from tests.unit.test_verdict import HONEST, a_run, evidence, moved, outcomes, slowed

VALIDATION = "smoke_val_000000.bin"
EVERY_SECOND = tuple((float(at), 0.001) for at in range(9))


def seen(*opens: float, beats: Any = EVERY_SECOND, ended: bool = True, **more: Any) -> Observed:
    return Observed(tuple((at, VALIDATION) for at in opens), None, None, None, beats, ended, **more)


def late(delay: float) -> tuple[tuple[float, float], ...]:
    """Beats, of which the one behind the middle of the first section was late."""
    return tuple((at, delay if at == 6.0 else 0.001) for at, _ in EVERY_SECOND)


def ruled(rule: str, **changes: Any) -> tuple[str, str]:
    runs = [*HONEST, a_run(4, 2.85, **changes)]
    if "observed" in changes:
        runs = [*(a_run(n, 2.85 + n / 1000, observed=seen()) for n in (1, 2, 3)), runs[-1]]
    [finding] = [f for f in judge(evidence(*runs)).findings if f.rule == rule]
    return finding.outcome, finding.text


@pytest.mark.parametrize(
    ("observed", "outcome"),
    [
        (seen(), "pass"),
        (seen(3.0, 5.8, 7.9), "pass"),  # before the clock, in a gap, behind the end
        (seen(5.0), "fail"),
        (seen(5.6, beats=late(0.4)), "fail"),  # late, but the clock ran then as well
        (seen(5.6, beats=late(2.0)), "inconclusive"),  # it may have been opened before the section
        (seen(5.85, beats=late(0.3)), "pass"),
        (seen(5.85, beats=late(2.0)), "inconclusive"),  # and this one within it
        (seen(5.85, beats=late(6.0)), "inconclusive"),
        (seen(ended=False, beats=EVERY_SECOND[:4]), "inconclusive"),
        (seen(beats=()), "inconclusive"),
        (seen(beats=tuple((at + 5.5, d) for at, d in EVERY_SECOND)), "inconclusive"),  # it began too late
        (seen(lost=((3.0, "openings"),)), "inconclusive"),
        (seen(files=(WrittenFile(3.5, "copy", "a.bin", 200_000),)), "fail"),
        (seen(files=(WrittenFile(3.5, "shared", "a.bin", 200_000),)), "inconclusive"),
        (seen(files=(WrittenFile(3.5, "file", "a.bin", 2_000_000),)), "pass"),  # the shard was never opened
        (seen(3.0, files=(WrittenFile(3.5, "file", "a.bin", 2_000_000),)), "inconclusive"),
        (seen(2.0, 8.5, files=(WrittenFile(8.5, "file", "state.pt", 2_000_000),)), "pass"),  # saved at the end
    ],
)
def test_what_the_observer_saw_decides_d4(observed: Observed, outcome: str) -> None:
    assert ruled("D4", observed=observed)[0] == outcome


def test_a_gap_is_named_with_its_times() -> None:
    beats = ((0.0, 0.0), (1.0, 0.001), (7.5, 5.5))
    outcome, text = ruled("D4", observed=seen(beats=beats))
    assert outcome == "inconclusive"
    assert "the observer did not look between 1.0 s and 7.5 s of run-4: it was stopped, killed or starved" in text
    assert "between 3.0 s and its end" in ruled("D4", observed=seen(beats=EVERY_SECOND[:4], ended=False))[1]


def test_what_is_certain_fails_beside_a_gap() -> None:
    assert ruled("D4", observed=seen(5.0, beats=EVERY_SECOND[:7], ended=False))[0] == "fail"


@pytest.mark.parametrize("lines", [moved(3, -0.03), slowed(0.985)], ids=["late start", "slow clock"])
def test_a_measured_delay_turns_a_timing_failure_into_inconclusive_and_never_into_pass(lines: Any) -> None:
    rule = "T5" if lines == moved(3, -0.03) else "T4"
    for beats, outcome in ((EVERY_SECOND, "fail"), (late(0.1), "inconclusive"), (late(1e9), "inconclusive")):
        assert ruled(rule, observed=seen(beats=beats), timed_lines=lines)[0] == outcome
    assert ruled(rule, observed=seen(beats=EVERY_SECOND[:3], ended=False), timed_lines=lines)[0] == "inconclusive"
    assert ruled(rule, timed_lines=lines)[0] == "fail"  # by the rules of before


def test_honest_runs_pass_the_timing_rules_whatever_the_observer_says() -> None:
    for observed in (seen(beats=()), seen(beats=late(9.0)), seen(ended=False)):
        runs: list[Metrics] = [a_run(n, 2.85 + n / 1000, observed=observed) for n in (1, 2, 3)]
        found = outcomes(evidence(*runs))
        assert {rule for rule, outcome in found.items() if outcome in ("fail", "inconclusive")} == {"D4"}


@pytest.mark.parametrize(
    "row",
    [
        "5,beat,,",
        "5,beat,,-1",
        "5,beat,,²",
        "5,copy,a.bin,x",
        "5,beat,,1\n4,beat,,1",
        "5,end,,1\n6,beat,,1",
        "x,beat,,1",
    ],
)
def test_a_hostile_row_is_named(tmp_path: Path, row: str) -> None:
    (tmp_path / READS).write_bytes(READS_HEADER + row.encode() + b"\n")
    with pytest.raises(StoreError, match=r"reads\.csv:[23]"):
        read_observed(tmp_path, 0)


def test_rows_of_old_have_no_beats_and_a_missing_file_of_now_has_none_left(tmp_path: Path) -> None:
    assert read_observed(tmp_path, 0) is None
    missing = read_observed(tmp_path, 0, heartbeat=True)
    assert missing is not None
    assert missing.beats == ()
    (tmp_path / READS).write_bytes(READS_HEADER + b"5,open,a.bin,1\n")
    old = read_observed(tmp_path, 0)
    assert old is not None
    assert old.beats is None


class Watched:
    """The real observer beside a folder with a validation shard; this process plays the recorder."""

    def __init__(self, folder: Path, *limit: str) -> None:
        self.folder, data = folder, folder / "work" / "data"
        data.mkdir(parents=True)
        self.text = b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(1 << 13))
        (data / "x_val_000000.bin").write_bytes(self.text)
        (folder.parent / "x_train_000001.bin").write_bytes(b"tokens")
        (data / "x_train_000001.bin").symlink_to(folder.parent / "x_train_000001.bin")
        self.begun_ns = time.monotonic_ns()
        command = [sys.executable, "-I", observer.__file__, str(folder), str(os.getpid()), *limit]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert wait_for(lambda: b",beat," in self.rows())

    def rows(self) -> bytes:
        path = self.folder / READS
        return path.read_bytes() if path.exists() else b""

    def end(self) -> tuple[Observed, str]:
        said, _ = self.process.communicate()
        observed = read_observed(self.folder, self.begun_ns)
        assert observed is not None
        return observed, said.decode()


def test_a_stopped_observer_measures_its_own_delay(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "run")
    os.kill(watched.process.pid, signal.SIGSTOP)
    time.sleep(1.0)
    (tmp_path / "run" / "work" / "data" / "x_val_000000.bin").read_bytes()
    os.kill(watched.process.pid, signal.SIGCONT)
    observed, _ = watched.end()
    assert observed.beats is not None
    assert observed.opens is not None
    assert max(delay for _, delay in observed.beats) > 0.8
    assert observed.ended
    assert [name for _, name in observed.opens] == ["x_val_000000.bin"]


def test_a_killed_observer_leaves_no_end(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "run")
    watched.process.kill()
    observed, said = watched.end()
    assert observed.beats
    assert not observed.ended
    assert said == ""


def test_copies_are_told_from_other_files_and_what_was_written_is_hashed(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "run", "1000")
    work = tmp_path / "run" / "work"
    (work / "copy,of\nit").write_bytes(b"a header" + watched.text[5000:90_000])
    (work / "small").write_bytes(watched.text[:20_000])
    (work / "turned").write_bytes(bytes(255 - byte for byte in watched.text))
    (work / "large").write_bytes(os.urandom(2 << 20))
    os.link(work / "data" / "x_val_000000.bin", work / "the-same-file")
    observed, said = watched.end()
    assert {(file.kind, file.name) for file in observed.files} == {("copy", "copy?of?it"), ("file", "large")}
    assert observed.written_bytes is not None
    assert observed.written_bytes[-1][1] > 2 << 20
    crossed, digest = said.splitlines()
    assert int(crossed.removeprefix("written ")) > 1000
    assert digest == f"{READS} {hashlib.sha256(watched.rows()).hexdigest()}"


def test_the_observer_is_not_dumpable_and_still_reads_what_the_run_transfers(tmp_path: Path) -> None:
    watched = Watched(tmp_path / "run")
    assert os.stat(f"/proc/{watched.process.pid}/environ").st_uid == 0
    if os.geteuid():
        with pytest.raises(PermissionError):
            Path(f"/proc/{watched.process.pid}/environ").read_bytes()
    observed, _ = watched.end()
    assert observed.read_bytes
