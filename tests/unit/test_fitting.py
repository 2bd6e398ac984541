"""Lines and tables fit the columns that there are, and lose nothing."""

from __future__ import annotations

import io

import pytest

from harness.ui import console, fitting, streams

RUNS = [
    ["run", "seed", "val_loss", "train_time"],
    ["20261127T083737Z-126f6963-1c9e", "934602738", "2.9160", "5.41 s"],
]


def test_a_line_goes_on_below_its_text() -> None:
    line = "  S1  pass            mean distance to the entropy 0.1230 over 3 runs is below 0.15"
    lines = fitting.wrapped(line, 60).split("\n")
    assert all(len(one) <= 60 for one in lines) and len(lines) == 2
    assert lines[1].startswith(" " * 22 + "over") and " ".join(line.split()) == " ".join(" ".join(lines).split())


def test_a_path_is_not_broken() -> None:
    path = "records/" + "a-b" * 30
    assert path in fitting.wrapped(f"  folder       {path}", 60)


@pytest.mark.parametrize("width", [None, 20, 40, 60, 80])
def test_a_table_keeps_every_figure_whole(width: int | None) -> None:
    lines = fitting.table(RUNS, width)
    for figure in ("934602738", "2.9160", "val_loss", "train_time"):
        assert any(figure in line for line in lines)
    assert width is None or width < 40 or all(len(line) <= width for line in lines)


def test_a_name_too_long_for_its_table_stands_on_a_line_above() -> None:
    lines = fitting.table(RUNS, 60)
    assert lines[2] == "  20261127T083737Z-126f6963-1c9e"
    assert lines[3].split() == ["934602738", "2.9160", "5.41", "s"]


def test_words_of_a_title_go_on_in_the_next_line() -> None:
    lines = fitting.table([["record", "title"], ["short/88", "an auxiliary loss that predicts the token"]], 34)
    assert [line.rstrip() for line in lines[1:]] == [
        "  short/88  an auxiliary loss that",
        "            predicts the token",
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("settings", "coloured", "redrawn"),
    [({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)],
)
def test_a_terminal_is_taken_at_its_word(
    settings: dict[str, str], coloured: bool, redrawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    assert (streams.has_colours(stream), streams.can_redraw(stream)) == (coloured, redrawn)
    monkeypatch.setattr("sys.stderr", stream)
    console.note("text", style="red")
    assert ("\x1b[" in stream.getvalue()) == coloured


def test_columns_is_honoured_in_a_pipe_and_a_pipe_breaks_no_line_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console.note("word " * 40)
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("COLUMNS", "60")
    console.note("word " * 40)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 3 and max(map(len, lines)) <= 60
