"""Claimed against replayed: what counts, what lies within the spread, and a store that replaces nothing."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from harness.catalog.subjects import Subject
from harness.core import stats
from harness.core.measurement import Gpu, Machine, Metrics
from harness.core.record import Record
from harness.machine import computer
from harness.replay import plan as replay_plan
from harness.replay import session
from harness.store import records
from harness.store.layout import Project
from harness.store.replays import Environment, add_replay, read_replays, within_spread
from tests.named import find_subject, record_folder
from tests.unit.test_verdict import a_run

PROJECT = Project(Path(__file__).parents[2])
EXACT = Environment("exact", "2.13.0", "3.11.7", "2.13.0", ())


def h100(count: int = 8) -> Machine:
    gpus = tuple(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0) for _ in range(count))
    return dataclasses.replace(computer.capture(), gpus=gpus)


def plan_of(name: str, *, original: bool, loss_only: tuple[str, ...] = (), processes: int = 8) -> replay_plan.Plan:
    folder = record_folder(PROJECT, name)
    record: Record = records.read_record(folder)
    script: Subject = dataclasses.replace(find_subject(PROJECT, "short/12"), folder=folder, record=record)
    subject = dataclasses.replace(script, reimplementation=not original)
    return replay_plan.Plan(subject, record, name, processes, 1, (), None, None, loss_only)


def made(name: str, *, shift: float = 0.0, slower: float = 1.0) -> tuple[Metrics, ...]:
    """Runs that repeat the record's own figures, shifted."""
    folder = record_folder(PROJECT, name)
    record = records.read_record(folder)
    own = [run for run in record.runs if run.role == "own" and run.value is not None]
    curve = tuple((step, loss + shift, time) for step, loss, time in records.read_curve(folder))
    return tuple(
        dataclasses.replace(
            a_run(number, (run.value or 0.0) + shift, curve=curve),
            train_time_s=(run.train_time_s or 0.0) * slower,
        )
        for number, run in enumerate(own, 1)
    )


def test_a_time_counts_for_the_original_on_the_tracks_hardware() -> None:
    curve = records.read_curve(record_folder(PROJECT, "short/88"))
    result = session.compare(
        plan_of("short/88", original=True), EXACT, h100(), made("short/88", slower=1.07), "a", curve
    )
    assert result.time_counts
    claimed, own = result.claimed_time_s or 0.0, records.read_record(record_folder(PROJECT, "short/88")).runs
    mean = sum(run.train_time_s or 0.0 for run in own if run.role == "own") / sum(run.role == "own" for run in own)
    assert result.time_ratio == pytest.approx(1.07 * mean / claimed)
    assert result.loss_difference == pytest.approx(0.0, abs=1e-9)
    assert result.within_spread == "yes"
    assert len(result.curve) == len(curve)
    assert all(point.difference == pytest.approx(0.0) for point in result.curve)


def test_a_reimplementation_fewer_gpus_or_other_ones_are_compared_in_loss_only() -> None:
    for plan, here, why in (
        (plan_of("short/88", original=False, loss_only=("a reimplementation",)), h100(), "reimplementation"),
        (plan_of("short/88", original=True, loss_only=("4 GPUs, not 8",), processes=4), h100(4), "4 GPUs"),
        (plan_of("short/88", original=True), computer.capture(), "no GPU, not NVIDIA H100"),
    ):
        result = session.compare(plan, EXACT, here, made("short/88"), "a", ())
        assert not result.time_counts
        assert result.time_ratio is None
        assert why in "; ".join(result.why_not)


def test_a_loss_outside_the_records_own_spread_is_said_to_be_so() -> None:
    plan = plan_of("short/88", original=True)
    assert session.compare(plan, EXACT, h100(), made("short/88", shift=0.01), "a", ()).within_spread == "no"
    assert within_spread([3.279], [3.279])[0] == "unknown"
    assert within_spread([3.279, 3.279], [3.279])[0] == "unknown", "equal runs have no spread"
    assert within_spread([3.279, 3.280], [])[0] == "unknown"


@pytest.mark.parametrize(("own", "replayed", "sds"), [(3, 1, 4.968), (3, 3, 3.513), (10, 1, 2.373), (2, 1, 15.56)])
def test_the_spread_is_the_prediction_interval_of_so_many_runs(own: int, replayed: int, sds: float) -> None:
    """t(own − 1, 0.975) · √(1/own + 1/replayed), from a table of Student's distribution."""
    losses = [3.28 + 0.001 * (n - (own - 1) / 2) for n in range(own)]
    room = sds * stats.sd(losses)
    for share, told in ((0.999, "yes"), (1.001, "no"), (-0.999, "yes"), (-1.001, "no")):
        assert within_spread(losses, [3.28 + share * room] * replayed)[0] == told
    said = within_spread(losses, [3.28] * replayed)[1]
    assert f"its {own} own runs lie at 3.2800 ± {stats.sd(losses):.4f}" in said
    assert f"within ± {room:.4f} (95 % prediction interval)" in said


def test_honest_replays_lie_outside_in_one_of_twenty_cases() -> None:
    draw = random.Random(7)
    told = []
    for _ in range(4000):
        own, further = ([draw.gauss(3.28, 0.0013) for _ in range(count)] for count in (3, 2))
        told.append(within_spread(own, further)[0])
    assert 0.04 < told.count("no") / len(told) < 0.06


def test_replays_add_up_and_replace_nothing(tmp_path: Path) -> None:
    plan = plan_of("short/88", original=True)
    result = session.compare(plan, EXACT, h100(), made("short/88"), "Somebody", ())
    folder = tmp_path / "record"
    folder.mkdir()
    first, second = add_replay(folder, result), add_replay(folder, result)
    assert second.name == f"{first.name}_2"
    assert {path.name for path in first.iterdir()} == {"replay.json"}
    assert [stored for _, stored in read_replays(folder)] == [result, result]
    assert sorted(path.name for path in (folder / "replays").iterdir()) == [first.name, second.name]
