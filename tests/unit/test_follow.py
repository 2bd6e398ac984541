"""`show RUN` and `show RUN --follow`: a run of this machine, read from its folder by somebody who did not start it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.run.command_progress import COMMAND_FILE, COMMAND_FORM, Command
from harness.run.run_reading import RunReader
from harness.store.layout import Project
from harness.ui import console
from harness.ui.live import Display
from tests import recorded
from tests.recorded import RUN_ID, training

COMMAND = Command(1, 2, 3, False, None, "smoke/4", 0.15, 2.8, 24.0, 100.0, 1, None)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("SPEEDRUN_ROOT", str(tmp_path))
    return recorded.make_project(tmp_path)


@pytest.fixture
def finished(project: Project) -> Path:
    folder = recorded.write_run(project, training(68, 68, every=20))
    recorded.end_run(folder, 20.0)
    (folder / COMMAND_FILE).write_text(COMMAND_FORM.text(COMMAND))
    return folder


@pytest.mark.parametrize("name", [RUN_ID, RUN_ID[:12], f".runs/{RUN_ID}", f"./.runs/{RUN_ID}/"])
def test_a_finished_run_is_shown_by_its_id_its_beginning_or_its_folder(
    finished: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["show", name]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"run {RUN_ID} of smoke/4"
    assert [line.split("  ")[1] for line in lines[1:-1]] == [f"step {step}/68" for step in (0, 20, 40, 60, 68)]
    assert "0.1000 above the entropy (target 0.15)  0.0232 below smoke/4 at step 68" in lines[-2]
    assert lines[-1].startswith("run 2 of 3  finished after 20 s")
    assert err == ""


def test_following_a_finished_run_ends_at_once_and_the_last_one_needs_no_name(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.parent.rglob("*")}
    assert main(["show", "--follow"]) == 0
    assert f"run {RUN_ID} of smoke/4" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in finished.parent.rglob("*")} == before, "it only reads"


def test_the_entropy_of_a_finished_run_is_drawn_again_where_its_command_left_no_word(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded.write_run(project, training(68, 68, every=20))
    recorded.end_run(folder, 20.0)
    assert main(["show", RUN_ID]) == 0
    assert "above the entropy (target 0.15)" in capsys.readouterr().out


def test_json_gives_the_same_in_numbers(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", RUN_ID, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run"], told["step"], told["phase"], told["ended"]) == (RUN_ID, 68, "ending", "finished after 20 s")
    assert len(told["curve"]) == 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "20991231T0"], "20991231T0: is no run in .runs; the newest one is"),
        (["show", "20991231T0", "--follow"], "is no run in .runs"),
        (["show", "smoke/4", "--follow"], "smoke/4: is no run, and --follow shows one"),
        (["show", "--follow", "--json"], "--follow: shows a run to people, --json prints it once"),
        (["show", "20261127T"], "20261127T: is the beginning of 2 runs; give more of it, like"),
        (["show", f"{RUN_ID}\x1b[2J"], "\\x1b[2J: is no run"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    project: Project, finished: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    recorded.write_run(project, [], run_id="20261127T101501Z-12345678-abcd")
    assert main(arguments) == 2
    assert said in capsys.readouterr().err


def test_a_run_without_any_run_is_said_to_be_missing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "--follow"]) == 2
    assert ".runs: holds no run; make one: speedrun run smoke" in capsys.readouterr().err


def test_a_run_file_that_cannot_be_read_is_named(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (finished / "run.json").write_text("{")
    assert main(["show", RUN_ID]) == 2
    assert "run.json" in capsys.readouterr().err


def test_a_run_is_followed_to_its_end(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    lines = training(68, 68, every=20)
    folder = recorded.write_run(project, lines[:20])

    def go_on() -> None:
        recorded.add_lines(folder, lines[20:])
        recorded.end_run(folder, 20.0)

    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as the recorder holds it
        later = threading.Timer(1.0, go_on)
        later.start()
        assert main(["show", RUN_ID, "--follow"]) == 0
        later.join()
    out = capsys.readouterr().out
    assert "step 68/68" in out
    assert "finished after 20 s" in out


def test_a_run_that_nobody_holds_any_more_is_lost(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorded.write_run(project, training(30, 68, every=20))
    (folder / "lock").write_text("")
    assert main(["show", RUN_ID, "--follow"]) == 0
    assert "lost: nobody saw it end" in capsys.readouterr().out


def test_the_run_of_a_probe_is_found_where_it_was_moved(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    folder = recorded.write_run(project, training(68, 68, every=20), changes={"purpose": "probe"})
    recorded.end_run(folder, 20.0)
    (project.runs / "probes" / "one").mkdir(parents=True)
    folder.rename(project.runs / "probes" / "one" / f"01-own-known-{RUN_ID}")
    assert main(["show", RUN_ID]) == 0
    out = capsys.readouterr().out
    assert "finished after 20 s" in out
    assert "above smoke/4" not in out, "on other tokens the record's curve says nothing"


def test_a_run_that_is_moved_while_it_is_watched_is_read_to_its_end(project: Project) -> None:
    lines = training(68, 68, every=20)
    folder = recorded.write_run(project, lines[:30], changes={"purpose": "probe"})
    reader = RunReader(folder)
    reader.poll()
    recorded.add_lines(folder, lines[30:])
    recorded.end_run(folder, 20.0, "stopped", "stopped by the user")
    moved = project.runs / "probes" / "one" / f"01-own-known-{RUN_ID}"
    moved.parent.mkdir(parents=True)
    folder.rename(moved)
    reader.follow_to(moved)
    reader.poll()
    assert (reader.state().step, reader.outcome and reader.outcome.state, reader.lost) == (68, "stopped", False)
    assert [point.step for point in reader.state().curve] == [0, 20, 40, 60, 68]


# ------------------------------------------------------------------------------------------------ reading a folder


def test_lines_of_the_script_s_own_source_are_no_lines_of_its_run(project: Project) -> None:
    example = recorded.line(60, 68, 100, 1.0)
    folder = recorded.write_run(project, [(example, 1.0), *training(20, 68, every=20)])
    (folder / "work").mkdir()
    (folder / "work" / "train_gpt.py").write_bytes(b'"""Prints\n' + example + b'\n"""\n')
    reader = RunReader(folder)
    reader.poll()
    assert [point.step for point in reader.progress.curve] == [0, 20]


def test_links_and_pipes_in_a_run_s_folder_are_not_read(project: Project) -> None:
    folder = recorded.write_run(project, [])
    (folder / "log.txt").unlink()
    os.mkfifo(folder / "log.txt")
    (folder / "clock.csv").unlink()
    (folder / "clock.csv").symlink_to("/dev/zero")
    (folder / "command.json").write_text('{"schema": 1, "number": 1e999}')
    reader = RunReader(folder)
    reader.poll()
    assert (reader.progress.lines, len(reader.stamps), reader.command) == (0, 0, None)


def test_a_line_that_never_ends_is_held_in_little_memory(project: Project) -> None:
    folder = recorded.write_run(project, training(10, 68, every=20))
    with (folder / "log.txt").open("ab") as log:
        log.write(b"step:11/68 " * 1_000_000)
    reader = RunReader(folder)
    for _ in range(5):
        reader.poll()
    assert reader.state().step == 10
    assert len(reader._log.rest) <= 1 << 16


def test_a_run_whose_folder_is_still_being_made_is_starting(project: Project) -> None:
    reader = RunReader(project.runs / RUN_ID)
    reader.poll()
    assert (reader.over, reader.state().phase, reader.state().elapsed_s) == (False, "starting", None)
    recorded.write_run(project, training(10, 68))
    reader.poll()
    assert reader.state().step == 10


def test_a_folder_that_disappears_ends_the_run(project: Project) -> None:
    folder = recorded.write_run(project, training(10, 68))
    reader = RunReader(folder)
    reader.poll()
    shutil.rmtree(folder)
    reader._asked_s -= 60  # the lock is looked for every two seconds
    reader.poll()
    assert reader.lost


# ------------------------------------------------------------------------------------------------ the display


class Terminal:
    """What a display writes to; no terminal."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None: ...


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    console.close_display()


def test_what_is_said_closes_the_display_first(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from harness.ui.run_status import status_of

    reader, stream = RunReader(finished), Terminal()

    def status() -> object:
        reader.poll()
        return status_of(reader, COMMAND, None, "smoke/4")

    display = Display(status, stream)  # type: ignore[arg-type]
    display.open()
    console.say("scored")
    assert not display.thread.is_alive()
    assert "finished after 20 s" in stream.text


def test_a_display_that_breaks_says_so_and_lets_the_run_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    def status() -> object:
        raise ValueError("a mistake")

    display = Display(status, Terminal())  # type: ignore[arg-type]
    display.open()
    end = time.monotonic() + 600
    while display.thread.is_alive() and time.monotonic() < end:
        time.sleep(0.05)
    display.close()
    assert "the display of this run broke, the run goes on: ValueError('a mistake')" in capsys.readouterr().err


@pytest.mark.parametrize(("term", "redraws"), [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_dumb_terminal_gets_lines(term: str, redraws: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(stream, "isatty", lambda: True)
    assert console.redraws(stream) is redraws  # type: ignore[arg-type]


@pytest.mark.parametrize(("said", "columns"), [("60", 60), ("", 80), ("wide", 80)])
def test_columns_says_how_wide_a_terminal_is(said: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream here is a file, whose width nobody knows."""
    monkeypatch.setenv("COLUMNS", said)
    with open(os.devnull, "w") as stream:
        assert console.columns(stream) == columns
