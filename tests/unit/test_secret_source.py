"""A source that nobody knows before the series starts: drawn, offered, drawn again by the judge, and judged by distance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.core import markov_source, secret_source
from harness.core.judgement import Finding
from harness.core.measurement import DataReceipt, Drawn
from harness.core.task import Track
from harness.dataset import prepared
from harness.dataset.shard import read_tokens
from harness.run import execution
from harness.store import run_files
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.verdict import judge
from tests.cheats.gallery import HONEST, eight_h100, make_project, the_case
from tests.unit.test_ending import Pretended
from tests.unit.test_verdict import RECEIPT, SMOKE, a_run, evidence

ABOVE = next(ruleset.above_entropy for ruleset in SMOKE.rulesets if ruleset.id == "smoke@2")
SMALL = replace(SMOKE, validation_tokens=4096, data=replace(SMOKE.data, shard_tokens=16384))


def test_a_varied_source_has_the_entropy_that_its_seed_says_and_the_same_bytes_every_time() -> None:
    sources = [markov_source.make_source(seed, varied=True) for seed in (1, 2, 1)]
    rates = [markov_source.entropy_rate(source.mixed) for source in sources]
    assert rates[0] == rates[2] != rates[1]
    assert all(2.7291 <= rate <= 2.9455 for rate in rates)
    assert not (sources[0].permutations == sources[1].permutations).all()
    tokens = markov_source.draw(sources[0], 1 << 18, 5)
    assert markov_source.oracle_loss(sources[0], tokens) == pytest.approx(rates[0], abs=0.02)
    assert (tokens == markov_source.draw(sources[2], 1 << 18, 5)).all()
    assert markov_source.oracle_loss(markov_source.make_source(1), tokens) > rates[0] + 0.01, (
        "its tables alone do not tell it"
    )


def test_whoever_has_the_receipt_draws_the_same_shards_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths, receipt = prepared.write_secret_shards(secret_source.draw_track(SMALL))
    assert [path.name for path in paths] == [shard.name for shard in receipt.shards]
    assert [sha256_file(path) for path in paths] == [shard.sha256 for shard in receipt.shards]
    assert str(receipt.seed) not in str(paths[0]), "nor does its place tell the seed"
    drawn = secret_source.draw_again(SMALL, receipt)
    assert drawn is not None and drawn.shards == receipt.shards
    source = markov_source.make_source(receipt.seed or 0, varied=True)
    assert drawn.oracle_loss == markov_source.oracle_loss(source, read_tokens(paths[0])[:4097])
    other = prepared.write_secret_shards(secret_source.draw_track(SMALL))[1]
    assert other.seed != receipt.seed and other.shards != receipt.shards
    assert secret_source.draw_again(SMALL, replace(receipt, seed=None)) is None
    assert secret_source.draw_again(SMALL, replace(receipt, seed=1 << 62)) is None, "a forged one costs nothing"
    prepared.discard(paths[0].parent)
    assert not paths[0].exists()


def test_a_run_is_given_the_secret_source_and_no_word_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project: Project = make_project(tmp_path, HONEST)
    subject = the_case(project)
    subject = replace(subject, ruleset=replace(subject.ruleset, above_entropy=0.1))
    ready = execution.prepare(subject, eight_h100())
    seen: dict[str, str] = {}

    def look(folder: Path) -> None:
        for path in sorted((folder / "work" / subject.track.data.folder).iterdir()):
            seen[path.name] = sha256_file(path)

    run_id = run_files.new_run_id(subject.script_sha256)
    outcome = execution.execute(project, ready, run_id, "s", Pretended(look), lambda line: None)
    assert outcome.state == "finished"
    file = run_files.read_run_file(project.runs / run_id)
    assert file.data.unchanged is True and file.data.seed is not None
    assert seen == {shard.name: shard.sha256 for shard in file.data.shards}
    public = {shard.name: shard.sha256 for shard in subject.track.data.shards}
    assert seen.keys() == public.keys() and seen != public
    told = [path for path in (project.runs / run_id / "work").rglob("*") if str(file.data.seed) in path.name]
    assert told == [] and str(file.data.seed) not in project.ledger.read_text()
    end = json.loads(project.ledger.read_text().splitlines()[-1])
    assert end["files"]["run.json"] == sha256_file(project.runs / run_id / "run.json"), "the ledger commits to it"


# ------------------------------------------------------------------------------------------------ judged


def drawn(oracle: float, seed: int) -> tuple[DataReceipt, Drawn]:
    return replace(RECEIPT, seed=seed), Drawn(oracle, RECEIPT.shards)


def findings(*losses: tuple[float, float], **changes: object) -> dict[str, Finding]:
    """Judge runs under smoke@2, each by its loss and the entropy of its source."""
    runs = []
    for number, (loss, oracle) in enumerate(losses, start=1):
        receipt, source = drawn(oracle, round(1000 * oracle))
        given = {"drawn": source} | changes
        runs.append(replace(a_run(number, loss, data=receipt), **given))  # type: ignore[arg-type]
    return {finding.rule: finding for finding in judge(evidence(*runs, ruleset="smoke@2")).findings}


def test_the_target_is_a_distance_to_the_entropy_of_each_source() -> None:
    assert ABOVE is not None
    near = [(oracle + ABOVE - 0.02 + off, oracle) for oracle, off in ((2.73, 0.0), (2.73, 0.001), (2.9, 0.002))]
    found = findings(*near)
    assert found["S1"].outcome == "pass" and "mean distance to the entropy" in found["S1"].text
    assert found["S2"].outcome == found["D2"].outcome == "pass" and "2 secret sources" in found["D2"].text
    above = findings(*[(loss + 0.03, oracle) for loss, oracle in near])
    assert above["S1"].outcome == "fail"


def test_a_loss_that_suits_another_source_is_impossible_on_this_one() -> None:
    assert findings((2.80, 2.9), (2.801, 2.9), (2.802, 2.9))["S2"].outcome == "fail"
    assert findings((2.80, 2.73), (2.801, 2.73), (2.802, 2.73))["S2"].outcome == "pass"


def test_other_shards_than_the_seed_gives_fail_and_a_run_without_a_seed_stays_open() -> None:
    one, *rest = RECEIPT.shards
    wrong = Drawn(2.73, (replace(one, sha256="b" * 64), *rest))
    found = findings((2.8, 2.73), (2.801, 2.73), (2.802, 2.73), drawn=wrong)
    assert found["D2"].outcome == "fail" and "other shards than the seed" in found["D2"].text
    found = findings((2.8, 2.73), (2.801, 2.73), (2.802, 2.73), drawn=None)
    assert [found[rule].outcome for rule in ("D2", "S1", "S2")] == ["inconclusive"] * 3


def test_the_ruleset_of_the_records_stays_on_the_public_source() -> None:
    track: Track = SMOKE
    assert [ruleset.above_entropy for ruleset in track.rulesets] == [None, ABOVE]
    found = {f.rule: f for f in judge(evidence(a_run(1), a_run(2, 2.851), a_run(3, 2.852))).findings}
    assert found["S1"].outcome == "pass" and "mean val_loss 2.8510" in found["S1"].text


def test_one_run_whose_source_is_unknown_leaves_open_what_the_losses_mean() -> None:
    def s2(*distances: float | None) -> str:
        runs = []
        for number, distance in enumerate(distances, start=1):
            receipt, source = drawn(2.73, 2730)
            known = a_run(number, 2.73 + (distance or 0.1), data=receipt)
            runs.append(replace(known, drawn=None if distance is None else source))
        found = {finding.rule: finding for finding in judge(evidence(*runs, ruleset="smoke@2")).findings}
        return found["S2"].outcome

    assert s2(0.10, 0.11, 0.12) == "pass"
    assert s2(0.10, None, 0.12) == "inconclusive"
    assert s2(-0.10, None, 0.12) == "fail", "what is known to be impossible stays so"
