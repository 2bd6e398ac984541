"""What is read of one run folder: its log with its stamps, and the log that a script wrote by itself."""

from __future__ import annotations

from pathlib import Path

from harness.core.measurement import DataReceipt, Machine
from harness.evidence.metrics import read_run
from harness.store.run_files import RunFile, write_run_file

OWN = "".join(
    f"step:{step}/5 val_loss:{3 - step / 10:.4f} train_time:{step * 50}ms step_avg:50.00ms\n" for step in range(6)
)


def a_run(folder: Path, log: str, own: str | None) -> Path:
    machine = Machine((), None, "a cpu", 2, 1 << 30, "6.1", "3.11.7", None, "0" * 64)
    file = RunFile(
        schema=1,
        id="r1",
        series="s",
        subject="records/tiny/first",
        track="tiny",
        ruleset="tiny@1",
        script_sha256="a" * 64,
        files={"train_gpt.py": "a" * 64},
        processes=1,
        arguments=("seed=7",),
        dry=False,
        started_at="2026-11-21T00:00:00Z",
        machine=machine,
        data=DataReceipt("synthetic", None, ()),
        outcome=None,
        log_sha256=None,
    )
    folder.mkdir(parents=True)
    write_run_file(folder, file)
    (folder / "log.txt").write_text(log)
    stamps = "".join(f"{number},{1_000_000_000 * (number + 1)}\n" for number in range(1, log.count("\n") + 1))
    (folder / "clock.csv").write_text(f"line,monotonic_ns\nstart,1000000000\n{stamps}")
    if own is not None:
        (folder / "work" / "logs").mkdir(parents=True)
        (folder / "work" / "logs" / "own.txt").write_text(own)
    return folder


def test_every_timed_line_has_the_stamp_of_its_own_line(tmp_path: Path) -> None:
    run = read_run(a_run(tmp_path / "r1", f"hello\n{OWN}", None), b"", packed=False)
    assert [line.arrival_s for line in run.timed_lines] == [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    assert (run.first_line_s, run.header_end_s, run.given_seed, run.step, run.val_loss) == (1.0, 1.0, 7, 5, 2.5)


def test_lines_of_a_log_that_the_script_wrote_by_itself_have_no_stamp(tmp_path: Path) -> None:
    """Standard output has as many lines, stamped; they are other lines."""
    run = read_run(a_run(tmp_path / "r1", "hello\n" * 6, OWN), b"", packed=False)
    assert run.val_loss == 2.5
    assert [line.arrival_s for line in run.timed_lines] == [None] * 6
    assert (run.first_line_s, run.header_end_s) == (1.0, None)
