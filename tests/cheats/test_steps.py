"""On a track that ranks steps, training that no step shows is found by what the run computes and by what it was offered.

Each script really trains where it says nothing. Its parent is the honest script, run on the same machine: its runs are
put beside it as `verify` puts those of a record.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import yaml

from harness.core.judgement import Verdict
from harness.core.measurement import Metrics, Purpose
from harness.dataset import fetching
from harness.evidence.contents import Evidence
from harness.machine import computer
from harness.run import execution, judging
from harness.store import run_files
from harness.store.layout import Project
from harness.verdict import judge
from tests.cheats.gallery import Catalog, Direct, changed, make_project, the_case

HERE = Path(__file__).parent / "steps"
HONEST = (HERE / "honest" / "train_gpt.py").read_text()
CASES = sorted(path.parent.name for path in HERE.glob("*/case.yaml"))
SHARD = 131072
TRACK = f"""\
schema: 1
name: tiny
title: a track that ranks steps
target_loss: 6.0
metric: steps
validation_tokens: 16384
train_tokens: {SHARD}
runs: 1
silence_limit_s: 600
time_limit_s: 3600
hardware: {{kind: any, processes: 1}}
data:
  source: synthetic
  seed: 7
  folder: data/tiny
  train_pattern: tiny_train_%06d.bin
  val_pattern: tiny_val_%06d.bin
  train_shards: 1
  shard_tokens: {SHARD}
  shards: []
dry: []
rulesets:
  - id: tiny@1
    since: 2026-01-01
    until: null
    summary: What a run computes and was offered is counted.
    timer: The script's own, between its marks.
    untimed_steps: 0
    significance: {{test: closed-form, margin: 0.004}}
    evidence: [logs, script, seeds, data, machine, ledger, confinement, work]
    tiers: [bubblewrap, landlock, none]
    tokens_per_step: 1024
    forbidden: []
    allowed: [any hardware]
"""


def make_run(project: Project, purpose: Purpose = "judged") -> None:
    """Make one run of the project's submission as `speedrun run` does, without torchrun."""
    subject = the_case(project)
    shards = fetching.make_synthetic(subject.track)
    ready = execution.Prepared(subject, computer.capture(), subject.track, shards, False, 1, purpose=purpose)
    run_id = run_files.new_run_id(subject.script_sha256)
    outcome = execution.execute(project, ready, run_id, "s", Direct(), lambda line: None)
    assert outcome.state == "finished", (run_files.run_folder(project, run_id) / "stderr.txt").read_text()


def run_twice(root: Path, script: str) -> Evidence:
    """Make the run that tells the steps, and one that counts; what there is to judge."""
    with (
        mock.patch("tests.cheats.gallery.TRACK", TRACK),
        mock.patch.dict(os.environ, XDG_CACHE_HOME=str(root / "cache")),
    ):
        project = make_project(root, script)
        for purpose in ("screening", "judged"):
            make_run(project, purpose)
        return judging.verify(Catalog(project), the_case(project))[0]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Metrics, ...]:
    """The runs of the honest script that count; they pass by themselves and beside their like."""
    evidence = run_twice(tmp_path_factory.mktemp("honest"), HONEST)
    for parents in ((), evidence.runs):
        verdict = judge(replace(evidence, baseline=parents))
        assert worse(verdict) == {}, "\n".join(map(str, verdict.findings))
    receipt = evidence.runs[0].data
    assert receipt is not None and receipt.cut is not None and receipt.cut.tokens == 41 * 1024 + 2
    return evidence.runs


@pytest.mark.parametrize("name", CASES)
def test_training_that_no_step_shows_is_found_by_its_rule_and_no_other(
    name: str, honest: tuple[Metrics, ...], tmp_path: Path
) -> None:
    case = yaml.safe_load((HERE / name / "case.yaml").read_text())
    evidence = run_twice(tmp_path / "project", changed(name, HONEST, case["change"]))
    verdict = judge(replace(evidence, baseline=honest))
    expected = {case["rule"]: case.get("outcome", "fail")}
    assert worse(verdict) == expected, "\n".join(map(str, verdict.findings))
    # Whoever submits need not run the parent; a session does.
    alone = worse(judge(replace(evidence, baseline=())))
    assert alone == ({} if case["stage"] == "accept" else expected)


def worse(verdict: Verdict) -> dict[str, str]:
    """Name what fails and what is inconclusive, but for the doubt of T9 about a step that is dearer.

    On each side stands one run of a second, and the processor time of equal work differs by a third on a shared core;
    unit tests on data hold that limit.
    """
    found = {f.rule: f.outcome for f in verdict.findings if f.outcome in ("fail", "inconclusive")}
    return {rule: outcome for rule, outcome in found.items() if (rule, outcome) != ("T9", "inconclusive")}
