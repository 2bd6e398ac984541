"""The comparison's mathematics: the fits, outliers, and the rule; test_error_rates.py holds the rates that it claims."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections import Counter

import pytest

from harness.compare import carryover, pairs, trend
from harness.compare.analysis import FIRST_ANALYSIS, Analysis
from harness.compare.pairs import BOUNDS, OUTLIER_LIMIT, Rule
from harness.core import regression

SEQUENTIAL = Rule(16, BOUNDS[16])
FIRST_METHOD = Rule(16, BOUNDS[16], method=1)
SPREAD = 0.0008  # of one run's log seconds, as on a quiet 8-GPU host
GAIN_S = 75.0  # seconds of a run that gains are taken of


def coins(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(("ABBA", "BAAB")) for _ in range(-(-count // 2)))[: 2 * count]


def times(
    rng: random.Random,
    arms: str,
    *,
    beta: float = 0.0,
    drift: float = 0.0,
    outliers: float = 0.0,
    spread: float = SPREAD,
    left: dict[str, float] | None = None,
) -> list[float]:
    """Seconds of a run sequence: noise, a gain of B, a linear drift, and outliers of 0.5 to 5 % above.

    left: what a run adds to the next one, by the arms of both: {"BA": 0.01} slows down A after B.
    """
    made = []
    for k, arm in enumerate(arms):
        y = rng.gauss(0, spread) + drift * k + (beta if arm == "B" else 0.0)
        y += (left or {}).get(arms[max(0, k - 1) : k + 1], 0.0)
        if rng.random() < outliers:
            y += rng.uniform(0.005, 0.05)
        made.append(GAIN_S * math.exp(y))
    return made


def analyse(made: list[float], arms: str) -> Analysis:
    return carryover.analyse(made, arms, OUTLIER_LIMIT)


# ------------------------------------------------------------------------------------------ the first method


def deviations(logs: list[float], arms: str, beta: float, mu: float, gamma: float) -> float:
    return sum(abs(y - mu - gamma * k - (beta if arms[k] == "B" else 0.0)) for k, y in enumerate(logs))


@pytest.mark.parametrize("seed", range(12))
def test_the_robust_fit_is_the_best_of_all_planes_through_three_runs(seed: int) -> None:
    """A least-deviations fit with three unknowns passes through three points, so trying all triples is exact."""
    rng = random.Random(seed)
    arms = coins(rng, 4 + seed % 3)
    logs = [rng.choice((0.0, 0.001, 0.002, 0.02)) if seed % 2 else rng.gauss(0, 0.01) for _ in arms]
    best = math.inf
    for three in itertools.combinations(range(len(arms)), 3):
        first, second = next(p for p in itertools.combinations(three, 2) if arms[p[0]] == arms[p[1]])
        gamma = (logs[second] - logs[first]) / (second - first)
        [third] = set(three) - {first, second}
        level = {arms[first]: logs[first] - gamma * first}
        if arms[third] == arms[first]:
            continue  # three runs of one arm say nothing about the other
        level[arms[third]] = logs[third] - gamma * third
        best = min(best, deviations(logs, arms, level["B"] - level["A"], level["A"], gamma))
    found = sum(map(abs, trend.least_deviations(logs, arms)))
    assert found == pytest.approx(best, abs=1e-12)


def test_the_robust_fit_takes_out_gain_and_trend_exactly() -> None:
    arms = "ABBABAAB"
    logs = [4.0 + 0.001 * k - (0.01 if arm == "B" else 0.0) for k, arm in enumerate(arms)]
    logs[4] += 0.03
    residuals = trend.least_deviations(logs, arms)
    assert residuals == pytest.approx([0, 0, 0, 0, 0.03, 0, 0, 0], abs=1e-12)


def test_least_squares_is_that_of_the_normal_equations() -> None:
    np = pytest.importorskip("numpy")
    rng = random.Random(3)
    arms = coins(rng, 8)
    logs = [math.log(t) for t in times(rng, arms, beta=-0.002, drift=1e-4)]
    kept = [k for k in range(16) if k not in (2, 11)]
    fit = trend.least_squares([logs[k] for k in kept], arms, kept)
    assert fit is not None
    design = np.array([[1.0, arms[k] == "B", k] for k in kept], dtype=float)
    y = np.array([logs[k] for k in kept])
    solution, [rss], *_ = np.linalg.lstsq(design, y, rcond=None)
    error = math.sqrt(rss / (14 - 3) * np.linalg.inv(design.T @ design)[1, 1])
    assert fit.degrees == 11
    assert fit.beta == pytest.approx(solution[1], rel=1e-9)
    assert fit.standard_error == pytest.approx(error, rel=1e-9)
    assert fit.p_faster + fit.p_slower == pytest.approx(1.0)


# Outcome, pairs and gain, as the harness that knew no other method gave them.
STORED = [
    ("tie", 16, 0, 0.00046313533683667595),
    ("faster", 15, 3, 0.0012523425104051934),
    ("faster", 7, 0, 0.0023656150031737045),
    ("tie", 16, 2, 9.374982632699225e-05),
    ("faster", 10, 2, 0.0016052973615226403),
    ("faster", 7, 0, 0.0025969188668656866),
]


@pytest.mark.parametrize("seed", range(len(STORED)))
def test_a_comparison_that_was_begun_by_the_first_method_is_decided_as_it_would_have_been(seed: int) -> None:
    rng = random.Random(seed)
    arms = coins(rng, 16)
    made = [round(time, 4) for time in times(rng, arms, beta=-0.0012 * (seed % 3), outliers=0.03)]
    outcome, analysis = pairs.decide(made, arms, FIRST_METHOD)
    assert analysis.fit is not None
    found = (outcome, analysis.pairs, sum(analysis.outliers), pytest.approx(analysis.fit.gain, abs=1e-12))
    assert found == STORED[seed]


def test_exchanging_the_scripts_mirrors_the_answer_of_the_first_method() -> None:
    rng = random.Random(21)
    swap = str.maketrans("AB", "BA")
    answers: Counter[str] = Counter()
    for _ in range(30):
        arms = coins(rng, 8)
        made = times(rng, arms, beta=-0.001, outliers=0.02)
        rule = Rule(8, BOUNDS[8], method=1)
        outcome, analysis = pairs.decide(made, arms, rule)
        mirrored, other = pairs.decide(made, arms.translate(swap), rule)
        assert mirrored == {"faster": "slower", "slower": "faster"}.get(outcome, outcome)
        assert other.outliers == analysis.outliers
        if analysis.fit is not None and other.fit is not None:
            assert other.fit.beta == pytest.approx(-analysis.fit.beta, abs=1e-12)
        answers[outcome] += 1
    assert answers["faster"] > 3 and answers["tie"] > 3  # so that both kinds were mirrored


# ------------------------------------------------------------------------------------------ the fits


@pytest.mark.parametrize("count", [4, 7, 16])
def test_the_robust_fit_is_near_that_of_the_least_absolute_deviations(count: int) -> None:
    """Which has many solutions; the smoothed sum has one, and exceeds theirs by less than its width for each run."""
    linprog = pytest.importorskip("scipy.optimize").linprog
    np = pytest.importorskip("numpy")
    rng = random.Random(count)
    arms = coins(rng, count)
    logs = np.log(times(rng, arms, outliers=0.08, left={"BA": 0.01}))
    design = np.array(carryover.columns(arms))
    residuals = regression.robust_residuals(design, logs, 0.0005)
    ones = np.eye(len(arms))
    free, positive = [(None, None)] * carryover.UNKNOWNS, [(0, None)] * 2 * len(arms)
    cost = [0.0] * carryover.UNKNOWNS + [1.0] * 2 * len(arms)
    exact = linprog(cost, A_eq=np.hstack([design, ones, -ones]), b_eq=logs, bounds=free + positive)
    assert exact.fun <= abs(residuals).sum() <= exact.fun + len(arms) * 0.0005


def test_the_robust_fit_shows_one_slow_run_at_its_whole_size() -> None:
    arms = "ABBABAABBAABABBA"
    logs = [4.0 + 0.001 * k - (0.01 if arm == "B" else 0.0) for k, arm in enumerate(arms)]
    logs[6] += 0.03
    residuals = regression.robust_residuals(carryover.columns(arms), logs, 0.0005)
    assert residuals == pytest.approx([0.03 if k == 6 else 0.0 for k in range(16)], abs=0.0005)


@pytest.mark.parametrize("left_out", [(), (2, 11), (0, 1, 2)])
def test_least_squares_with_carry_over_are_those_of_the_normal_equations(left_out: tuple[int, ...]) -> None:
    np = pytest.importorskip("numpy")
    rng = random.Random(3)
    arms = coins(rng, 8)
    logs = np.log(times(rng, arms, beta=-0.002, drift=1e-4))
    kept = np.array([k not in left_out for k in range(16)])
    design = np.array(carryover.columns(arms))
    found = regression.least_squares(design, logs, kept, 1)
    solution, [rss], *_ = np.linalg.lstsq(design[kept], logs[kept], rcond=None)
    degrees = kept.sum() - carryover.UNKNOWNS
    error = math.sqrt(rss / degrees * np.linalg.inv(design[kept].T @ design[kept])[1, 1])
    assert found.possible and found.degrees == degrees
    assert found.estimate == pytest.approx(solution[1], rel=1e-9)
    assert found.error == pytest.approx(error, rel=1e-9)


def test_every_order_of_three_pairs_or_more_tells_the_two_scripts_apart() -> None:
    for count in (3, 4, 5, 6):
        for blocks in itertools.product(("ABBA", "BAAB"), repeat=-(-count // 2)):
            arms = "".join(blocks)[: 2 * count]
            rng = random.Random(count)
            assert analyse(times(rng, arms), arms).fit is not None, arms


def test_runs_that_do_not_tell_the_scripts_apart_give_no_fit() -> None:
    arms = "ABABABAB"  # no A follows an A but the first, and without it nothing is known of such runs
    made = times(random.Random(1), arms)
    design, logs = carryover.columns(arms), [math.log(time) for time in made]
    assert regression.least_squares(design, logs, [True] * 8, 1).possible
    assert not regression.least_squares(design, logs, [False] + [True] * 7, 1).possible


# ------------------------------------------------------------------------------------------ outliers


@pytest.mark.parametrize("arm", "AB")
def test_an_outlier_is_flagged_in_either_arm_and_left_out(arm: str) -> None:
    rng = random.Random(11)
    arms = coins(rng, 8)
    clean = times(rng, arms, beta=-0.004)
    place = [k for k in range(16) if arms[k] == arm][3]
    slow = list(clean)
    slow[place] *= 1.02
    analysis = analyse(slow, arms)
    assert [k for k, bad in enumerate(analysis.outliers) if bad] == [place]
    assert (analysis.outliers_of(arm), analysis.outliers_of("B" if arm == "A" else "A")) == (1, 0)
    assert analysis.fit is not None and analysis.fit.degrees == 16 - 1 - 5
    without = analyse(clean, arms).fit
    assert without is not None and analysis.fit.beta == pytest.approx(without.beta, abs=0.001)


def test_a_run_that_is_too_fast_is_not_an_outlier() -> None:
    rng = random.Random(12)
    arms = coins(rng, 8)
    made = times(rng, arms)
    made[5] *= 0.97
    assert not any(analyse(made, arms).outliers)


def places_of(arms: str, arm: str) -> list[int]:
    return [k for k in range(len(arms)) if arms[k] == arm]


def test_more_than_a_tenth_of_outliers_decides_nothing() -> None:
    rng = random.Random(13)
    arms = coins(rng, 10)
    made = times(rng, arms, beta=-0.05)
    slow_ones = (places_of(arms, "A")[3], places_of(arms, "B")[5], places_of(arms, "A")[7])
    for count, expected in ((2, "faster"), (3, "inconclusive")):
        slow = list(made)
        for place in slow_ones[:count]:
            slow[place] *= 1.03
        outcome, analysis = pairs.decide(slow, arms, Rule(10, None))
        assert sum(analysis.outliers) == count
        assert outcome == expected


@pytest.mark.parametrize(("beta", "winner"), [(-0.05, "B"), (0.05, "A")])
def test_more_outliers_than_the_other_script_has_stand_against_the_one_that_would_win(beta: float, winner: str) -> None:
    rng = random.Random(14)
    arms = coins(rng, 16)
    made = times(rng, arms, beta=beta)
    won = {"B": "faster", "A": "slower"}[winner]
    for own, others, expected in (
        (0, 0, won),
        (0, 1, won),
        (1, 1, won),
        (1, 0, "inconclusive"),
        (2, 1, "inconclusive"),
    ):
        slow = list(made)
        loser = "A" if winner == "B" else "B"
        for place in (*places_of(arms, winner)[2 : 2 + own], *places_of(arms, loser)[2 : 2 + others]):
            slow[place] *= 1.03
        assert pairs.decide(slow, arms, Rule(16, None))[0] == expected
        assert pairs.decide(slow, arms, Rule(16, None, method=1))[0] == won
        if own <= others:
            assert pairs.decide(slow, arms, SEQUENTIAL)[0] == won


def test_times_without_any_spread_are_nothing_to_judge_by() -> None:
    arms = "ABBABAAB"
    made = [70.0 if arm == "B" else 75.0 for arm in arms]
    assert pairs.decide(made, arms, Rule(4, None))[0] == "tie"
    assert analyse(made, arms).fit is None


# ------------------------------------------------------------------------------------------ the rule


@pytest.mark.parametrize("drift", [-0.0005, 0.0005])
def test_a_linear_drift_changes_no_answer(drift: float) -> None:
    """So the rates of errors that are simulated below without a drift are those with one."""
    answers = Counter()
    for seed in range(24):
        steady, drifting = random.Random(seed), random.Random(seed)
        arms = coins(steady, 16)
        assert coins(drifting, 16) == arms
        world = {"beta": -0.0015 * (seed % 3), "outliers": 0.02}
        outcome, analysis = pairs.decide(times(steady, arms, **world), arms, SEQUENTIAL)
        found, other = pairs.decide(times(drifting, arms, drift=drift, **world), arms, SEQUENTIAL)
        assert (found, other.pairs, other.outliers) == (outcome, analysis.pairs, analysis.outliers)
        answers[outcome] += 1
    assert answers["faster"] > 3 and answers["tie"] > 3


@pytest.mark.parametrize(
    "left",
    [{"BA": 0.001}, {"BA": 0.01}, {"BB": -0.003}, {"BA": 0.003, "BB": 0.003}, {"AA": 0.002, "AB": 0.002}],
    ids=["slows A 0.1 %", "slows A 1 %", "speeds B up 0.3 %", "slows all 0.3 %", "A slows all 0.2 %"],
)
def test_what_a_run_leaves_to_the_next_one_changes_no_answer(left: dict[str, float]) -> None:
    """So the rates of errors that are simulated without it are those with it."""
    answers: Counter[str] = Counter()
    first = 0
    for seed in range(16):
        alone, beside = random.Random(seed), random.Random(seed)
        arms = coins(alone, 16)
        assert coins(beside, 16) == arms
        beta = -0.002 * (seed % 2)
        outcome, analysis = pairs.decide(times(alone, arms, beta=beta), arms, SEQUENTIAL)
        made = times(beside, arms, beta=beta, left=left)
        if "AA" in left:  # nothing ran before the first run, which counts as one after A
            made[0] *= math.exp(left["AA"])
        found, other = pairs.decide(made, arms, SEQUENTIAL)
        assert (found, other.pairs, other.outliers) == (outcome, analysis.pairs, analysis.outliers)
        answers[outcome] += 1
        first += beta == 0.0 and pairs.decide(made, arms, FIRST_METHOD)[0] == "faster"
    assert answers["faster"] > 3 and answers["tie"] > 3
    if left == {"BA": 0.01}:
        assert first == 8, "the first method is misled always"


def test_fewer_than_three_pairs_are_never_analysed() -> None:
    arms = "ABBABAAB"
    made = [75.001, 70.0, 70.001, 75.0, 70.002, 75.003, 75.001, 70.001]
    assert [pairs.decide(made[:n], arms, FIRST_METHOD)[0] for n in range(6)] == ["undecided"] * 6
    assert FIRST_ANALYSIS == 3
    assert pairs.decide(made[:6], arms, FIRST_METHOD)[0] == "faster"
    assert [pairs.decide(made[:n], arms, SEQUENTIAL)[0] for n in (6, 8)] == ["undecided", "faster"]


def test_a_fixed_number_of_pairs_is_analysed_once_at_the_end() -> None:
    rng = random.Random(22)
    arms = coins(rng, 6)
    made = times(rng, arms, beta=-0.05)
    outcomes = [pairs.decide(made[: 2 * n], arms, Rule(6, None))[0] for n in range(7)]
    assert outcomes == ["undecided"] * 6 + ["faster"]


def test_the_pairs_that_are_likely_needed_are_those_that_simulations_take() -> None:
    rng = random.Random(23)
    beta = math.log1p(-0.2 / GAIN_S)
    used, foretold = [], []
    for _ in range(40):
        arms = coins(rng, 16)
        made = times(rng, arms, beta=beta)
        used.append(pairs.decide(made, arms, SEQUENTIAL)[1].pairs)
        fit = analyse(made[:32], arms).fit
        assert fit is not None
        foretold.append(pairs.pairs_needed(fit, 3, SEQUENTIAL) or 99)
    assert sum(foretold) / 40 == pytest.approx(sum(used) / 40, abs=1.0)  # 8.8 pairs


def test_nothing_can_decide_any_more_only_near_the_end_and_a_forged_number_of_pairs_takes_no_time() -> None:
    rng = random.Random(24)
    arms = coins(rng, 16)
    made = times(rng, arms)
    fit = analyse(made[:20], arms).fit
    assert fit is not None
    equal = dataclasses.replace(fit, beta=0.0)
    assert not pairs.can_decide(equal, 15, SEQUENTIAL) and pairs.can_decide(equal, 3, SEQUENTIAL)
    nearly = dataclasses.replace(fit, beta=-2.4 * fit.standard_error)
    assert pairs.can_decide(nearly, 15, SEQUENTIAL)
    assert not pairs.can_decide(equal, 100, Rule(10**15, 1e9))
