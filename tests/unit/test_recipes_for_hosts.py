"""Dockerfile, sbatch script and SkyPilot task: what they would run is run, as far as that goes without their hosts."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from harness.cli import build_parser
from tests.replay.wheels import make_wheel, only_from

ROOT = Path(__file__).parents[2]
SBATCH, SKY = ROOT / "examples/hosts/speedrun.sbatch", ROOT / "examples/hosts/skypilot.yaml"
LIMIT_S = 1800  # no command here takes so long, whatever else the machine does


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clean copy of the project whose .venv stands for one that pip fills: it notes what pip is told to install."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("no git checkout")
    made = tmp_path / "speedrun"
    for name in filter(None, listed.stdout.split("\0")):
        if name.split("/")[0] not in ("tests", "docs") and (ROOT / name).is_file():
            (made / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, made / name)
    program(made / ".venv/bin", "python", f'exec {sys.executable} "$@"')
    program(made / ".venv/bin", "pip", f'echo "$@" >> {made}/installed.txt')
    program(made / ".venv/bin", "speedrun", f'PYTHONPATH={made} exec {sys.executable} -m harness "$@"')
    return made


def shell(text: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], "HOME": str(cwd / "home")} | environment
    return subprocess.run(
        ["bash", "-c", text], cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=LIMIT_S
    )


def test_the_image_installs_the_harness_and_the_packages_of_the_current_record(tree: Path, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, version in (("torch", "2.10.0+cu128"), ("numpy", "1.0"), ("huggingface_hub", "1.0"), ("kernels", "1.0")):
        make_wheel(wheels, name, version)
    found = instructions()
    as_user = found[[name for name, _ in found].index("USER") :]
    defaults = dict(rest.split("=", 1) for name, rest in found if name == "ARG")
    runs = [rest for name, rest in as_user if name == "RUN"]
    assert len(runs) == 2
    for run in runs:
        done = shell(run, tree, XDG_CACHE_HOME=str(tmp_path / "cache"), **defaults, **only_from(wheels))
        assert done.returncode == 0, done.stderr + done.stdout
    assert "--editable .[train] --constraint constraints.txt" in (tree / "installed.txt").read_text()
    [lock] = (tmp_path / "cache/speedrun/environments").glob("*/requirements.lock")
    names = {
        line.partition("==")[0].lower().replace("_", "-") for line in lock.read_text().splitlines() if "==" in line
    }
    assert {"torch", "numpy", "huggingface-hub", "kernels"} <= names
    assert "torch 2.10.0+cu128" in done.stderr + done.stdout


def test_the_image_runs_nothing_as_root_and_names_its_base_by_an_argument() -> None:
    found = instructions()
    assert found[0][0] == "ARG"
    assert found[0][1].startswith("BASE=")
    assert found[1] == ("FROM", "${BASE}")
    user = [rest for name, rest in found if name == "USER"]
    assert user == ["racer"]
    last_run_as_root = max(n for n, (name, rest) in enumerate(found) if name == "RUN" and "apt-get" in rest)
    assert last_run_as_root < found.index(("USER", "racer"))
    [check] = [rest.rpartition("CMD ")[2] for name, rest in found if name == "HEALTHCHECK"]
    assert build_parser().parse_args(shlex.split(check)[1:]).verb == "doctor"


def test_what_the_image_leaves_out_is_what_git_ignores() -> None:
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    left_out = {line.removeprefix("**/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert {".venv", ".runs"} <= left_out
    assert all(any(Path(name).match(pattern) for name in ignored) for pattern in left_out)


def test_the_task_of_skypilot_sets_up_runs_and_packs(tmp_path: Path) -> None:
    task = yaml.safe_load(SKY.read_text())
    assert task["resources"] == {"accelerators": "H100:8", "use_spot": False, "disk_size": 200}
    told = tmp_path / "told.txt"
    program(tmp_path / ".venv/bin", "speedrun", f'echo "$@" >> {told}')
    program(tmp_path / "bin", "sudo", f'echo "sudo $@" >> {told}')
    (tmp_path / "setup_env.sh").write_text(f'setup_env() {{ echo "setup_env $@" >> {told}; }}\n')
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    for part in ("setup", "run"):
        done = shell(task[part], tmp_path, **(task["envs"] | {"PATH": path}))
        assert done.returncode == 0, done.stderr
    lines = told.read_text().splitlines()
    assert lines[:3] == ["sudo apt-get update", lines[1], "setup_env train"]
    commands = [build_parser().parse_args(shlex.split(line)) for line in lines[3:]]
    assert [command.verb for command in commands] == ["doctor", "run", "pack"]
    assert commands[0].target == commands[1].env == "short"


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A checkout whose `speedrun` notes what it is told and, where it is told to wait, ends some time after a signal."""
    program(
        tmp_path / ".venv/bin",
        "speedrun",
        f"trap 'sleep 0.2; echo kept >> {tmp_path}/told.txt; exit 143' TERM\n"
        f'echo "$@" >> {tmp_path}/told.txt\n'
        '[ "$2" != submissions/waits ] || { sleep 600 & wait; }\n[ "$2" != submissions/fails ] || exit 1',
    )
    return tmp_path


@pytest.mark.parametrize(("name", "status"), [("submissions/good", 0), ("submissions/fails", 1)])
def test_a_job_ends_as_its_command_does(job: Path, name: str, status: int) -> None:
    done = shell(f"bash {SBATCH} {name} --runs 10", job, SLURM_SUBMIT_DIR=str(job))
    assert done.returncode == status, done.stderr
    assert (job / "told.txt").read_text() == f"run {name} --runs 10\n"


def test_a_job_whose_time_ends_lets_the_harness_keep_what_was_printed(job: Path) -> None:
    command = ["bash", str(SBATCH), "submissions/waits"]
    environment = {"PATH": os.environ["PATH"], "SLURM_SUBMIT_DIR": str(job)}
    running = subprocess.Popen(command, cwd=job, env=environment, start_new_session=True)
    try:
        while not (job / "told.txt").exists():
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        assert running.wait(LIMIT_S) == 143
    finally:
        os.killpg(running.pid, signal.SIGKILL)
    assert (job / "told.txt").read_text() == "run submissions/waits\nkept\n"


def test_a_job_that_names_nothing_says_what_to_name(job: Path) -> None:
    done = shell(f"bash {SBATCH}", job, SLURM_SUBMIT_DIR=str(job))
    assert done.returncode != 0
    assert "name what is to be run" in done.stderr
    assert not (job / "told.txt").exists()


def test_the_job_asks_for_one_whole_node_and_is_not_started_again_by_itself() -> None:
    options = re.findall(r"^#SBATCH (--\S+)$", SBATCH.read_text(), re.M)
    assert {"--nodes=1", "--exclusive", "--gpus-per-node=8", "--no-requeue"} <= set(options)
