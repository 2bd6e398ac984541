"""How a run is shown: the rows of the live view, the lines for a file, the curve, and what of the log never appears."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from harness.run.command_progress import Command, Rest
from harness.run.record_curve import Reference
from harness.run.run_progress import Gpus, Point, Progress
from harness.run.run_reading import RunReader
from harness.ui import run_status, run_view
from harness.ui.run_curve import curve_rows
from harness.ui.run_lines import EVERY_S, RunLines
from harness.ui.run_status import Status, status_of
from tests import recorded
from tests.recorded import training

RECORD = Reference(
    "short/89",
    tuple(Point(step, loss, None) for step, loss in ((0, 10.8), (20, 5.1), (40, 4.3), (60, 3.4), (80, 3.1))),
    False,
)
COMMAND = Command(1, 2, 3, False, None, "short/89", 3.28, None, 24.0, 100.0, 1, None)
GPUS = Gpus(8, (652.4, 688.0), (1755.0, 1740.0), 61.0, 97.0, ("thermal (hardware)",), ("power cap",))
WIDTHS = (60, 80, 160)


@pytest.fixture
def reader(tmp_path: Path) -> RunReader:
    project = recorded.make_project(tmp_path)
    return RunReader(recorded.write_run(project, training(70, 80, every=20)))


def shown(reader: RunReader, command: Command = COMMAND, reference: Reference | None = RECORD) -> Status:
    """The status of a run whose last line came one second ago."""
    reader.poll()
    last_s = reader.progress.at_s or 0.0
    state = reader.progress.state(last_s + 1)
    return replace(status_of(reader, command, reference, "submissions/2026-11-27_my-idea"), state=state)


def drawn(status: Status, width: int, height: int = 40, *, whole: bool = True) -> list[str]:
    return run_view.frame(status, width, height, whole=whole).plain.split("\n")


@pytest.mark.parametrize("width", WIDTHS)
def test_all_figures_stand_in_the_view_and_none_is_cut(reader: RunReader, width: int) -> None:
    status = shown(reader)
    status = replace(status, state=replace(status.state, gpus=GPUS))
    rows = drawn(status, width)
    assert max(map(cell_len, rows)) <= width
    text = " ".join(" ".join(rows).split())
    for said in (
        "run 2 of 3",
        "submissions/2026-11-27_my-idea",
        "training for",
        "step 70/80",
        "of this run",
        "of the command",
        "val_loss 3.5500 at step 60",
        "0.2700 above the target 3.28",
        "0.1500 above short/89 at step 60",
        "100.0 ms/step",
        "steady",
        "40,960 tokens/s",
        "8 GPUs",
        "652 W, at most 688",
        "1,755 MHz, at least 1,740",
        "power cap",
        "slowed down by: thermal (hardware)",
        "USD since it began",
        "··· short/89",
    ):
        assert said in text, said
    assert "…" not in text


@pytest.mark.parametrize(("width", "height"), [*itertools.product(WIDTHS, (8, 12, 24, 50))])
def test_the_view_never_fills_the_terminal(reader: RunReader, width: int, height: int) -> None:
    """A view as high as the terminal would scroll at every redraw."""
    assert len(drawn(shown(reader), width, height)) < height


def test_a_name_that_is_longer_than_a_row_is_shortened_and_nothing_else(reader: RunReader) -> None:
    rows = drawn(replace(shown(reader), subject="x" * 150), 60)
    assert max(map(cell_len, rows)) <= 60
    assert "x" * 59 + "…" in rows
    assert any("step 70/80" in row for row in rows)


def test_wide_letters_count_twice(reader: RunReader) -> None:
    assert max(map(cell_len, drawn(replace(shown(reader), subject="記録" * 40), 60))) <= 60


def test_the_curve_shows_both_from_where_they_differ(reader: RunReader) -> None:
    rows = drawn(shown(reader), 80)
    legend = next(index for index, row in enumerate(rows) if "this run" in row)
    curve = "\n".join(rows[legend + 1 :])
    assert sum("⠁" <= sign <= "⣿" for sign in curve) > 20, "the run"
    assert curve.count("·") > 20, "the record"
    assert "10.8" not in curve, "the first loss sets no scale"
    assert "80" in rows[-1]


@pytest.mark.parametrize(
    "losses", [(None, None, None), (1e300, 1e300, 1e300), (5.5, 1e30, 3.0), (3.0, 3.0, 3.0), (-1e5, 1e5, 0)]
)
def test_a_curve_of_any_losses_can_be_drawn(reader: RunReader, losses: tuple[float | None, ...]) -> None:
    status = shown(reader)
    curve = tuple(Point(20 * k, loss, None) for k, loss in enumerate(losses))
    for reference in (RECORD, None):
        odd = replace(status, state=replace(status.state, curve=curve), reference=reference)
        assert max(map(cell_len, drawn(odd, 80))) <= 80


LOSSES = st.one_of(st.floats(2.5, 12.0), st.floats(allow_nan=False, allow_infinity=False), st.none())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 200) | st.integers(0, 10**12), LOSSES), max_size=12),
    st.sampled_from([0, 1, 80, 10**12]),
)
def test_no_point_leaves_the_picture(curve: list[tuple[int, float | None]], total: int) -> None:
    """A point far outside of it ends the process, in the native part of plotext."""
    points = tuple(Point(step, loss, None) for step, loss in sorted(dict(curve).items()))
    state = replace(Progress(on_gpus=False).state(1.0), curve=points, total_steps=total)
    status = Status("", "", COMMAND, state, Rest(None, None, None, None), RECORD, None, True)
    for reference in (RECORD, None):
        rows = curve_rows(replace(status, reference=reference), 80, 12)
        assert all(cell_len(row) <= 80 for row in rows)


def test_a_loss_that_is_no_number_is_called_that(reader: RunReader) -> None:
    status = shown(reader)
    status = replace(status, state=replace(status.state, curve=(Point(20, None, 1.0),)))
    assert any("val_loss at step 20 is no number" in row for row in drawn(status, 60))


def test_distances_stand_for_losses_where_the_source_is_secret(reader: RunReader) -> None:
    command = replace(COMMAND, entropy=2.95, target=0.15)
    near = Reference("smoke/4", tuple(replace(p, loss=(p.loss or 0) - 2.95) for p in RECORD.points), False)
    text = " ".join(drawn(shown(reader, command, near), 160))
    assert "0.6000 above the entropy (target 0.15)" in text
    assert "0.1500 above smoke/4 at step 60" in text


def test_the_last_state_of_a_run_that_broke_says_why_and_speaks_of_no_rest(reader: RunReader) -> None:
    recorded.end_run(reader.folder, 20.0, "failed", "torchrun ended with exit code 1\x1b[2J\nred")
    rows = drawn(shown(reader), 80)
    assert rows[0].startswith("run 2 of 3")
    assert "failed after 20 s: torchrun ended with exit code 1\\x1b[2J red" in " ".join(rows)
    assert not any("of the command" in row or "in all" in row for row in rows)


def test_colours_are_left_out_with_no_color(reader: RunReader, monkeypatch: pytest.MonkeyPatch) -> None:
    def printed() -> str:
        stream = io.StringIO()
        Console(file=stream, force_terminal=True, width=80).print(run_view.frame(shown(reader), 80, 40))
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[36m" in printed(), "the run's curve"
    monkeypatch.setenv("NO_COLOR", "1")
    assert not re.search(r"\x1b\[[0-9;]*\b[39][0-7]\b", printed())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99.4, "99 s"), (99.6, "1 min 40 s"), (192, "3 min 12 s"), (3900, "65 min 00 s"), (7500, "2 h 05 min"),
     (1e12, "more than 100 h")],
)  # fmt: skip
def test_times_are_written_as_people_read_them(seconds: float, text: str) -> None:
    assert run_status.span(seconds) == text


# ------------------------------------------------------------------------------------------------ lines


def test_without_a_terminal_there_is_a_line_per_validation_and_per_minute(tmp_path: Path) -> None:
    project = recorded.make_project(tmp_path)
    lines = training(70, 80, every=20)
    first = next(index for index, (text, _) in enumerate(lines) if b"step:30/" in text)
    reader = RunReader(recorded.write_run(project, lines[:first]))
    printer = RunLines(0.0)
    said = printer.due(shown(reader), 1.0)
    assert [text.split("  ")[:2] for text in said] == [["run 2 of 3", "step 0/80"], ["run 2 of 3", "step 20/80"]]
    assert "val_loss 4.8500" in said[1]
    assert "0.2500 below short/89 at step 20" in said[1]
    assert "100.0 ms/step" in said[1]
    assert " left " in said[1]
    assert "USD since it began" in said[1]
    assert printer.due(shown(reader), 1.0 + EVERY_S / 2) == []
    [minute] = printer.due(shown(reader), 1.0 + EVERY_S)
    assert minute.startswith("run 2 of 3  training for")
    recorded.add_lines(reader.folder, lines[first:])
    assert len(printer.due(shown(reader), 70.0)) == 2
    recorded.end_run(reader.folder, 33.0)
    [end] = printer.due(shown(reader), 71.0)
    assert end.startswith("run 2 of 3  finished after 33 s  left about 1 min 40 s of the command")
    assert printer.due(shown(reader), 200.0) == []
