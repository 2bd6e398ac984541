"""The log of a run that the harness stamped is read once: no byte shows a figure that has no stamp, or hides one."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.measurement import Confinement, DataReceipt, Machine, Metrics, RunOutcome
from harness.evidence.contents import Evidence
from harness.evidence.metrics import read_run
from harness.launch.recorder import Hashed, Recorder
from harness.probe.probing import read_probe_run
from harness.runlog.lines import split_lines
from harness.runlog.reader import read_bytes, read_stamped
from harness.store.run_files import RunFile, write_run_file
from harness.verdict import completeness

SEPARATORS = ("\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029")  # of `str.splitlines`, but for \r


def val(step: int, loss: float, time_ms: int) -> str:
    return f"step:{step}/8 val_loss:{loss:.4f} train_time:{time_ms}ms step_avg:{time_ms / max(step, 1):.2f}ms\n"


def train(step: int) -> str:
    return f"step:{step}/8 train_time:{40 * step}ms step_avg:40.00ms\n"


HEADER = "a_script()\n" + "=" * 100 + "\nseed:7\nval_tokens:64\n" + "=" * 100 + "\n"
BODY = "clock:start\n" + "".join(map(train, range(1, 8))) + "clock:stop\n"
LAST = val(8, 3.4, 320)
HONEST = HEADER + BODY + LAST
FLAWS = "#1 step:1/8\n" * 200  # as many problems as are listed of one log


def a_run(folder: Path, log: str | bytes, *, confined: bool = True, stamps: int | None = None) -> Metrics:
    """Store a run as the harness does and read it; `stamps`: how many lines are stamped, all of them unless given."""
    raw = log if isinstance(log, bytes) else log.encode()
    file = RunFile(
        schema=2 if confined else 1,
        id="r1",
        series="s",
        subject="records/tiny/first",
        track="tiny",
        ruleset="tiny@1",
        script_sha256="a" * 64,
        files={},
        processes=1,
        arguments=("seed=7",),
        dry=False,
        started_at="2026-11-21T00:00:00Z",
        machine=Machine((), None, "a cpu", 2, 1 << 30, "6.1", "3.11.7", None, "0" * 64),
        data=DataReceipt("synthetic", None, ()),
        outcome=RunOutcome("finished", 0, 9.0),
        log_sha256=None,
        confinement=Confinement("landlock", "ABI 7") if confined else None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    write_run_file(folder, file)
    (folder / "log.txt").write_bytes(raw)
    count = sum(1 for _ in split_lines(raw)) if stamps is None else stamps
    rows = "".join(f"{number},{number}\n" for number in range(1, count + 1))
    (folder / "clock.csv").write_text(f"line,monotonic_ns\nstart,0\n{rows}exit,9000000000\n")
    return read_run(folder, b"", packed=False)


def l2(run: Metrics) -> tuple[str, str]:
    ruling = completeness.numbers.examine(replace(EMPTY, runs=(run,)))
    return ruling.outcome, ruling.text


EMPTY = Evidence("a submission", None, None, ())  # type: ignore[arg-type]


def figures(run: Metrics) -> tuple[object, ...]:
    return run.step, run.val_loss, run.train_time_s


def test_figures_come_from_lines_with_a_stamp(tmp_path: Path) -> None:
    run = a_run(tmp_path, HONEST)
    assert figures(run) == (8, 3.4, 0.32)
    assert (run.seed, run.log.val_tokens, run.log.curve) == (7, 64, ((8, 3.4, 0.32),))
    assert [line.line for line in run.timed_lines] == list(range(6, 16))
    assert (run.timed_lines[-1].train_time_s, run.timed_lines[-1].arrival_s) == (run.train_time_s, 15e-9)
    assert l2(run)[0] == "pass"


# What a script may print, and what L2 must name. Each was a way to show reader and stamps different figures.
TRICKS: dict[str, tuple[str, str]] = {
    "a shorter time behind a carriage return": (HONEST + "\rstep:8/8 train_time:5ms step_avg:0.62ms\n", "carriage-ret"),
    "the same behind two hundred flaws": (
        HEADER + FLAWS + BODY + LAST + "\rstep:8/8 train_time:5ms step_avg:0.62ms\n",
        "carriage-returns",
    ),
    "the end of a line taken back": (HONEST.replace("val_loss:3.4000", "val_loss:3.4000\r"), "carriage-returns"),
    "a NUL before the last line": (HEADER + BODY + "\0" + LAST + val(8, 3.1, 320), "nul-bytes"),
    "a second run": (HEADER + BODY + val(8, 3.5, 320) + BODY + LAST, "holds 2 runs"),
    "a second run behind the end of a seed": (HONEST + "== seed 7 end\n" + BODY + val(8, 3.1, 300), "holds 2 runs"),
    "another loss for the last step": (HONEST + val(8, 3.1, 320), "conflicting-line"),
    "the same behind two hundred flaws more": (HEADER + FLAWS + BODY + LAST + val(8, 3.1, 320), "conflicting-line"),
    "a line twice": (HONEST + LAST, "duplicate-line"),
    "times of another dialect": (HEADER + BODY + "s:7 tel:3.1000\n" + LAST, "total-changed"),
    "a time that is no number": (HONEST.replace("train_time:280ms", "train_time:nanms"), "non-finite-time"),
}


@pytest.mark.parametrize("case", TRICKS)
def test_what_makes_reader_and_stamps_disagree_fails_by_l2(tmp_path: Path, case: str) -> None:
    log, words = TRICKS[case]
    outcome, text = l2(a_run(tmp_path, log))
    assert outcome == "fail"
    assert words in text


@pytest.mark.parametrize("mark", SEPARATORS, ids=ascii)
def test_a_separator_of_unicode_parts_no_line(tmp_path: Path, mark: str) -> None:
    """A metric line behind one is text for the reader and for the stamps, and so is a mark of the clock."""
    better = val(8, 3.1, 5).rstrip("\n")
    for log in (
        HEADER + BODY + f"note{mark}{better}\n" + LAST,
        HEADER + BODY + f"{better}{mark}\n" + LAST,
        HEADER + BODY + f"{mark}{better}{mark}note\n" + LAST,
    ):
        run = a_run(tmp_path, log)
        assert figures(run) == (8, 3.4, 0.32)
        assert [line.line for line in run.timed_lines if line.kind == "val"] == [16]
    assert not a_run(tmp_path, HEADER + f"clock:start{mark}\n" + LAST).timed_lines[0].kind.startswith("clock")


def test_a_line_without_a_stamp_of_its_own_fails_by_l2(tmp_path: Path) -> None:
    for stamps in (14, 16):
        outcome, text = l2(a_run(tmp_path / str(stamps), HONEST, stamps=stamps))
        assert outcome == "fail"
        assert f"unstamped-lines (15 lines, {stamps} stamps)" in text


def test_a_log_from_before_is_read_and_judged_as_it_was(tmp_path: Path) -> None:
    run = a_run(tmp_path, HONEST + "\rstep:8/8 train_time:5ms step_avg:0.62ms\n", confined=False, stamps=15)
    assert run.train_time_s == 0.005
    assert l2(run)[0] == "pass"


def test_the_recorder_stamps_the_lines_that_the_splitter_finds(tmp_path: Path) -> None:
    marks = b"a\r\n\n\x00\x0b\x0c\x1c\x1d\x1e\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\r\rb\n\xff\xfe\n\n"
    recorder = Recorder(tmp_path, {})
    recorder.started = time.monotonic_ns()
    with Hashed(tmp_path / "log.txt").file, Hashed(tmp_path / "clock.csv").file:
        recorder.log, recorder.clock = Hashed(tmp_path / "log.txt"), Hashed(tmp_path / "clock.csv")
        for cut in range(0, len(marks), 3):
            recorder.take(marks[cut : cut + 3], recorder.started + cut)
        recorder.log.file.close()
        recorder.clock.file.close()
    lines = list(split_lines(marks))
    assert [number for number, _, _ in lines] == list(range(1, recorder.lines + 1))
    assert len((tmp_path / "clock.csv").read_text().splitlines()) == len(lines)
    assert b"".join(marks[start : stop + 1] for _, start, stop in lines) == marks


@pytest.mark.parametrize(
    "log", [HONEST, HEADER + LAST, HONEST[:-1], BODY + LAST, HEADER + val(0, 5.5, 0) + BODY + LAST]
)
def test_an_ordinary_log_gives_the_same_either_way(log: str) -> None:
    read, _ = read_stamped(log.encode(), "a.txt")
    assert [read] == read_bytes(log.encode(), "a.txt", curve=True)


def test_a_probe_reads_a_run_as_the_judge_does(tmp_path: Path) -> None:
    a_run(tmp_path, HEADER + BODY + "\r" + val(8, 3.1, 320).strip() + "\r\n" + LAST)
    assert read_probe_run(tmp_path).curve == ((8, 3.4),)
