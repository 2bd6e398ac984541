"""What a run prints and leaves reaches the terminal of whoever watches it as numbers and plain text, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from harness.cli import main
from harness.run.command_progress import COMMAND_FORM, Command
from harness.run.run_reading import RunReader
from harness.ui import run_view
from harness.ui.follow_report import ALONE
from harness.ui.run_lines import RunLines
from harness.ui.run_status import status_of
from tests import recorded
from tests.recorded import training

POISON = "\x1b[2J\x1b]0;title\x07\r[bold red]\u202ereversed\u200b\x9b31m::error::"
LINES = [
    POISON.encode(),
    f"step:30/68 val_loss:3.1 train_time:5ms step_avg:1ms {POISON}:1".encode(),
    f"step:40/68 val_loss:3.1 train_time:5ms step_avg:1ms note:{POISON}".encode(),
    b"step:50/68 val_loss:nan train_time:nanms step_avg:infms",
    b"step:51/999999999999 val_loss:1e300 train_time:99999999999999999999s step_avg:99999999999999999999ms",
    b"step:999999999999/1 val_loss:0.000000000000000001 train_time:0ms step_avg:0.00ms",
    b"tokens_per_step:999999999999999",
    b"\xff\xfe\x00" * 1000,
    b"clock:start\x1b[K",
    b"x" * 3_000_000,
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that prints poison, whose folder it could write to, and that ended with a poisoned reason."""
    monkeypatch.setenv("SPEEDRUN_ROOT", str(tmp_path))
    project = recorded.make_project(tmp_path)
    lines = [*training(25, 68, every=20), *[(line, 20.0) for line in LINES]]
    folder = recorded.write_run(project, lines, changes={"subject": f"submissions/{POISON}"})
    (folder / "telemetry.csv").write_text(
        f"monotonic_ns,gpu,power_w,sm_mhz,memory_mhz,temperature_c,utilisation,throttling\n1,0,{POISON},1,1,1,1,{POISON}\n"
    )
    told = json.loads(COMMAND_FORM.text(Command(1, 2, 3, False, "B", "smoke/4", 3.28, None, 24.0, 9.0, 1, None)))
    (folder / "command.json").write_text(json.dumps(told | {"what": POISON, "beside": POISON}))
    recorded.end_run(folder, 21.0, "failed", f"it said {POISON}\nrun 9 of 9  finished")
    return folder


def harmless(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


def test_lines_hold_nothing_but_text_that_can_be_seen(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", folder.name, "--follow"]) == 0
    out, err = capsys.readouterr()
    assert harmless(out) and not err
    assert "failed after 21 s: it said \\x1b[2J" in out
    assert not any(line.startswith("run 9 of 9") for line in out.splitlines())


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_view_keeps_its_width_and_shows_no_line_of_the_log(folder: Path, width: int) -> None:
    reader = RunReader(folder)
    printer = RunLines(0.0)
    for _ in range(3):
        reader.poll()
        status = status_of(reader, ALONE, None, f"submissions/{POISON}")
        frame = run_view.frame(status, width, 24).plain
        assert harmless(frame)
        assert max(map(cell_len, frame.split("\n"))) <= width
        assert all(harmless(line) and len(line) < 1000 for line in printer.due(status, 1.0))


def test_what_a_command_is_said_to_be_is_not_believed_where_it_holds_control_characters(folder: Path) -> None:
    reader = RunReader(folder)
    reader.poll()
    assert reader.command is None


def test_json_of_a_poisoned_run_is_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", folder.name, "--json"]) == 0
    out = capsys.readouterr().out
    assert harmless(out)
    assert json.loads(out)["run"] == folder.name
