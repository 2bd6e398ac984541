"""Logs that the archive does not show: each gives runs and problems, or a clear refusal."""

from __future__ import annotations

import pytest

from harness.core.errors import LogError
from harness.core.measurement import RunLog
from harness.runlog.reader import read_bytes, timed_lines

SEPARATOR = "=" * 100 + "\n"


def train(step: int, total: int = 8) -> str:
    return f"step:{step}/{total} train_time:{40 * step}ms step_avg:40.00ms\n"


def val(step: int, loss: str, total: int = 8) -> str:
    return f"step:{step}/{total} val_loss:{loss} train_time:{40 * step}ms step_avg:40.00ms\n"


GOOD = (
    val(0, "10.8258")
    + "".join(train(step) for step in range(1, 5))
    + val(4, "6.1234")
    + "".join(train(step) for step in range(5, 9))
    + val(8, "3.2791")
    + "peak memory allocated: 31000 MiB reserved: 40000 MiB\n"
)


def read(text: str | bytes, **options: bool) -> list[RunLog]:
    data = text if isinstance(text, bytes) else text.encode()
    return read_bytes(data, "a.txt", curve=True, **options)


def kinds(run: RunLog) -> list[str]:
    return [problem.kind for problem in run.problems]


def figures(run: RunLog) -> tuple[object, ...]:
    return (run.final_step, run.final_val_loss, run.final_train_time_s, run.n_val_points, run.n_train_points)


WHOLE = (8, 3.2791, 0.32, 3, 8)


def test_a_good_log_has_its_figures_and_no_problem() -> None:
    (run,) = read(GOOD)
    assert figures(run) == WHOLE
    assert run.curve == ((0, 10.8258, 0.0), (4, 6.1234, 0.16), (8, 3.2791, 0.32))
    assert (run.reached_last_step, run.has_final_val, run.peak_memory_mib, run.problems) == (True, True, 31000, ())


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "1e400"])
def test_a_loss_that_is_not_finite_is_a_problem_and_never_a_number(word: str) -> None:
    (run,) = read(GOOD.replace("val_loss:3.2791", f"val_loss:{word}"))
    assert (run.final_val_loss, run.has_final_val, run.final_step, run.last_val_step) == (None, False, 8, 4)
    assert [(p.kind, p.line) for p in run.problems] == [("non-finite-loss", 11)]


def test_a_train_loss_of_nan_is_found_in_the_middle_of_a_stretch() -> None:
    lines = [f"step:{s}/500 train_loss:3.1000 train_time:{s}ms step_avg:1.00ms\n" for s in range(1, 501)]
    lines[250] = lines[250].replace("3.1000", "nan")
    (run,) = read("".join(lines))
    assert (run.n_train_points, kinds(run), run.problems[0].line) == (500, ["non-finite-loss"], 251)


@pytest.mark.parametrize("cut", range(1, len(val(8, "3.2791"))))
def test_a_log_that_ends_within_its_final_line_has_no_final_loss(cut: int) -> None:
    whole = GOOD[: GOOD.index("peak")]
    (run,) = read(whole[:-cut])
    if cut == 1:  # only the newline is missing
        assert figures(run) == WHOLE
        assert run.problems == ()
    else:
        assert (run.final_val_loss, run.has_final_val, run.last_val_step) == (None, False, 4)
        assert kinds(run) == (["torn-line"] if len(val(8, "3.2791")) - cut >= len("step:") else [])


def test_windows_line_ends_change_no_figure() -> None:
    (run,) = read(GOOD.replace("\n", "\r\n"))
    assert figures(run) == WHOLE
    assert kinds(run) == ["carriage-returns"]


def test_a_progress_bar_with_carriage_returns_hides_no_line() -> None:
    bar = "".join(f"\r {n}%|{'█' * n}| {n}/9 [00:0{n}<00:09]" for n in range(9)) + "\r"
    (run,) = read(GOOD.replace("step:8/8 val", bar + "step:8/8 val"))
    assert figures(run) == WHOLE
    assert kinds(run) == ["carriage-returns"]


def test_a_progress_bar_glued_to_a_line_makes_the_line_unreadable() -> None:
    (run,) = read(GOOD.replace("step:8/8 val", " 99%|███| 8/9 step:8/8 val"))
    assert (run.final_val_loss, run.last_val_loss) == (None, 6.1234)
    assert kinds(run) == ["unreadable-line"]


def test_colours_are_taken_off_and_noted() -> None:
    (run,) = read(GOOD.replace("step:8/8 val_loss:3.2791", "\x1b[1;32mstep:8/8 val_loss:3.2791\x1b[0m"))
    assert figures(run) == WHOLE
    assert kinds(run) == ["escape-sequences"]


def test_nul_bytes_make_their_line_unreadable() -> None:
    (run,) = read(GOOD.replace("step:8/8 val_loss:3.2791", "\0\0\0step:8/8 val_loss:3.2791"))
    assert (run.final_val_loss, run.last_val_loss) == (None, 6.1234)
    assert sorted(kinds(run)) == ["nul-bytes", "unreadable-line"]


def test_bytes_that_are_no_utf8_are_noted_where_they_stand() -> None:
    (run,) = read(GOOD.encode().replace(b"peak memory", b"caf\xe9 \xff\npeak memory"))
    assert figures(run) == WHOLE
    assert [(p.kind, p.line) for p in run.problems] == [("not-utf8", 12)]
    assert run.peak_memory_mib == 31000


def test_a_traceback_is_noted_and_the_lines_before_it_count() -> None:
    text = GOOD[: GOOD.index("step:8/8 val")] + 'Traceback (most recent call last):\n  File "x.py", line 3\nError\n'
    (run,) = read(text)
    assert (run.final_step, run.final_val_loss, run.n_train_points) == (8, None, 8)
    assert kinds(run) == ["traceback"]
    (killed,) = read(GOOD + "torch.distributed.elastic: Signal 15 (SIGTERM) received\n")
    assert kinds(killed) == ["traceback"]


def test_two_ranks_that_print_the_same_lines_count_once() -> None:
    (run,) = read("".join(line + "\n" + line + "\n" for line in GOOD.splitlines()))
    assert figures(run) == WHOLE
    assert set(kinds(run)) == {"duplicate-line"}


def test_two_different_lines_for_one_step_are_in_conflict_and_the_first_counts() -> None:
    (run,) = read(GOOD.replace(val(8, "3.2791"), val(8, "3.2791") + val(8, "3.1000")))
    assert figures(run) == WHOLE
    assert kinds(run) == ["conflicting-line"]


def test_bytes_of_two_ranks_mixed_within_a_line_give_no_number() -> None:
    mixed = "step:8/8 val_loss:3.27step:8/8 val_loss:3.2791 train_time:320ms step_avg:40.00ms\n91 train_time:320ms\n"
    (run,) = read(GOOD.replace(val(8, "3.2791"), mixed))
    assert (run.final_val_loss, run.last_val_loss) == (None, 6.1234)
    assert kinds(run) == ["unreadable-line"]


def test_lines_with_the_prefix_of_another_rank_are_left_out() -> None:
    text = "".join(f"[rank0]: {line}\n[rank1]: {line}\n" for line in GOOD.splitlines())
    (run,) = read(text)
    assert figures(run) == WHOLE
    assert kinds(run) == ["other-rank"]


def test_two_runs_without_a_header_between_them_are_two_runs() -> None:
    first, second = read(GOOD + GOOD.replace("3.2791", "3.2765").replace("31000", "32000"))
    assert (figures(first), second.final_val_loss) == (WHOLE, 3.2765)
    assert (first.peak_memory_mib, second.peak_memory_mib, second.run, second.n_runs) == (31000, 32000, 2, 2)


def test_a_run_of_other_length_glued_behind_a_killed_one_is_a_run_of_its_own() -> None:
    killed = val(0, "10.8258") + train(1) + train(2)
    rest = "".join(train(step, 9) for step in range(3, 10)) + val(9, "3.3000", 9)
    first, second = read(killed + rest)
    assert (first.final_step, first.total_steps, second.first_step, second.final_val_loss) == (2, 8, 3, 3.3)
    assert (kinds(first), kinds(second)) == ([], ["total-changed"])


def test_steps_that_fall_within_a_stretch_begin_a_run() -> None:
    text = "".join(train(step, 9) for step in (1, 2, 4, 3, 5, 6))
    runs = read(text)
    assert [(run.first_step, run.final_step, run.n_train_points) for run in runs] == [(1, 4, 3), (3, 6, 3)]
    assert kinds(runs[1]) == ["uneven-start"]


def test_lines_before_the_last_separator_are_noted_and_not_read() -> None:
    header = SEPARATOR + "Running PyTorch 2.9.1 compiled for CUDA 12.8\n" + SEPARATOR
    two = "import torch\n" + header + GOOD.replace("3.2791", "3.1111") + "import torch\n" + header + GOOD
    (run,) = read(two)
    assert figures(run) == WHOLE
    assert [(p.kind, p.line) for p in run.problems] == [("metrics-before-separator", 5)]


def test_old_lines_within_a_log_of_step_lines_are_noted() -> None:
    (run,) = read(GOOD + "s:5 tel:3.1000\n")
    assert (figures(run), kinds(run)) == (WHOLE, ["mixed-dialects"])


def test_an_echo_that_repeats_nothing_is_noted() -> None:
    ended = "=== seed 1 exit_status=0 end 2026-05-18T15:23:10+00:00 ===\n"
    (run,) = read("=== seed 1 start ===\n" + GOOD + ended + val(8, "3.2791"))
    assert (figures(run), run.problems, run.seed) == (WHOLE, (), 1)
    (run,) = read("=== seed 1 start ===\n" + GOOD + ended + val(8, "3.1111"))
    assert (figures(run), kinds(run)) == (WHOLE, ["echo-differs"])


def test_problems_stand_with_the_run_they_belong_to_and_have_line_numbers_of_the_file() -> None:
    text = SEPARATOR + "x\n" + SEPARATOR + GOOD + GOOD.replace("val_loss:6.1234", "val_loss:nan")
    first, second = read(text)
    assert first.problems == ()
    assert [(p.kind, p.line) for p in second.problems] == [("non-finite-loss", 3 + 12 + 6)]


def test_a_million_broken_lines_become_a_bounded_list_of_problems() -> None:
    (run,) = read(GOOD + "step:5/8 val_loss:3.2\n" * 20_000)
    assert figures(run) == WHOLE
    assert len(run.problems) == 201
    assert run.problems[-1].kind == "more-problems"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", "no metric line"),
        (b"hello\n" * 100, "no metric line"),
        (b"\0" * 10_000, "no metric line"),
        (bytes(range(256)) * 100, "no metric line"),
        (b"step:5/8 val_loss:3.2", "no metric line"),
        (("import torch\n" + SEPARATOR + "Running PyTorch 2.9.1\n" + SEPARATOR).encode(), "before its first step"),
        ((SEPARATOR + "Running PyTorch 2.9.1\n" + SEPARATOR + GOOD + SEPARATOR).encode(), "behind"),
    ],
)
def test_what_is_no_training_log_is_refused_with_a_reason(text: bytes, why: str) -> None:
    with pytest.raises(LogError, match=why):
        read(text)


def test_a_file_of_endless_falls_is_refused() -> None:
    with pytest.raises(LogError, match=r"more than 10,000 times"):
        read((train(5) + train(1)) * 10_001)


def test_timed_lines_carry_their_line_in_the_file_and_the_clock_marks() -> None:
    text = "import x\n" + SEPARATOR + "clock:start\nstep:1/2 train_time:40ms step_avg:40.00ms\nclock:stop\n"
    text += "noise\nstep:2/2 val_loss:3.1000 train_time:nanms step_avg:40.00ms\n"
    found = [(line.line, line.kind, line.step, line.train_time_s) for line in timed_lines(text.encode())]
    assert found == [
        (3, "clock_start", None, None),
        (4, "train", 1, 0.04),
        (5, "clock_stop", None, None),
        (7, "val", 2, None),
    ]


def test_a_world_size_may_be_written_in_three_ways() -> None:
    for text in (
        "world_size:4",
        "Running on device_name=NVIDIA H200 with world_size=4",
        "on NVIDIA A with world_size 4",
    ):
        assert read(text + "\n" + GOOD)[0].world_size == 4


def test_different_gpus_never_pass_for_one_kind() -> None:
    row = "|   {}  NVIDIA {}          On  | 00000000:61:00.0 Off |                    0 |\n"
    (run,) = read(row.format(0, "H100") + row.format(1, "H200") + GOOD)
    assert (run.gpu_name, run.gpu_count, run.world_size) == ("NVIDIA H100 + NVIDIA H200", 2, 2)


def test_a_twelve_hour_clock_is_read_right() -> None:
    assert read("Wed Oct  9 06:10:50 PM 2024\n" + GOOD)[0].started_at == "2024-10-09T18:10:50"
    assert read("Wed Oct  9 12:10:50 AM UTC 2024\n" + GOOD)[0].started_at == "2024-10-09T00:10:50"
    assert read("Wed Feb 31 12:10:50 2024\n" + GOOD)[0].started_at is None
