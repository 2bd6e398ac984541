"""The real recorder on small scripts that train: each is probed where its cheat must show, the fair ones everywhere."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from harness.catalog.lookup import Catalog
from harness.core.errors import MachineError
from harness.core.judgement import Finding
from harness.core.token_format import to_bytes
from harness.dataset import prepared, probe_data
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.probe import material, probe_plan, probing, stored
from harness.run import execution
from harness.store import run_files
from harness.store.layout import Project
from harness.verbs.comparing import NAMES
from harness.verdict import probe_rules
from harness.verdict.probe_evidence import ProbeEvidence, ProbeRun
from harness.verdict.scan.tokenizer import find_tokenizer
from tests.cheats.gallery import changed
from tests.faults.projects import TRACK, Small, make_project
from tests.named import find_subject

SCRIPTS = Path(__file__).parent
ROOT = SCRIPTS.parents[1]
RECORD = "2026-11-20_honest"


def case_of(name: str) -> dict[str, Any]:
    """What a script's folder says of it; the honest script's says nothing."""
    path = SCRIPTS / name / "case.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


ALL = {path.parent.name: case_of(path.parent.name) for path in sorted(SCRIPTS.glob("*/case.yaml"))}
# A script, the probe that it is run under, and the one rule that must fail.
CASES = [(name, case["probe"], case["rule"]) for name, case in ALL.items() if "quick" in case]
# What the quick probe finds of each; a script that learns in its warm-up and hides it until after step 0 escapes it.
QUICK = {name: set(case["quick"]) for name, case in ALL.items() if "quick" in case}
FAIR = [
    ("honest", ("known-entropy", "relabelling", "other-text", "quick")),
    ("honest_reopens", ("warm-up",)),
    ("honest_aligned", ("known-entropy", "quick")),  # on all that is drawn at random
    ("honest_tokenizer", ("relabelling", "quick")),
]


@dataclass
class Lab:
    """A project with every script as a submission and the honest one as the track's record, and what its probes gave."""

    small: Small
    evidence: dict[str, ProbeEvidence]

    def gather(self, name: str, wanted: tuple[str, ...]) -> ProbeEvidence:
        project = Project(self.small.root)
        found = find_subject(project, str(self.small.root / "submissions" / f"2026-11-21_{name}"))
        uses = find_tokenizer({"train_gpt.py": script_of(name)})
        plan = probe_plan.ProbePlan(found, None, wanted, tokenizer=uses)
        launcher = TorchrunLauncher(self.small.python)
        return probing.gather(project, plan, material.prepare(plan), launcher, lambda *_: lambda line: None)[1]

    def findings(self, name: str, wanted: tuple[str, ...]) -> list[Finding]:
        """The findings about one script, with the honest script's runs as its parent's."""
        own = self.evidence[name]
        fair = self.evidence["honest_reopens" if wanted == ("warm-up",) else "honest"]
        beside = {("parent", variant): run for (_, variant), run in fair.runs.items()}
        return list(
            probe_rules.judge(replace(own, runs={**own.runs, **beside}, parent="the honest one"), wanted).findings
        )


def script_of(name: str) -> bytes:
    """The honest script, or what a case makes of it."""
    honest = (SCRIPTS / "honest" / "train_gpt.py").read_text()
    return changed(name, honest, case_of(name).get("change", ())).encode()


def make_lab(root: Path) -> Small:
    small = make_project(root)
    track = TRACK.replace("PROCESSES", "1").replace("16384", "262144").replace("4096", "8192")
    (root / "tracks" / "tiny.yaml").write_text(track)
    for name in ("honest", *ALL):
        script, place = script_of(name), root / "submissions" / f"2026-11-21_{name}"
        place.mkdir(parents=True)
        (place / "train_gpt.py").write_bytes(script)
        (place / "manifest.yaml").write_text(
            "schema: 1\ntrack: tiny\nruleset: tiny@1\ntitle: a test\ncontributors: ['@somebody']\nclaim: ml\n"
            f"entry: train_gpt.py\nfiles:\n  train_gpt.py: {hashlib.sha256(script).hexdigest()}\n"
        )
    record = root / "records" / "tiny" / RECORD
    (record / "script").mkdir(parents=True)
    script = script_of("honest")
    (record / "script" / "train_gpt.py").write_bytes(script)
    (record / "script" / "script.yaml").write_text(
        "schema: 1\norigin: original\nof: tiny/1\nentry: train_gpt.py\n"
        f"files:\n  train_gpt.py: {hashlib.sha256(script).hexdigest()}\n"
    )
    (record / "record.yaml").write_text(
        "schema: 1\ntrack: tiny\nruleset: tiny@1\nnumber: 1\nkind: record\nretimes: null\ndate: 2026-11-20\n"
        "title: plain\ncontributors: ['@somebody']\npull_request: null\nnotes: null\nwithdrawn: null\n"
        "claimed: {train_time_s: null, steps: 200, val_loss: 3.02, runs: 1}\n"
    )
    return small


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with pytest.MonkeyPatch.context() as patch:
        root = tmp_path_factory.mktemp("lab") / "project"
        small = make_lab(root)
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        patch.setattr(probe_data, "fresh_random", lambda: np.random.default_rng(5))  # one other text for all of them
        made = Lab(small, {})
        with concurrent.futures.ThreadPoolExecutor(3) as pool:  # a run keeps one core busy, and waits a little
            given = [*FAIR, *((name, (wanted, "quick")) for name, wanted, _ in CASES)]
            found = pool.map(lambda case: made.gather(*case), given)
            made.evidence = dict(zip((name for name, _ in given), found, strict=True))
        yield made


@pytest.mark.parametrize(("name", "wanted", "rule"), CASES, ids=[name for name, _, _ in CASES])
def test_a_cheat_is_caught_by_its_rule_alone(lab: Lab, name: str, wanted: str, rule: str) -> None:
    found = lab.findings(name, (wanted,))
    assert [f.rule for f in found if f.outcome == "fail"] == [rule], [str(f) for f in found]


@pytest.mark.parametrize("name", QUICK)
def test_the_quick_probe_finds_what_its_table_says(lab: Lab, name: str) -> None:
    found = lab.findings(name, ("quick",))
    assert {f.rule for f in found if f.outcome == "fail"} == QUICK[name], [str(f) for f in found]
    table = (ROOT / "docs" / "probes.md").read_text()
    [row] = [line for line in table.splitlines() if line.startswith(f"| `{name}`")]
    assert row.endswith(f"| {', '.join(sorted(QUICK[name])) or 'not found'} |"), row


@pytest.mark.parametrize(("name", "wanted"), FAIR, ids=[name for name, _ in FAIR])
def test_a_fair_script_passes_every_rule(lab: Lab, name: str, wanted: tuple[str, ...]) -> None:
    found = lab.findings(name, wanted)
    expected = {f.rule: "not applicable" if (name, f.rule) == ("honest_tokenizer", "P2") else "pass" for f in found}
    assert {f.rule: f.outcome for f in found} == expected, [str(f) for f in found]


def test_a_session_asks_the_models_of_a_script_with_a_tokenizer_what_another_text_would_show(lab: Lab) -> None:
    uses = find_tokenizer({"train_gpt.py": script_of("honest_tokenizer")})
    subject = find_subject(Project(lab.small.root), str(lab.small.root / "submissions" / "2026-11-21_honest_tokenizer"))
    plan = probe_plan.ProbePlan(subject, subject, probe_plan.QUICK, tokenizer=uses, scored=True)
    assert plan.runs == (("own", "noise"), ("parent", "noise"))
    for alone in (replace(plan, scored=False), replace(plan, probes=("other-text",))):
        assert ("own", "other") in alone.runs, "nobody else asks that"
    assert ("own", "both") in replace(plan, tokenizer=None).runs, "tokens that can be relabelled are"
    found = {}
    for name in ("token_table", "honest_tokenizer"):
        seen = lab.evidence[name]
        noise = {
            ("own", "noise"): seen.runs["own", "noise"],
            ("parent", "noise"): lab.evidence["honest"].runs["own", "noise"],
        }
        made = replace(seen, runs=noise, parent="the honest one", tokenizer=uses, scored=True)
        found[name] = {one.rule: one.outcome for one in probe_rules.judge(made, probe_plan.QUICK).findings}
    assert found["honest_tokenizer"] == {"P4": "pass", "P6": "not applicable", "P7": "pass"}
    assert found["token_table"] == {"P4": "fail", "P6": "not applicable", "P7": "fail"}
    unscored = replace(lab.evidence["honest_tokenizer"], runs=noise, scored=False)
    assert probe_rules.judge(unscored, probe_plan.QUICK).outcome == "inconclusive", "the run is missing"


def test_a_parent_whose_stored_probe_passed_is_not_run_on_noise_again(lab: Lab, tmp_path: Path) -> None:
    shutil.copytree(lab.small.root, tmp_path / "project", symlinks=True, ignore=shutil.ignore_patterns(".runs"))
    catalog = Catalog(Project(tmp_path / "project"))
    subject = find_subject(catalog.project, str(tmp_path / "project" / "submissions" / "2026-11-21_honest_aligned"))
    parent = catalog.script_here(catalog.record("tiny/1"))
    fair = lab.evidence["honest"]
    path = parent.files_folder.parent / stored.FOLDER / stored.EVIDENCE
    noise = ("parent", "noise")

    def runs_with(evidence: ProbeEvidence, script: str = parent.chain) -> tuple[tuple[str, str], ...]:
        path.parent.mkdir(exist_ok=True)
        path.write_text(stored.EVIDENCE_FORM.text(stored.stored_evidence(evidence, ("quick",), script)))
        return probe_plan.plan(catalog, subject, probe_plan.QUICK).runs

    assert noise in probe_plan.plan(catalog, subject, probe_plan.QUICK).runs, "nothing is stored"
    assert noise not in runs_with(fair) and ("parent", "both") in runs_with(fair)
    assert noise in probe_plan.plan(catalog, subject, ("other-text",)).runs, "the full probe leaves nothing out"
    assert noise in runs_with(fair, "0" * 64), "of another script"
    learned = replace(fair, runs={**fair.runs, ("own", "noise"): ProbeRun(((0, 5.55), (150, 1.99)))})
    assert noise in runs_with(learned), "that predicts the text after noise"
    path.write_text("{")
    assert noise in probe_plan.plan(catalog, subject, probe_plan.QUICK).runs, "of which nothing can be read"
    knows = lab.evidence["trained_on_validation"]
    found = {one.rule: one.outcome for one in probe_rules.judge(replace(knows, parent="tiny/1"), ("quick",)).findings}
    assert found["P7"] == "fail", "without a run of the parent beside it"


def test_whoever_knows_the_text_after_training_on_noise_has_learned_from_it(lab: Lab) -> None:
    fair = lab.evidence["honest"]
    learned = ProbeRun(((0, 5.55), (75, 1.99), (150, 5.6)))  # as a script that trains on the validation text does
    [finding] = probe_rules.judge(
        replace(fair, runs={**fair.runs, ("own", "noise"): learned}), ("other-text",)
    ).findings
    assert finding.outcome == "fail" and "it scores 1.9900 on the official validation text at step 75" in finding.text


def test_a_low_score_without_an_honest_parent_is_inconclusive(lab: Lab) -> None:
    alone = lab.evidence["peek"]
    [finding] = probe_rules.judge(alone, ("known-entropy",)).findings
    assert finding.outcome == "inconclusive" and "no honest parent was run beside it" in finding.text
    same = replace(alone, runs={**alone.runs, ("parent", "known"): alone.runs["own", "known"]}, parent="tiny/1")
    [finding] = probe_rules.judge(same, ("known-entropy",)).findings
    assert finding.outcome == "inconclusive" and "so does its parent tiny/1" in finding.text


@pytest.mark.parametrize(("name", "wanted"), [("token_table", "relabelling"), ("warm_up_hides", "warm-up")])
def test_what_hurts_the_parent_alike_is_no_finding(lab: Lab, name: str, wanted: str) -> None:
    alone = lab.evidence[name]
    finding = probe_rules.judge(alone, (wanted,)).findings[-1]
    assert finding.outcome == "inconclusive" and "no honest parent was run beside it" in finding.text
    same = {**alone.runs, **{("parent", variant): run for (_, variant), run in alone.runs.items()}}
    finding = probe_rules.judge(replace(alone, runs=same, parent="tiny/1"), (wanted,)).findings[-1]
    assert finding.outcome == "pass" and "its parent" in finding.text


def test_a_start_below_an_untrained_model_is_no_failure_where_the_parent_starts_so_too(lab: Lab) -> None:
    alone = lab.evidence["warm_up_learns"]
    [start, _] = probe_rules.judge(alone, ("warm-up",)).findings
    assert start.outcome == "fail"
    same = {**alone.runs, **{("parent", variant): run for (_, variant), run in alone.runs.items()}}
    [start, _] = probe_rules.judge(replace(alone, runs=same, parent="tiny/1"), ("warm-up",)).findings
    assert start.outcome == "inconclusive" and "so does its parent tiny/1" in start.text


def test_a_script_that_keeps_its_tokens_is_not_tested_for_what_it_warms_up_on(lab: Lab) -> None:
    [_, data] = lab.findings("warm_up_learns", ("warm-up",))
    assert data.outcome == "not applicable" and "read before clock:start" in data.text
    [warning] = probe_rules.judge(lab.evidence["warm_up_learns"], ("warm-up",)).warnings
    assert warning.startswith("P5 not tested")


def test_a_run_that_breaks_on_prepared_tokens_leaves_its_rule_open(lab: Lab) -> None:
    fair = lab.evidence["honest"]
    broken = {**fair.runs, ("own", "relabelled"): ProbeRun((), "failed: rank 0 ended with exit code 1")}
    [finding] = probe_rules.judge(replace(fair, runs=broken), ("relabelling",)).findings
    assert finding.outcome == "inconclusive"
    assert "the run on relabelled tokens failed: rank 0 ended with exit code 1" in finding.text


def test_the_command_runs_the_parent_beside_it_and_the_ledger_says_that_they_are_probes(lab: Lab) -> None:
    done = lab.small.run("probe", "submissions/2026-11-21_constant", "--probe", "known-entropy", "--json")
    assert done.returncode == 1, done.stderr
    verdict = json.loads(done.stdout)
    [finding] = verdict["findings"]
    assert (finding["rule"], finding["outcome"]) == ("P1", "fail")
    assert finding["measured"] == pytest.approx(2.9469) and finding["required"] == pytest.approx(
        lab.evidence["honest"].known_loss - 0.001
    )
    assert "records/tiny/2026-11-20_honest, on this machine" in done.stderr
    entries = [entry for entry in lab.small.ledger() if entry["kind"] == "start"]
    assert {entry["purpose"] for entry in entries} == {"probe"}
    assert all(end["state"] == "finished" and end["log_sha256"] for end in lab.small.ledger() if end["kind"] == "end")
    assert lab.small.run_folders() == []
    assert "verdict" not in lab.small.run("check", "submissions/2026-11-21_constant").stdout, "a probe is no evidence"
    made = [path.name for path in (lab.small.root / ".runs" / "probes").glob("*/*")]
    assert any(name.startswith("01-own-known-2") for name in made)
    assert any(name.startswith("02-parent-known-2") for name in made), "each run is moved to the probe's folder"


def test_a_plan_says_what_would_run_and_does_nothing(lab: Lab, tmp_path: Path) -> None:
    small = make_lab(tmp_path / "project")
    done = small.run("probe", "submissions/2026-11-21_honest_reopens", "--plan")
    assert done.returncode == 0
    assert "12 on 1 processes; none of them counts" in done.stdout
    assert not (small.root / ".runs").exists()
    done = small.run("probe", "tiny/1", "--probe", "relabelling", "--plan")
    assert "beside   nothing" in done.stdout and "runs     2 on 1" in done.stdout


def test_a_script_that_breaks_at_once_is_a_broken_run(tmp_path: Path) -> None:
    small = make_project(tmp_path / "project")
    done = small.run("probe", str(small.submit("raise RuntimeError('no tokens here')\n")), "--probe", "known-entropy")
    assert done.returncode == 3
    assert "no tokens here" in done.stderr
    kinds = [(entry["kind"], entry.get("state")) for entry in small.ledger()]
    assert kinds == [("try", None), ("start", None), ("end", "failed")], "a probe prints losses, so it tries a script"


def test_the_verb_offers_the_probes_that_there_are() -> None:
    assert probe_rules.PROBES == NAMES


def test_the_material_of_a_killed_probe_is_thrown_away_and_that_of_a_running_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program = (
        "import time; from harness.dataset import prepared; folder = prepared.new_folder();"
        "(folder / 'shard.bin').write_bytes(b'tokens'); print(folder, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", program]
    holders = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [Path(holder.stdout.readline().strip()) for holder in holders if holder.stdout is not None]
    holders[0].kill()
    holders[0].wait()
    prepared.remove_leftovers()
    assert [(folder / "shard.bin").exists() for folder in folders] == [False, True]
    holders[1].kill()
    holders[1].wait()


# What a script can see of the run that it is in, with what differs between any two runs taken out.
SPY = """
import pathlib, re
def seen():
    yield from sorted(f"{k}={v}" for k, v in os.environ.items() if "PORT" not in k)
    yield " ".join(sys.argv)
    yield os.getcwd()
    first = os.stat("train_gpt.py").st_mtime_ns
    for path in sorted(pathlib.Path(".").rglob("*")):
        at = path.stat()
        times = at.st_mtime_ns if path.is_symlink() else at.st_mtime_ns >= first, at.st_ctime_ns >= first
        link = os.readlink(path) if path.is_symlink() else ""
        yield f"{path} {link} {at.st_mode:o} {at.st_uid} {at.st_gid} {at.st_nlink} {at.st_size} {times}"
    for path in sorted(pathlib.Path("..").iterdir()):
        yield f"{path}"
    yield from open("/proc/self/mountinfo").read().splitlines()
for line in seen():
    line = re.sub(r"\\d{8}T\\d{6}Z-[0-9a-f]{8}-[0-9a-f]{4}", "ID", line)
    line = re.sub(r"given/[0-9a-f]{16}", "given/HEX", line)
    line = re.sub(r"seed=\\d+", "seed=N", line)
    line = re.sub(r"speedrun-\\w{8}|none_\\w{8}|TORCHELASTIC_RUN_ID=\\S+", "NAME", line)
    log("seen:" + re.sub(r"^\\d+ \\d+ \\d+:\\d+", "MOUNT", line))
"""
HARMLESS = "step(0, 1, 5.55)\nstep(1, 1, 5.55 - SEED % 9973 / 1e6)\n"


@pytest.mark.parametrize("tier", ["bubblewrap", "none"])
def test_a_probe_looks_like_any_run_to_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tier: str) -> None:
    small = make_project(tmp_path / "project")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("SPEEDRUN_CONFINEMENT", tier)
    project = Project(small.root)
    subject = find_subject(project, str(small.submit(SPY + HARMLESS)))
    launcher = TorchrunLauncher(small.python)
    try:
        ready = execution.prepare(subject, computer.capture())
        run_id = run_files.new_run_id(subject.script_sha256)
        execution.execute(project, ready, run_id, "s", launcher, lambda line: None)
    except MachineError:
        pytest.skip(f"this machine has no {tier}")
    plan = probe_plan.ProbePlan(subject, None, probe_rules.PROBES)
    folder, _ = probing.gather(project, plan, material.prepare(plan), launcher, lambda *_: lambda line: None)
    usual = what_it_saw(project.runs / run_id)
    assert len(usual) > 10 and any("given/HEX/tiny_train_000001.bin" in line for line in usual)
    probes = {path.name[3:].partition("-2")[0]: what_it_saw(path) for path in folder.glob("*-own-*")}
    assert probes.keys() >= {"own-official", "own-known", "own-relabelled", "own-other", "own-noise", "own-swapped"}
    for name, seen in probes.items():
        assert seen == usual, name


def what_it_saw(folder: Path) -> list[str]:
    return sorted(line for line in (folder / "log.txt").read_text().splitlines() if line.startswith("seen:"))


def test_an_exchange_of_tokens_changes_nothing_but_the_bytes(tmp_path: Path) -> None:
    prepared, official = tmp_path / "prepared.bin", tmp_path / "official.bin"
    prepared.write_bytes(to_bytes(np.full(500, 7, dtype=np.uint16)))
    official.write_bytes(to_bytes(np.arange(2000, dtype=np.uint16)))  # a run of few steps is given a part of it
    os.utime(prepared, ns=(10**18, 10**18 + 7))
    prepared.chmod(0o444)
    given = tmp_path / "given.bin"
    os.link(prepared, given)
    before = given.stat()
    with given.open("rb") as opened:
        material.exchange(given, official)
        expected = to_bytes(np.arange(500, dtype=np.uint16))
        assert opened.read() == expected, "who has it open reads the new tokens"
    after = given.stat()
    assert [(s.st_ino, s.st_mode, s.st_size, s.st_mtime_ns) for s in (before, after)] == [
        (before.st_ino, before.st_mode, len(expected), 10**18 + 7)
    ] * 2
