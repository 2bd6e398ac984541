"""A series on a secret source, for real: from `run` over `pack` to the verdict of somebody else."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import yaml

from harness.core.record import RecordRun
from harness.core.tables import read_table
from tests.faults.projects import Small, make_project

# Between the entropy of any source on so few tokens (2.5 to 3.1) and the distance that the ruleset allows.
LOSSES = "for n in range(6): step(n, 5, 4.3 - n / 5 + SEED % 9973 / 1e6 if n in (0, 5) else None)\ntime.sleep(0.1)\n"


def project_with_secret_source(root: Path) -> Small:
    small = make_project(root)
    track = root / "tracks" / "tiny.yaml"
    text = track.read_text().replace("    forbidden: []", "    above_entropy: 1.0\n    forbidden: []")
    track.write_text(text.replace("logs, script, seeds, clock,", "logs, script, seeds, clock, data,"))
    return small


def test_a_series_on_a_secret_source_is_judged_by_its_distance_here_and_elsewhere(tmp_path: Path) -> None:
    small = project_with_secret_source(tmp_path / "project")
    folder = small.submit(LOSSES)
    done = small.run("run", str(folder))
    assert "made here from a secret seed" in done.stderr and "mean distance to the entropy" in done.stdout, done.stdout
    seeds = {json.loads((run / "run.json").read_text())["data"]["seed"] for run in small.run_folders()}
    assert len(seeds) == 1 and None not in seeds, "one source for the runs of a series"
    assert list((small.root / "cache" / "speedrun" / "data" / "prepared").glob("*")) == [], "and it is thrown away"
    assert not any((small.root / "cache" / "speedrun" / "data" / "given").glob("*"))
    small.run("run", str(folder), "--runs", "3")
    assert small.run("pack", str(folder)).returncode == 0
    told = json.loads(small.run("verify", str(folder), "--json").stdout)
    found = {finding["rule"]: finding for finding in told["findings"]}
    assert {rule: found[rule]["outcome"] for rule in ("D2", "S1", "S2")} == dict.fromkeys(("D2", "S1", "S2"), "pass")
    assert "drawn again from the seed" in found["D2"]["text"]
    accept_and_look(small, shutil.copytree(small.root, tmp_path / "accepted", symlinks=True), found["S1"]["text"])
    # Another seed, with which the entropy would be another: the hash of run.json stands in the ledger.
    for path in sorted((folder / "evidence" / "runs").glob("*/run.json")):
        path.write_text(path.read_text().replace(str(seeds.copy().pop()), "5"))
    forged = json.loads(small.run("verify", str(folder), "--json").stdout)
    outcomes = {finding["rule"]: finding["outcome"] for finding in forged["findings"]}
    assert outcomes["D2"] == outcomes["G2"] == "fail"


def accept_and_look(small: Small, root: Path, said: str) -> None:
    """Accept the series in a copy of its project: what is stored and shown of its losses are distances."""
    there = Small(root, small.environment, small.python)
    folder = root / "submissions" / "2026-11-21_test"
    (folder / "README.md").write_text("# A title\n\nWhat, why and how: all answered.\n")
    done = there.run("accept", str(folder))
    assert done.returncode == 0, done.stderr
    record = root / "records" / "tiny" / folder.name
    stored = yaml.safe_load((record / "record.yaml").read_text())
    assert stored["claimed"] == {"train_time_s": None, "steps": 5, "val_loss": None, "runs": 3}
    runs = read_table(record / "runs.csv", RecordRun, name="runs.csv")
    assert {run.metric for run in runs} == {"above_entropy"}
    distance = sum(run.value or 0.0 for run in runs) / 3
    assert f"mean distance to the entropy {distance:.4f} over 3 runs" in said
    assert 0 < float((record / "curve.csv").read_text().split()[-1].split(",")[1]) < 1.0
    shown = there.run("show", "tiny/1").stdout
    assert f"mean distance to the entropy {distance:.4f}" in shown
    assert json.loads(there.run("show", "tiny/1", "--json").stdout)["row"]["metric"] == "above_entropy"
    assert f"| entropy + {distance:.4f} (" in (root / "leaderboard.md").read_text()
    verified = there.run("check", "tiny/1", "--all")
    assert verified.returncode == 0
    assert re.search(rf"mean above entropy .*\n.* {distance:.4f} ", verified.stdout)
