"""What is certain to stop a script is said before anything is made; what may run is not."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from harness.catalog.subjects import Subject
from harness.core.errors import MachineError, StoreError
from harness.replay import obstacles as feasible
from harness.replay import outlook, own_environment, plan
from harness.replay.environments import Needs
from harness.replay.venv import Venv
from harness.store.layout import Project
from tests.named import find_subject

ROOT = Path(__file__).parents[2]
NEEDS = Needs("short/1", "build", None, None, (), (), None, None, None)
SUBJECT = find_subject(Project(ROOT), "smoke/2")


def subject_of(tmp_path: Path, script: str, *files: str) -> Subject:
    """A subject whose script is this text, with extra files beside it."""
    (tmp_path / "train_gpt.py").write_text(script)
    hashes = dict.fromkeys(("train_gpt.py", *files), "0" * 64)
    return dataclasses.replace(SUBJECT, files_folder=tmp_path, entry="train_gpt.py", files=hashes)


CASES = {
    "an honest script": ("import torch\n", {}, None),
    "a later syntax": ("x = (\n", {"python": "3.14.0"}, "cannot read its line .* Python 3.14.0"),
    "a NUL byte": ("x = 1\0\n", {}, "cannot read its line"),
    "nested 10,000 deep": ("x = " + "(" * 10_000 + ")" * 10_000, {}, "cannot read its line"),
    "a file that nobody has": ("import kernels\n", {"missing": "kernels.py"}, "imports kernels.py"),
    "a folder that nobody has": ("from shampoo.x import y\n", {"missing": "shampoo/ (library)"}, "imports shampoo/"),
    "a file that it does without": (
        "try:\n import kernels\nexcept ImportError: pass\n",
        {"missing": "kernels.py"},
        None,
    ),
    "the author's disk": ("import torch\n", {"data": "/home/somebody/data"}, "reads /home/somebody/data"),
    "above the run": ("import torch\n", {"data": "../../data"}, "reads ../../data"),
    "one folder up": ("import torch\n", {"data": "../data"}, None),
}


@pytest.mark.parametrize(("script", "needs", "said"), CASES.values(), ids=CASES)
def test_what_is_certain_to_stop_a_script_is_said(
    tmp_path: Path, script: str, needs: dict[str, str], said: str | None
) -> None:
    problems = feasible.obstacles(subject_of(tmp_path, script), dataclasses.replace(NEEDS, **needs))  # type: ignore[arg-type]
    sentences = [f"{problem.what} {problem.todo}" for problem in problems]
    if said is None:
        assert sentences == []
    else:
        [sentence] = sentences
        assert re.search(said, sentence), sentence


def test_a_file_that_lies_beside_the_script_is_not_missing(tmp_path: Path) -> None:
    subject = subject_of(tmp_path, "import kernels\n", "kernels.py")
    assert feasible.obstacles(subject, dataclasses.replace(NEEDS, missing="kernels.py")) == []


def test_a_replay_that_cannot_be_ends_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    needs = dataclasses.replace(NEEDS, data="/home/somebody/data")
    assert SUBJECT.record is not None
    obstacles = tuple(feasible.obstacles(SUBJECT, needs))
    replay = plan.Plan(SUBJECT, SUBJECT.record, "2", 2, 1, (("torch",),), None, needs, (), obstacles=obstacles)
    with pytest.raises(MachineError, match="outside of any run folder"):
        outlook.check_machine(replay)
    assert not (tmp_path / "cache").exists()


def test_modules_that_an_environment_lacks_are_named_before_any_token_is_fetched(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "made")], check=True)
    made = Venv(tmp_path / "made", (), {})
    script = "import json, kernels, flash_attn_interface\nif 0:\n    import optional_thing\n"
    subject = subject_of(tmp_path, script, "kernels.py")
    assert SUBJECT.record is not None
    replay = plan.Plan(subject, SUBJECT.record, "2", 2, 1, (("torch",),), None, NEEDS, ())
    with pytest.raises(StoreError) as error:
        own_environment.check_modules(replay, made)
    assert [problem.what for problem in error.value.problems] == [
        "its script imports flash_attn_interface, which no package provides"
    ]


def test_fewer_ranks_need_a_script_that_accumulates(tmp_path: Path) -> None:
    eight = find_subject(Project(ROOT), "short/12")
    plain = subject_of(tmp_path, "import torch\nbatch = 8\n")
    subject = dataclasses.replace(plain, track=eight.track)
    with pytest.raises(MachineError, match="does not accumulate gradients"):
        plan.ranks(subject, NEEDS, 4)
    (tmp_path / "train_gpt.py").write_text("grad_accum_steps = 8 // world_size\n")
    assert plan.ranks(dataclasses.replace(subject), NEEDS, 4) == 4
