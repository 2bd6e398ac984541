"""Setting up: whatever is missing on a fresh machine is named in one sentence, and a second start costs nothing.

The real setup_env.sh runs in a copy of the files that it reads. Nothing is downloaded: the tests stop pip by an index
that answers nothing on 127.0.0.1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.run_record import command_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what setup_env.sh reads, and a script that calls it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("setup_env.sh", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "harness", folder / "harness", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "start.sh").write_text(
        'set -euo pipefail\ncd "$(dirname "$0")"\n. ./setup_env.sh\nsetup_env train\necho ready\n'
    )
    return folder


def start(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the set-up in an environment of the test's own."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(checkout), "PIP_CONFIG_FILE": os.devnull, **environment}
    return subprocess.run(
        ["bash", str(checkout / "start.sh")], env=clean, capture_output=True, text=True, timeout=600, check=False
    )


def fake_python(folder: Path, body: str) -> str:
    """A `python3` that runs `body`, on a PATH that holds no other Python."""
    folder.mkdir()
    for name in ("bash", "cksum", "cut", "tr", "mktemp", "rm", "cp", "grep", "dirname", "cat", "df", "awk"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    program = folder / "python3"
    program.write_text(f"#!/bin/bash\n{body}\n")
    program.chmod(0o755)
    return str(folder)


def test_a_python_that_is_too_old_is_named_in_one_sentence(checkout: Path, tmp_path: Path) -> None:
    path = fake_python(tmp_path / "bin", "exit 1  # what `sys.version_info < (3, 11)` gives on an old Python")
    done = start(checkout, PATH=path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "Python 3.11 or newer is needed" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_missing_venv_module_names_the_package_to_install(checkout: Path, tmp_path: Path) -> None:
    body = 'case "$*" in *venv*) echo "ensurepip is not available"; exit 1;; *) exit 0;; esac'
    done = start(checkout, PATH=fake_python(tmp_path / "bin", body))
    assert done.returncode == 2
    assert "apt install python3-venv" in done.stderr


def test_no_network_is_one_sentence_and_the_next_start_tries_again(checkout: Path) -> None:
    nowhere = {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "0",
        "PIP_TIMEOUT": "1",
        "SPEEDRUN_PYTHON": sys.executable,
    }
    for _ in range(2):
        done = start(checkout, **nowhere)
        assert done.returncode == 2
        assert "the package registry cannot be reached" in done.stderr
        assert "ready" not in done.stdout
        assert not (checkout / ".venv" / "speedrun-installed").exists()


def test_a_full_disk_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system is not permitted here")
    try:
        shutil.copytree(checkout, small / "checkout", dirs_exist_ok=True)
        done = start(small / "checkout", SPEEDRUN_PYTHON=sys.executable, PIP_INDEX_URL="http://127.0.0.1:9/simple")
        assert done.returncode == 2
        assert "the disk is full" in done.stderr
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_second_start_asks_neither_pip_nor_python(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    (checkout / ".venv" / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (checkout / ".venv" / "bin" / "python").chmod(0o755)
    sums = subprocess.run(
        ["bash", "-c", "cksum pyproject.toml constraints.txt | cut -d' ' -f1,2 | tr '\\n' ' '"],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (checkout / ".venv" / "speedrun-installed").write_text(f"{sums}\ntrain,test\n")
    done = start(checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ready\n", "")


def test_other_requirements_make_a_new_set_up(checkout: Path) -> None:
    (checkout / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(shutil.which("true") or "/bin/true", checkout / ".venv" / "bin" / "python")
    shutil.copy(shutil.which("true") or "/bin/true", checkout / ".venv" / "bin" / "pip")
    (checkout / ".venv" / "speedrun-installed").write_text("of another day\ntrain\n")
    done = start(checkout, SPEEDRUN_PYTHON=sys.executable)
    assert done.returncode == 0
    assert "setting up .venv" in done.stderr
    assert (checkout / ".venv" / "speedrun-installed").read_text().endswith("\ntrain\n")


def python_of(version: str) -> str:
    """A program that says it is this Python and makes an environment whose programs do nothing."""
    made = (
        'mkdir -p .venv/bin; for n in python pip; do printf "#!/bin/sh\\n" >.venv/bin/$n; chmod +x .venv/bin/$n; done'
    )
    return f'#!/bin/bash\ncase "$*" in *venv*) {made};; *print*) echo {version};; esac\n'


@pytest.mark.parametrize(("named", "anew"), [("3.12", True), ("3.11", False)])
def test_another_python_that_is_named_makes_the_environment_anew(checkout: Path, named: str, anew: bool) -> None:
    test_a_second_start_asks_neither_pip_nor_python(checkout)
    for path, version in ((checkout / ".venv" / "bin" / "python", "3.11"), (checkout / "other", named)):
        path.write_text(python_of(version))
        path.chmod(0o755)
    done = start(checkout, SPEEDRUN_PYTHON=str(checkout / "other"))
    assert done.returncode == 0, done.stderr
    assert ("setting up .venv" in done.stderr) == anew
    assert (".venv has Python 3.11, SPEEDRUN_PYTHON names 3.12" in done.stderr) == anew


@pytest.mark.parametrize("named", ["/nowhere/python3", "false", "./a python"])
def test_a_python_that_is_named_and_cannot_be_used_is_an_error_and_no_other_is_taken(
    checkout: Path, named: str
) -> None:
    test_a_second_start_asks_neither_pip_nor_python(checkout)
    done = start(checkout, SPEEDRUN_PYTHON=named)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no Python 3.11 or newer that starts here; name one, or unset it" in done.stderr
    assert done.stderr.count("\n") == 1 and (checkout / ".venv" / "bin" / "python").exists()


def test_run_record_passes_on_all_that_it_is_given(checkout: Path) -> None:
    test_a_second_start_asks_neither_pip_nor_python(checkout)
    (checkout / ".venv" / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    shutil.copy(ROOT / "run_record.sh", checkout)
    clean = {"PATH": os.environ["PATH"], "HOME": str(checkout)}
    for given in ("", "--plan", "short/12 --dry"):
        command = ["bash", "run_record.sh", *given.split()]
        done = subprocess.run(command, cwd=checkout, env=clean, capture_output=True, text=True, check=False)
        assert done.stdout.split() == ["-m", "harness.run_record", *given.split()], done.stderr


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ("", "run smoke"),
        ("--plan", "run smoke --plan"),
        ("smoke --plan", "run smoke --plan"),
        ("short", "run short"),
        ("submissions/_template", "run submissions/_template"),
        ("./submissions/_template --runs 3", "run ./submissions/_template --runs 3"),
        ("submissions/missing", "run submissions/missing"),
        ("short/12 --dry", "replay short/12 --dry"),
        ("records/smoke/2026-11-21_muon", "replay records/smoke/2026-11-21_muon"),
        ("short/999", "replay short/999"),
    ],
)
def test_what_run_record_is_given_goes_to_the_command_that_knows_it(
    given: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert " ".join(command_of(given.split())) == command
