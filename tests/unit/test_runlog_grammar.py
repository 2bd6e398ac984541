"""One line of a log: what it says, or why it says nothing."""

from __future__ import annotations

import pytest

from harness.runlog.grammar import Flaw, MetricLine, parse_line, parse_metric
from harness.runlog.problems import MEANING


def metric(line: str) -> MetricLine:
    found = parse_metric(line)
    assert found is not None
    return found


def test_a_train_line_gives_step_total_time_and_average() -> None:
    line = metric("step:1/1770 train_time:124ms step_avg:124.26ms")
    assert (line.step, line.total_steps, line.train_time_s, line.step_avg_ms) == (1, 1770, 0.124, 124.26)
    assert (line.kind, line.val_loss, line.train_loss) == ("train", None, None)


def test_a_train_loss_is_no_val_loss() -> None:
    line = metric("step:1/3000 train_loss:10.8258 train_time:14600ms step_avg:nanms")
    assert (line.train_loss, line.val_loss, line.step_avg_ms) == (10.8258, None, None)


def test_seconds_and_milliseconds_are_told_apart_by_the_printed_unit() -> None:
    assert metric("step:5/9 val_loss:3.2 train_time:493703ms step_avg:150.75ms").train_time_s == 493.703
    assert metric("step:5/9 val_loss:3.2 train_time:493.703s step_avg:150.75ms").train_time_s == 493.703
    assert metric("step:5/9 val_loss:3.2 train_time:5s step_avg:1.5s").step_avg_ms == 1500.0


def test_a_time_without_a_unit_is_no_time() -> None:
    assert parse_metric("step:5/9 val_loss:3.2 train_time:493703 step_avg:150.75ms") is None
    assert parse_metric("step:5/9 val_loss:3.2 train_time:493703ms step_avg:150.75") is None


def test_unknown_pairs_are_kept_as_printed() -> None:
    line = metric("step:5/9 val_loss:3.2 train_time:5.0s step_avg:1.5ms extrap_rel:6.711e-04 handoff:keep")
    assert line.extra == {"extrap_rel": "6.711e-04", "handoff": "keep"}


def test_three_losses_on_a_line_stay_apart() -> None:
    line = metric("step:5/9 val_loss:3.1 val_avg_loss:3.2 val_ema_loss:3.3 train_time:5.0s step_avg:1.5ms")
    assert (line.val_loss, line.val_ema_loss, line.extra) == (3.1, 3.3, {})


def test_an_ema_loss_alone_is_a_validation_without_val_loss() -> None:
    line = metric("step:5/9 val_ema_loss:3.3 train_time:5.0s step_avg:1.5ms")
    assert (line.kind, line.val_loss, line.val_ema_loss) == ("val", None, 3.3)


def test_a_blank_after_a_colon_is_read_over() -> None:
    line = metric("step:0/1570 val_loss:10.8294 val_time: 673ms train_time:1ms step_avg:0.85ms")
    assert (line.val_loss, line.train_time_s, line.extra) == (10.8294, 0.001, {"val_time": "673ms"})


def test_the_unmasked_loss_is_never_the_val_loss() -> None:
    found = parse_line(b"step:1285/1285 val_loss_unmasked:3.2800")
    assert isinstance(found, MetricLine)
    assert (found.kind, found.val_loss, found.extra) == ("note", None, {"val_loss_unmasked": "3.2800"})
    assert parse_metric("step:1285/1285 val_loss_unmasked:3.2800") is None


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "inf", "-inf", "Infinity", "1e999"])
def test_a_loss_that_is_not_finite_is_missing_and_named(word: str) -> None:
    line = metric(f"step:5/9 val_loss:{word} train_time:5ms step_avg:1.50ms")
    assert (line.val_loss, line.not_finite, line.train_time_s) == (None, ("val_loss",), 0.005)


@pytest.mark.parametrize(
    "line",
    [
        "step:100/3000 val_loss:3.2",  # torn in the middle of the number
        "step:100/3000 val_loss:3.2753 train_time:433",
        "step:100/3000 val_loss:3.2753 train_time:433570ms",
        "step:100/3000 val_loss:3.2step:101/3000 val_loss:3.1 train_time:5ms step_avg:5.00ms",
        "step:100/3000 trastep:101/3000 train_time:505ms step_avg:5.00ms",
        "step:100/3000 train_time:505ms step_avg:5.00msstep:101/3000 train_time:510ms step_avg:5.00ms",
        "step:0/250 val_lostep:250/\x1b[1D250 val_loss:3.27722 train_time:175.000s step_avg:702.50ms",
        "step:0/250 val_lostep:250 val_loss:3.27722 train_time:175.000s step_avg:702.50ms",
        "step:0/250 val_step:250/250 val_loss:3.27722 train_time:175.000s step_avg:702.50ms",
        "step:1step:2/3000 train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss:3.1 val_loss:3.2 train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss:3,2 train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss:0x3 train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss:3_2 train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss: train_time:505ms step_avg:5.00ms",
        "step:100/3000 val_loss:3.1 train_time:-505ms step_avg:5.00ms",
        "step:-5/3000 val_loss:3.1 train_time:505ms step_avg:5.00ms",
        "step:9999999999999/3000 val_loss:3.1 train_time:505ms step_avg:5.00ms",
        "12% step:100/3000 val_loss:3.1 train_time:505ms step_avg:5.00ms",
        "step:100/3000",
    ],
)
def test_a_torn_interleaved_or_malformed_line_gives_no_number(line: str) -> None:
    assert parse_metric(line) is None
    assert isinstance(parse_line(line.encode()), Flaw)


@pytest.mark.parametrize(
    "line",
    [
        "tailavg step:2740 tau:200 lambda:1 val_loss:3.28106",
        "tail_ema applied step:2730 tau:1 lambda:1 start_step:5",
        "saved_checkpoint step:2375 path:/x",
        "target_reached step:3125/3175 val_loss:3.27947 target_val_loss:3.28000",
        "fixed_step_complete max_step:2800 val_loss:3.27241",
        "last_progress=step:1288/1288 train_time:75567ms",
        "phase_readout captured t0 step:5 tensors:8",
        "Sampling steps [0, 1, 7] for warmup",
        "",
    ],
)
def test_lines_that_only_look_like_metrics_are_passed_over_in_silence(line: str) -> None:
    assert parse_line(line.encode()) is None


def test_old_lines_name_their_losses_tel_and_trl() -> None:
    assert metric("s:9536 tel:3.275959").val_loss == 3.275959
    line = metric("s:1 trl:10.9598 lr:0.000002 norm:15.24")
    assert (line.kind, line.train_loss, line.total_steps) == ("train", 10.9598, None)
    assert isinstance(parse_line(b"s:1 tel:3.2x"), Flaw)


def test_colours_and_the_prefix_of_rank_0_are_taken_off() -> None:
    assert metric("\x1b[32mstep:5/9 val_loss:3.1\x1b[0m train_time:5ms step_avg:1.50ms\r\n").val_loss == 3.1
    assert metric("[rank0]: step:5/9 val_loss:3.1 train_time:5ms step_avg:1.50ms").val_loss == 3.1
    assert metric("[default0]:step:5/9 val_loss:3.1 train_time:5ms step_avg:1.50ms").val_loss == 3.1
    assert parse_metric("[rank3]: step:5/9 val_loss:3.1 train_time:5ms step_avg:1.50ms") is None


def test_an_escape_that_moves_the_cursor_makes_a_line_unreadable() -> None:
    assert parse_metric("step:5/9 val_loss:3.1\x1b[1D2 train_time:5ms step_avg:1.50ms") is None


def test_a_very_long_line_is_not_even_looked_at() -> None:
    assert parse_metric("step:5/9 val_loss:3.1 train_time:5ms step_avg:1.50ms " + "a:1 " * 50_000) is None


def test_every_kind_of_problem_has_a_name_and_a_meaning() -> None:
    assert all(name == name.lower() and " " not in name and len(text) > 20 for name, text in MEANING.items())
