"""A comparison from plan to outcome, with runs played by a launcher: resuming, refusing, budgets and messages."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.catalog.subjects import Subject
from harness.cli import main
from harness.compare import cost, decision, interleaving
from harness.compare.arms import Contender
from harness.compare.interleaving import Plan, Terms
from harness.compare.readiness import Waiting
from harness.core import stats
from harness.core.errors import HarnessError, MachineError, RunError, TrackError
from harness.core.measurement import Confinement, Gpu, GpuAtStart, MachineState, RunOutcome
from harness.launch.launcher import LaunchPlan
from harness.machine import computer
from harness.store import comparisons, run_files
from harness.store.comparisons import Comparison
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.ui import compare_plan, compare_report, compare_steps, state_report
from tests.faults.projects import Small, make_project
from tests.named import find_subject

DRAW = comparisons.draw_coins
COINS = ("ABBA", "BAAB", "BAAB", "ABBA", "BAAB", "ABBA", "ABBA", "BAAB")  # the same in every test that plays times
A, B = "submissions/2026-11-21_a", "submissions/2026-11-21_b"


class Player:
    """Answers runs with given train times, one after the other; None is a run that fails, an exception one that
    is aborted."""

    def __init__(self, times_s: Iterator[float | BaseException | None], *, wall_s: float | None = None) -> None:
        self.times_s = times_s
        self.wall_s = wall_s  # None: as long as the run says, and 5 s before
        self.plans: list[LaunchPlan] = []

    def confined_by(self, plan: LaunchPlan) -> Confinement:
        return Confinement("none", None)

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        self.plans.append(plan)
        time_s = next(self.times_s)
        if isinstance(time_s, BaseException):
            raise time_s
        log = (plan.folder / "work" / plan.entry).read_bytes() + b"=" * 100 + b"\nRunning Python 3.11.7\n"
        log += f"seed:{plan.seed}\n".encode() + b"=" * 100 + b"\n"
        log += b"step:0/5 val_loss:5.0000 train_time:0ms step_avg:0.00ms\n"
        begun = log.count(b"\n")
        if time_s is not None:
            loss = 2.9 + plan.seed % 100 / 1e5
            log += f"step:5/5 val_loss:{loss:.4f} train_time:{1000 * time_s:.4f}ms step_avg:{200 * time_s:.4f}ms\n".encode()
        wall_s = self.wall_s or 5.01 + (time_s or 0.0)
        stamps = [f"{n},{(5.0 if n <= begun else wall_s) * 1e9:.0f}" for n in range(1, log.count(b"\n") + 1)]
        exited = f"exit,{wall_s * 1e9:.0f}"
        (plan.folder / run_files.LOG).write_bytes(log)
        (plan.folder / run_files.CLOCK).write_text("\n".join(["line,monotonic_ns", "start,0", *stamps, exited]) + "\n")
        outcome = RunOutcome("finished", 0, wall_s)
        if time_s is None:
            outcome = RunOutcome("failed", 1, wall_s, "exit code 1")
        write_atomic(plan.folder / run_files.OUTCOME, json.dumps(dataclasses.asdict(outcome)))
        return outcome


FREE = Waiting(lambda text: None, ask=lambda: MachineState((), 0.5, 1 << 34, 0))


def contender(subject: Subject) -> Contender:
    return Contender(subject, "submission", subject.name)


@dataclasses.dataclass
class Bench:
    project: Project
    small: Small

    def subjects(self) -> tuple[Subject, Subject]:
        root = str(self.project.root)
        return find_subject(self.project, f"{root}/{A}"), find_subject(self.project, f"{root}/{B}")

    def plan(self, terms: Terms, **changes: bool) -> Plan:
        return interleaving.plan(self.project, *map(contender, self.subjects()), terms, **changes)

    def go(
        self,
        terms: Terms,
        play: Player,
        waiting: Waiting = FREE,
        say: Callable[[Comparison], None] = lambda comparison: None,
    ) -> Comparison:
        plan = self.plan(terms)
        interleaving.check(self.project, plan)
        ready = interleaving.prepare(plan, interleaving.make_environments(self.project, plan))
        played = {arm: dataclasses.replace(one, launcher=play) for arm, one in ready.items()}
        return interleaving.run(self.project, plan, played, lambda *_: lambda line: None, say, waiting)

    def stored(self) -> Comparison:
        [comparison] = comparisons.read_comparisons(self.project)
        return comparison


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(comparisons, "draw_coins", lambda count: COINS[: -(-count // 2)])
    small = make_project(tmp_path / "project")
    for name in ("a", "b"):
        small.submit(f"step(0, 5, 5.0, 0)  # {name}\n", f"2026-11-21_{name}")
    return Bench(Project(small.root), small)


def played(
    bench: Bench, a: float = 75.0, b: float = 75.0, slow: dict[int, float] | None = None
) -> Iterator[float | None]:
    """Times with a fixed wobble of 0.04 %, by the arm whose turn it is."""
    wobble = [0.0003, -0.0004, 0.0001, 0.0005, -0.0002, -0.0003, 0.0004, 0.0]
    for k in range(200):
        arm = bench.stored().arms[k]
        yield (a if arm == "A" else b) * (1 + wobble[k % 8]) + (slow or {}).get(k, 0.0)


def test_a_clear_gain_is_decided_early_and_kept(bench: Bench) -> None:
    made = bench.go(Terms(), Player(played(bench, b=74.0)))
    assert made == bench.stored()
    assert made.outcome == "faster"
    assert 3 <= made.pairs < 16 and len(made.runs) == 2 * made.pairs
    assert made.gain == pytest.approx(1 / 75, abs=1e-3)
    assert made.interval is not None and made.interval[0] < 1 / 75 < made.interval[1]
    assert made.losses_alike == "alike"
    assert compare_report.sentence(made).startswith("B is 1.3")
    assert "decided" in compare_report.sentence(made)


def test_the_coins_are_abba_or_baab_and_lie_on_disk_before_the_first_run(bench: Bench) -> None:
    class Reads(Player):
        def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
            self.before = bench.stored()
            return super().run(plan, watch)

    play = Reads(iter([75.0, None]))
    with pytest.raises(RunError):
        bench.go(Terms(pairs=5, fixed=True), play)
    assert play.before.coins == bench.stored().coins == COINS[:3]
    assert play.before.arms == "ABBABAABBA"
    drawn = [DRAW(5) for _ in range(200)]
    assert {len(coins) for coins in drawn} == {3}
    assert len(set(drawn)) == 8, "all of the eight sequences come up"
    assert {block for coins in drawn for block in coins} == {"ABBA", "BAAB"}


def test_the_runs_are_in_the_ledger_as_any_other_and_name_their_comparison(bench: Bench) -> None:
    made = bench.go(Terms(pairs=3, fixed=True), Player(played(bench)))
    starts = Ledger(bench.project.ledger).read().starts
    assert list(starts) == [run.run for run in made.runs]
    assert {start.series for start in starts.values()} == {made.id}
    b = bench.subjects()[1]
    from harness.evidence import gather

    assert [run.run_id for run in gather.gather(bench.project, b).runs] == [r.run for r in made.runs if r.arm == "B"]


def test_slower_is_said_as_plainly_as_faster(bench: Bench) -> None:
    made = bench.go(Terms(), Player(played(bench, b=76.0)))
    assert made.outcome == "slower"
    assert made.gain is not None and made.gain < 0
    assert compare_report.sentence(made).startswith("B is 1.28 % slower than A")


def test_equal_scripts_end_in_a_tie_that_says_how_many_pairs_it_would_take(bench: Bench) -> None:
    made = bench.go(Terms(pairs=8, fixed=True), Player(played(bench, b=74.999)))
    assert (made.outcome, made.pairs) == ("tie", 8)
    assert "neither is shown to be faster after all 8 pairs" in compare_report.sentence(made)
    assert "pairs" in compare_report.outlook(made)


def test_a_comparison_that_nothing_can_decide_any_more_ends_and_is_not_begun_again(bench: Bench) -> None:
    rng = random.Random(6)
    made = bench.go(Terms(pairs=16), Player(iter([75.0 * (1 + rng.gauss(0, 0.0008)) for _ in range(32)])))
    assert made.outcome == "tie" and 3 < made.pairs < 16 and len(made.runs) == 2 * made.pairs
    said = compare_report.sentence(made)
    assert f"neither is shown to be faster after {made.pairs} of 16 pairs, and the others could not change that" in said
    assert bench.go(Terms(pairs=16), Player(iter([]))) == made
    assert decision.conclude(made) == made, "its file is enough to judge it"
    older = decision.conclude(dataclasses.replace(made, ends_early=False))
    assert older.outcome == "undecided", "one that an older harness began goes on to its last pair"


@pytest.mark.parametrize("fixed", [False, True], ids=["until decided", "fixed"])
def test_more_outliers_than_all_planned_runs_may_have_end_it_and_it_warns_before(
    bench: Bench, capsys: pytest.CaptureFixture[str], fixed: bool
) -> None:
    slow = dict.fromkeys((4, 7, 10), 40.0)
    said: list[str] = []

    def say(comparison: Comparison) -> None:
        compare_report.say_analysis(comparison)
        said.append(capsys.readouterr().err)

    made = bench.go(Terms(pairs=12, fixed=fixed), Player(played(bench, b=75.01, slow=slow)), say=say)
    assert made.outcome == "inconclusive" and made.reason is not None and 10 < len(made.runs) < 24
    assert "3 of" in made.reason and "more than 10 % of all 24 that were planned, so that no further run" in made.reason
    assert any("2 of" in words and "more than 2 of all 24 would leave nothing to decide by" in words for words in said)
    assert not any("the same command continues" in words for words in said), "nothing has stopped it"
    assert not made.unfinished


def test_where_steps_are_ranked_it_tells_the_time_per_step_and_that_the_rank_does_not_depend_on_it(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench.go(Terms(pairs=5, fixed=True), Player(played(bench, b=74.0)))
    assert {run.steps for run in made.runs} == {5}
    compare_report.say_outcome(bench.project, made)
    said = capsys.readouterr().err
    assert re.search(
        r"time per step: A 150\d\d\.\d\d ms \(5 steps\), B 14[78]\d\d\.\d\d ms \(5 steps\); B takes 1\.3\d %", said
    )
    assert "tiny ranks by steps, and the rank does not depend on it" in said
    fewer = tuple(dataclasses.replace(run, steps=4 if run.arm == "B" else 5) for run in made.runs)
    line = compare_steps.sentence(bench.project, dataclasses.replace(made, runs=fewer))
    assert line is not None and re.search(
        r"B 18\d\d\d\.\d\d ms \(4 steps\); B takes 23\.\d\d % more, any trend taken out \(95 % interval 2", line
    )
    unknown = tuple(dataclasses.replace(run, steps=None) for run in made.runs)
    line = compare_steps.sentence(bench.project, dataclasses.replace(made, runs=unknown))
    assert line == "tiny ranks by steps, and the rank does not depend on it"


def test_a_plan_says_at_the_start_where_the_machine_is_too_noisy_to_decide(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_report.say_plan(bench.project, bench.plan(Terms(), plan_only=True))
    said = capsys.readouterr().err
    assert (
        "noise    not known here yet; on CPUs that others share runs vary by 1 to 6 %, and a difference below" in said
    )
    noisy = itertools.cycle([75.0, 79.0, 72.0, 77.0, 80.0, 73.0, 76.0])
    bench.go(Terms(pairs=3, fixed=True), Player(noisy))
    capsys.readouterr()
    compare_report.say_plan(bench.project, bench.plan(Terms(), plan_only=True))
    said = capsys.readouterr().err
    assert re.search(
        r"noise    6 runs here vary by \d\.\d %: a difference below \d(\.\d)? % stays undecided in 16 pairs more", said
    )
    assert "too noisy for what records gain, 1 % in the middle" in said
    told = compare_plan.data_of(bench.project, bench.plan(Terms(), plan_only=True))["noise"]
    assert (told["runs"], told["too_noisy"]) == (6, True) and told["decidable_gain"] > told["spread"] > 0.02


def test_a_noisy_machine_is_named_after_the_third_pair(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    for wobble, noisy in ((0.03, True), (0.0005, False)):
        times = itertools.cycle([75.0, 75 * (1 + wobble), 75 * (1 - wobble)])
        made = bench.go(Terms(pairs=5 if noisy else 4, fixed=True), Player(times), say=compare_report.say_analysis)
        said = capsys.readouterr().err
        assert made.outcome == "tie" and said.count("too noisy for what records gain") == noisy
        assert "likely needed" in said


def test_a_finished_comparison_is_shown_and_not_made_again(bench: Bench) -> None:
    first = bench.go(Terms(), Player(played(bench, b=74.0)))
    nothing = Player(iter([]))
    assert bench.go(Terms(), nothing) == first
    assert not nothing.plans


def test_a_plan_says_what_each_side_is_and_what_it_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = str(Path(__file__).parents[2])
    assert main(["--root", root, "compare", "short/89", "short/13", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "A: the merged script of the record short/89" in said
    assert "in an environment of its own, made before the first run: torch==2.10.0+cu128, numpy" in said
    assert "fetched from KellerJordan/modded-nanogpt, or read with --checkout DIR" in said
    assert "B: a reimplementation of the record short/13" in said
    assert f"in the harness's own environment, torch {computer.version('torch')}" in said
    assert "do not time the same sections" in said
    assert main(["--root", root, "compare", "short/89", "short/86", "--plan"]) == 0
    assert "do not time the same sections" not in capsys.readouterr().out
    assert main(["--root", root, "compare", "short/3", "short/13", "--plan"]) == 2
    assert "none was published" in capsys.readouterr().err


def test_another_number_of_pairs_begins_no_second_sequential_comparison(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    tie = bench.go(Terms(pairs=8), Player(played(bench, b=74.999)))
    for count in (8, 12, 16):
        plan = bench.plan(Terms(pairs=count))
        assert plan.comparison == tie
    compare_report.say_plan(bench.project, plan)
    said = capsys.readouterr().err
    assert "16 pairs were asked for, but this comparison has at most 8 pairs" in said
    assert "tie; nothing is run again" in said


def test_an_unfinished_one_continues_whatever_number_of_pairs_is_asked_for(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=5, fixed=True), Player(iter([75.0, 74.0, 75.0, KeyboardInterrupt()])))
    begun = bench.stored()
    assert bench.plan(Terms(pairs=3, fixed=True)).comparison.id == begun.id
    assert not bench.plan(Terms(pairs=16)).resumed, "one of each kind is allowed"
    done = bench.go(Terms(pairs=3, fixed=True), Player(played(bench, b=74.0)))
    assert (done.id, len(done.runs)) == (begun.id, 10)
    assert bench.plan(Terms(pairs=5, fixed=True)).comparison == done
    assert not bench.plan(Terms(pairs=3, fixed=True)).resumed, "decided ones stay, and the first of them counts"


def test_each_side_keeps_its_torch_and_another_one_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, KeyboardInterrupt()])))
    begun = bench.stored()
    assert begun.a.torch == begun.b.torch == computer.version("torch")
    other = dataclasses.replace(begun, a=dataclasses.replace(begun.a, torch="2.9.1"))
    comparisons.write_comparison(bench.project, other)
    with pytest.raises(MachineError, match=r"ran with torch 2\.9\.1, now with"):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([])))
    compare_report.say_outcome(bench.project, other)
    assert "A runs with torch 2.9.1 and B with torch" in capsys.readouterr().err


def test_a_machine_is_the_same_to_runs_in_another_environment_by_whatever_way_it_is_told() -> None:
    assert computer.with_torch(computer.capture(), "2.9.1") == computer.capture(torch="2.9.1")


def test_builds_of_torch_differ_only_where_both_say_so() -> None:
    assert comparisons.other_torch("2.9.1", "2.10.0")
    assert comparisons.other_torch("2.10.0+cu126", "2.10.0+cu128")
    assert not comparisons.other_torch("2.10.0", "2.10.0+cu128")
    assert not comparisons.other_torch(None, "2.10.0")


def test_a_file_of_an_older_harness_names_no_torch_and_is_continued(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, KeyboardInterrupt()])))
    path = comparisons.comparison_file(bench.project, bench.stored().id)
    data = json.loads(path.read_text())
    for side in "ab":
        del data[side]["torch"]
    path.write_text(json.dumps(data))
    assert bench.stored().a.torch is None
    assert bench.go(Terms(pairs=3, fixed=True), Player(played(bench))).a.torch == computer.version("torch")


def test_outliers_are_left_out_and_shown(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    # The track is one for any machine, where a run must be 25 % late to be an outlier. 4 and 5 are of two arms.
    made = bench.go(Terms(pairs=12, fixed=True), Player(played(bench, b=74.0, slow={4: 30.0, 5: 40.0})))
    assert [run.order for run in made.runs if run.outlier] == [4, 5]
    assert made.outcome == "faster"
    compare_report.say_outcome(bench.project, made)
    assert capsys.readouterr().err.count("outlier, left out") == 2


def test_too_many_outliers_decide_nothing(bench: Bench) -> None:
    made = bench.go(Terms(pairs=4, fixed=True), Player(played(bench, b=70.0, slow={1: 2.0, 6: 3.0})))
    # A track for any machine has a wide limit for its noise; here the limit of a quiet host is set.
    strict = decision.conclude(dataclasses.replace(made, outlier_limit=0.005, ends_early=False))
    assert strict.outcome == "inconclusive"
    assert strict.reason == "2 of 8 runs are outliers; with more than 10 % the comparison is inconclusive"


def test_outliers_of_the_faster_script_alone_decide_nothing_and_are_named(bench: Bench) -> None:
    made = bench.go(Terms(), Player(played(bench, b=60.0, slow={4: 30.0})))
    assert made.outcome == "inconclusive"
    assert made.reason == "B would be faster but for its outliers: 1 of its runs is an outlier, and 0 of A's are"
    first = decision.conclude(dataclasses.replace(made, method=1))
    assert (first.outcome, first.reason) == ("faster", None)


def test_a_gain_says_how_often_the_faster_script_may_still_be_slow(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    made = bench.go(Terms(pairs=12, fixed=True), Player(played(bench, b=74.0, slow={4: 30.0, 5: 40.0})))
    compare_report.say_outcome(bench.project, made)
    said = "1 of the 12 runs of B was an outlier: up to 34 % of its runs may be (95 %)"
    assert said in capsys.readouterr().err
    assert stats.share_bound(1, 12) == pytest.approx(0.3387, abs=1e-4)
    assert stats.share_bound(0, 8) == pytest.approx(1 - 0.05 ** (1 / 8))
    assert stats.share_bound(3, 3) == 1.0


def test_a_comparison_keeps_the_method_that_it_was_begun_with(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, KeyboardInterrupt()])))
    assert bench.stored().method == 2
    path = comparisons.comparison_file(bench.project, bench.stored().id)
    data = json.loads(path.read_text())
    del data["method"]  # as an older harness wrote it
    path.write_text(json.dumps(data))
    made = bench.go(Terms(pairs=3, fixed=True), Player(itertools.islice(played(bench, b=74.0), 1, None)))
    assert (made.method, made.outcome) == (1, "faster")
    assert decision.conclude(dataclasses.replace(made, method=2)).outcome == "tie", "the second needs more pairs"
    data["method"] = 4
    path.write_text(json.dumps(data))
    with pytest.raises(HarnessError, match="method"):
        bench.stored()


def test_a_time_that_the_clock_contradicts_ends_it(bench: Bench) -> None:
    made = bench.go(Terms(), Player(iter([75.0, 75.0, 90.0, 75.0]), wall_s=85.0))
    assert made.outcome == "inconclusive"
    assert made.reason is not None and "T2" in made.reason
    assert len(made.runs) == 3, "no further run is paid for"


# ------------------------------------------------------------------------------------------ continuing


def test_an_interrupted_run_is_listed_and_its_place_is_run_again(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, 74.0, KeyboardInterrupt()])))
    coins = bench.stored().coins
    assert len(bench.stored().runs) == 2
    made = bench.go(Terms(pairs=3, fixed=True), Player(played(bench)))
    assert made.coins == coins
    assert len(made.runs) == 6 and len(made.discarded) == 1
    assert made.discarded[0].arm == made.arms[2]
    assert [run.order for run in made.runs] == list(range(6))


def test_a_run_that_finished_unseen_counts_so_that_a_kill_chooses_nothing(bench: Bench) -> None:
    bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, 74.9, 75.1, 74.8, 75.2, 74.7])))
    whole = bench.stored()
    forgotten = decision.conclude(dataclasses.replace(whole, runs=whole.runs[:4]))  # as a kill -9 would leave it
    comparisons.write_comparison(bench.project, forgotten)
    again = bench.go(Terms(pairs=3, fixed=True), Player(iter([])))
    assert [run.run for run in again.runs] == [run.run for run in whole.runs]
    assert (again.outcome, again.gain) == (whole.outcome, whole.gain)


def test_a_run_that_fails_ends_the_command_and_keeps_the_rest(bench: Bench) -> None:
    with pytest.raises(RunError, match=r"run of [AB] failed"):
        bench.go(Terms(), Player(iter([75.0, 75.0, None])))
    assert len(bench.stored().runs) == 2
    assert bench.stored().discarded[0].why == "failed: exit code 1"


def test_another_machine_is_refused_and_every_field_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError):
        bench.go(Terms(), Player(iter([75.0, None])))
    here = computer.capture()
    other = dataclasses.replace(here, driver="575.57", kernel="6.99", fingerprint="0" * 64)
    monkeypatch.setattr(computer, "capture", lambda: other)
    with pytest.raises(MachineError) as refused:
        bench.go(Terms(), Player(iter([])))
    said = str(refused.value)
    assert len(refused.value.problems) == 2
    assert f"driver: {here.driver}, now 575.57" in said
    assert f"kernel: {here.kernel}, now 6.99" in said


def test_a_machine_that_changes_in_between_ends_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    class Changes(Player):
        def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
            other = dataclasses.replace(computer.capture(), python="3.99", fingerprint="1" * 64)
            monkeypatch.setattr(computer, "capture", lambda: other)
            return super().run(plan, watch)

    with pytest.raises(MachineError, match=r"python: .*, now 3\.99"):
        bench.go(Terms(), Changes(iter([75.0, 75.0])))
    assert len(bench.stored().runs) == 1


def test_gpus_that_differ_are_named_by_what_differs() -> None:
    here = computer.capture()
    gpus = tuple(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0, "96.00") for _ in range(8))
    before = dataclasses.replace(here, gpus=gpus)
    capped = tuple(dataclasses.replace(gpu, power_cap_w=650.0) for gpu in gpus)
    assert computer.differences(before, dataclasses.replace(here, gpus=capped)) == [
        "gpus.power_cap_w: 700.0, now 650.0"
    ]
    assert computer.differences(before, dataclasses.replace(here, gpus=gpus[:4])) == ["gpus: 8, now 4"]
    assert computer.differences(before, before) == []


def test_a_machine_that_cannot_run_the_track_leaves_no_comparison(bench: Bench) -> None:
    a, b = bench.subjects()
    gpus = dataclasses.replace(a.track.hardware, kind="gpu", gpu_name="NVIDIA H9000", processes=8)
    far = [dataclasses.replace(side, track=dataclasses.replace(a.track, hardware=gpus)) for side in (a, b)]
    plan = interleaving.plan(bench.project, *map(contender, far), Terms())
    with pytest.raises(MachineError, match="8× NVIDIA H9000"):
        interleaving.check(bench.project, plan)
    assert comparisons.read_comparisons(bench.project) == []


def test_scripts_of_two_tracks_are_refused(bench: Bench) -> None:
    a, b = bench.subjects()
    other = dataclasses.replace(b, track=dataclasses.replace(b.track, name="other"))
    with pytest.raises(TrackError, match="belong to tiny and other"):
        interleaving.plan(bench.project, contender(a), contender(other), Terms())


# ------------------------------------------------------------------------------------------ the machine's state


def machine_that(ask: Callable[[], MachineState]) -> Waiting:
    """A machine whose time passes only while it is waited for."""
    now_s = [0.0]

    def sleep(seconds: float) -> None:
        now_s[0] += seconds

    return Waiting(lambda text: None, ask, lambda: now_s[0], sleep)


FULL = MachineState((), 0.5, 1 << 34, 1 << 44)  # more is in use in /dev/shm than any machine has


def test_the_state_before_every_run_is_on_disk_before_it_begins(bench: Bench) -> None:
    class Reads(Player):
        def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
            assert plan.folder.name in bench.stored().states
            return super().run(plan, watch)

    loads = iter(range(100))
    machine = machine_that(lambda: dataclasses.replace(FREE.ask(), load=float(next(loads))))
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Reads(iter([75.0, 74.0, KeyboardInterrupt()])), machine)
    made = bench.go(Terms(pairs=3, fixed=True), Reads(iter([75.0] * 4)), machine)
    assert [state.load for state in made.states.values()] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert set(made.states) == {run.run for run in (*made.runs, *made.discarded)}
    assert made.reference == made.states[made.runs[0].run]


def test_a_machine_that_does_not_come_free_ends_it_for_now_and_the_same_command_continues(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    states = iter([FREE.ask(), FREE.ask(), FREE.ask()])
    play = Player(played(bench, b=74.0))
    ended = bench.go(Terms(), play, machine_that(lambda: next(states, FULL)))
    assert ended == bench.stored()
    assert (ended.outcome, len(ended.runs), ended.waited_s) == ("inconclusive", 3, 300.0)
    more = f"{(1 << 44) / 2**20:,.0f} MiB more in use than before the first run"
    assert ended.obstacles == (f"/dev/shm: {more}",)
    assert ended.reason == f"the machine was not free for run 4 within 300 s: /dev/shm: {more}"
    assert ended.elapsed_s >= 300.0, "waiting is paid for"
    compare_report.say_outcome(bench.project, ended)
    said = capsys.readouterr().err
    assert "inconclusive: the machine was not free for run 4" in said
    assert "300 s of it were spent waiting for the machine before runs" in said
    assert "the same command continues it, once the machine is free" in said
    assert len(play.plans) == 3

    shown = bench.plan(Terms(), plan_only=True)
    assert (shown.resumed, shown.decided, shown.comparison.id) == (True, False, ended.id)
    assert bench.stored() == ended, "a plan changes nothing"
    done = bench.go(Terms(), Player(played_from(bench, 3, b=74.0)))
    assert (done.id, done.coins, done.outcome, done.reason) == (ended.id, ended.coins, "faster", None)
    assert done.runs[:3] == tuple(
        dataclasses.replace(run, residual=now.residual) for run, now in zip(ended.runs, done.runs, strict=False)
    )
    assert done.obstacles == ()


def played_from(bench: Bench, first: int, **times: float) -> Iterator[float | None]:
    """The times of `played` from one place on."""
    return itertools.islice(played(bench, **times), first, None)


def test_a_fixed_one_that_ended_for_the_machine_is_finished_before_another_one_begins(bench: Bench) -> None:
    states = iter([FREE.ask()])
    ended = bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0])), machine_that(lambda: next(states, FULL)))
    assert ended.outcome == "inconclusive"
    assert bench.plan(Terms(pairs=5, fixed=True)).comparison.id == ended.id


def test_what_was_waited_for_counts_in_the_budget(bench: Bench) -> None:
    terms = Terms(pairs=3, fixed=True, usd_per_hour=3600.0, budget_usd=100.0)  # a dollar a second
    states = iter([FREE.ask(), *[FULL] * 30, FREE.ask()])
    made = bench.go(terms, Player(iter([75.0, 75.0])), machine_that(lambda: next(states)))
    assert (made.outcome, len(made.runs), made.waited_s) == ("undecided", 1, 150.0)
    assert set(made.states) == {made.runs[0].run}
    assert made == bench.stored()


def test_a_changed_power_cap_is_waited_for_before_the_machine_is_called_another_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = GpuAtStart(0, 34, 700.0, 345, 1980, None, ("gpu_idle",), 81559, 4, ())
    lowered = dataclasses.replace(gpu, power_cap_w=500.0)
    here = dataclasses.replace(computer.capture(), gpus=(Gpu("NVIDIA H100 80GB HBM3", 81559, 700.0),))
    monkeypatch.setattr(computer, "capture", lambda: computer.with_torch(here, here.torch))
    states = iter([gpu, gpu, lowered, lowered, gpu])
    machine = machine_that(lambda: dataclasses.replace(FREE.ask(), gpus=(next(states, gpu),)))
    made = bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, 74.0, 75.1, 74.2, 75.2, 74.1])), machine)
    assert (len(made.runs), made.waited_s) == (6, 10.0)
    assert all(state.gpus == (gpu,) for state in made.states.values())


def test_heat_and_load_are_shown_where_the_scripts_met_different_ones(bench: Bench) -> None:
    made = bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0] * 6)))
    assert state_report.lines(made) == []
    gpu = GpuAtStart(0, 41, 700.0, 345, 1980, None, ("gpu_idle",), 81559, 4, ())
    warm = dataclasses.replace(gpu, temperature_c=52)
    of_arm = {"A": MachineState((gpu, gpu), 0.5, None, None), "B": MachineState((gpu, warm), 6.25, None, None)}
    busy = dataclasses.replace(made, states={run.run: of_arm[run.arm] for run in made.runs})
    assert state_report.lines(busy) == [
        "hottest GPU at the start of a run: 41 °C with A, 52 °C with B",
        "highest load at the start of a run: 0.5 with A, 6.25 with B",
    ]


def test_a_file_of_an_older_harness_holds_no_states_and_is_continued(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0, KeyboardInterrupt()])))
    path = comparisons.comparison_file(bench.project, bench.stored().id)
    data = json.loads(path.read_text())
    for key in ("reference", "states", "waited_s", "obstacles"):
        del data[key]
    path.write_text(json.dumps(data))
    made = bench.go(Terms(pairs=3, fixed=True), Player(iter([75.0] * 5)))
    assert set(made.states) == {run.run for run in made.runs[1:]}
    assert made.reference == made.states[made.runs[1].run]


# ------------------------------------------------------------------------------------------ time and price


def test_the_budget_stops_before_the_run_that_would_exceed_it_and_a_higher_one_continues(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1_000_000, 80))  # every run takes 80 s: 0.80 USD at 36 USD an hour
    monkeypatch.setattr(interleaving, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    terms = Terms(pairs=4, fixed=True, usd_per_hour=36.0, budget_usd=4.5)
    made = bench.go(terms, Player(played(bench)))
    assert made.outcome == "undecided"
    assert len(made.runs) == 5
    assert cost.cost_usd(made, made.elapsed_s) == pytest.approx(4.0)
    assert not bench.go(terms, Player(iter([]))).discarded, "the same budget buys no further run"
    more = bench.go(dataclasses.replace(terms, budget_usd=100.0), Player(played(bench)))
    assert len(more.runs) == 8
    assert [run.run for run in more.runs[:5]] == [run.run for run in made.runs]


def test_the_plan_prints_time_and_price_from_earlier_runs_and_writes_nothing(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.go(Terms(pairs=3, fixed=True), Player(played(bench)))
    kept = sorted(path.name for path in (bench.project.runs / "comparisons").iterdir())
    root = str(bench.project.root)
    arguments = ["--root", root, "compare", f"{root}/{A}", f"{root}/{B}", "--plan"]
    assert main([*arguments, "--usd-per-hour", "36", "--budget-usd", "10"]) == 0
    said = capsys.readouterr().out
    assert "about 80 s for a run of A, 80 s for one of B; 42.7 min for the 32 that remain" in said
    assert "36 USD an hour: about 25.60 USD for all runs that remain; 0.00 of 10 USD are spent" in said
    assert sorted(path.name for path in (bench.project.runs / "comparisons").iterdir()) == kept
    assert main(arguments) == 0
    assert "price    not known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--budget-usd", "5"], "give --usd-per-hour too"),
        (["--until-decided", "--pairs", "10"], "8, 12 or 16"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    bench: Bench, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    root = str(bench.project.root)
    assert main(["--root", root, "compare", f"{root}/{A}", f"{root}/{B}", *flags]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags", [["--pairs", "2"], ["--pairs", "x"], ["--budget-usd", "-1"], ["--usd-per-hour", "nan"]]
)
def test_flags_out_of_range_are_refused(bench: Bench, flags: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["compare", A, B, *flags])


def test_two_comparisons_at_once_are_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(bench.project.root)
    with comparisons.only_one(bench.project):
        assert main(["--root", root, "compare", f"{root}/{A}", f"{root}/{B}"]) == 2
    assert "another comparison is going on" in capsys.readouterr().err


def test_a_damaged_file_is_named(bench: Bench) -> None:
    path = bench.project.runs / "comparisons" / "compare-x.json"
    write_atomic(path, "{}")
    with pytest.raises(HarnessError, match=r"compare-x\.json"):
        bench.plan(Terms())


# ------------------------------------------------------------------------------------------ losses


def with_losses(bench: Bench, a: list[float], b: list[float]) -> Comparison:
    blank = interleaving.new_comparison(*bench.subjects(), Terms(), computer.capture())
    made = [
        comparisons.ComparedRun(f"r{k}", arm, k, 75.0, 80.0, 80.0, loss)  # type: ignore[arg-type]
        for k, (arm, loss) in enumerate([*(("A", x) for x in a), *(("B", x) for x in b)])
    ]
    return decision.compare_losses(dataclasses.replace(blank, runs=tuple(made)))


def test_losses_are_alike_different_or_unclear_by_welchs_interval(bench: Bench) -> None:
    close = [3.2790, 3.2791, 3.2789, 3.2790]
    far = [3.2890, 3.2891, 3.2889, 3.2890]
    wide = [3.2760, 3.2820, 3.2780, 3.2800]
    assert with_losses(bench, close, close[::-1]).losses_alike == "alike"
    assert with_losses(bench, close, far).losses_alike == "different"
    unclear = with_losses(bench, close, wide)
    assert unclear.losses_alike == "unclear"
    assert unclear.loss_interval == stats.difference_interval(wide, close)
    assert with_losses(bench, close, close[:1]).losses_alike is None
    assert with_losses(bench, [3.279, 3.279], [3.279, 3.279]).losses_alike == "alike"
