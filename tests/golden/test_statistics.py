"""Published numbers of the field's history, rebuilt to their printed digits from the figures of single runs."""

from __future__ import annotations

import csv
import math
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core import stats
from harness.core.errors import StatisticsError

# Final losses of the 13 baseline runs of record 89 (2026-07-17), as its logs print them.
BASELINE_89 = [3.2821, 3.2802, 3.2758, 3.2769, 3.2775, 3.2768, 3.2780, 3.2778, 3.2817, 3.2767, 3.2796, 3.2775, 3.2766]
# Losses at the claimed step, claimed target and the rule value that the history prints.
RULE_VALUES = [
    ([3.27637, 3.27482, 3.27246, 3.27279, 3.27425], "0.0131"),
    ([3.27656, 3.27675], "0.0047"),
    ([3.27912], "0.0009"),
    (
        [
            3.27742,
            3.27815,
            3.27802,
            3.27967,
            3.28061,
            3.27858,
            3.27834,
            3.27854,
            3.27806,
            3.27872,
            3.27873,
            3.27896,
            3.2775,
        ],
        "0.0052",
    ),
]


def history() -> Path | None:
    """The folder of the facts, where this machine has it."""
    named = os.environ.get("SPEEDRUN_SHARED")
    starts = [Path(named)] if named else [parent / "shared" for parent in Path(__file__).resolve().parents]
    return next((start / "history" for start in starts if (start / "history" / "records.csv").is_file()), None)


def rows(name: str) -> list[dict[str, str]]:
    folder = history()
    if folder is None:
        pytest.skip("the facts of the history (../shared/history) are not on this machine")
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_thirteen_baseline_runs_of_record_89_give_p_0_0042976481() -> None:
    assert len(BASELINE_89) == 13
    assert round(stats.t_below(BASELINE_89, 3.28), 10) == 0.0042976481


def test_the_embedded_baseline_is_that_of_the_facts() -> None:
    found = [
        r["final_val_loss"] for r in rows("evidence.csv") if (r["track"], r["number"], r["role"]) == ("1", "89", "base")
    ]
    assert sorted(map(float, found)) == sorted(BASELINE_89)


@pytest.mark.parametrize(("losses", "printed"), RULE_VALUES, ids=["result-4", "result-35", "result-41", "result-43"])
def test_embedded_losses_give_the_printed_rule_value(losses: list[float], printed: str) -> None:
    assert f"{stats.closed_form(losses, 3.28):.4f}" == printed


def groups() -> Iterator[tuple[dict[str, str], list[dict[str, str]]]]:
    """Every row of groups.csv with the rows of evidence.csv that it summarises."""
    runs = defaultdict(list)
    roles = {"record": "0", "retiming_rules": "1", "retiming_torch": "2"}
    for row in rows("evidence.csv"):
        folder = row["path"].rpartition("/")[0]
        runs[
            row["track"], row["number"], row["variant"], row["role"], folder, row["final_step"], row["n_gpus_smi"]
        ].append(row)
    for group in rows("groups.csv"):
        key = (
            group["track"],
            group["number"],
            roles[group["kind"]],
            group["role"],
            group["dir"],
            group["steps"],
            group["world_size"],
        )
        yield group, runs.pop(key)
    assert not runs, f"groups.csv lacks {list(runs)[:3]}"


def test_every_group_of_the_history_is_rebuilt_to_its_printed_digits() -> None:
    checked = 0
    for group, runs in groups():
        name = f"{group['track']}/{group['number']} {group['role']} {group['dir']}"
        losses = [float(r["final_val_loss"]) for r in runs if r["final_val_loss"]]
        minutes = [
            float(r["final_train_time_ms"]) / 60000 for r in runs if r["final_val_loss"] and r["final_train_time_ms"]
        ]
        target = 3.28 if group["track"] == "1" else 2.92
        assert (len(runs), len(losses)) == (int(group["files"]), int(group["n_complete"])), name
        # The facts round ties in another way, so a mean may differ by one unit of its last digit.
        assert abs(stats.mean(losses) - float(group["mean_loss"])) < 1.01e-5, name
        if len(losses) > 1:
            assert f"{stats.sd(losses):.5f}" == group["sd_loss"], name
            assert f"{stats.t_below(losses, target):.3e}" == group["p_one_sided"], name
        else:
            assert not group["sd_loss"] and not group["p_one_sided"], name
        if minutes:
            ordered = sorted(minutes)
            assert f"{stats.mean(minutes):.4f}" == group["mean_min"], name
            assert f"{ordered[0]:.4f}" == group["min_min"], name
            assert f"{statistics.median(ordered):.4f}" == group["median_min"], name
        checked += 1
    assert checked == len(rows("groups.csv")) == 152


def test_every_rule_value_and_verdict_of_the_optimization_track_is_rebuilt() -> None:
    losses = defaultdict(list)
    for row in rows("evidence_track3.csv"):
        losses[row["number"]].append(float(row["val_loss"]))
    results = rows("records_track3.csv")
    assert len(results) == 46
    for result in results:
        sample = losses[result["number"]]
        value = stats.closed_form(sample, 3.28)
        assert len(sample) == int(result["n_at_step"]), result["number"]
        assert f"{value:.4f}" == result["rule_value"], result["number"]
        assert (value >= 0.004) == (result["rule_pass"] == "True"), result["number"]
        assert abs(stats.mean(sample) - float(result["mean_at_step"])) < 1.01e-5, result["number"]
        if result["sd_at_step"]:
            assert f"{stats.sd(sample):.5f}" == result["sd_at_step"], result["number"]


def test_the_t_and_welch_tests_agree_with_scipy_over_samples_of_every_size() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    first = [3.2781, 3.2790, 3.2776, 3.2794, 3.2802, 3.2769, 3.2785]
    second = [3.2812, 3.2795, 3.2788, 3.2830]
    for n in range(2, len(first) + 1):
        ours, theirs = (
            stats.t_below(first[:n], 3.28),
            scipy_stats.ttest_1samp(first[:n], 3.28, alternative="less").pvalue,
        )
        assert ours == pytest.approx(float(theirs), rel=1e-9)
        welch = stats.welch_below(first[:n], second)
        expected = scipy_stats.ttest_ind(first[:n], second, equal_var=False, alternative="less")
        assert welch.p == pytest.approx(float(expected.pvalue), rel=1e-9)
        assert welch.degrees == pytest.approx(float(expected.df), rel=1e-9)
        low, high = stats.difference_interval(first[:n], second, 0.9)
        two_sided = scipy_stats.ttest_ind(first[:n], second, equal_var=False).confidence_interval(0.9)
        assert (low, high) == pytest.approx((float(two_sided.low), float(two_sided.high)), rel=1e-9)
        sided = scipy_stats.ttest_1samp(first[:n], 3.28).confidence_interval(0.95)
        assert stats.interval(first[:n]) == pytest.approx((float(sided.low), float(sided.high)), rel=1e-12)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: stats.mean([]),
        lambda: stats.sd([3.28]),
        lambda: stats.t_below([3.27], 3.28),
        lambda: stats.t_below([3.27, 3.27, 3.27], 3.28),
        lambda: stats.t_below([3.27, math.nan], 3.28),
        lambda: stats.t_below([3.27, 3.26], math.inf),
        lambda: stats.welch_below([1.0, 1.0], [2.0, 2.0]),
        lambda: stats.welch_below([1.0], [2.0, 3.0]),
        lambda: stats.closed_form([math.inf], 3.28),
        lambda: stats.closed_form([], 3.28),
        lambda: stats.interval([1.0], 0.95),
        lambda: stats.interval([1.0, 2.0], 1.0),
    ],
)
def test_a_number_that_the_sample_cannot_give_is_refused(ask) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(StatisticsError):
        ask()


def test_the_order_of_the_runs_changes_no_bit_of_any_figure() -> None:
    shuffled = BASELINE_89[::-1]
    assert stats.mean(shuffled) == stats.mean(BASELINE_89)
    assert stats.sd(shuffled) == stats.sd(BASELINE_89)
    assert stats.t_below(shuffled, 3.28) == stats.t_below(BASELINE_89, 3.28)
