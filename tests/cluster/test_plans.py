"""What a cluster's file may say, which tasks a command becomes, and what its plan tells."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.catalog.lookup import Catalog
from harness.cluster import commands, engine
from harness.cluster.commands import Asked
from harness.cluster.engine import Engine
from harness.cluster.tasks import parts_of, split
from harness.compare import interleaving
from harness.core.errors import HarnessError, MachineError
from harness.machine import computer
from harness.store import comparisons
from harness.store.clusters import Cluster, read_cluster
from harness.store.layout import Project
from tests.cluster.small_series import SUBJECT, begin, driver_of, make_series
from tests.cluster.small_series import Engine as Played
from tests.faults.projects import HONEST, Small, make_project
from tests.guard.test_schemas import comparison

OTHER = "submissions/2026-11-22_other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("provider: local\nwalltime: '02:00:00'\n", "walltime: means nothing to the provider local"),
        ("provider: slurm\n", "walltime: is missing; say how long a task may take"),
        ("provider: slurm\nwalltime: 2:00:00\n", "`walltime` is 7200; it must be a time like '02:00:00', in quotes"),
        ("provider: pbs\n", "`provider`"),
        ("provider: local\nnodes: 0\n", "`nodes` is 0"),
        ('provider: slurm\nwalltime: "02:00:00"\npartition: "a\\n#SBATCH --wrap=x"\n', "`partition`"),
        ('provider: local\nsetup: ["a\\nb"]\n', "holds control characters|more than one line"),
    ],
)
def test_a_cluster_is_refused_with_what_to_write_instead(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(f"schema: 1\n{text}")
    with pytest.raises(HarnessError, match=said):
        read_cluster(file)


def test_runs_are_shared_as_evenly_as_can_be_where_there_are_more_nodes_than_scripts() -> None:
    assert split(10, 3) == [4, 3, 3]
    assert split(2, 8) == [1, 1]
    assert split(1, 1) == [1]
    assert (parts_of(1, 3), parts_of(2, 8), parts_of(20, 8)) == (3, 4, 1)


def two(root: Path) -> Small:
    small = make_project(root)
    small.submit(HONEST)
    small.submit(HONEST.replace("5.0", "4.9"), OTHER.split("/")[1])
    return small


def test_a_comparison_is_one_task_in_the_chains_of_both_scripts(tmp_path: Path) -> None:
    small = two(tmp_path)
    names = tuple(str(small.root / name) for name in (SUBJECT, OTHER))
    made = commands.make(Catalog(Project(small.root)), Asked("compare", names, ("--json",)), 8)
    [task] = made.series.tasks
    assert task.subjects == (SUBJECT, OTHER) and len(task.scripts) == 2
    [attempt] = begin(small, made)
    assert "--follows" not in driver_of(small, made, Played()).command(attempt)


def test_a_comparison_that_is_begun_anew_names_the_one_before(tmp_path: Path) -> None:
    small = two(tmp_path)
    names = tuple(str(small.root / name) for name in (SUBJECT, OTHER))
    made = commands.make(Catalog(Project(small.root)), Asked("compare", names, ("--json",)), 8)
    [attempt] = begin(small, made)
    a, b = attempt.task.scripts
    before = dataclasses.replace(
        comparison(),
        id="compare-before",
        a=comparisons.Side(SUBJECT, a, "tiny@1"),
        b=comparisons.Side(OTHER, b, "tiny@1"),
    )
    comparisons.write_comparison(Project(small.root), before)
    assert driver_of(small, made, Played()).command(attempt)[-2:] == ["--follows", "compare-before"]


def test_the_same_command_finds_its_series_and_another_one_does_not(tmp_path: Path) -> None:
    small, made = make_series(tmp_path)
    begin(small, made)
    catalog, name = Catalog(Project(small.root)), str(small.root / SUBJECT)
    asked = Asked("run", (name,), ("--json",), 2)
    assert commands.make(catalog, asked, 8).series == made.series
    assert commands.make(catalog, asked, 8, anew=True).series.id != made.series.id
    assert commands.make(catalog, Asked("run", (name,), ("--json",), 3), 8).is_new


def test_a_submission_outside_of_the_project_is_refused(tmp_path: Path) -> None:
    small, elsewhere = make_project(tmp_path / "a"), make_project(tmp_path / "b")
    folder = elsewhere.submit(HONEST)
    with pytest.raises(HarnessError, match="lies outside the project; move the folder to submissions/"):
        commands.make(Catalog(Project(small.root)), Asked("run", (str(folder),)), 1)


def test_a_plan_says_what_a_preemption_costs_and_does_nothing(tmp_path: Path) -> None:
    small = two(tmp_path)
    (tmp_path / "cluster.yaml").write_text(
        "schema: 1\nprovider: slurm\nwalltime: '02:00:00'\npartition: h100\nnodes: 3\nusd_per_hour: 24\n"
    )
    given = ("--on", str(tmp_path / "cluster.yaml"), "--plan")
    said = small.run("run", SUBJECT, *given).stdout
    assert "task 3   run submissions/2026-11-21_test, 1 run" in said
    assert "the partition h100 must not preempt; a run that is ended counts as aborted" in said
    assert "one among 3 lowers the level of tiny@1 from 0.01 to 0.0013" in said
    assert "at most  6.0 node-hours, 144.00 USD; up to 3 times that where runs break" in said
    assert not (tmp_path / ".runs").exists()
    told = json.loads(small.run("run", SUBJECT, OTHER, *given, "--json").stdout)
    assert [task["subjects"] for task in told["tasks"]] == [[SUBJECT], [OTHER]]


def test_several_names_need_a_cluster(tmp_path: Path) -> None:
    done = two(tmp_path).run("run", SUBJECT, OTHER)
    assert done.returncode == 2
    assert done.stderr == "speedrun: run: takes several names with --on only; name one, or add --on cluster.yaml\n"


def test_slurm_that_is_not_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MachineError, match="sinfo does not run here"):
        Engine(Cluster(provider="slurm", walltime="01:00:00"), tmp_path)


def test_an_unfinished_comparison_of_another_machine_is_begun_anew_only_by_name(tmp_path: Path) -> None:
    small = two(tmp_path)
    catalog, project = Catalog(Project(small.root)), Project(small.root)
    a, b = (catalog.subject(catalog.find(str(small.root / name))) for name in (SUBJECT, OTHER))
    here = computer.capture()
    there = dataclasses.replace(here, kernel="another", fingerprint="0" * 64)
    fixed = interleaving.Terms(pairs=3, fixed=True)
    begun = dataclasses.replace(
        interleaving.new_comparison(a, b, fixed, there),
        runs=(comparisons.ComparedRun("r", "A", 0, 1.0, 1.0, 1.0, 2.5),),
    )
    comparisons.write_comparison(project, begun)
    with pytest.raises(MachineError, match=f"begin anew here with --follows {begun.id}"):
        interleaving.find_stored(project, a, b, fixed, here)
    anew = dataclasses.replace(fixed, follows=begun.id)
    assert interleaving.find_stored(project, a, b, anew, here) is None
    second = interleaving.new_comparison(a, b, anew, here)
    assert second.follows == begun.id
    comparisons.write_comparison(project, second)
    assert interleaving.find_stored(project, a, b, anew, here) == second


def test_a_scheduler_that_gives_no_answer_has_not_forgotten_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Engine.__new__(Engine)
    known.cluster = Cluster(provider="slurm", walltime="01:00:00")
    answers = [
        (1, "", "slurm_load_jobs error: Invalid job id specified"),
        (1, "", "Unable to contact slurm controller"),
    ]
    monkeypatch.setattr(engine, "_execute", lambda command: answers.pop(0))
    assert known.adopt("7") is False
    with pytest.raises(MachineError, match="gives no answer: Unable to contact slurm controller"):
        known.adopt("7")
