"""Runs an honest little script, or one with a trick in it, through the real recorder and judge.

The machine is said to be the track's 8×H100, the ranks above 0 do not exist, and the interpreter is started without
torchrun: everything else (ledger, recorder, observer, data, log reader, rules) is what a record goes through.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import os
import runpy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import yaml

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.catalog.tracks import load_track
from harness.core.judgement import Verdict
from harness.core.measurement import Gpu, Machine, RunOutcome
from harness.dataset import fetching
from harness.launch.launcher import LaunchPlan
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.run import execution, judging
from harness.store import run_files
from harness.store.layout import Project
from tests.ledgers import seal
from tests.named import find_subject

HERE = Path(__file__).parent
HONEST = (HERE / "honest" / "train_gpt.py").read_text()
NAMES = sorted(path.parent.name for path in HERE.glob("*/case.yaml"))

TRACK = """\
schema: 1
name: tiny
title: a track of the gallery
target_loss: 3.0
metric: train_time
validation_tokens: 4096
train_tokens: 16384
runs: 3
silence_limit_s: 600
time_limit_s: 3600
hardware: {kind: gpu, processes: 8, gpu_name: NVIDIA H100 80GB HBM3}
data:
  source: synthetic
  seed: 7
  oracle_loss: 2.85
  folder: data/tiny
  train_pattern: tiny_train_%06d.bin
  val_pattern: tiny_val_%06d.bin
  train_shards: 1
  shard_tokens: 16384
  shards: []
dry: [num_iterations=2]
rulesets:
  - id: tiny@1
    since: 2026-01-01
    until: null
    summary: All rules.
    timer: The script's own, between its marks.
    untimed_steps: 0
    significance: {test: t, alpha: 0.01, min_runs: 3}
    evidence: [logs, script, seeds, clock, data, machine, ledger]
    forbidden: [inductor-config, compile-options, compile-mode, inductor-environment]
    allowed: []
    program_text: {total_bytes: 512000, data_bytes: 32000}
"""
MANIFEST = """\
schema: 1
track: tiny
ruleset: tiny@1
title: a case of the gallery
contributors: ['@somebody']
claim: ml
entry: train_gpt.py
files: {files}
"""


@dataclass(frozen=True)
class Case:
    """One trick: what it does, what must find it, and how it differs from the honest script."""

    what: str
    rule: str
    outcome: str
    also: frozenset[str]  # rules that are inconclusive because of it
    script: str
    beside: dict[str, bytes]  # other files of the submission
    tier: str | None  # of confinement, where the strongest of the machine would prevent the trick
    secret: bool  # its series runs on a source of its own, as under smoke@2
    sealed: bool  # its edit stands for another machine, whose ledger hashed the files as they are after it


def changed(name: str, script: str, changes: Iterable[dict[str, str]]) -> str:
    """A script with each of its changes made; what is changed must stand in it once."""
    for change in changes:
        old, new = change["from"].rstrip("\n"), change["to"].rstrip("\n")
        assert script.count(old) == 1, f"{name}: {old!r} stands {script.count(old)} times in the honest script"
        script = script.replace(old, new)
    return script


def read_case(name: str) -> Case:
    data = yaml.safe_load((HERE / name / "case.yaml").read_text())
    script, beside = changed(name, HONEST, data.get("change", ())), {}
    if (HERE / name / "brings.py").exists():
        script, beside = runpy.run_path(str(HERE / name / "brings.py"))["brings"](script)
    return Case(
        data["what"],
        data["rule"],
        data.get("outcome", "fail"),
        frozenset(data.get("also", ())),
        script,
        beside,
        data.get("tier"),
        data.get("source") == "secret",
        data.get("sealed", False),
    )


class Direct(TorchrunLauncher):
    """Starts rank 0 alone, without torchrun, which would cost two seconds a run."""

    def command(self, plan: LaunchPlan) -> list[str]:
        return [self.python, plan.entry, *plan.arguments]

    def run(self, plan: LaunchPlan, watch: object) -> RunOutcome:
        ranks = {"RANK": "0", "WORLD_SIZE": str(plan.processes)}
        return super().run(dataclasses.replace(plan, environment=ranks), lambda line: None)


def eight_h100() -> Machine:
    gpus = tuple(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0) for _ in range(8))
    return dataclasses.replace(computer.capture(), gpus=gpus, driver="570.0")


def make_project(
    root: Path, script: str, beside: Mapping[str, bytes] = MappingProxyType({}), *, secret: bool = False
) -> Project:
    (root / "tracks").mkdir(parents=True)
    text = TRACK.replace("    forbidden:", "    above_entropy: 0.15\n    forbidden:") if secret else TRACK
    (root / "tracks" / "tiny.yaml").write_text(text)
    with mock.patch.dict(os.environ, XDG_CACHE_HOME=str(root / "cache")):
        shards = fetching.make_synthetic(load_track(root / "tracks", "tiny")).receipt.shards
    pins = "".join(f"\n    - {{name: {s.name}, tokens: {s.tokens}, sha256: {s.sha256}}}" for s in shards)
    (root / "tracks" / "tiny.yaml").write_text(text.replace("shards: []", "shards:" + pins))
    folder = root / "submissions" / "2026-11-21_case"
    folder.mkdir(parents=True)
    files = {"train_gpt.py": script.encode(), **beside}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    (folder / "manifest.yaml").write_text(MANIFEST.format(files=json.dumps(hashes)))
    return Project(root)


def run_and_judge(root: Path, script: str, edit: Path | None = None, count: int = 3) -> Verdict:
    """Make the runs of a script in a project of its own and judge them."""
    make_runs(root, script, count)
    return judge(root, edit)


def make_runs(
    root: Path,
    script: str,
    count: int = 3,
    tier: str | None = None,
    beside: Mapping[str, bytes] = MappingProxyType({}),
    *,
    secret: bool = False,
) -> None:
    """Make the runs of a script in a project of its own, with the seeds 1, 2, 3."""
    project = make_project(root, script, beside, secret=secret)
    seeds = itertools.count(1)
    with (
        mock.patch.dict(os.environ, XDG_CACHE_HOME=str(root / "cache"), SPEEDRUN_CONFINEMENT=tier or ""),
        mock.patch.object(run_files, "draw_seed", side_effect=seeds),
    ):
        found = the_case(project)
        ready = execution.prepare(found, eight_h100())
        for _ in range(count):
            execution.execute(
                project, ready, run_files.new_run_id(found.script_sha256), "s", Direct(), lambda line: None
            )


def judge(root: Path, edit: Path | None = None, *, sealed: bool = False) -> Verdict:
    """Judge the runs of a project, after the edit that somebody makes of them; `sealed`: with all hashes made anew."""
    if edit is not None:
        runpy.run_path(str(edit))["edit"](root / ".runs")
    if sealed:
        seal(root / ".runs" / "ledger.jsonl", root / ".runs")
    project = Project(root)
    return judging.verify(Catalog(project), the_case(project))[1]


def the_case(project: Project) -> Subject:
    return find_subject(project, str(project.submissions / "2026-11-21_case"))
