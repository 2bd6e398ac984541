"""What a run computes outside its steps, and in a step, is held against its parent's runs; a busy machine blames nobody."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest

from harness.catalog.tracks import load_track
from harness.core.measurement import Metrics, Observed, TimedLine
from harness.core.task import Waiver
from harness.evidence.work import Work, work_of
from harness.launch.observer import READS_HEADER, Processor, Rows
from harness.launch.stamps import read_observed
from harness.verdict import judge
from harness.verdict.checks import Finding
from tests.ledgers import a_session
from tests.unit.test_verdict import a_run, evidence, honest_lines

OPTIMIZATION = load_track(Path(__file__).parents[2] / "tracks", "optimization")
# The sections of `honest_lines`: 4 s before, a validation of 0.2 s, then twice 50 steps in 1.5 s and a validation.
EDGES = list(accumulate((4.0, 0.2, 1.5, 0.2, 1.5, 0.2, 0.6)))
BEATS = tuple((0.1 + second, 0.0) for second in range(9))
NOTHING = Observed(opens=(), read_bytes=None, throttling=None, busy=None, beats=BEATS, ended=True)


def computed(
    before: float = 5.0, steps: float = 8.0, gaps: float = 2.4, after: float = 1.6, number: int = 1, waits: float = 0.0
) -> Metrics:
    """A run of 100 steps with this work, in seconds of a processor, in its sections."""
    parts = (before, gaps / 3, steps / 2, gaps / 3, steps / 2, gaps / 3, after)
    samples = ((0.0, 0.0), *zip(EDGES, accumulate(parts), strict=True))
    return a_run(number, 2.85, observed=replace(NOTHING, user_s=samples, waits=((1.0, waits),)))


def found(*runs: Metrics, baseline: tuple[Metrics, ...] = (), **changes: object) -> dict[str, Finding]:
    whole = evidence(*runs, ruleset="smoke@2", baseline=baseline, **changes)
    return {finding.rule: finding for finding in judge(whole).findings}


PARENTS = (computed(number=7), computed(before=4.6, gaps=2.7, number=8), computed(before=5.2, number=9))


def test_the_work_of_a_run_is_divided_at_the_clock_marks() -> None:
    work = work_of(computed(), on_gpus=False)
    assert work is not None
    assert (work.steps, work.step) == (100, pytest.approx(0.08, abs=0.001))
    assert (work.before, work.after) == pytest.approx((5.0, 1.6), abs=0.01)
    assert work.gaps == pytest.approx((0.8, 0.8, 0.8), abs=0.01)
    assert work.outside == pytest.approx(9.0, abs=0.01)


def test_on_gpus_work_is_the_seconds_of_their_full_use() -> None:
    half = tuple((0.1 * tick, 0.5) for tick in range(82))
    run = a_run(1, 2.85, observed=replace(NOTHING, busy=half))
    work = work_of(run, on_gpus=True)
    assert work is not None and (work.before, work.step) == pytest.approx((2.0, 0.015), abs=0.001)
    assert work_of(run, on_gpus=False) is None, "nobody counted processor time"
    optimization = evidence(run, ruleset="short@3")
    optimization = replace(optimization, track=OPTIMIZATION, ruleset=OPTIMIZATION.rulesets[-1], baseline=(run,))
    assert {f.rule: f.outcome for f in judge(optimization).findings}["T8"] == "pass"


def test_work_that_nobody_counted_is_inconclusive_and_older_rulesets_never_asked() -> None:
    unseen = a_run(1, 2.85, observed=NOTHING)
    assert found(unseen)["T8"].outcome == found(unseen)["T9"].outcome == "inconclusive"
    unmarked = replace(computed(), timed_lines=tuple(x for x in honest_lines() if x.kind in ("val", "train")))
    assert found(unmarked)["T8"].outcome == "inconclusive"
    older = {f.rule: f.outcome for f in judge(evidence(computed(before=99.0), baseline=PARENTS)).findings}
    assert older["T8"] == older["T9"] == "not applicable"


def test_a_script_that_computes_as_its_parent_does_passes() -> None:
    for run in PARENTS:
        told = found(run, baseline=PARENTS)
        assert told["T8"].outcome == told["T9"].outcome == "pass", str(told["T8"])


@pytest.mark.parametrize(
    "trick",
    [
        computed(before=5.0 + 70 * 0.08),
        computed(gaps=2.4 + 70 * 0.08),
        computed(before=5.0 + 25 * 0.08, gaps=2.4 + 25 * 0.08, after=1.6 + 20 * 0.08),
    ],
    ids=["in the warm-up", "in a gap", "a little of it everywhere"],
)
def test_seventy_hidden_steps_are_found_wherever_they_are(trick: Metrics) -> None:
    told = found(computed(number=2), trick, baseline=PARENTS)
    assert told["T8"].outcome == "fail", "one run among honest ones is enough"
    assert "the work of 69 of its steps" in told["T8"].text or "the work of 70 of its steps" in told["T8"].text
    assert told["T9"].outcome == "pass"
    rest = {rule for rule, finding in told.items() if finding.outcome == "fail"} - {"T8"}
    assert rest <= {"S1", "S2"}, "whose losses this run does not have"


def test_several_updates_in_a_step_are_found_by_the_work_of_a_step() -> None:
    assert found(computed(steps=80.0), baseline=PARENTS)["T9"].outcome == "fail"
    twice = found(computed(steps=16.0), baseline=PARENTS)["T9"]
    assert twice.outcome == "inconclusive" and "say what makes it dearer" in twice.text
    assert found(computed(number=2), computed(steps=13.4), baseline=PARENTS)["T9"].outcome == "inconclusive"
    one = found(computed(number=2), computed(steps=12.0), baseline=PARENTS)["T9"]
    assert one.outcome == "pass" and "1.25 times" in one.text, "equal work differs from run to run"
    assert found(computed(steps=10.1), baseline=PARENTS)["T9"].outcome == "pass", "a dearer optimizer"
    assert found(computed(steps=12.8, waits=5.0), baseline=PARENTS)["T9"].outcome == "pass", "on a busy machine"
    assert found(computed(steps=13.2, waits=5.0), baseline=PARENTS)["T9"].outcome == "inconclusive"
    busy_once = (computed(steps=12.4, waits=5.0), *(computed(steps=12.4, number=n) for n in (2, 3)))
    assert found(*busy_once, baseline=PARENTS)["T9"].outcome == "inconclusive", "one busy run excuses itself alone"


def test_a_busy_machine_blames_nobody() -> None:
    # The largest that was seen of an honest run beside another that trains: half as much more of everything.
    slow = computed(before=7.4, steps=10.4, gaps=3.9, after=2.1, waits=5.0)
    assert found(slow, baseline=PARENTS)["T8"].outcome == "pass", "its steps take longer as well"
    imports = computed(before=8.6, waits=5.0)
    told = found(imports, baseline=PARENTS)["T8"]
    assert told.outcome == "inconclusive" and "run with less beside it" in told.text
    assert found(replace(imports, observed=computed(before=8.6).observed), baseline=PARENTS)["T8"].outcome == "fail"
    assert found(computed(before=14.0, waits=5.0), baseline=PARENTS)["T8"].outcome == "fail", "no machine explains that"


def test_steps_that_are_made_dearer_let_no_more_work_pass_beside_them() -> None:
    hidden = 70 * 0.08
    told = found(computed(before=5.0 + hidden, steps=23.0), baseline=PARENTS)["T8"]
    assert told.outcome == "inconclusive" and "a step takes 2.9 times the parent's as well" in told.text
    assert found(computed(before=5.0 + 2 * hidden, steps=23.0, waits=5.0), baseline=PARENTS)["T8"].outcome != "pass"


def test_more_validations_and_a_larger_model_need_more_work() -> None:
    larger = computed(before=5.0, steps=16.0, gaps=4.8, after=1.6)
    assert found(larger, baseline=PARENTS)["T8"].outcome == "pass"
    much_larger = computed(before=5.0, steps=22.0, gaps=6.6, after=1.6)
    assert found(much_larger, baseline=PARENTS)["T8"].outcome == "inconclusive", "a maintainer reads what it does"
    fewer = tuple(replace(run, timed_lines=run.timed_lines[3:]) for run in PARENTS)  # two validations
    assert found(computed(), baseline=fewer)["T8"].outcome == "pass"


def test_without_a_run_of_the_parent_the_gaps_are_held_against_the_steps_and_the_rest_is_stated() -> None:
    told = found(computed())["T8"]
    assert told.outcome == "pass" and "62 steps before the clock starts and of 30 in validation gaps" in told.text
    # 131,072 tokens are those of 32 steps, so no three validations compute more than 96 steps do; 0.6 s are below what
    # the samples of two processes can tell.
    assert found(computed(gaps=95 * 0.08 + 0.6))["T8"].outcome == "pass"
    assert found(computed(gaps=97 * 0.08 + 0.6))["T8"].outcome == "fail"


def test_a_session_decides_nothing_about_work_where_no_run_stands_beside() -> None:
    session, beside = a_session("smoke@2"), "records/smoke/2026-11-21_muon"
    told = found(computed(before=99.0), session=session, beside=beside)
    assert told["T8"].outcome == told["T9"].outcome == "inconclusive"
    assert f"what {beside} computes outside its steps is not known" in told["T8"].text
    unseen = (a_run(7, 2.85, observed=NOTHING),)
    assert found(computed(), baseline=unseen, session=session, beside=beside)["T9"].outcome == "inconclusive"
    doubt = found(computed(), session=session, beside=beside, baseline_doubt="the run x of it is missing")["T8"]
    assert doubt.outcome == "inconclusive" and "the run x of it is missing" in doubt.text
    assert found(computed(), session=session)["T8"].outcome == "pass", (
        "the first record of a track has nobody beside it"
    )
    told = found(computed(before=14.0), baseline=PARENTS, session=session, beside=beside)
    assert told["T8"].outcome == "fail" and f"{beside}'s runs let expect" in told["T8"].text, "it names no parent"


def test_what_samples_cannot_tell_apart_blames_nobody() -> None:
    small = tuple(computed(before=0.5, gaps=0.3, after=0.1, number=number) for number in (7, 8, 9))
    assert found(computed(before=0.5, gaps=0.8, after=0.1), baseline=small)["T8"].outcome == "pass"
    assert found(computed(before=0.5, gaps=1.0, after=0.1), baseline=small)["T8"].outcome == "fail"
    assert found(computed(steps=80.0))["T9"].outcome == "pass"


def test_a_parent_that_computes_nothing_outside_its_steps_is_compared_with_too() -> None:
    nothing = computed(before=0.0, gaps=0.0, after=0.0, number=7)
    assert found(computed(before=0.1, gaps=0.0, after=0.1), baseline=(nothing,))["T8"].outcome == "pass"
    assert found(computed(), baseline=(nothing,))["T8"].outcome == "fail"


def test_a_maintainer_lifts_a_finding_for_one_script() -> None:
    whole = evidence(computed(before=20.0), ruleset="smoke@2", baseline=PARENTS)
    told = {f.rule: f.text for f in judge(whole).findings}["T8"]
    script = told.rpartition(" ")[2]
    waiver = Waiver(script, "T8", "@m", datetime.date(2026, 12, 1), "It compiles before it starts.")
    lifted = replace(whole, track=replace(whole.track, waivers=(waiver,)))
    assert {f.rule: f.outcome for f in judge(lifted).findings}["T8"] == "pass"


def test_the_observer_counts_ended_processes_and_those_of_their_children(tmp_path: Path) -> None:
    burn = "import os\nif os.fork() == 0:\n    while os.times()[0] < 0.1: sum(range(10000))\n    os._exit(0)\nos.wait()"
    rows, processor = Rows(tmp_path / "reads.csv", READS_HEADER), Processor()
    processor.count([os.getpid()], rows)
    subprocess.run([sys.executable, "-S", "-c", burn], check=True)
    processor.count([os.getpid()], rows)
    processor.count([], rows)  # all have ended
    seen = read_observed(tmp_path, 0)
    assert seen is not None and seen.user_s is not None
    before, after, ended = (seconds for _, seconds in seen.user_s)
    assert after - before >= 0.08, "the clock of a processor ticks every 10 ms"
    assert ended == after, "what was counted stays"


def test_a_process_for_which_nobody_waits_is_counted_and_one_that_was_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, processor = Rows(tmp_path / "reads.csv", READS_HEADER), Processor()
    ticks: dict[int, tuple[int, int, int, bool]] = {}
    monkeypatch.setattr("harness.launch.observer.user_ticks", ticks.get)

    def look(**used: tuple[int, int, bool]) -> int:
        ticks.clear()
        ticks.update({int(name[1:]): (0, *of) for name, of in used.items()})
        processor.count(list(ticks), rows)
        return processor.most

    look(p1=(5, 0, False))
    assert look(p1=(5, 0, False), p2=(40, 0, False)) == 45
    assert look(p1=(5, 0, False)) == 45, "what was waited for may be told a look later"
    assert look(p1=(5, 42, False), p3=(30, 0, False)) == 77, "the second was waited for"
    look(p1=(5, 42, False))
    look(p1=(5, 42, False))
    assert look(p1=(10, 42, False)) == 10 + 42 + 30, "and the third by nobody"
    look(p1=(10, 42, False), p4=(0, 0, True))
    look(p1=(10, 42, False))
    assert look(p1=(10, 42, False)) >= 83, "one that ran when it was seen counts, however short it had been there"
    lost = processor.lost
    look(p1=(10, 42, False), p5=(8, 0, False))
    look(p1=(10, 42, False))
    look(p1=(10, 42, False), p5=(8, 0, False))
    look(p1=(10, 42, False), p5=(8, 0, False))
    assert processor.lost == lost, "one look did not see it"


def test_a_line_that_a_script_prints_moves_work_and_hides_none() -> None:
    lines = list(honest_lines())
    stop = next(index for index, line in enumerate(lines) if line.kind == "clock_stop" and line.line > 10)
    late = replace(computed(), timed_lines=tuple(_moved(lines, stop, 0.15)))
    honest, moved = work_of(computed(), on_gpus=False), work_of(late, on_gpus=False)
    assert isinstance(honest, Work) and isinstance(moved, Work)
    assert moved.timed + moved.outside == pytest.approx(honest.timed + honest.outside)


def _moved(lines: list[TimedLine], index: int, seconds: float) -> list[TimedLine]:
    moved = replace(lines[index], arrival_s=(lines[index].arrival_s or 0.0) + seconds)
    return [*lines[:index], moved, *lines[index + 1 :]]
