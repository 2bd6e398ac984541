"""Where a run stands, from its lines alone: phases, pace, rest, GPUs, and the curve of a record beside it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog.lookup import Catalog
from harness.run.command_progress import COMMAND_FORM, Command, rest_of
from harness.run.record_curve import Reference, against, reference_of
from harness.run.run_progress import Point, Progress, State
from harness.store.layout import Project
from tests.recorded import HEADER, line, training

COMMAND = Command(1, 2, 3, False, None, "short/89", 3.28, None, 24.0, 100.0, 1, None)


def after(lines: list[tuple[bytes, float]], now_s: float | None = None, *, on_gpus: bool = False) -> State:
    progress = Progress(on_gpus=on_gpus)
    for raw, at_s in lines:
        progress.take(raw, at_s)
    return progress.state(lines[-1][1] if now_s is None and lines else now_s)


def test_the_phases_follow_the_lines_of_a_log() -> None:
    header = [(text, 4.0) for text in HEADER]
    assert after([], 3.0).phase == "starting"
    assert after(header, 6.0).phase == "warm-up"
    assert after(header, 6.0, on_gpus=True).phase == "compiling"
    assert after(header, 6.0).phase_s == 2.0
    assert after([*header, (b"clock:start", 7.0)], 9.0).phase == "training"
    assert after([*training(10, 68)[:-2]], None).phase == "validating"
    assert after(training(12, 68)).phase == "training"
    assert after(training(68, 68)).phase == "ending"


def test_a_busy_gpu_tells_warm_up_from_compiling() -> None:
    progress = Progress(on_gpus=True)
    for text in HEADER:
        progress.take(text, 4.0)
    progress.sample(b"1000,0,120.5,1980,2619,41,3,")
    assert progress.state(9.0).phase == "compiling"
    progress.sample(b"2000,0,612.0,1755,2619,58,97,power cap")
    assert progress.state(9.0).phase == "warm-up"


def test_a_log_without_marks_of_the_clock_trains_from_its_first_step() -> None:
    lines = [(b"source", 1.0), *[(line(step, 100, step * 50), 2.0 + step / 20) for step in range(1, 30)]]
    assert after(lines).phase == "training"


def test_pace_and_rest_come_from_the_last_steps_and_the_validations() -> None:
    state = after(training(40, 80, step_ms=100))
    assert state.pace_ms == pytest.approx(100.0)
    assert state.tokens_per_s == pytest.approx(40_960)
    # 40 steps of 0.1 s and 4 validations of 0.4 s
    assert state.left_s == pytest.approx(4.0 + 1.6)
    late = after(training(40, 80, step_ms=100), training(40, 80)[-1][1] + 2.0)
    assert late.left_s == pytest.approx(3.6), "what passed since the last line is no longer left"


def test_a_slower_stretch_is_told_from_the_one_before() -> None:
    lines = [(line(step, 400, step * 100), 1.0) for step in range(1, 101)]
    lines += [(line(step, 400, 10_000 + (step - 100) * 150), 1.0) for step in range(101, 151)]
    state = after(lines)
    assert state.window == 50
    assert state.pace_ms == pytest.approx(150.0)
    assert state.pace_before_ms == pytest.approx(100.0)


def test_a_second_run_in_one_log_starts_a_curve_of_its_own() -> None:
    state = after([*training(20, 20), *training(10, 20)])
    assert [point.step for point in state.curve] == [0, 10]


def test_a_reason_that_slowed_a_gpu_down_once_is_kept() -> None:
    progress = Progress(on_gpus=True)
    progress.sample(b"1000,0,700.0,1300,2619,88,99,thermal (hardware)+power cap")
    progress.sample(b"2000,0,650.0,1755,2619,60,99,power cap")
    progress.sample(b"2000,1,610.0,1740,2619,61,99,")
    gpus = progress.state(9.0).gpus
    assert gpus is not None
    assert gpus.slowed == ("thermal (hardware)",)
    assert gpus.now == ("power cap",)
    assert (gpus.count, gpus.power_w, gpus.sm_mhz) == (2, (630.0, 650.0), (1747.5, 1740.0))


@pytest.mark.parametrize(
    "row", [b"", b"x,0,1,1,1,1,1,", b"1,0,1e999,-5,,\xff,1000,\x1b[2J", b"1,0,,,,,,", b"1,99999,1,1,1,1,1,"]
)
def test_a_row_of_telemetry_that_cannot_be_read_gives_no_figure(row: bytes) -> None:
    progress = Progress(on_gpus=True)
    progress.sample(row)
    gpus = progress.state(1.0).gpus
    assert gpus is None or (gpus.power_w, gpus.sm_mhz, gpus.temperature_c, gpus.slowed) == (None, None, None, ())


NUMBERS = st.sampled_from(
    [b"0", b"1", b"68", b"999999999999", b"1e308", b"nan", b"inf", b"-5", b"3.2", b"9" * 40, b"\x1b[2J"]
)
LINES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"clock:start", b"clock:stop", b"tokens_per_step:999999999999999", b"=" * 100, b"x" * 100_000]),
    st.builds(b"step:%b/%b val_loss:%b train_time:%bms step_avg:%bms".__mod__, st.tuples(*[NUMBERS] * 5)),
    st.builds(b"step:%b/%b train_time:%bs step_avg:%bms".__mod__, st.tuples(*[NUMBERS] * 4)),
    st.builds(b"s:%b tel:%b".__mod__, st.tuples(*[NUMBERS] * 2)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(LINES, st.one_of(st.none(), st.floats(0, 1e9))), max_size=30))
def test_no_log_breaks_the_model_or_gives_a_rest_below_nothing(lines: list[tuple[bytes, float | None]]) -> None:
    progress = Progress(on_gpus=False)
    for raw, at_s in lines:
        progress.take(raw, at_s)
    state = progress.state(10.0)
    assert state.left_s is None or state.left_s >= 0
    assert all(point.loss is None or math.isfinite(point.loss) for point in state.curve)
    assert [point.step for point in state.curve] == sorted({point.step for point in state.curve})


def test_a_log_of_a_million_steps_takes_little_memory() -> None:
    progress = Progress(on_gpus=False)
    for step in range(20_000):
        progress.take(line(step, 10**6, step, 3.0), None)
    assert len(progress.curve) <= 4096
    assert len(progress.steps) <= 1024


# ------------------------------------------------------------------------------------------------ the command


def test_the_rest_of_a_command_is_as_many_runs_as_took_so_long_before() -> None:
    state = after(training(40, 80))
    rest = rest_of(COMMAND, state, over=False)
    assert rest.run_s == state.left_s
    assert rest.command_s == pytest.approx((state.left_s or 0) + 100.0)
    assert state.elapsed_s is not None
    assert rest.spent_usd == pytest.approx((100.0 + state.elapsed_s) * 24 / 3600)
    assert rest.total_usd == pytest.approx((100.0 + state.elapsed_s + (rest.command_s or 0)) * 24 / 3600)


def test_before_it_trains_the_rest_is_what_is_usual_or_unknown() -> None:
    starting = after([], 30.0)
    assert rest_of(COMMAND, starting, over=False).run_s == 70.0
    first = Command(1, 1, 3, False, None, None, None, None, None, 0.0, 0, None)
    assert rest_of(first, starting, over=False).command_s is None
    usual = Command(1, 1, 3, False, None, None, None, None, None, 0.0, 0, 90.0)
    assert rest_of(usual, starting, over=False).command_s == 60.0 + 180.0


def test_what_a_command_says_of_itself_is_read_as_it_was_written() -> None:
    assert COMMAND_FORM.parse(COMMAND_FORM.text(COMMAND).encode(), "command.json") == COMMAND


# ------------------------------------------------------------------------------------------------ beside a record

CURVE = tuple(
    Point(step, loss, time_s)
    for step, loss, time_s in ((0, 10.8, 0.0), (250, 4.6, 8.0), (500, 4.1, 17.0), (750, 3.74, 31.0), (1000, 3.46, 47.0))
)


def said(point: Point, *, timed: bool = False, total: int = 1000) -> str | None:
    found = against(point, Reference("short/89", CURVE, timed), total)
    return None if found is None else found.said


def test_a_validation_is_held_against_the_record_at_the_same_step() -> None:
    assert said(Point(750, 3.728, 40.0)) == "0.0120 below short/89 at step 750"
    assert said(Point(875, 3.61, 40.0)) == "about 0.0100 above short/89 at step 875"


def test_a_script_with_another_number_of_steps_is_held_against_it_at_the_same_time() -> None:
    assert said(Point(600, 3.75, 31.0), timed=True, total=800) == "0.0100 above short/89 at 31.0 s"
    assert said(Point(750, 3.728, 40.0), timed=True) == "0.0120 below short/89 at step 750"


def test_the_curve_of_an_original_is_called_so_where_another_script_holds_the_record() -> None:
    catalog = Catalog(Project(Path(__file__).parents[2]))
    track = catalog.track("short")
    for name, whose in (("short/89", "the original of short/89"), ("short/12", "short/12")):
        found = reference_of(catalog, track, track.rulesets[-1], catalog.record(name), gpus=8)
        assert found is not None and found.shown == whose
        at_end = against(Point(found.points[-1].step, 3.0, None), found, None)
        assert at_end is not None and f" below {whose} at step " in at_end.said


@pytest.mark.parametrize("step", [100, 2000])
def test_where_a_line_between_two_points_says_nothing_nothing_is_said(step: int) -> None:
    assert said(Point(step, 5.0, 4.0)) is None
