"""The error rates that the README claims, by seeded simulation of the rules as they are implemented.

Figures of the rules were worked out with more repetitions; here every rate is held against its bound plus three
standard errors of the simulation.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from harness.catalog.tracks import load_track, ruleset_of
from harness.core import stats
from harness.core.measurement import RunLog
from harness.evidence.contents import Evidence, LedgerExtract
from harness.evidence.metrics import from_log
from harness.verdict.statistics import HOPELESS, below_target, of_scripts, stricter, ways
from tests.unit.test_verdict import ROOT

RULE = ruleset_of(load_track(ROOT / "tracks", "short"), "short@3").significance
FLOOR = RULE.sigma_floor or 0.0
LAST = RULE.bounds[-1][1]
SAMPLES = 2000
LOG = RunLog.nothing("log.txt")


def rate(mean: float, sigma: float, *, tails: bool = False, upto: int = LAST, seed: int = 1) -> tuple[float, float]:
    """Share of sequences that the sequential rule accepts within `upto` runs, and the mean number of runs of them."""
    random = np.random.default_rng(seed)
    draws = random.standard_t(4, (SAMPLES, upto)) / math.sqrt(2) if tails else random.standard_normal((SAMPLES, upto))
    taken = []
    for row in mean + sigma * draws:
        n = stats.sequential([float(value) for value in row], 3.28, FLOOR, RULE.bounds)
        if n is not None:
            taken.append(n)
    return len(taken) / SAMPLES, sum(taken) / max(1, len(taken))


def bound(p: float) -> float:
    """p plus three standard errors of the simulation."""
    return p + 3 * math.sqrt(p * (1 - p) / SAMPLES)


@pytest.mark.parametrize(("sigma", "claimed"), [(0.0010, 0.0005), (0.0013, 0.0064), (0.0014, 0.0100), (0.0016, 0.018)])
def test_a_mean_at_the_target_is_accepted_no_more_often_than_claimed(sigma: float, claimed: float) -> None:
    accepted, _ = rate(3.28, sigma)
    assert accepted <= bound(claimed)


def test_heavy_tails_do_not_break_the_rule() -> None:
    accepted, _ = rate(3.28, 0.0014, tails=True)
    assert accepted <= bound(0.010)


def test_a_mean_above_the_target_is_never_accepted() -> None:
    assert rate(3.2810, 0.0013)[0] <= bound(0.0005)


@pytest.mark.parametrize(("mean", "power", "runs"), [(3.2787, 0.999, 12.5), (3.2780, 0.999, 7.7), (3.2790, 0.96, 18.9)])
def test_a_mean_below_the_target_is_accepted_as_often_and_as_soon_as_claimed(
    mean: float, power: float, runs: float
) -> None:
    accepted, taken = rate(mean, 0.0013)
    assert accepted >= power - 3 * math.sqrt(power * (1 - power) / SAMPLES) - 0.002
    assert taken == pytest.approx(runs, rel=0.08)


def test_a_script_below_the_target_is_not_stopped_by_noise_while_somebody_looks() -> None:
    random = np.random.default_rng(4)
    track = load_track(ROOT / "tracks", "short")
    base = Evidence("s", track, ruleset_of(track, "short@3"), ())
    ends = {"pass": 0, "fail": 0, "inconclusive": 0}
    for row in 3.2787 + 0.0013 * random.standard_normal((400, LAST)):
        outcome = "inconclusive"
        for n in range(1, LAST + 1):
            runs = tuple(
                from_log(f"run-{k}", dataclasses.replace(LOG, final_val_loss=float(x))) for k, x in enumerate(row[:n])
            )
            outcome = below_target(dataclasses.replace(base, runs=runs)).outcome
            if outcome != "inconclusive":
                break
        ends[outcome] += 1
    assert ends["pass"] / 400 >= 0.999 - 3 * math.sqrt(0.999 * 0.001 / 400)


def test_stopping_a_declared_t_test_early_is_no_way_to_pass() -> None:
    track = load_track(ROOT / "tracks", "smoke")
    lucky = tuple(from_log(f"run-{k}", dataclasses.replace(LOG, final_val_loss=2.8 + k / 1e3)) for k in range(3))
    ids = tuple(run.run_id for run in lucky)
    given = Evidence("s", track, ruleset_of(track, "smoke@1"), lucky, ledger=LedgerExtract(ids, (), {}, 40))
    ruling = below_target(given)
    assert (ruling.outcome, ruling.more_runs) == ("inconclusive", 37)


@pytest.mark.parametrize("cut", [3.2790, 3.2800, 3.2810])
def test_breaking_off_what_looks_bad_gains_nothing(cut: float) -> None:
    """Somebody who foresees every loss exactly breaks off all runs above the cut, and looks after every run."""
    random = np.random.default_rng(6)
    sequential = fixed = 0
    bad = 3.28 + HOPELESS * FLOOR
    for row in 3.28 + 0.0013 * random.standard_normal((SAMPLES, LAST)):
        shown = [float(loss) if loss < cut else bad for loss in row]
        sequential += stats.sequential(shown, 3.28, FLOOR, RULE.bounds) is not None
        kept = [float(loss) for loss in row if loss < cut][:3]
        aborted = next((k for k in range(LAST) if sum(row[: k + 1] < cut) == 3), LAST) - 2
        fixed += len(kept) == 3 and stats.t_below(kept, 3.28) < 0.01 / ways(3, aborted)
    assert sequential / SAMPLES <= bound(0.010)
    assert fixed / SAMPLES <= bound(0.013)


def tried_before(scripts: int, losses: list[float], track: str = "short", ruleset: str = "short@3") -> Evidence:
    """Runs with these losses, of a script whose folder held others before."""
    judged_by = load_track(ROOT / "tracks", track)
    runs = tuple(from_log(f"run-{k}", dataclasses.replace(LOG, final_val_loss=x)) for k, x in enumerate(losses))
    ids = tuple(run.run_id for run in runs)
    extract = LedgerExtract(ids, (), {}, len(ids), scripts_before=scripts)
    return Evidence("s", judged_by, ruleset_of(judged_by, ruleset), runs, ledger=extract)


@pytest.mark.parametrize(("scripts", "level"), [(0, 0.01), (1, 0.0025), (2, 0.01 / 9)])
def test_the_sequential_rule_is_stricter_for_every_other_script_of_the_folder(scripts: int, level: float) -> None:
    factor = stricter(tried_before(scripts, []))
    bounds = tuple((first, last, bound * factor) for first, last, bound in RULE.bounds)
    random = np.random.default_rng(7)
    rows = 3.28 + 0.0014 * random.standard_normal((SAMPLES, LAST))
    accepted = sum(stats.sequential([float(x) for x in row], 3.28, FLOOR, bounds) is not None for row in rows)
    assert accepted / SAMPLES <= bound(level)


def test_the_bound_of_the_closed_form_divides_its_level_by_at_least_as_much() -> None:
    spread, margin = 0.0013, 0.004  # of the losses, and what the ruleset asks for
    for scripts in range(1, 30):
        factor = stricter(tried_before(scripts, [], "optimization", "optimization@1"))
        tail = [0.5 * math.erfc(z / spread / math.sqrt(2)) for z in (margin, margin * factor)]
        assert tail[1] <= tail[0] / of_scripts(scripts)


def test_a_forged_number_of_aborted_runs_is_no_overflow() -> None:
    for runs, aborted in ((3, 40_000), (200, 40_000)):
        divided = 0.01 / (ways(runs, aborted) * ways(runs, aborted) * of_scripts(40_000))
        assert 0.0 < divided < 1e-12


def test_trying_scripts_until_one_passes_is_bounded_however_often_somebody_tries() -> None:
    assert [of_scripts(others) for others in (0, 1, 2, 3)] == [1, 4, 9, 16]
    assert sum(0.01 / of_scripts(others) for others in range(100_000)) < 0.0165


@pytest.mark.parametrize(("ruleset", "below"), [("smoke@1", 0.004), ("short@3", 0.0046), ("optimization@1", 0.0024)])
def test_every_test_of_the_loss_says_that_other_scripts_were_tried(ruleset: str, below: float) -> None:
    track = ruleset.partition("@")[0]
    target = load_track(ROOT / "tracks", track).target_loss
    losses = [target - below, target - below + 0.0006, target - below - 0.0006]
    alone, third = (below_target(tried_before(others, losses, track, ruleset)) for others in (0, 3))
    assert alone.outcome == "pass", alone.text
    assert third.outcome != "pass" and "3 other scripts of this folder" in third.text


def test_looking_after_every_run_breaks_a_t_test_and_a_declared_number_of_runs_mends_it() -> None:
    random = np.random.default_rng(3)
    peeked = fixed = 0
    for _ in range(SAMPLES):
        losses = [float(value) for value in 2.95 + 0.002 * random.standard_normal(10)]
        peeked += any(stats.t_below(losses[:n], 2.95) < 0.01 for n in range(3, 11))
        fixed += stats.t_below(losses[:3], 2.95) < 0.01
    assert peeked / SAMPLES > 0.025  # a look after every run
    assert fixed / SAMPLES <= bound(0.010)  # the runs that were declared


def test_non_inferiority_keeps_its_level_and_has_its_power() -> None:
    random = np.random.default_rng(5)

    def passed(shift: float) -> float:
        count = 0
        for _ in range(SAMPLES):
            first, second = (
                3.279 + shift + 0.0013 * random.standard_normal(9),
                3.279 + 0.0013 * random.standard_normal(9),
            )
            count += stats.not_worse([float(v) for v in first], [float(v) for v in second], 0.002) < 0.05
        return count / SAMPLES

    assert passed(0.002) <= bound(0.05)
    assert passed(0.0) >= 0.85


def test_the_forecast_of_further_runs_is_what_it_then_takes() -> None:
    losses = [3.2790, 3.2793, 3.2785]
    more = stats.more_runs(losses, 3.28, FLOOR, RULE.bounds)
    assert more is not None
    mean = stats.mean(losses)
    steady = [mean + 0.0014 * (-1) ** n for n in range(len(losses) + more + 2)]
    decided = stats.sequential(steady, 3.28, FLOOR, RULE.bounds)
    assert decided is not None
    assert abs(decided - len(losses) - more) <= 2
    assert stats.more_runs([3.281, 3.282], 3.28, FLOOR, RULE.bounds) is None
