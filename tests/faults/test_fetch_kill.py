"""Fetches that die: real processes, killed at chosen bytes, and what the next one asks for."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from tests.faults.fetch_project import TRAIN, VAL, Place
from tests.faults.small_hub import Hub, cut, status

SIZE = 1_001_024
SLICE = 1 << 17


def wait_for(condition: object, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.mark.parametrize("after", [0, 1, 1_500, SLICE, 654_321, SIZE - 1])
def test_after_kill_9_only_what_was_not_stored_is_fetched(place: Place, hub: Hub, after: int) -> None:
    pause = hub.pause(VAL, after)
    process = place.start("--tokens", "0")
    assert pause.reached.wait(600)
    partial = place.snapshot / f"{VAL}.part"
    # What lies in whole slices must be on the disk before the kill; the rest is in flight.
    wait_for(lambda: partial.exists() and partial.stat().st_size >= after // SLICE * SLICE)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    stored = partial.stat().st_size
    code, data, said = place.run("--tokens", "0", "--json")
    assert code == 0, said
    assert (place.snapshot / VAL).read_bytes() == hub.files[VAL]
    assert hub.gets(VAL)[-1].start == stored
    assert hub.gets(VAL)[-1].sent == SIZE - stored
    assert data["downloaded_bytes"] == SIZE - stored
    assert not list(place.snapshot.glob("*.part*"))


def test_after_kill_9_finished_shards_are_not_asked_for_again(place: Place, hub: Hub) -> None:
    pause = hub.pause(TRAIN[2], 300_000)
    process = place.start()
    assert pause.reached.wait(600)
    others = {VAL, TRAIN[0], TRAIN[1]}
    wait_for(lambda: {path.name for path in place.snapshot.glob("*.bin")} == others)
    process.kill()
    process.wait()
    asked = len(hub.requests)
    assert place.run()[0] == 0
    assert {request.name for request in hub.requests[asked:]} == {TRAIN[2]}
    assert hub.gets(TRAIN[2])[-1].start >= 300_000 // SLICE * SLICE


def test_kills_at_arbitrary_moments_never_leave_a_wrong_shard(place: Place, hub: Hub) -> None:
    for delay in (0.25, 0.35, 0.4, 0.45, 0.5, 0.6):
        process = place.start()
        time.sleep(delay)
        process.kill()
        process.wait()
        for path in place.snapshot.glob("*.bin"):
            assert path.read_bytes() == hub.files[path.name]
    assert place.run("--verify")[0] == 0


def test_a_file_that_was_whole_but_not_yet_named_when_the_kill_came_needs_no_request_for_bytes(
    place: Place, hub: Hub
) -> None:
    assert place.run("--tokens", "0")[0] == 0
    (place.snapshot / VAL).rename(place.snapshot / f"{VAL}.part")
    note = f'{{"sha256": "{hub.promised[VAL]}", "bytes": {SIZE}}}'
    (place.snapshot / f"{VAL}.part.json").write_text(note, encoding="utf-8")
    (place.snapshot / "receipt.json").unlink()
    asked = len(hub.gets())
    assert place.run("--tokens", "0")[0] == 0
    assert len(hub.gets()) == asked
    assert (place.snapshot / VAL).read_bytes() == hub.files[VAL]


def test_a_partial_file_with_wrong_bytes_is_found_and_fetched_from_the_start(place: Place, hub: Hub) -> None:
    pause = hub.pause(VAL, 600_000)
    process = place.start("--tokens", "0")
    assert pause.reached.wait(600)
    partial = place.snapshot / f"{VAL}.part"
    wait_for(lambda: partial.exists() and partial.stat().st_size >= 4 * SLICE)
    process.kill()
    process.wait()
    with partial.open("r+b") as file:
        file.seek(5_000)
        file.write(b"torn")
    code, _, said = place.run("--tokens", "0")
    assert code == 0
    assert "the bytes that an earlier fetch left are wrong; starting again" in said
    assert hub.gets(VAL)[-1].start == 0
    assert (place.snapshot / VAL).read_bytes() == hub.files[VAL]


def test_a_partial_file_of_another_revision_is_not_continued(place: Place, hub: Hub) -> None:
    place.snapshot.mkdir(parents=True)
    (place.snapshot / f"{VAL}.part").write_bytes(b"x" * 1000)
    (place.snapshot / f"{VAL}.part.json").write_text('{"sha256": "' + "0" * 64 + '", "bytes": 5000}', encoding="utf-8")
    place.fetch(0)
    assert [request.start for request in hub.gets()] == [0]


def test_ctrl_c_ends_a_fetch_soon_even_when_the_server_says_nothing_and_keeps_what_came(place: Place, hub: Hub) -> None:
    pause = hub.pause(VAL, 600_000)
    process = place.start("--tokens", "0")
    assert pause.reached.wait(600)
    partial = place.snapshot / f"{VAL}.part"
    wait_for(lambda: partial.exists() and partial.stat().st_size >= 4 * SLICE)
    asked = len(hub.requests)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert len(hub.requests) == asked, "it ended without giving the silent server up first"
    assert process.returncode == 130
    assert "stopped by Ctrl-C" in err
    assert "Traceback" not in err
    assert out == ""
    pause.go_on.set()
    assert place.run("--tokens", "0")[0] == 0
    assert hub.gets(VAL)[-1].start >= 4 * SLICE


def test_ctrl_c_while_the_hub_limits_the_rate_ends_at_once(place: Place, hub: Hub) -> None:
    hub.fail(VAL, status(429, Retry_After="300"), times=9, method="HEAD")
    process = place.start("--tokens", "0")
    wait_for(lambda: hub.requests)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert len(hub.requests) == 1, "it ended without waiting those five minutes and asking again"
    assert "Traceback" not in err


def test_two_fetches_at_once_ask_for_every_byte_once(place: Place, hub: Hub) -> None:
    pause = hub.pause(VAL, 500_000)
    first = place.start()
    assert pause.reached.wait(600)
    second = place.start("--json")
    lines = []
    assert second.stderr is not None
    for line in second.stderr:
        lines.append(line)
        if "another process is downloading it" in line:
            break
    pause.go_on.set()
    _, rest = second.communicate(timeout=600)
    first.communicate(timeout=600)
    assert any("another process is downloading it" in line for line in lines), rest
    assert (first.returncode, second.returncode) == (0, 0)
    assert sum(request.sent for request in hub.gets()) == 4 * SIZE
    for name in [VAL, *TRAIN[:3]]:
        assert (place.snapshot / name).read_bytes() == hub.files[name]


def test_when_the_first_of_two_fetches_is_killed_the_second_goes_on_from_its_bytes(place: Place, hub: Hub) -> None:
    pause = hub.pause(VAL, 500_000)
    first = place.start("--tokens", "0")
    assert pause.reached.wait(600)
    second = place.start("--tokens", "0")
    assert second.stderr is not None
    for line in second.stderr:
        if "another process is downloading it" in line:
            break
    partial = place.snapshot / f"{VAL}.part"
    wait_for(lambda: partial.exists() and partial.stat().st_size >= 500_000 // SLICE * SLICE)
    first.kill()
    first.wait()
    second.communicate(timeout=600)
    assert second.returncode == 0
    assert hub.gets(VAL)[-1].start >= 500_000 // SLICE * SLICE


def test_data_goes_to_stdout_and_text_to_stderr(place: Place, hub: Hub) -> None:
    hub.fail(VAL, cut(1000))
    code, data, said = place.run("--json")
    assert code == 0
    assert data["track"] == "small"
    assert [shard["name"] for shard in data["shards"]] == [VAL, *TRAIN[:3]]
    assert data["downloaded_bytes"] == 4 * SIZE
    assert "\x1b" not in said
    assert f"{VAL}: 1.0 MB, verified" in said
    assert "trying again" in said


def test_on_a_terminal_bars_are_drawn_and_the_end_is_the_same(place: Place, hub: Hub) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "fetch", "small"],
        cwd=place.project,
        env=place.environment(TERM="xterm-256color", COLUMNS="120"),
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(ours)
    assert process.wait(timeout=600) == 0
    assert b"fetching 4 files" in seen
    assert b"4 shards" in seen
