"""Environments of replays: made once, whole or not at all, never the harness's own; a build that is gone is replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.catalog.subjects import find_subject
from harness.core.errors import MachineError, StoreError
from harness.replay import environments, plan, session, venv
from harness.replay.environments import Build, Needs, build_of
from harness.store.layout import Project, cache_folder
from tests.replay.wheels import make_wheel, only_from

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)
NIGHTLY = "2.10.0.dev20251210+cu126"
TORCHES = (NIGHTLY, "2.9.1", "2.8.0")
COLUMNS = (
    *("torch_run", "imports_third_party", "world_size_required", "needs_files", "extra_parts"),
    *("python_run", "triton_run", "kernels_hub", "data_glob"),
)


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that is all that pip can see."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in only_from(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SPEEDRUN_TORCH_INDEX", raising=False)
    for package in ("numpy", "huggingface_hub"):
        make_wheel(folder, package, "1.0")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that knows of three builds."""
    made = Project(tmp_path / "project")
    made.root.mkdir()
    rows = [dict.fromkeys(COLUMNS, "") | {"torch_run": torch} for torch in TORCHES]
    environments.write_environments(made, [(f"smoke/{n}", row) for n, row in enumerate(rows, start=1)])
    return made


def availability(project: Project, torch: str) -> str:
    return environments.read_environments(project).builds[build_of(torch).name].availability


def left_over() -> list[str]:
    return [path.name for path in (cache_folder() / "environments").iterdir() if path.is_dir()]


def a_plan(torch: str, *, python: str | None = None) -> plan.Plan:
    """A replay of the smoke record that asks for another torch build."""
    found = find_subject(PROJECT, "smoke/2")
    assert found.record is not None
    build = build_of(torch)
    needs = Needs("smoke/2", build.name, python, None, (), (), None, None, None)
    wishes = plan.wishes_of(build, needs)
    return plan.Plan(found, found.record, "2", True, 2, 1, wishes, build, needs, ())


def test_a_build_that_is_gone_is_replaced_and_the_result_says_so(wheels: Path, project: Project) -> None:
    make_wheel(wheels, "torch", "2.10.0")
    made, told = session.make_environment(project, a_plan("2.10.0.dev20251210+cu126", python="3.99.1"))
    assert made.packages["torch"] == "2.10.0"
    assert made.python.is_file()
    assert made.folder.is_relative_to(cache_folder())
    assert told.label == "substituted"
    assert told.differences[0].startswith("torch 2.10.0 for 2.10.0.dev20251210+cu126: a nightly build")
    assert any(difference.endswith("for 3.99.1") for difference in told.differences)
    assert len(told.tried) == 1
    assert "2.10.0.dev20251210+cu126" in told.tried[0]
    assert availability(project, NIGHTLY).startswith("not found on 20")
    assert availability(project, "2.9.1") == "unchecked"


def test_the_very_build_is_called_exact_and_is_made_once(wheels: Path, project: Project) -> None:
    make_wheel(wheels, "torch", "2.9.1")
    made, told = session.make_environment(project, a_plan("2.9.1"))
    assert told.label == "exact"
    assert told.tried == ()
    stamp = (made.folder / venv.LOCK_FILE).stat().st_mtime_ns
    assert availability(project, "2.9.1").startswith("installed on 20")
    file = (project.root / environments.FILE).read_bytes()
    again, _ = session.make_environment(project, a_plan("2.9.1"))
    assert (project.root / environments.FILE).read_bytes() == file
    assert (again.folder / venv.LOCK_FILE).stat().st_mtime_ns == stamp
    assert left_over() == [made.folder.name]


def test_where_no_build_can_be_had_every_attempt_is_told_and_nothing_is_left(wheels: Path, project: Project) -> None:
    with pytest.raises(StoreError, match=r"no environment can be had .*2\.10\.0\.dev.*torch==2\.10\.0") as error:
        session.make_environment(project, a_plan("2.10.0.dev20251210+cu126"))
    assert error.value.exit_status == 2
    assert left_over() == []
    assert availability(project, NIGHTLY) == "unchecked", "an index that lists nothing may not have been reached"


def test_a_killed_maker_leaves_nothing_and_the_next_one_succeeds(wheels: Path) -> None:
    make_wheel(wheels, "torch", "2.9.1")
    program = "from harness.replay import venv; venv.make(('torch==2.9.1', 'numpy'))"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, start_new_session=True)
    folder = venv.folder_of(("torch==2.9.1", "numpy"))
    while process.poll() is None and not folder.with_name(f".{folder.name}.new").exists():
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert venv.find(("torch==2.9.1", "numpy")) is None
    assert venv.make(("torch==2.9.1", "numpy")).packages["torch"] == "2.9.1"
    assert left_over() == [folder.name]


def test_fewer_gpus_are_refused_at_once_where_the_script_asserts_eight() -> None:
    found = find_subject(PROJECT, "short/12")
    eight = Needs("short/12", "b", None, None, (), (), "== 8", None, None)
    free = Needs("short/12", "b", None, None, (), (), "divides 8", None, None)
    with pytest.raises(MachineError, match="asserts 8 ranks"):
        plan.ranks(found, eight, 4)
    with pytest.raises(MachineError, match="do not divide"):
        plan.ranks(found, free, 3)
    assert plan.ranks(found, free, 4) == 4
    assert plan.ranks(found, eight, None) == 8
    with pytest.raises(MachineError, match="uses no GPU"):
        plan.ranks(find_subject(PROJECT, "smoke/2"), None, 1)


def test_the_file_of_environments_covers_every_record_of_the_past() -> None:
    told = environments.read_environments(PROJECT)
    assert len(told.needs) == 155
    assert {need.build for need in told.needs.values()} == set(told.builds)
    assert all(build.availability for build in told.builds.values())
    build, needs = told.of("short/89") or (None, None)
    assert build == Build(
        "torch-2.10.0-cu128",
        "2.10.0+cu128",
        "12.8",
        "2.10.0",
        "the same release; the default index may hold it for another CUDA than 12.8",
        "unchecked",
    )
    assert needs is not None
    assert needs.world_size == "divides 8"


@pytest.mark.parametrize(
    ("torch", "substitute", "why"),
    [
        ("2.10.0.dev20251210+cu126", "2.10.0", "nightly"),
        ("2.7.0a0+79aa17489c.nv25.04", "2.7.0", "container"),
        ("2.5.1+cu124", "2.5.1", "another CUDA than 12.4"),
        ("2.9.1", "2.9.1", "the same release"),
        ("", None, "does not say"),
    ],
)
def test_the_release_that_comes_nearest_is_named_with_its_reason(torch: str, substitute: str | None, why: str) -> None:
    build = build_of(torch)
    assert build.substitute == substitute
    assert why in build.why
