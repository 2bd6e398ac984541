"""A replay from its first line to its last on a small track: what it plans, what it refuses, what Ctrl-C leaves.

A wrapper of an interpreter with a small torchrun stands where the environment would be made, so that nothing is installed.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import signal
from pathlib import Path

import pytest

from harness.core import yamlfile
from harness.replay import venv
from harness.replay.plan import TRAINING
from tests import warm
from tests.faults.projects import HONEST, SCRIPT, Small, make_project, wait_for

NAMED = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "user.name", "GIT_CONFIG_VALUE_0": "Some Body"}
OWN = (2.49, 2.50, 2.51)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    small = make_project(tmp_path / "project", confined=False)
    small.environment = dict(NAMED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(small.root / "cache"))
    monkeypatch.delenv("SPEEDRUN_TORCH_INDEX", raising=False)
    return small


def add_record(project: Small, number: int, body: str | None, *, published: bool = False) -> Path:
    """A record of the track whose script runs `body`; None: it has no script in its folder."""
    folder = project.root / "records" / "tiny" / f"2026-01-{number:02d}_x"
    folder.mkdir(parents=True)
    nothing = {"repository": None, "commit": None, "kind": "none", "path": None, "files": {}, "torch": None}
    original = {**nothing, "reason": "it was never published"}
    if published:
        where = {"repository": "somebody/upstream", "commit": "0" * 40, "kind": "file", "path": "train_gpt.py"}
        original = {**original, **where, "files": {"train_gpt.py": "0" * 64}, "reason": None}
    data = {
        "schema": 1,
        "track": "tiny",
        "ruleset": "tiny@1",
        "number": number,
        "kind": "record",
        "retimes": None,
        "date": datetime.date(2026, 1, number),
        "title": "x",
        "contributors": ["@somebody"],
        "pull_request": None,
        "claimed": {"train_time_s": None, "steps": 5, "val_loss": 2.5, "runs": None},
        "original": None if body is not None else original,
        "notes": None,
        "withdrawn": None,
    }
    (folder / "record.yaml").write_text(yamlfile.dump(data))
    if body is not None:
        (folder / "script").mkdir()
        script = SCRIPT + body
        (folder / "script" / "train_gpt.py").write_text(script)
        digest = hashlib.sha256(script.encode()).hexdigest()
        (folder / "script" / "script.yaml").write_text(
            f"schema: 1\norigin: original\nof: tiny/{number}\nentry: train_gpt.py\nfiles:\n  train_gpt.py: {digest}\n"
        )
    return folder


def make_environment() -> None:
    """What a first replay would leave in the cache."""
    folder = venv.folder_of(TRAINING)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {warm.python_with_small_torch()} "$@"\n')
    (folder / "bin" / "python").chmod(0o755)
    (folder / venv.LOCK_FILE).write_text("torch==2.13.0\n")


def stored(folder: Path) -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("replays/*/replay.json"))]


def finished(project: Small) -> int:
    return project.ends().count("finished")


# ------------------------------------------------------------------------------------------------ to its end


def test_three_runs_are_compared_and_stored_under_the_name_in_git(project: Small) -> None:
    folder = add_record(project, 1, HONEST)
    make_environment()
    done = project.run("replay", "tiny/1", "--json")
    assert done.returncode == 0, done.stderr
    [told] = stored(folder)
    printed = json.loads(done.stdout)
    assert {key: printed[key] for key in told} == told
    assert printed["replayed_loss"] == pytest.approx(sum(run["val_loss"] for run in printed["runs"]) / 3)
    assert told["by"] == "Some Body"
    assert len(told["runs"]) == 3  # type: ignore[arg-type]
    assert "its environment (torch==2.13.0) was made before" in done.stderr
    assert "a minute or more" not in done.stderr


def test_a_run_uses_the_environment_that_was_made_for_a_record(project: Small) -> None:
    add_record(project, 1, HONEST)
    idea = project.submit(HONEST)
    arguments = ("run", str(idea.relative_to(project.root)), "--runs", "1", "--env", "tiny/1")
    refused = project.run(*arguments)
    assert refused.returncode == 2
    assert "`speedrun doctor tiny/1 --make`" in refused.stderr
    assert not project.run_folders()
    make_environment()
    (venv.folder_of(TRAINING) / venv.LOCK_FILE).write_text("torch==9.9.9\n")
    planned = project.run(*arguments, "--plan")
    assert "torch 9.9.9" in planned.stdout + planned.stderr
    project.run(*arguments)
    [folder] = project.run_folders()
    assert json.loads((folder / "run.json").read_text())["machine"]["torch"] == "9.9.9"
    assert (folder / "outcome.json").exists()
    assert finished(project) == 1


def second_run_waits(project: Small) -> str:
    """The first run ends, every later one waits for somebody to end it."""
    mark = project.root / "once"
    return (
        f"import pathlib\nmark = pathlib.Path({str(mark)!r})\n"
        f"if mark.exists():\n    step(1, 5); log('waiting')\n    for n in range(6000): time.sleep(0.1); log('x')\n"
        f"{HONEST}mark.touch()\n"
    )


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_had_finished_before_an_interruption_is_compared_and_stored(
    project: Small, number: int, status: int
) -> None:
    folder = add_record(project, 1, second_run_waits(project))
    make_environment()
    harness = project.start("replay", "tiny/1", "--runs", "3")
    assert wait_for(lambda: any(b"waiting\n" in (f / "log.txt").read_bytes() for f in logged(project)))
    harness.send_signal(number)
    said = harness.communicate(timeout=600)[1]
    assert harness.returncode == status, said
    assert project.ends() == ["finished", "stopped"]
    [told] = stored(folder)
    assert len(told["runs"]) == 1  # type: ignore[arg-type]
    assert "1 of 3 runs had finished when it ended; only those were compared" in said
    assert "the same command starts again with the first run; environments, tokens and stored results are kept" in said


def logged(project: Small) -> list[Path]:
    return [folder for folder in project.run_folders() if (folder / "log.txt").exists()]


def test_runs_before_a_broken_one_are_stored_and_the_status_is_three(project: Small) -> None:
    mark = project.root / "once"
    body = f"import pathlib\nmark = pathlib.Path({str(mark)!r})\nif mark.exists():\n    sys.exit(41)\n{HONEST}mark.touch()\n"
    folder = add_record(project, 1, body)
    make_environment()
    done = project.run("replay", "tiny/1")
    assert done.returncode == 3
    assert "run 2 of 3 failed" in done.stderr
    assert [len(told["runs"]) for told in stored(folder)] == [1]  # type: ignore[arg-type]


def test_a_first_run_that_breaks_stores_nothing(project: Small) -> None:
    folder = add_record(project, 1, "sys.exit(41)\n")
    make_environment()
    assert project.run("replay", "tiny/1").returncode == 3
    assert stored(folder) == []


# ------------------------------------------------------------------------------------------------ before its start


def test_nobody_replays_without_a_name_and_nothing_is_made_for_him(project: Small) -> None:
    folder = add_record(project, 1, HONEST)
    project.environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    done = project.run("replay", "tiny/1")
    assert done.returncode == 2
    assert "git config user.name" in done.stderr
    assert stored(folder) == []
    assert not (project.root / "cache").exists()
    assert project.ledger() == []
    assert project.run("replay", "tiny/1", "--plan").returncode == 0
    assert project.run("replay", "tiny/1", "--dry").returncode == 0


def test_a_plan_says_what_is_made_and_what_is_missing(project: Small) -> None:
    add_record(project, 1, HONEST)
    said = project.run("replay", "tiny/1", "--plan").stdout
    assert "to be made, up to 8 GB; if it can be installed, the result is substituted" in said
    assert "2 of 2 shards are missing, 0.1 MB, made here in seconds" in said
    assert "up to 8.0 GB needed" in said
    assert "cannot run" not in said
    assert not (project.root / "cache").exists()
    make_environment()
    assert project.run("fetch", "tiny").returncode == 0
    said = project.run("replay", "tiny/1", "--plan").stdout
    assert "already made; the result is substituted; the record does not say which torch it used" in said
    assert "all 2 shards are here" in said
    assert "nothing more is needed there" in said


def test_a_plan_says_what_this_machine_lacks_and_ends_well(project: Small) -> None:
    add_record(project, 1, HONEST)
    track = project.root / "tracks" / "tiny.yaml"
    gpu = "hardware: {kind: gpu, processes: 8, gpu_name: NVIDIA H100 80GB HBM3}"
    track.write_text(track.read_text().replace("hardware: {kind: any, processes: 1}", gpu))
    project.environment |= {"PATH": "/usr/bin:/bin"}
    done = project.run("replay", "tiny/1", "--plan")
    assert done.returncode == 0, done.stderr
    assert "cannot run   GPUs: none found" in done.stdout
    again = project.run("replay", "tiny/1")
    assert again.returncode == 2
    assert again.stderr.count("GPUs: none found") == 1


def test_a_record_without_a_script_names_what_can_be_run_instead(project: Small) -> None:
    add_record(project, 1, HONEST)
    add_record(project, 2, None)
    add_record(project, 3, None, published=True)
    done = project.run("replay", "tiny/3", "--dry")
    assert done.returncode == 2
    assert "`speedrun replay tiny/3` runs its published script" in done.stderr
    assert "records with a script in their folder: tiny/1" in done.stderr
    assert "the frozen original, train_gpt.py" in project.run("replay", "tiny/3", "--plan").stdout
    said = project.run("replay", "tiny/2", "--plan").stderr
    assert "none was ever published" in said
    assert "`speedrun replay" not in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tiny/1", "--checkout", "."), "nothing is read from there"),
        (("tiny/1", "--original", "--checkout", "."), "nothing is read from there"),
        (("tiny/1", "--dry", "--runs", "4"), "--runs: --dry makes one run"),
        (("tiny/1", "--dry", "--gpus", "2"), "--gpus: has no effect with --dry"),
        (("tiny/1", "--dry", "--json"), "--json: has no effect with --dry"),
        (("tiny/1", "--dry", "--no-fetch"), "--no-fetch: has no effect with --dry"),
        (("tiny/1", "--dry", "--original"), "--original: has no effect with --dry"),
        (("--original", "--plan", "--gpus", "4"), "--gpus: concerns one record"),
        (("tiny/1", "--gpus", "0"), "give 1, 2, 4 or 8"),
        ((), "no record was named"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(project: Small, arguments: tuple[str, ...], said: str) -> None:
    add_record(project, 1, HONEST)
    done = project.run("replay", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert project.ledger() == []
