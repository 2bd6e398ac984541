"""A comparison of real processes, killed in the middle and continued."""

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


def test_a_killed_comparison_continues_where_it_was_and_says_who_is_faster(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", confined=False)
    for name, ms in (("a", 1500), ("b", 1000)):
        project.submit(BODY.replace("MS", str(ms)), f"2026-11-21_{name}")
    # With three pairs one degree of freedom is left, and with five there are five.
    asked = ("compare", "submissions/2026-11-21_a", "submissions/2026-11-21_b", "--pairs", "5", "--json")
    harness = project.start(*asked)
    assert wait_for(lambda: len(project.run_folders()) == 2 and (project.run_folders()[1] / "log.txt").exists())
    assert wait_for(lambda: b"step:0/5" in (project.run_folders()[1] / "log.txt").read_bytes())
    harness.kill()
    harness.communicate()
    assert wait_for(lambda: not processes_of(project))
    (project.root / "fast").touch()
    [file] = (project.root / ".runs" / "comparisons").glob("*.json")
    before = json.loads(file.read_text())
    [counted] = (run["run"] for run in before["runs"])
    [killed] = (folder.name for folder in project.run_folders() if folder.name != counted)
    done = project.run(*asked)
    assert done.returncode == 0, done.stderr
    after = json.loads(done.stdout)
    assert after == json.loads(file.read_text())
    assert (after["id"], after["coins"]) == (before["id"], before["coins"])
    assert after["runs"][0]["run"] == counted
    assert [gone["run"] for gone in after["discarded"]] == [killed]
    assert "".join(run["arm"] for run in after["runs"]) == "".join(after["coins"])[:10]
    assert after["outcome"] == "faster"
    assert 0.28 < after["gain"] < 0.38
    assert set(after["states"]) == {folder.name for folder in project.run_folders()}
    assert after["states"][killed] == before["states"][killed], "a kill loses no state"
    assert "discarded and run again" in done.stderr
    assert "% faster than A (95 % interval" in done.stderr
    assert project.ends().count("finished") == 10 and project.ends().count("stopped") == 1


QUICK = """\
step(0, 5, 5.0, 0)
time.sleep(0.05 + SEED % 31 / 1000)
step(5, 5, 2.9 + SEED % 9973 / 1e7)
"""


def test_the_state_of_a_machine_without_gpus_is_stored_before_every_run(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", confined=False)
    (tmp_path / "bin").mkdir()
    for tool in ("sh", "env"):
        (tmp_path / "bin" / tool).symlink_to(f"/usr/bin/{tool}")
    project.environment["PATH"] = str(tmp_path / "bin")  # with no nvidia-smi, whatever this machine has
    for name in "ab":
        project.submit(QUICK + f"# {name}\n", f"2026-11-21_{name}")
    asked = ("compare", "submissions/2026-11-21_a", "submissions/2026-11-21_b", "--pairs", "3", "--json")
    done = project.run(*asked)
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert list(made["states"]) == [run["run"] for run in made["runs"]]
    assert made["reference"] == made["states"][made["runs"][0]["run"]]
    for state in made["states"].values():
        assert state["gpus"] == []
        assert state["load"] >= 0 and state["memory_available_bytes"] > 1 << 20
        assert state["shm_used_bytes"] is None or state["shm_used_bytes"] >= 0
    assert (made["waited_s"], made["obstacles"]) == (0.0, [])
    assert "waiting for the machine" not in done.stderr


NVIDIA_SMI = """\
#!/bin/sh
case "$1" in
  --query-gpu=name,*) echo "NVIDIA H100 80GB HBM3, 81559, 700.00, 96.00.74.00.0D, 550.54.15" ;;
  --query-gpu=*clocks_event_reasons.active) echo "0, GPU-0, 34, 700.00, 345, 1980, 81559, 4, 1755, 0x0000000000000001" ;;
  --query-compute-apps=*)
    echo asked >>"$(dirname "$0")/asked"
    [ "$(wc -l <"$(dirname "$0")/asked")" = 3 ] && echo "GPU-0, 4711, python, 70000" ;;
  *) exit 2 ;;
esac
exit 0
"""


def test_a_run_waits_until_the_gpu_is_free_again(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project", confined=False)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text(NVIDIA_SMI)
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    project.environment["PATH"] = f"{tmp_path / 'bin'}:/usr/bin:/bin"
    for name in "ab":
        project.submit(QUICK + f"# {name}\n", f"2026-11-21_{name}")
    done = project.run("compare", "submissions/2026-11-21_a", "submissions/2026-11-21_b", "--pairs", "3", "--json")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    said = done.stderr.splitlines()
    [at] = [number for number, line in enumerate(said) if line.startswith("waiting for the machine")]
    assert said[at].endswith("s: GPU 0: 1 process on it (4711)")
    assert said[at + 1].startswith("the machine is free again after")
    assert len(made["runs"]) == 6
    assert made["waited_s"] > 0
    assert [state["gpus"][0]["processes"] for state in made["states"].values()] == [[]] * 6
    assert made["reference"]["gpus"][0]["clock_limits"] == ["gpu_idle"]
