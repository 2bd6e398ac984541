"""Each rule: what passes, what fails, what is inconclusive and what was never asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema import DataReceipt, Gpu, LogProblem, Machine, Metrics, RunLog, RunOutcome, ShardReceipt, TimedLine
from harness.track import load_track, ruleset_of
from harness.verdict import CHECKS, judge
from harness.verdict.base import Evidence, LedgerExtract

ROOT = Path(__file__).parents[2]
SMOKE = load_track(ROOT / "tracks", "smoke")
SHORT = load_track(ROOT / "tracks", "short")
SHA = "a" * 64
MACHINE = Machine((), None, "a CPU", 2, 1 << 34, "6.1", "3.11.7", "2.13.0", "f" * 64)
RECEIPT = DataReceipt(
    "synthetic", None, tuple(ShardReceipt(s.name, 0, s.tokens or 0, s.sha256 or "") for s in SMOKE.data.shards), True
)


def a_run(number: int, loss: float = 2.85, **changes: Any) -> Metrics:
    """One honest run; changes go to its log where the log has such a field, else to the run."""
    log = replace(
        RunLog.nothing("log.txt"),
        final_step=100,
        total_steps=100,
        final_val_loss=loss,
        has_final_val=True,
        script_sha256=SHA,
        seed=number,
        val_tokens=SMOKE.validation_tokens,
        world_size=2,
        curve=((0, 5.5, 0.0), (100, loss, 3.0 + number / 100)),
    )
    log = replace(log, **{k: v for k, v in changes.items() if k in RunLog.__dataclass_fields__ and k != "data"})
    run = Metrics(
        run_id=f"run-{number}",
        log=log,
        seed=log.seed,
        step=log.final_step,
        val_loss=log.final_val_loss,
        train_time_s=3.0,
        wall_time_s=8.0,
        timed_lines=(TimedLine(9, "val", 0, 0.0, 4.0), TimedLine(99, "val", 100, 3.0, 7.5)),
        log_sha256=f"{number:064x}",
        outcome=RunOutcome("finished", 0, 8.0),
        machine=MACHINE,
        data=RECEIPT,
    )
    return replace(
        run, **{k: v for k, v in changes.items() if k in Metrics.__dataclass_fields__ and k not in ("log", "seed")}
    )


def evidence(*runs: Metrics, ruleset: str = "smoke@1", **changes: Any) -> Evidence:
    track = SMOKE if ruleset.startswith("smoke") else SHORT
    ids = tuple(run.run_id for run in runs)
    ledger = LedgerExtract(ids, (), dict.fromkeys(ids, "finished"), {run.run_id: run.log_sha256 or "" for run in runs})
    whole = Evidence("a submission", track, ruleset_of(track, ruleset), runs, b"", SHA, ledger=ledger)
    return replace(whole, **changes)


def outcomes(given_evidence: Evidence) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in judge(given_evidence).findings}


HONEST = (a_run(1, 2.85), a_run(2, 2.852), a_run(3, 2.848))


def test_honest_runs_pass_every_rule_that_applies() -> None:
    verdict = judge(evidence(*HONEST))
    assert verdict.outcome == "pass"
    assert {f.rule for f in verdict.findings if f.outcome == "not applicable"} == {"H1", "H2"}


LEDGER = LedgerExtract(("run-1", "run-2", "run-3"), (), {}, {})
# What is wrong, and the one rule that must fail.
CHEATS: dict[str, tuple[Evidence, str]] = {
    "another source": (evidence(*HONEST[:2], a_run(3, 2.848, script_sha256="b" * 64)), "I1"),
    "the same log twice": (evidence(*HONEST[:2], a_run(3, 2.848, log_sha256=f"{1:064x}")), "I2"),
    "the same seed twice": (evidence(*HONEST[:2], a_run(3, 2.848, seed=2)), "I2"),
    "the same curve twice": (evidence(*HONEST, a_run(4, 2.85, curve=HONEST[0].log.curve)), "I2"),
    "an override": (evidence(*HONEST[:2], a_run(3, 2.848, overrides=("num_iterations=200",))), "I3"),
    "a crash": (evidence(*HONEST, a_run(4, 2.85, outcome=RunOutcome("failed", 1, 8.0, "exit code 1"))), "L1"),
    "NaN": (evidence(*HONEST, a_run(4, 2.85, problems=(LogProblem("non-finite-loss", 7, "val_loss:nan"),))), "L2"),
    "two runs in a log": (evidence(*HONEST, a_run(4, 2.85, n_runs=2)), "L2"),
    "an early stop": (evidence(*HONEST, a_run(4, 2.85, final_step=90)), "L3"),
    "no last validation": (evidence(*HONEST, a_run(4, 2.85, has_final_val=False)), "L3"),
    "other numbers of steps": (evidence(*HONEST, a_run(4, 2.85, final_step=90, total_steps=90)), "L3"),
    "fewer validation tokens": (evidence(*HONEST, a_run(4, 2.85, val_tokens=65536)), "D1"),
    "another shard": (
        evidence(*HONEST, a_run(4, 2.85, data=replace(RECEIPT, shards=(replace(RECEIPT.shards[0], sha256="0" * 64),)))),
        "D2",
    ),
    "shards that changed": (evidence(*HONEST, a_run(4, 2.85, data=replace(RECEIPT, unchanged=False))), "D2"),
    "time that falls": (
        evidence(*HONEST, a_run(4, 2.85, timed_lines=(TimedLine(1, "val", 50, 2.0), TimedLine(2, "val", 60, 1.0)))),
        "T1",
    ),
    "more time than passed": (evidence(*HONEST, a_run(4, 2.85, train_time_s=9.0)), "T2"),
    "a mean above the target": (evidence(a_run(1, 2.96), a_run(2, 2.97), a_run(3, 2.98)), "S1"),
    "too wide a spread": (evidence(a_run(1, 2.80), a_run(2, 2.94), a_run(3, 3.05)), "S1"),
    "an impossible loss": (evidence(a_run(1, 2.70), a_run(2, 2.701), a_run(3, 2.702)), "S2"),
    "a broken chain": (evidence(*HONEST, ledger=replace(LEDGER, problems=("ledger.jsonl:3 does not follow",))), "G1"),
    "a dropped run": (
        evidence(*HONEST[:2], HONEST[2], ledger=replace(LEDGER, runs_started=(*LEDGER.runs_started, "run-0"))),
        "G2",
    ),
    "a run from nowhere": (evidence(*HONEST, ledger=replace(LEDGER, runs_started=("run-1", "run-2"))), "G2"),
    "an edited log": (evidence(*HONEST, ledger=replace(LEDGER, log_hashes={"run-2": "0" * 64})), "G2"),
}


@pytest.mark.parametrize("cheat", CHEATS)
def test_each_trick_fails_its_own_rule_and_no_other(cheat: str) -> None:
    given_evidence, rule = CHEATS[cheat]
    verdict = judge(given_evidence)
    assert verdict.outcome == "fail"
    assert [f.rule for f in verdict.findings if f.outcome == "fail"] == [rule]
    [finding] = [f for f in verdict.findings if f.rule == rule]
    assert len(finding.text) > 20


H100 = tuple(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0) for _ in range(8))
GPU_LOG = {"gpu_name": "NVIDIA H100 80GB HBM3", "gpu_count": 8, "world_size": 8, "val_tokens": 10_485_760}


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, set()),
        ({"gpu_name": "NVIDIA H200"}, {"H1"}),
        ({"gpu_count": 4, "world_size": 4}, {"H1", "H2"}),
        ({"machine": replace(MACHINE, gpus=H100[:4])}, {"H1"}),
    ],
)
def test_times_count_on_the_tracks_hardware_only(changes: dict[str, Any], rules: set[str]) -> None:
    machine = {"machine": replace(MACHINE, gpus=H100)}
    runs = [a_run(n, 3.277 + n / 1e4, **{**GPU_LOG, **machine, **changes}) for n in range(1, 5)]
    found = outcomes(evidence(*runs, ruleset="short@2"))
    assert {rule for rule, outcome in found.items() if outcome == "fail"} == rules


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"script_sha256": None}, "I1"),
        ({"seed": None}, "I2"),
        ({"outcome": None}, "L1"),
        ({"val_tokens": None}, "D1"),
        ({"data": None}, "D2"),
        ({"wall_time_s": None}, "T2"),
    ],
)
def test_missing_evidence_is_inconclusive_where_it_is_required_and_not_applicable_where_not(
    changes: dict[str, Any], rule: str
) -> None:
    assert outcomes(evidence(*HONEST[:2], a_run(3, 2.848, **changes)))[rule] == "inconclusive"
    runs = [a_run(n, 3.277 + n / 1e4, **{**GPU_LOG, **changes}) for n in range(1, 5)]
    assert outcomes(evidence(*runs, ruleset="short@2"))[rule] in ("not applicable", "pass")


def test_no_ledger_and_no_run_are_inconclusive_never_pass() -> None:
    assert outcomes(evidence(*HONEST, ledger=None))["G1"] == "inconclusive"
    assert judge(evidence()).outcome == "inconclusive"


def test_one_or_two_runs_decide_nothing() -> None:
    assert outcomes(evidence(*HONEST[:1]))["S1"] == "inconclusive"
    assert outcomes(evidence(*HONEST[:2]))["S1"] == "inconclusive"


def test_the_sequential_rule_decides_at_the_first_bound_that_is_reached() -> None:
    def losses(*values: float) -> str:
        runs = [a_run(n, value, **GPU_LOG) for n, value in enumerate(values, 1)]
        return outcomes(evidence(*runs, ruleset="short@3"))["S1"]

    assert losses(3.274, 3.275, 3.276) == "pass"  # Σ = 0.015 ≥ 9.6 · 0.0014
    assert losses(3.2787, 3.2787, 3.2788) == "inconclusive"
    assert losses(*[3.2799 + (n % 3) / 1e5 for n in range(40)]) == "fail"
    assert losses(3.281, 3.2805) == "fail"


@settings(max_examples=60, deadline=None)
@given(order=st.permutations(range(4)), rule=st.sampled_from(sorted(CHEATS)))
def test_the_order_of_the_runs_changes_no_verdict(order: list[int], rule: str) -> None:
    given_evidence, _ = CHEATS[rule]
    runs = [given_evidence.runs[index] for index in order if index < len(given_evidence.runs)]
    assert judge(replace(given_evidence, runs=tuple(runs))).outcome == judge(given_evidence).outcome


@settings(max_examples=60, deadline=None)
@given(loss=st.floats(2.951, 9.0), rule=st.sampled_from(sorted(CHEATS)))
def test_adding_a_failing_run_never_turns_fail_into_pass(loss: float, rule: str) -> None:
    given_evidence, _ = CHEATS[rule]
    more = replace(given_evidence, runs=(*given_evidence.runs, a_run(99, loss)))
    assert judge(more).outcome != "pass"


@settings(max_examples=150, deadline=None)
@given(
    field=st.sampled_from(["outcome", "machine", "data", "wall_time_s", "log_sha256"]),
    rule=st.sampled_from(sorted(CHEATS)),
)
def test_taking_evidence_away_never_makes_a_pass(field: str, rule: str) -> None:
    given_evidence, _ = CHEATS[rule]
    runs = tuple(replace(run, **{field: None}) for run in given_evidence.runs)
    assert judge(replace(given_evidence, runs=runs)).outcome != "pass"


def test_every_rule_has_been_seen_to_fail() -> None:
    assert {check.rule for check in CHECKS} == {rule for _, rule in CHEATS.values()} | {"H1", "H2"}
