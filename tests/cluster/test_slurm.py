"""One series on a real Slurm with three nodes: a job breaks, one is preempted, a node is drained, the driver is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.store.ledger import Ledger
from tests.cluster import small_slurm
from tests.faults import projects
from tests.faults.projects import Small, make_project

# The first run breaks; the others wait until they are let go. CONTROL is a folder that an unconfined run can see.
BODY = """
import pathlib
control = pathlib.Path("CONTROL")
for number in range(1, 100):
    try:
        (control / f"started-{number}").touch(exist_ok=False)
        break
    except FileExistsError:
        pass
if number == 1:
    raise SystemExit("breaks")
while not (control / "go").exists():
    time.sleep(0.05)
"""
SUBJECT = "submissions/2026-11-21_test"
CLUSTER = """\
schema: 1
provider: slurm
partition: low
gpus: 8
nodes: 4
walltime: '00:30:00'
preemptible: true
poll_s: 0.2
"""


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened to one series, and what is left of it."""
    absent = small_slurm.missing()
    if absent is not None:
        pytest.skip(f"{absent} is not installed; on Debian: apt install slurm-wlm munge")
    # Sockets have short names.
    root = tmp_path_factory.mktemp("slurm")
    control = root / "control"
    control.mkdir()
    with small_slurm.started(root / "s") as slurm:
        project = make_project(root / "p", confined=False)
        project.submit(BODY.replace("CONTROL", str(control)) + projects.HONEST)
        project.environment |= slurm.environment
        (project.root / "cluster.yaml").write_text(CLUSTER)
        command = ("run", SUBJECT, "--runs", "4", "--on", str(project.root / "cluster.yaml"))
        drained, preempted = interrupt(project, slurm, control, command)
        begun_before = begun(project)
        (control / "go").touch()
        ended = project.run(*command)
        again = project.run(*command, "--json")
        states = slurm.states()
    return {
        "project": project, "ended": ended, "again": again, "drained": drained, "preempted": preempted,
        "states": states, "begun_before": begun_before, "begun": begun(project),
    }  # fmt: skip


def interrupt(project: Small, slurm: small_slurm.Slurm, control: Path, command: tuple[str, ...]) -> tuple[str, str]:
    """Start the series, drain a node and preempt the task on another, kill the driver; the names of both nodes."""
    driver = project.start(*command)
    try:
        # The one that broke is sent again, so three of four attempts wait on three nodes.
        small_slurm.wait_for(slurm, lambda: len(list(control.iterdir())) == 4)
        nodes = [node for node, attempt in begun(project).items() if not (attempt / "result.json").exists()]
        working = {json.loads((path / "begun.json").read_text())["node"]: path for path in map(Path, nodes)}
        drained, preempted, *_ = sorted(working)
        slurm.call("scontrol", "update", f"nodename={drained}", "state=drain", "reason=test")
        slurm.call(
            "sbatch",
            "--partition=high",
            "--exclusive",
            "--wait",
            "--output=/dev/null",
            f"--nodelist={preempted}",
            "--wrap=true",
        )
        small_slurm.wait_for(slurm, (working[preempted] / "result.json").exists)
    finally:
        os.killpg(driver.pid, signal.SIGKILL)
        driver.communicate()
    return drained, preempted


def begun(project: Small) -> dict[str, Path]:
    """The attempts that a node began, by their folders."""
    return {str(path.parent): path.parent for path in sorted((project.root / ".runs/cluster").glob("*/*/begun.json"))}


def by_state(project: Small) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for entry in project.ledger():
        if entry["kind"] == "taken":
            found.setdefault(entry["state"], []).append(entry["task"].split(".", 1)[1])
    return found


def test_a_series_goes_on_after_its_driver_was_killed_and_is_judged(series: dict[str, Any]) -> None:
    ended: subprocess.CompletedProcess[str] = series["ended"]
    assert ended.returncode == 0, ended.stderr
    assert "begun before, this goes on with it" in ended.stderr
    assert f"verdict: pass for {SUBJECT} under tiny@1" in ended.stderr
    assert "alpha adjusted for 2 aborted runs" in ended.stderr  # the broken and the preempted one count


def test_no_task_that_had_begun_is_begun_twice(series: dict[str, Any]) -> None:
    project: Small = series["project"]
    assert len(series["begun"]) == 6  # four tasks, one that broke and one that was preempted
    assert series["begun_before"].items() <= series["begun"].items()
    assert sorted(name.split(".")[0] for name in by_state(project)["complete"]) == ["1", "2", "3", "4"]
    assert len(by_state(project)["broken"]) == 2


def test_all_tasks_are_declared_before_the_first_starts_and_the_chain_is_whole(series: dict[str, Any]) -> None:
    project: Small = series["project"]
    kinds = [entry["kind"] for entry in project.ledger()]
    assert kinds[:5] == ["declare", "task", "task", "task", "task"]
    chain = Ledger(project.root / ".runs/ledger.jsonl").read()
    assert chain.breaks() == () and chain.absent == ()
    assert (len(chain.finished), len(chain.aborted)) == (4, 2)
    [first] = {task.series for task in chain.tree.declared.values()}
    instead = {task.task: task.instead for task in chain.tree.declared.values() if task.instead}
    assert len(instead) == 2 and all(old.startswith(first) for old in instead.values())


def test_a_preempted_run_is_aborted_and_its_task_is_made_anew(series: dict[str, Any]) -> None:
    ends = [entry["state"] for entry in series["project"].ledger() if entry["kind"] == "end"]
    assert sorted(ends) == ["failed", *["finished"] * 4, "stopped"]


def test_a_drained_node_ends_its_task_and_gets_no_other(series: dict[str, Any]) -> None:
    assert series["states"][series["drained"]] == "drained"
    nodes = [json.loads((path / "begun.json").read_text())["node"] for path in series["begun"].values()]
    after = [path for name, path in series["begun"].items() if name not in series["begun_before"]]
    assert after and all(json.loads((path / "begun.json").read_text())["node"] != series["drained"] for path in after)
    assert set(nodes) == set(small_slurm.NODES)


def test_a_task_that_is_complete_is_skipped_when_the_command_is_repeated(series: dict[str, Any]) -> None:
    told = json.loads(series["again"].stdout)
    assert [task["state"] for task in told["tasks"]] == ["complete"] * 4
    assert told["results"][0]["outcome"] == "pass"
    assert "sent as job" not in series["again"].stderr
