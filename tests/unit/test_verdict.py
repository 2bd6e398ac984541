"""Each rule: what passes, what fails, what is inconclusive and what was never asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.catalog.tracks import load_track, ruleset_of
from harness.core.measurement import (
    Confinement,
    DataReceipt,
    Gpu,
    LogProblem,
    Machine,
    Metrics,
    Observed,
    RunLog,
    RunOutcome,
    ShardReceipt,
    TimedLine,
)
from harness.core.task import Manifest
from harness.evidence.contents import Evidence, LedgerExtract
from harness.verdict import CHECKS, judge

ROOT = Path(__file__).parents[2]
SMOKE = load_track(ROOT / "tracks", "smoke")
SHORT = load_track(ROOT / "tracks", "short")
SHA = "a" * 64
MACHINE = Machine((), None, "a CPU", 2, 1 << 34, "6.1", "3.11.7", "2.13.0", "f" * 64)
RECEIPT = DataReceipt(
    "synthetic", None, tuple(ShardReceipt(s.name, 0, s.tokens or 0, s.sha256 or "") for s in SMOKE.data.shards), True
)


def honest_lines(start: float = 4.0) -> tuple[TimedLine, ...]:
    """Two timed sections of 50 steps of 30 ms, with validations of 0.2 s; lines arrive 0.1 ms after they are printed."""
    lines = [TimedLine(9, "clock_start", None, None, start), TimedLine(10, "clock_stop", None, None, start)]
    lines += [TimedLine(11, "val", 0, 0.0, start + 0.2)]
    at, timed = start + 0.2, 0.0
    for section in (0, 1):
        lines.append(TimedLine(len(lines) + 9, "clock_start", None, None, at))
        for step in range(50 * section + 1, 50 * section + 51):
            at, timed = at + 0.03, timed + 0.03
            lines.append(TimedLine(len(lines) + 9, "train", step, timed, at + 0.0001, 30.0))
        lines.append(TimedLine(len(lines) + 9, "clock_stop", None, None, at + 0.0001))
        at += 0.2
        lines.append(TimedLine(len(lines) + 9, "val", 50 * section + 50, timed, at, 30.0))
    return tuple(lines)


def changed(index: int, **values: Any) -> tuple[TimedLine, ...]:
    """Honest lines, one of them changed."""
    lines = list(honest_lines())
    lines[index] = replace(lines[index], **values)
    return tuple(lines)


def moved(index: int, seconds: float) -> tuple[TimedLine, ...]:
    """Honest lines, one of which arrives earlier or later."""
    return changed(index, arrival_s=(honest_lines()[index].arrival_s or 0.0) + seconds)


def slowed(pace: float) -> tuple[TimedLine, ...]:
    """Honest lines with a clock that goes at another pace."""
    return tuple(
        line if line.train_time_s is None else replace(line, train_time_s=pace * line.train_time_s)
        for line in honest_lines()
    )


def a_run(number: int, loss: float = 2.85, **changes: Any) -> Metrics:
    """One honest run; changes go to its log where the log has such a field, else to the run."""
    log = replace(
        RunLog.nothing("log.txt"),
        dialect="M9-ms-2sep-triton",
        final_step=100,
        total_steps=100,
        final_val_loss=loss,
        has_final_val=True,
        script_sha256=SHA,
        seed=number,
        val_tokens=SMOKE.validation_tokens,
        world_size=2,
        torch="2.13.0+cpu",
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
        timed_lines=honest_lines(),
        log_sha256=f"{number:064x}",
        outcome=RunOutcome("finished", 0, 8.0),
        machine=MACHINE,
        data=RECEIPT,
        given_seed=log.seed,
    )
    return replace(
        run, **{k: v for k, v in changes.items() if k in Metrics.__dataclass_fields__ and k not in ("log", "seed")}
    )


def evidence(*runs: Metrics, ruleset: str = "smoke@1", **changes: Any) -> Evidence:
    track = SMOKE if ruleset.startswith("smoke") else SHORT
    ids = tuple(run.run_id for run in runs)
    ledger = LedgerExtract(ids, (), {run.run_id: run.log_sha256 or "" for run in runs})
    files = (("train_gpt.py", b'train_files = "data/smoke/smoke_train_*.bin"\n'),)
    whole = Evidence("a submission", track, ruleset_of(track, ruleset), runs, SHA, ledger=ledger, files=files)
    return replace(whole, **changes)


def outcomes(given_evidence: Evidence) -> dict[str, str]:
    return {finding.rule: finding.outcome for finding in judge(given_evidence).findings}


HONEST = (a_run(1, 2.85), a_run(2, 2.852), a_run(3, 2.848))


def test_honest_runs_pass_every_rule_that_applies() -> None:
    verdict = judge(evidence(*HONEST))
    assert verdict.outcome == "pass"
    never = {f.rule for f in verdict.findings if f.outcome == "not applicable"}
    scores, text = {"S4", "S5", "S6"}, {"R2", "R3", "R4"}
    steps = {"D5", "T8", "T9"}
    assert never == {"D4", "T6", "T7", "S3", "H1", "H2", "H3", "C1", "C2"} | scores | text | steps


LEDGER = LedgerExtract(("run-1", "run-2", "run-3"), (), {})
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
    "time that falls": (evidence(*HONEST, a_run(4, 2.85, timed_lines=changed(60, train_time_s=0.5))), "T1"),
    "a step while the clock stands": (
        evidence(*HONEST, a_run(4, 2.85, timed_lines=(*honest_lines(), TimedLine(200, "train", 101, 3.03, 9.0)))),
        "T3",
    ),
    "a clock that stops without a start": (
        evidence(*HONEST, a_run(4, 2.85, timed_lines=tuple(x for x in honest_lines() if x.kind != "clock_start"))),
        "T3",
    ),
    "a clock that runs slow": (evidence(*HONEST, a_run(4, 2.85, timed_lines=slowed(0.985))), "T4"),
    "a late start": (evidence(*HONEST, a_run(4, 2.85, timed_lines=moved(3, -0.03))), "T5"),
    "an early stop of the clock": (evidence(*HONEST, a_run(4, 2.85, timed_lines=moved(54, 0.06))), "T5"),
    "another seed than was given": (evidence(*HONEST, a_run(4, 2.85, given_seed=5)), "I4"),
    "another torch than is installed": (evidence(*HONEST, a_run(4, 2.85, torch="2.9.1")), "I4"),
    "a forbidden flag": (
        evidence(*HONEST, files=(("train_gpt.py", b"import torch\ntorch.compile(f, mode='max-autotune')\n"),)),
        "R1",
    ),
    "training on validation files": (
        evidence(*HONEST, files=(("train_gpt.py", b'train_files = "data/smoke/smoke_*.bin"\n'),)),
        "D3",
    ),
    "validation shard opened while the clock runs": (
        evidence(*HONEST, a_run(4, 2.85, observed=Observed(((4.5, "smoke_val_000000.bin"),), None, None, None))),
        "D4",
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
    "an edited file": (evidence(*HONEST, altered=("clock.csv of run-2 is not the one",)), "G2"),
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
H200 = tuple(Gpu("NVIDIA H200", 143771, 700.0) for _ in range(8))
GPU_LOG = {"gpu_name": "NVIDIA H100 80GB HBM3", "gpu_count": 8, "world_size": 8, "val_tokens": 10_485_760}


@pytest.mark.parametrize(
    ("changes", "rules"),
    [
        ({}, set()),
        ({"gpu_name": "NVIDIA H200", "machine": replace(MACHINE, gpus=H200)}, {"H1"}),
        ({"gpu_name": "NVIDIA H200"}, {"H1", "I4"}),
        ({"gpu_count": 4, "world_size": 4}, {"H1", "H2"}),
        ({"machine": replace(MACHINE, gpus=H100[:4])}, {"H1"}),
    ],
)
def test_times_count_on_the_tracks_hardware_only(changes: dict[str, Any], rules: set[str]) -> None:
    machine = {"machine": replace(MACHINE, gpus=H100), "data": None}
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
    assert losses(3.281) == losses(3.281, 3.2805) == "inconclusive"  # too few to say anything
    assert losses(3.2806, 3.2799, 3.2801) == "inconclusive"  # a mean above the target after some runs is luck
    assert losses(3.31, 3.312, 3.309) == "fail"  # without hope
    assert losses(3.31, 3.279, 3.278) == "inconclusive"  # one bad run


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
    elsewhere = {"H1", "H2", "T6", "T7"}  # tests of the timed tracks
    elsewhere |= {"C1", "C2"}  # tests of how a run was confined
    elsewhere |= {"R2", "R3", "R4"}  # tests/unit/test_program_text.py
    elsewhere |= {"S4", "S5", "S6"}  # tests of scored models
    elsewhere |= {"D5", "T8", "T9"}  # tests/unit/test_step_tokens.py, tests/unit/test_hidden_work.py
    never_fail = {"H3", "S3"}  # they block as inconclusive
    assert {check.rule for check in CHECKS} == {rule for _, rule in CHEATS.values()} | elsewhere | never_fail


# ------------------------------------------------------------------------------------------------ the timed tracks


def timed(*runs: Metrics, **changes: Any) -> Evidence:
    """Evidence for the short track by its newest rules."""
    return evidence(*runs, ruleset="short@3", **changes)


def gpu_run(number: int, loss: float = 3.275, **changes: Any) -> Metrics:
    machine = replace(MACHINE, gpus=H100)
    return a_run(number, loss + number / 1e4, **{**GPU_LOG, "machine": machine, **changes})


def with_gap(extra_s: float) -> tuple[TimedLine, ...]:
    """Honest lines whose second validation takes longer."""
    return tuple(
        replace(line, arrival_s=(line.arrival_s or 0.0) + (extra_s if index >= 55 else 0.0))
        for index, line in enumerate(honest_lines())
    )


def test_a_validation_gap_that_is_longer_in_one_run_fails() -> None:
    honest = [gpu_run(n) for n in range(1, 4)]
    assert outcomes(timed(*honest, gpu_run(4, timed_lines=with_gap(0.05))))["T6"] == "pass"
    assert outcomes(timed(*honest, gpu_run(4, timed_lines=with_gap(0.15))))["T6"] == "fail"


def test_gaps_that_are_longer_than_the_parents_in_all_runs_are_for_a_maintainer_to_explain() -> None:
    longer = [gpu_run(n, timed_lines=with_gap(0.4)) for n in range(1, 4)]
    assert outcomes(timed(*longer))["T6"] == "pass"
    assert outcomes(timed(*longer, baseline=(gpu_run(9),)))["T6"] == "inconclusive"
    # A record that validates half as often is no reason against a script: gap for gap they are alike.
    honest = [gpu_run(n) for n in range(1, 4)]
    lines = gpu_run(9).timed_lines
    starts = [index for index, line in enumerate(lines) if line.kind == "clock_start"]
    seldom = gpu_run(9, timed_lines=lines[: starts[len(starts) // 2]])
    assert len(starts) > 1
    assert outcomes(timed(*honest, baseline=(seldom,)))["T6"] == "pass"


def test_a_step_average_that_is_not_train_time_over_steps_fails() -> None:
    honest = [gpu_run(n) for n in range(1, 4)]
    assert outcomes(timed(*honest))["T7"] == "pass"
    assert outcomes(timed(*honest[1:], gpu_run(1, timed_lines=changed(-1, step_avg_ms=29.0))))["T7"] == "fail"


def test_throttling_is_inconclusive_and_so_is_missing_telemetry() -> None:
    def seen(throttling: tuple[str, ...] | None) -> str:
        observed = Observed((), None, throttling, None)
        return outcomes(timed(*[gpu_run(n, observed=observed) for n in range(1, 4)]))["H3"]

    assert seen(()) == "pass"
    assert seen(("thermal (hardware)",)) == "inconclusive"
    assert seen(None) == "inconclusive"


def test_a_systems_claim_needs_the_parents_runs_on_the_same_machine(tmp_path: Path) -> None:
    names = {"track": "short", "ruleset": "short@3", "title": "t", "contributors": ("@a",), "entry": "train_gpt.py"}
    manifest = Manifest(**names, parent="short/1", claim="systems")
    runs = [gpu_run(n, 3.2790 + n / 1e5) for n in range(1, 10)]
    alone = timed(*runs, manifest=manifest, claim="systems")
    assert outcomes(alone)["S1"] == "not applicable"
    assert outcomes(alone)["S3"] == "inconclusive"
    assert "needs the parent's runs on the same machine" in str(judge(alone).findings)
    parents = tuple(gpu_run(n + 20, 3.2768 + n / 1e5) for n in range(1, 10))
    assert outcomes(replace(alone, baseline=parents))["S3"] == "pass"
    better = tuple(gpu_run(n + 20, 3.2740 + n / 1e5) for n in range(1, 10))
    assert outcomes(replace(alone, baseline=better))["S3"] == "inconclusive"


def test_runs_that_were_added_after_the_declared_number_change_nothing() -> None:
    ids = tuple(f"run-{n}" for n in range(1, 7))
    runs = [a_run(n, loss) for n, loss in enumerate((2.94, 2.96, 2.93, 2.80, 2.80, 2.81), 1)]
    six = LedgerExtract(ids, (), {}, 6)
    assert outcomes(evidence(*runs, ledger=six))["S1"] == "fail"  # the spread is too wide
    runs = [a_run(n, loss) for n, loss in enumerate((2.945, 2.951, 2.947, 2.942, 2.941, 2.942), 1)]
    assert outcomes(evidence(*runs, ledger=six))["S1"] == "pass"
    ten = outcomes(evidence(*runs, ledger=LedgerExtract(ids, (), {}, 10)))
    assert ten["S1"] == "inconclusive"  # a look at six of ten, after which one could stop
    three = LedgerExtract(ids, (), {}, 3)
    assert outcomes(evidence(*runs, ledger=three))["S1"] == "fail"
    assert outcomes(evidence(*reversed(runs), ledger=three))["S1"] == "fail"  # the ledger's order counts


# ------------------------------------------------------------------------------------------------ how runs were confined


def confined_evidence(
    tier: str | None, *, tiers: tuple[str, ...] = ("bubblewrap", "landlock"), **outcome: object
) -> Evidence:
    """Honest runs of one tier (None: by an older harness), under a ruleset that asks for these tiers."""
    confinement = None if tier is None else Confinement(tier, "1", network=tier != "bubblewrap")  # type: ignore[arg-type]
    runs = tuple(
        replace(run, confinement=confinement, outcome=replace(RunOutcome("finished", 0, 8.0), **outcome))
        for run in HONEST
    )
    given_evidence = evidence(*runs)
    rules = replace(given_evidence.ruleset, tiers=tiers, evidence=(*given_evidence.ruleset.evidence, "confinement"))  # type: ignore[arg-type]
    return replace(given_evidence, ruleset=rules)


def outcome_of(given_evidence: Evidence, rule: str) -> str:
    return outcomes(given_evidence)[rule]


@pytest.mark.parametrize(
    ("tier", "outcome"), [("bubblewrap", "pass"), ("landlock", "pass"), ("none", "fail"), (None, "inconclusive")]
)
def test_runs_are_confined_by_a_tier_that_the_ruleset_accepts(tier: str | None, outcome: str) -> None:
    assert outcome_of(confined_evidence(tier), "C1") == outcome


def test_where_every_tier_is_accepted_the_finding_says_what_the_weakest_is_worth() -> None:
    judged = judge(confined_evidence("none", tiers=("bubblewrap", "landlock", "none")))
    [finding] = [finding for finding in judged.findings if finding.rule == "C1"]
    assert finding.outcome == "pass"
    assert "the script had the rights of whoever ran it" in finding.text


def test_a_run_with_the_network_where_none_is_allowed_fails() -> None:
    given_evidence = confined_evidence("bubblewrap")
    runs = tuple(replace(run, confinement=Confinement("bubblewrap", "1", network=True)) for run in given_evidence.runs)
    assert outcome_of(replace(given_evidence, runs=runs), "C1") == "fail"
    era = replace(given_evidence.ruleset, allowed=("downloads while running",))
    assert outcome_of(replace(given_evidence, runs=runs, ruleset=era), "C1") == "pass"


def test_what_a_run_leaves_behind_is_named() -> None:
    assert outcome_of(confined_evidence("landlock", left_bytes=0), "C2") == "pass"
    assert outcome_of(confined_evidence("landlock", left_bytes=200_000_000), "C2") == "inconclusive"
    assert outcome_of(confined_evidence("landlock", survivors=(4711,)), "C2") == "fail"
