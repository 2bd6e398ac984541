"""The smoke script that saves its weights passes every stage under the newest rules: its text, its run, its model, a probe.

It trains 12 steps here, in one process and without torchrun; the whole scripts are run by hand.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.core.measurement import RunOutcome
from harness.launch.launcher import LaunchPlan
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.model_score import scoring
from harness.probe import material, probe_plan, probing
from harness.run import execution, judging
from harness.store import run_files
from harness.store.layout import Project
from harness.submission import draft, inspection
from harness.verdict import probe_rules
from tests.cheats.gallery import changed
from tests.named import find_subject

ROOT = Path(__file__).parents[2]
SLUG = "2026-11-21_ours"
SHORT = [
    {"from": "val_tokens: int = 131072", "to": "val_tokens: int = 65536"},
    {"from": "num_iterations: int = 100", "to": "num_iterations: int = 12"},
]
FEWER = {
    "validation_tokens": 65536,
    "train_tokens": 65792,
    "data": {"shard_tokens": 65792, "shards": [], "oracle_loss": None},
    "hardware": {"processes": 1},
}


class Alone(TorchrunLauncher):
    """Starts one rank without torchrun; its process group has a port of its own."""

    def command(self, plan: LaunchPlan) -> list[str]:
        return [self.python, plan.entry, *plan.arguments]

    def run(self, plan: LaunchPlan, watch: object) -> RunOutcome:
        alone = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
        return super().run(dataclasses.replace(plan, environment=alone), lambda line: None)


def make_project(root: Path) -> Project:
    """The smoke track under its newest rules with few tokens, and the script that trains as few steps as a test can pay."""
    track = yaml.safe_load((ROOT / "tracks" / "smoke.yaml").read_text())
    for key, value in FEWER.items():
        track[key] = {**track[key], **value} if isinstance(value, dict) else value
    track["rulesets"][-1] |= {"draft": False, "since": "2026-11-21", "above_entropy": 1.5}
    (root / "tracks").mkdir(parents=True)
    text = yaml.safe_dump(track, sort_keys=False)
    (root / "tracks" / "smoke.yaml").write_text(text.replace("'2026-11-21'", "2026-11-21"))
    folder = root / "submissions" / SLUG
    folder.mkdir(parents=True)
    script = (ROOT / "submissions" / "_smoke" / "train_gpt.py").read_text()
    (folder / "train_gpt.py").write_text(changed("ours", script, SHORT))
    (folder / "README.md").write_text("# A title\n\nWhat, why and how: all answered.\n")
    (folder / "manifest.yaml").write_text(
        f"schema: 2\ntrack: smoke\nruleset: {track['rulesets'][-1]['id']}\ntitle: ours\ncontributors: ['@somebody']\n"
        "parent: null\nclaim: ml\nentry: train_gpt.py\nnotes: null\n"
    )
    return Project(root)


def test_our_smoke_script_passes_check_scoring_and_the_quick_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    catalog, place = Catalog(project), project.submissions / SLUG
    draft.refresh(catalog, str(place))
    assert inspection.check(catalog, place).problems == ()
    subject = find_subject(project, str(place))
    fetched = execution.fetch(subject, subject.train_tokens)
    ready = execution.Prepared(subject, computer.capture(), subject.track, fetched, False, 1, scored=True)
    run_id = run_files.new_run_id(subject.script_sha256)
    outcome = execution.execute(project, ready, run_id, "s", Alone(), lambda line: None)
    assert outcome.state == "finished", (run_files.run_folder(project, run_id) / "stderr.txt").read_text()
    scoring.score_run(catalog, subject, subject.track, run_id, sys.executable)
    verdict = judging.verify(catalog, subject)[1]
    found = {finding.rule: finding.outcome for finding in verdict.findings}
    assert "fail" not in found.values(), "\n".join(map(str, verdict.findings))
    rules = ("I1", "I3", "I4", "L1", "L2", "L3", "R1", "R2", "R3", "R4", "D1", "D2", "D3", "S2", "S4", "S5", "S6")
    assert {rule: found[rule] for rule in rules} == dict.fromkeys(rules, "pass"), "\n".join(map(str, verdict.findings))

    plan = probe_plan.plan(catalog, subject, probe_plan.QUICK)
    assert len(plan.runs) == 3, "none beside it, as this project has no record"
    _, evidence = probing.gather(project, plan, material.prepare(plan), Alone(), lambda *_: lambda line: None)
    probed = probe_rules.judge(evidence, plan.probes).findings
    assert {f.rule: f.outcome for f in probed} == dict.fromkeys(("P4", "P6", "P7"), "pass"), "\n".join(map(str, probed))
