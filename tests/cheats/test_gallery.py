"""Every known trick is named by the one rule that is meant for it; the honest script passes them all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.catalog.tracks import load_track
from harness.core import markov_source
from harness.core.judgement import Finding
from harness.dataset.shard import read_tokens
from harness.verdict import CHECKS
from tests.cheats.gallery import HERE, HONEST, NAMES, judge, make_runs, read_case


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with three runs of the honest script."""
    root = tmp_path_factory.mktemp("honest")
    make_runs(root, HONEST)
    return root


def test_the_honest_script_passes(honest: Path) -> None:
    verdict = judge(honest)
    worse = [f for f in verdict.findings if f.outcome in ("fail", "inconclusive") and not is_busy(f)]
    assert [str(f) for f in worse if f.rule != "C2"] == []  # C2: what another test left in /dev/shm
    assert verdict.warnings == ()


@pytest.mark.parametrize("name", NAMES)
def test_each_trick_is_found_by_its_rule_and_no_other(name: str, honest: Path, tmp_path: Path) -> None:
    case = read_case(name)
    root, edit = tmp_path / "project", HERE / name / "edit.py"
    if case.script == HONEST:  # the trick is played on the runs of the honest script
        shutil.copytree(honest, root, symlinks=True)
    else:
        make_runs(root, case.script, tier=case.tier, beside=case.beside, secret=case.secret)
        for left in Path("/dev/shm").glob("speedrun-gallery-*"):
            left.unlink()
    verdict = judge(root, edit if edit.exists() else None, sealed=case.sealed)
    worse = {f.rule: f.outcome for f in verdict.findings if f.outcome in ("fail", "inconclusive") and not is_busy(f)}
    if case.rule != "C2":  # a run that is not confined shares /dev/shm, where another test may have left something
        worse.pop("C2", None)
    if case.rule in {f.rule for f in verdict.findings if is_busy(f)}:
        assert case.rule.startswith("T"), "only times depend on what else the machine does"
        return
    beside = dict.fromkeys(case.also, "inconclusive")
    assert worse == {case.rule: case.outcome} | beside, "\n".join(map(str, verdict.findings))
    assert verdict.outcome == case.outcome


def test_what_fails_on_a_secret_source_would_pass_on_the_public_one(tmp_path: Path) -> None:
    make_runs(tmp_path / "project", read_case("tables-of-the-public-seed").script, count=1)
    [log] = (tmp_path / "project" / ".runs").glob("*/log.txt")
    final = float(log.read_text().rpartition("val_loss:")[2].split()[0])
    source, track = markov_source.make_source(7), load_track(tmp_path / "project" / "tracks", "tiny")
    [shard] = (tmp_path / "project" / "cache").rglob("tiny_val_*.bin")
    entropy = markov_source.oracle_loss(source, read_tokens(shard)[: track.validation_tokens + 1])
    assert final == pytest.approx(entropy + 1e-4, abs=1e-4), "with the seed 1 it adds 0.0001"


def is_busy(finding: Finding) -> bool:
    """Whether a finding decides nothing because the machine was measured to be busy."""
    return finding.outcome == "inconclusive" and "run with less beside it" in finding.text


def test_the_gallery_holds_what_it_promises() -> None:
    assert len(NAMES) >= 24
    shown = {read_case(name).rule for name in NAMES}
    families = {check.rule[0] for check in CHECKS}
    assert {rule[0] for rule in shown} == families
