"""A comparison of real processes, killed in the middle and gone on with."""

from __future__ import annotations

import json
from pathlib import Path

from tests.faults.projects import make_project, processes_of, wait_for

# The first start is slow, so that it can be killed within its second run; the mark makes later starts fast.
BODY = """\
import pathlib
MARK = pathlib.Path(os.getcwd()).parents[2] / "fast"
step(0, 5, 5.0, 0)
if not MARK.exists() and len(list(MARK.parent.glob(".runs/*/run.json"))) == 2:
    time.sleep(600)
time.sleep(MS / 1000 + SEED % 31 / 1000)
step(5, 5, 2.9 + SEED % 9973 / 1e7)
"""


def test_a_killed_comparison_goes_on_where_it_was_and_says_who_is_faster(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    for name, ms in (("a", 1500), ("b", 1000)):
        project.submit(BODY.replace("MS", str(ms)), f"2026-11-21_{name}")
    asked = ("compare", "submissions/2026-11-21_a", "submissions/2026-11-21_b", "--pairs", "3", "--json")
    harness = project.start(*asked)
    assert wait_for(lambda: len(project.run_folders()) == 2 and (project.run_folders()[1] / "log.txt").exists())
    assert wait_for(lambda: b"step:0/5" in (project.run_folders()[1] / "log.txt").read_bytes())
    harness.kill()
    harness.communicate()
    assert wait_for(lambda: not processes_of(project))
    killed = project.run_folders()[1].name
    (project.root / "fast").touch()
    [file] = (project.root / ".runs" / "comparisons").glob("*.json")
    before = json.loads(file.read_text())
    assert len(before["runs"]) == 1
    done = project.run(*asked)
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert after == json.loads(file.read_text())
    assert (after["id"], after["coins"]) == (before["id"], before["coins"])
    assert after["runs"][0]["run"] == before["runs"][0]["run"]
    assert [gone["run"] for gone in after["discarded"]] == [killed]
    assert "".join(run["arm"] for run in after["runs"]) == "".join(after["coins"])[:6]
    assert after["outcome"] == "faster"
    assert 0.28 < after["gain"] < 0.38
    assert "discarded and run again" in done.stderr
    assert "% faster than A (95 % interval" in done.stderr
    assert project.ends().count("finished") == 6 and project.ends().count("stopped") == 1
