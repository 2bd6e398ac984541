"""Environments of replays: made once, whole or not at all, never the harness's own; a build that is gone is replaced."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.catalog.lookup import Catalog
from harness.cli import main
from harness.core.errors import MachineError, StoreError
from harness.maintain import torch_index
from harness.replay import environments, own_environment, plan, venv
from harness.replay.environments import Build, Needs, build_of
from harness.store.layout import Project, cache_folder
from tests.named import find_subject
from tests.replay.wheels import make_wheel, only_from
from tests.shared_runs import made_once

ROOT = Path(__file__).parents[2]
PROJECT = Project(ROOT)
NIGHTLY = "2.10.0.dev20251210+cu126"
TORCHES = (NIGHTLY, "2.9.1", "2.8.0")


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
def copied(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every empty environment be a copy of one that venv made: to unpack pip costs it four seconds of CPU time."""
    real = venv._run

    def make(folder: Path) -> None:
        real([sys.executable, "-m", "venv", str(folder)], "the environment cannot be made")

    def run(command: list[str], what: str, *more: Any) -> str:
        if command[1:3] != ["-m", "venv"]:
            return real(command, what, *more)
        shutil.copytree(made_once(tmp_path_factory, "venv", make), command[3], symlinks=True)
        return ""

    monkeypatch.setattr(venv, "_run", run)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project that knows of three builds."""
    made = Project(tmp_path / "project")
    made.root.mkdir()
    environments.add_needs(made, [(torch, Needs(f"smoke/{n}", "")) for n, torch in enumerate(TORCHES, start=1)])
    return made


def availability(project: Project, torch: str) -> str:
    return environments.read_environments(project).builds[build_of(torch).name].found


def left_over() -> list[str]:
    return [path.name for path in (cache_folder() / "environments").iterdir() if path.is_dir()]


def a_plan(torch: str, *, python: str | None = None) -> plan.Plan:
    """A replay of the smoke record that asks for another torch build."""
    subject = find_subject(PROJECT, "smoke/2")
    assert subject.record is not None
    build = build_of(torch)
    needs = Needs("smoke/2", build.name, python, None, (), (), None, None, None)
    requirement_sets = plan.requirement_sets(build, needs)
    return plan.Plan(subject, subject.record, "2", 2, 1, requirement_sets, build, needs, ())


@pytest.mark.usefixtures("copied")
def test_a_build_that_is_gone_is_replaced_and_the_result_says_so(wheels: Path, project: Project) -> None:
    make_wheel(wheels, "torch", "2.10.0")
    made, told = own_environment.make_environment(project, a_plan("2.10.0.dev20251210+cu126", python="3.99.1"))
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


@pytest.mark.usefixtures("copied")
def test_the_environment_of_a_record_is_made_on_demand_and_found_by_its_name(
    wheels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_wheel(wheels, "torch", "2.13.0")
    catalog = Catalog(PROJECT)
    with pytest.raises(StoreError, match="make it with `speedrun doctor smoke/2 --make`"):
        own_environment.made_for(catalog, "smoke/2")
    assert main(["--root", str(ROOT), "doctor", "smoke/2", "--make"]) == 0
    made = own_environment.made_for(catalog, "smoke/2")
    assert made.torch == "2.13.0"
    said = capsys.readouterr()
    assert f"torch 2.13.0 for smoke/2 is in {made.folder}" in said.err + said.out
    assert main(["--root", str(ROOT), "doctor", "--make"]) == 2
    assert "no record was named" in capsys.readouterr().err


@pytest.mark.usefixtures("copied")
def test_the_very_build_is_called_exact_and_is_made_once(wheels: Path, project: Project) -> None:
    make_wheel(wheels, "torch", "2.9.1")
    made, told = own_environment.make_environment(project, a_plan("2.9.1"))
    assert told.label == "exact"
    assert told.tried == ()
    stamp = (made.folder / venv.LOCK_FILE).stat().st_mtime_ns
    assert availability(project, "2.9.1").startswith("installed on 20")
    file = (project.root / environments.FILE).read_bytes()
    again, _ = own_environment.make_environment(project, a_plan("2.9.1"))
    assert (project.root / environments.FILE).read_bytes() == file
    assert (again.folder / venv.LOCK_FILE).stat().st_mtime_ns == stamp
    assert left_over() == [made.folder.name]


def test_what_an_older_harness_wrote_of_a_build_in_one_text_is_read_as_parts(project: Project) -> None:
    path, told = project.root / environments.FILE, "installed on 2026-11-21 (Python 3.11.7, Linux x86_64)"
    new = path.read_text()
    [name] = [build.name for build in environments.read_environments(project).builds.values() if build.torch == "2.9.1"]
    before, mark, after = new.partition(f"name: {name}\n")
    path.write_text(before + mark + after.replace("availability: unchecked", f"availability: {told}", 1))
    old = path.read_bytes()
    build = environments.read_environments(project).builds[name]
    assert (build.availability, str(build.checked)) == ("installed", "2026-11-21")
    assert build.checked_with == "Python 3.11.7, Linux x86_64"
    assert build.found == told
    assert environments.note_availability(project, name, "installed", "another Python") == 0
    assert path.read_bytes() == old, "nothing is rewritten unasked"
    assert environments.note_availability(project, name, "not found", "Python 3.12") == 1
    assert "availability: not found\n  checked: 2" in path.read_text()
    assert environments.read_environments(project).builds[name].found.endswith("(Python 3.12)")


PIP = "torch (2.15.0)\nAvailable versions: 2.15.0, 2.13.0+cpu, 2.13.0, 2.9.1\n  INSTALLED: 2.13.0+cpu\n"


def test_what_the_default_index_lists_stands_beside_each_build_with_the_date(project: Project) -> None:
    day, later = datetime.date(2026, 11, 27), datetime.date(2026, 12, 1)
    releases = torch_index.parse_versions(PIP)
    assert releases == {"2.15.0", "2.13.0", "2.9.1"}
    torches = ("2.9.1", "2.7.1+cu128", NIGHTLY, "")
    added = [(torch, Needs(f"smoke/{n}", "")) for n, torch in enumerate(torches, start=5)]
    environments.add_needs(project, added)
    assert environments.note_index(project, releases, day) == 1
    assert environments.note_index(project, releases, later) == 0, "the same answer keeps its date"
    assert environments.add_needs(project, added) == 0, "an import keeps what is there"
    builds = environments.read_environments(project).builds.values()
    assert {build.torch: (build.default_index, build.index_checked) for build in builds} == {
        "2.9.1": ("listed", day),
        "2.7.1+cu128": ("not listed", day),
        "2.8.0": ("not listed", day),
        NIGHTLY: ("unchecked", None),
        None: (None, None),
    }
    assert environments.note_index(project, {*releases, "2.7.1"}, later) == 1
    found = environments.read_environments(project).builds[build_of("2.7.1+cu128").name].found
    assert found == "unchecked; listed by the default index on 2026-12-01"


def test_a_record_that_needs_an_unknown_build_is_named_beside_other_problems(project: Project) -> None:
    path = project.root / environments.FILE
    text = path.read_text().replace("build: torch-2.9.1", "build: nothing", 1).replace("unchecked", "perhaps", 1)
    path.write_text(text)
    with pytest.raises(StoreError) as caught:
        environments.read_environments(project)
    said = str(caught.value)
    assert "`builds[0].availability` is 'perhaps'; it must be unchecked, installed or not found" in said
    assert "there is no build 'nothing'; name one of `builds`" in said


@pytest.mark.usefixtures("copied")
def test_where_no_build_can_be_had_every_attempt_is_told_and_nothing_is_left(wheels: Path, project: Project) -> None:
    with pytest.raises(StoreError, match=r"no environment can be made .*2\.10\.0\.dev.*torch==2\.10\.0") as error:
        own_environment.make_environment(project, a_plan("2.10.0.dev20251210+cu126"))
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
    subject = find_subject(PROJECT, "short/12")
    eight = Needs("short/12", "b", None, None, (), (), "== 8", None, None)
    free = Needs("short/12", "b", None, None, (), (), "divides 8", None, None)
    with pytest.raises(MachineError, match="asserts 8 ranks"):
        plan.ranks(subject, eight, 4)
    with pytest.raises(MachineError, match="do not divide"):
        plan.ranks(subject, free, 3)
    assert plan.ranks(subject, free, 4) == 4
    assert plan.ranks(subject, eight, None) == 8
    with pytest.raises(MachineError, match="uses no GPU"):
        plan.ranks(find_subject(PROJECT, "smoke/2"), None, 1)


def test_the_file_of_environments_covers_every_record_of_the_past() -> None:
    told = environments.read_environments(PROJECT)
    assert len(told.needs) >= 155
    assert {need.build for need in told.needs.values()} == set(told.builds)
    assert all(build.availability for build in told.builds.values())
    said = Counter(build.default_index for build in told.builds.values() if build.torch)
    assert (said["listed"], said["not listed"]) == (17, 1) and said["unchecked"] >= 25  # those of later imports
    build, needs = told.of("short/89") or (None, None)
    assert build == Build(
        "torch-2.10.0-cu128",
        "2.10.0+cu128",
        "12.8",
        "2.10.0",
        "the same release; the default index may hold it for another CUDA than 12.8",
        "unchecked",
        default_index="listed",
        index_checked=datetime.date(2026, 11, 27),
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
