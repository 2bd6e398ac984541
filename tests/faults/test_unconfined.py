"""What a script without confinement does to its own evidence is found, though not prevented; limits hold in each tier."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.projects import HONEST, Small, make_project, processes_of

AROUND = """
import pathlib, signal
RUN = pathlib.Path(os.getcwd()).parent
def beside(name):
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = open(f"/proc/{entry}/cmdline", "rb").read()
        except OSError:
            continue
        if name in command and str(RUN).encode() in command:
            yield int(entry)
"""


@pytest.fixture
def open_project(tmp_path: Path) -> Iterator[Small]:
    small = make_project(tmp_path / "project", confined=False)
    yield small
    assert not processes_of(small)


def reason(done_stderr: str) -> str:
    return " ".join(done_stderr.split())


@pytest.mark.parametrize("name", ["log.txt", "clock.csv"])
def test_a_log_or_stamps_rewritten_at_the_end_are_no_finished_run(open_project: Small, name: str) -> None:
    body = f"p = RUN / {name!r}\np.write_bytes(p.read_bytes().replace(b'5', b'4'))\n"
    done = open_project.run("run", str(open_project.submit(AROUND + HONEST + body)), "--runs", "1")
    assert done.returncode == 3
    assert open_project.ends() == ["failed"]
    assert f"{name} is not what the recorder received" in reason(done.stderr)


def test_an_outcome_without_the_recorders_word_counts_for_nothing(open_project: Small) -> None:
    body = (
        "import json, hashlib\n"
        "sums = {n: hashlib.sha256((RUN / n).read_bytes()).hexdigest() for n in ('log.txt', 'clock.csv')}\n"
        "told = {'state': 'finished', 'exit_code': 0, 'wall_time_s': 1.0, 'reason': None, 'received': sums,\n"
        "        'survivors': [], 'left_bytes': 0}\n"
        "(RUN / 'outcome.json').write_text(json.dumps(told))\n"
        "for pid in beside(b'recorder'): os.kill(pid, signal.SIGKILL)\n"
    )
    done = open_project.run("run", str(open_project.submit(AROUND + HONEST + body)), "--runs", "1")
    assert done.returncode == 3
    assert open_project.ends() == ["lost"]
    assert "the recorder was ended from outside" in reason(done.stderr)


def test_a_stopped_harness_misses_nothing(open_project: Small) -> None:
    before = (
        "[recorder] = beside(b'recorder')\n"
        "status = open(f'/proc/{recorder}/status').read()\n"
        "harness = int(status.split('PPid:')[1].split()[0])\n"
        "os.kill(harness, signal.SIGSTOP)\n"
        "time.sleep(0.5)\n"
    )
    after = "log('stopped:' + open(f'/proc/{harness}/status').read().split('State:')[1].split()[0])\n"
    after += "os.kill(harness, signal.SIGCONT)\n"
    done = open_project.run("run", str(open_project.submit(AROUND + before + HONEST + after)), "--runs", "1", "--json")
    assert open_project.ends() == ["finished"], done.stderr
    [folder] = open_project.run_folders()
    log = (folder / "log.txt").read_bytes()
    assert b"\nstopped:T\n" in log
    assert len((folder / "clock.csv").read_text().splitlines()) == 3 + log.count(b"\n")
    failed = {finding["rule"] for finding in json.loads(done.stdout)["findings"] if finding["outcome"] == "fail"}
    assert failed == set()


def test_runs_removed_from_the_ledger_are_missed(open_project: Small) -> None:
    body = "ledger = RUN.parent / 'ledger.jsonl'\nledger.write_bytes(ledger.read_bytes().split(b'\\n', 1)[1])\n"
    done = open_project.run("run", str(open_project.submit(AROUND + HONEST + body)), "--runs", "1")
    assert done.returncode == 3
    assert "while the run went on" in reason(done.stderr)


def test_a_file_written_into_the_environment_is_named(tmp_path: Path) -> None:
    small = make_project(tmp_path / "project", confined=False)
    packages = next(Path(small.python).parents[1].glob("lib/python3*/site-packages"))
    body = f"import pathlib\n(pathlib.Path({str(packages)!r}) / 'slow.pth').write_text('')\n"
    try:
        done = small.run("run", str(small.submit(HONEST + body)), "--runs", "1")
    finally:
        (packages / "slow.pth").unlink(missing_ok=True)
    assert small.ends() == ["failed"]
    assert "files of the environment or the harness were changed while it ran: slow.pth" in reason(done.stderr)


def test_bytecode_that_a_run_left_is_removed_unseen(tmp_path: Path) -> None:
    small = make_project(tmp_path / "project", confined=False)
    packages = next(Path(small.python).parents[1].glob("lib/python3*/site-packages"))
    poisoned = packages / "torch" / "__pycache__" / "poisoned.cpython-311.pyc"
    body = f"import pathlib\nleft = pathlib.Path({str(poisoned)!r})\nleft.parent.mkdir(exist_ok=True)\nleft.touch()\n"
    done = small.run("run", str(small.submit(HONEST + body)), "--runs", "1")
    assert small.ends() == ["finished"], done.stderr
    assert not poisoned.exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "sys.stdout.write('\\n' * 20_000_000)\n",
            r"printed too many lines: [\d,]+, where 10\d,\d{3} are allowed by now",
        ),
        ("print('x' * (40 << 20))\n", "printed more than 32 MiB"),
    ],
)
def test_a_flood_of_lines_or_bytes_ends_a_run(tmp_path: Path, body: str, said: str) -> None:
    small = make_project(tmp_path / "project")
    done = small.run("run", str(small.submit(HONEST + body)), "--runs", "1")
    assert done.returncode == 3
    assert small.ends() == ["failed"]
    assert re.search(said, reason(done.stderr)), done.stderr
    [folder] = small.run_folders()
    assert (folder / "clock.csv").stat().st_size < 32 << 20
    assert (folder / "log.txt").stat().st_size < 34 << 20


def test_a_run_is_refused_before_it_starts_where_its_ruleset_asks_for_a_better_tier(open_project: Small) -> None:
    track = open_project.root / "tracks" / "tiny.yaml"
    track.write_text(
        track.read_text().replace("    forbidden: []\n", "    tiers: [bubblewrap, landlock]\n    forbidden: []\n")
    )
    submission = str(open_project.submit(HONEST))
    done = open_project.run("run", submission, "--runs", "1")
    assert done.returncode == 2
    said = reason(done.stderr)
    assert "can confine a run by the tier none only; tiny@1 asks for bubblewrap or landlock" in said
    assert "speedrun doctor" in said
    assert open_project.run_folders() == []


def test_nothing_starts_beside_processes_that_an_earlier_run_left(open_project: Small) -> None:
    submission = str(open_project.submit(HONEST))
    assert open_project.run("run", submission, "--runs", "1").returncode in (0, 1)
    [folder] = open_project.run_folders()
    told = json.loads((folder / "outcome.json").read_text())
    with subprocess.Popen(["sleep", "3600"]) as left:
        try:
            (folder / "outcome.json").write_text(json.dumps(told | {"survivors": [left.pid]}))
            os.utime(folder / "outcome.json", (time.time() + 60,) * 2)
            done = open_project.run("run", submission, "--runs", "2")
        finally:
            left.kill()
    assert done.returncode == 2
    assert f"left processes behind that are still there: {left.pid}" in reason(done.stderr)
    assert open_project.run("run", submission, "--runs", "2").returncode in (0, 1)
