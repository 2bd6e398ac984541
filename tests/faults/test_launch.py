"""Runs that end badly: real processes, really killed. Nothing is left running, what was printed is kept, and the
ledger says what happened."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.store.run_files import is_running
from tests.faults.projects import HONEST, Small, make_project, processes_of, wait_for

FOREVER = "step(1, 5)\nfor n in range(6000): time.sleep(0.1); log('still here')\n"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Small]:
    """A project whose runs start under the real torchrun."""
    yield from watched(make_project(tmp_path / "project", torchrun=True))


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    """A project whose runs start under a small torchrun, for what torchrun has no part in."""
    yield from watched(make_project(tmp_path / "project"))


def watched(project: Small) -> Iterator[Small]:
    yield project
    assert wait_for(lambda: not processes_of(project)), "a process of a run was left behind"


def started(project: Small) -> bool:
    """Whether a run has printed its first step."""
    return any((f / "log.txt").exists() and b"step:1/5" in (f / "log.txt").read_bytes() for f in project.run_folders())


def test_honest_runs_pass_and_everything_is_on_disk(small: Small) -> None:
    submission = small.submit(HONEST)
    done = small.run("run", str(submission))
    assert done.returncode == 0, done.stderr
    assert "verdict: pass" in done.stdout
    assert small.ends() == ["finished"] * 3
    for folder in small.run_folders():
        log = (folder / "log.txt").read_bytes()
        assert log.startswith((submission / "train_gpt.py").read_bytes())
        stamps = (folder / "clock.csv").read_text().splitlines()
        assert stamps[1].startswith("start,")
        assert stamps[-1].startswith("exit,")
        assert len(stamps) == 3 + log.count(b"\n")


def test_a_script_error_shows_its_last_lines_the_rank_and_the_exit_code(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", processes=2, torchrun=True)
    submission = project.submit(
        "step(1, 5)\nif RANK == 1:\n    raise RuntimeError('the third tensor is missing')\ntime.sleep(600)\n"
    )
    done = project.run("run", str(submission))
    assert done.returncode == 3
    assert "rank 1" in done.stderr
    assert "exit code 1" in done.stderr
    assert "the third tensor is missing" in done.stderr
    assert project.ends() == ["failed"]
    assert not processes_of(project)


def test_an_exit_code_is_kept(small: Small) -> None:
    done = small.run("run", str(small.submit("step(1, 5)\nprint('going down', file=sys.stderr)\nsys.exit(41)\n")))
    assert done.returncode == 3
    assert "exit code 41" in done.stderr
    assert "going down" in done.stderr


def test_a_hang_is_answered_with_a_stack_dump_and_an_end(small: Small) -> None:
    # Long enough for an interpreter to start on a machine that is 300 times slower than usual.
    track = small.root / "tracks" / "tiny.yaml"
    track.write_text(track.read_text().replace("silence_limit_s: 600", "silence_limit_s: 10"))
    done = small.run(
        "run",
        str(small.submit("def waits_for_a_message():\n    time.sleep(900)\nstep(1, 5)\nwaits_for_a_message()\n")),
    )
    assert done.returncode == 3
    assert small.ends() == ["hung"]
    [folder] = small.run_folders()
    assert "waits_for_a_message" in (folder / "stderr.txt").read_text()
    assert "no output for 10 s" in done.stderr


def test_a_loss_that_is_no_number_fails_the_verdict(small: Small) -> None:
    submission = small.submit("step(0, 5, 5.0)\nstep(5, 5, float('nan'))\n")
    done = small.run("run", str(submission))
    assert done.returncode == 1
    assert "L2  fail" in done.stdout


def test_an_interrupted_harness_ends_the_run_first(project: Small) -> None:
    interrupted(project, signal.SIGINT, 130)


def test_so_does_one_that_is_asked_to_end(small: Small) -> None:
    interrupted(small, signal.SIGTERM, 143)


def interrupted(project: Small, number: int, status: int) -> None:
    """Signal the harness in the middle of a run."""
    harness = project.start("run", str(project.submit(FOREVER)))
    assert wait_for(lambda: started(project))
    harness.send_signal(number)
    said = harness.communicate(timeout=600)[1]
    assert harness.returncode == status
    assert "the same command makes those that are missing" in said
    assert project.ends() == ["stopped"]
    assert not processes_of(project)
    [folder] = project.run_folders()
    assert b"still here" in (folder / "log.txt").read_bytes()


def test_a_killed_harness_takes_its_run_with_it_and_the_next_start_says_so(project: Small) -> None:
    submission = project.submit(FOREVER)
    harness = project.start("run", str(submission))
    assert wait_for(lambda: started(project))
    harness.kill()
    harness.wait()
    assert wait_for(lambda: not processes_of(project))
    assert project.ends() == []
    project.run("run", str(submission), "--plan")
    assert project.ends() == [], "a plan does nothing"
    again = project.start("run", str(submission))
    assert wait_for(lambda: project.ends() == ["stopped"] and len(project.run_folders()) == 2)
    again.send_signal(signal.SIGINT)
    assert "harness went away" in again.communicate(timeout=600)[1]


def test_a_run_that_was_killed_and_thrown_away_makes_the_level_stricter(small: Small) -> None:
    small.environment["SPEEDRUN_CONFINEMENT"] = "none"  # a file of the project tells the script when to be calm
    submission = small.submit(
        f"import pathlib\nif not pathlib.Path({str(small.root / 'calm')!r}).exists():\n"
        f"    step(1, 5); time.sleep(600)\n{HONEST}"
    )
    harness = small.start("run", str(submission))
    assert wait_for(lambda: any(b"step:1/5" in p.read_bytes() for p in small.root.glob(".runs/*/log.txt")))
    harness.kill()
    harness.wait()
    assert wait_for(lambda: not processes_of(small))
    [folder] = small.run_folders()
    assert wait_for(lambda: not is_running(folder))  # the recorder has written down how it ended
    shutil.rmtree(folder)
    (small.root / "calm").touch()
    done = small.run("run", str(submission), "--runs", "3")
    assert small.ends() == ["lost"] + ["finished"] * 3
    assert done.returncode == 0, done.stderr
    assert "alpha adjusted for 1 aborted run" in " ".join(done.stdout.split())
    assert "needs < 0.00125" in done.stdout  # 0.01 over the four ways to leave one of four out, and over two


def test_a_killed_recorder_leaves_nothing_running(small: Small) -> None:
    harness = small.start("run", str(small.submit(FOREVER)))
    assert wait_for(lambda: started(small))
    recorders = subprocess.run(["pgrep", "-f", str(small.run_folders()[0])], capture_output=True, text=True, check=True)
    for pid in recorders.stdout.split():
        if b"recorder.main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
    assert harness.wait(timeout=600) == 3
    assert small.ends() == ["lost"]


def test_a_daemon_that_clears_its_environment_is_ended_too(small: Small) -> None:
    body = (
        "import subprocess\n"
        "subprocess.Popen(['sleep', '900'], start_new_session=True, env={}, cwd=os.getcwd(), stdout=subprocess.DEVNULL)\n"
    )
    done = small.run("run", str(small.submit(body + HONEST)), "--runs", "1")
    assert small.ends() == ["finished"], done.stderr
    assert not processes_of(small)


def test_output_without_a_last_newline_is_kept(small: Small) -> None:
    small.run("run", str(small.submit(HONEST + "sys.stdout.write('torn'); sys.stdout.flush()\n")), "--runs", "1")
    [folder] = small.run_folders()
    assert (folder / "log.txt").read_bytes().endswith(b"\ntorn")
    assert small.ends() == ["finished"]


def test_no_secret_of_the_user_reaches_the_script(small: Small) -> None:
    small.environment = {"HF_TOKEN": "hf_secretsecretsecret", "AWS_SECRET_ACCESS_KEY": "x", "PYTHONSTARTUP": "y"}
    body = "log('environment ' + ' '.join(sorted(os.environ)))\nlog('home ' + os.environ['HOME'])\n"
    small.run("run", str(small.submit(body + HONEST)), "--runs", "1")
    [folder] = small.run_folders()
    said = (folder / "log.txt").read_text()
    names = next(line for line in said.splitlines() if line.startswith("environment ")).split()
    assert not {"HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PYTHONSTARTUP"} & set(names)
    assert f"home {folder / 'home'}" in said


def test_an_interrupted_set_of_runs_is_completed_not_repeated(small: Small) -> None:
    submission = small.submit(HONEST)
    assert small.run("run", str(submission), "--runs", "1").returncode == 1  # one run decides nothing
    assert len(small.run_folders()) == 1
    done = small.run("run", str(submission), "--runs", "3")
    assert done.returncode == 0, done.stderr
    assert "in addition to 1 finished run of an earlier start" in done.stderr
    assert small.ends() == ["finished"] * 3


def test_a_full_disk_ends_the_run_and_the_ledger_still_says_so(small: Small) -> None:
    runs = small.root / ".runs"
    runs.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(runs)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        body = "step(1, 5)\nfor n in range(40): log('x' * 100000); time.sleep(0.02)\n" + HONEST
        done = small.run("run", str(small.submit(body)))
        assert done.returncode == 3
        assert "the disk is full" in done.stderr
        assert small.ends() == ["failed"]
        assert not processes_of(small)
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=True)


def test_the_usual_port_in_use_disturbs_nobody(project: Small) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):  # if another program has it, it is in use all the same
            taken.bind(("127.0.0.1", 29500))
            taken.listen()
        project.run("run", str(project.submit(HONEST)), "--runs", "1")
    assert project.ends() == ["finished"]


def test_a_log_of_binary_noise_is_no_number(small: Small) -> None:
    body = "sys.stdout.buffer.write(bytes(range(256)) * 4000); sys.stdout.buffer.flush()\n"
    done = small.run("run", str(small.submit(body)))
    assert done.returncode == 1
    assert small.ends() == ["finished"] * 3
    assert "logged no step" in done.stdout
    assert "\x1b" not in done.stderr + done.stdout


def test_a_plan_does_nothing(small: Small) -> None:
    done = small.run("run", str(small.submit(HONEST)), "--plan")
    assert done.returncode == 0
    assert "3 on 1 process," in done.stdout
    assert small.run_folders() == []
    assert small.ledger() == []


def test_a_dry_run_is_never_judged_and_the_ledger_says_that_it_was_one(small: Small) -> None:
    done = small.run("run", str(small.submit(HONEST)), "--dry")
    assert done.returncode == 0, done.stderr
    assert "verdict" not in done.stderr + done.stdout
    assert [(entry["kind"], entry.get("purpose")) for entry in small.ledger()] == [("start", "dry"), ("end", None)]
    [folder] = small.run_folders()
    assert b"override:num_iterations=2" in (folder / "log.txt").read_bytes()


def test_runs_stop_as_soon_as_the_sequential_rule_has_decided(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    track = project.root / "tracks" / "tiny.yaml"
    rule = "{test: sequential, sigma_floor: 0.01, bounds: [[2, 6, 9.6]]}"
    track.write_text(track.read_text().replace("{test: t, alpha: 0.01, min_runs: 3}", rule))
    project.submit(HONEST)
    done = project.run("run", "submissions/2026-11-21_test", "--until-decided", "--usd-per-hour", "20")
    assert done.returncode == 0, done.stderr
    assert "at most 6" in done.stderr
    assert "decided after run 2" in done.stdout
    assert project.ends() == ["finished", "finished"]


def test_how_many_more_runs_are_needed_is_said_with_their_price(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.submit(HONEST)
    done = project.run("run", "submissions/2026-11-21_test", "--runs", "1", "--usd-per-hour", "3600")
    assert done.returncode == 1
    assert "2 more runs would likely decide: about 0." in done.stdout
    assert "USD at 3600 USD an hour" in done.stdout
    assert project.ledger()[0]["n_max"] == 3
