"""Several candidates that share the runs of one script: the order, who drops out, and that each is judged as if alone."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.catalog.subjects import Subject
from harness.cli import main
from harness.compare import arms, decision, interleaving, joining, joint_analysis, joint_runs, pairs, readiness, rounds
from harness.compare.interleaving import Terms
from harness.compare.joining import JointPlan
from harness.compare.joint_analysis import Among
from harness.core import regression
from harness.core.errors import HarnessError, StoreError
from harness.core.measurement import RunOutcome
from harness.launch.launcher import LaunchPlan
from harness.run import priming
from harness.store import comparisons, joint, run_files
from harness.store.comparisons import Comparison
from harness.store.joint import Joint
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.ui import joint_report
from tests.faults.projects import Small, make_project
from tests.named import find_subject
from tests.unit.test_compare import FREE, Player, contender
from tests.unit.test_warm_comparison import Compiles

NAMES = ("a", "b", "c", "d")
EIGHT = Terms(pairs=8)

# ------------------------------------------------------------------------------------------ the order


def test_every_round_holds_each_candidate_after_a_run_of_a_and_one_run_of_a_alone() -> None:
    drawn = rounds.draw("BCD", 300)
    assert {len(order) for order in drawn} == {7}
    for order in drawn:
        assert sorted(order.replace("AB", "b").replace("AC", "c").replace("AD", "d")) == list("Abcd")
    assert len(set(drawn)) == 24, "all orders come up"
    whole = "".join(drawn)
    followers = [whole[k] for k in range(1, len(whole)) if whole[k - 1] == "A"]
    assert {letter: followers.count(letter) for letter in "BCD"} == dict.fromkeys("BCD", 300)
    assert 299 <= followers.count("A") <= 300


def test_who_is_decided_drops_out_and_the_order_of_the_rest_stays() -> None:
    orders = ("ABAACAD", "AACABAD", "ADAACAB")
    arms = "".join(turn.arm for turn in rounds.turns(orders, "BCD", {"C": 1, "B": 2}))
    assert arms == "ABAACAD" + "AABAD" + "ADA"
    assert rounds.turns(orders, "BCD", {"B": 1, "C": 1, "D": 1}) == rounds.turns(orders[:1], "BCD", {})
    assert rounds.turns(orders, "BCD", {"B": 0, "C": 0, "D": 0}) == []


def test_a_candidate_is_judged_by_its_own_runs_and_those_of_a_after_a_or_after_it() -> None:
    order = rounds.turns(("ABAACAD", "AACABAD"), "BCD", {})
    for runs, whole in ((0, 0), (6, 0), (7, 1), (13, 1), (14, 2)):
        assert rounds.whole_rounds(order, runs) == whole
    found = rounds.places_of("B", order, 14, {})
    assert [(place.index, place.arm, place.after) for place in found] == [
        (0, "A", "A"), (1, "B", "A"), (2, "A", "B"), (3, "A", "A"), (8, "A", "A"), (11, "B", "A"), (12, "A", "B"),
    ]  # fmt: skip
    assert [place.round for place in found] == [0, 0, 0, 0, 1, 1, 1]
    assert len(rounds.places_of("B", order, 14, {"B": 1})) == 4, "nothing that came after it was decided"
    for candidate in "BCD":
        places = rounds.places_of(candidate, order, 14, {})
        assert {place.after for place in places if place.arm == candidate} == {"A"}


# ------------------------------------------------------------------------------------------ the analysis


def places(seed: int, count: int, candidates: str = "BCD") -> tuple[str, str, Among]:
    """The arms of all runs, those of B's comparison, and where these stand."""
    units = random.Random(seed)
    orders = []
    for _ in range(count):
        order = ["A", *("A" + letter for letter in candidates)]
        units.shuffle(order)
        orders.append("".join(order))
    order = rounds.turns(orders, candidates, {})
    found = rounds.places_of("B", order, len(order), {})
    among = Among(
        tuple(place.index for place in found),
        "".join(place.after for place in found),
        tuple(place.round for place in found),
    )
    return "".join(orders), "".join(place.arm for place in found), among


def test_the_fit_of_one_candidate_is_that_of_the_normal_equations() -> None:
    np = pytest.importorskip("numpy")
    _, arms, among = places(3, 6)
    rng = random.Random(3)
    logs = [
        rng.gauss(0, 0.0008) - 0.002 * (arm == "B") + 1e-4 * place
        for arm, place in zip(arms, among.places, strict=True)
    ]
    fit = joint_analysis.analyse([75 * math.exp(y) for y in logs], arms, among, 0.005).fit
    assert fit is not None
    design = np.array(
        [
            [1, arm == "B", place, arm == "A" and after == "B"]
            for arm, place, after in zip(arms, among.places, among.after, strict=True)
        ],
        dtype=float,
    )
    y = np.array(logs)
    inverse = np.linalg.inv(design.T @ design)
    solution = inverse @ design.T @ y
    residuals, leverage = y - design @ solution, np.diag(design @ inverse @ design.T)
    influence, b = (inverse @ design.T)[1], design[:, 1] == 1
    parts = []
    for kind in (b, ~b):
        degrees = (1 - leverage[kind]).sum()
        parts.append(((residuals[kind] ** 2).sum() / degrees * (influence[kind] ** 2).sum(), degrees))
    assert fit.beta == pytest.approx(solution[1], rel=1e-9)
    assert fit.standard_error == pytest.approx(math.sqrt(sum(part for part, _ in parts)))
    assert fit.degrees == pytest.approx(sum(part for part, _ in parts) ** 2 / sum(part**2 / d for part, d in parts))


def test_where_both_have_one_spread_welchs_fit_is_nearly_the_pooled_one() -> None:
    np = pytest.importorskip("numpy")
    rng = np.random.default_rng(3)
    design = np.array([[1.0, k % 2, k / 20 - 1, 0.0] for k in range(40)])
    y = rng.standard_normal((200, 40))
    kept, b = np.ones(40), design[:, 1] == 1
    own, pooled = regression.least_squares_of_two(design, y, kept, b, 1), regression.least_squares(design, y, kept, 1)
    assert own.estimate == pytest.approx(pooled.estimate)
    assert own.error.mean() == pytest.approx(pooled.error.mean(), rel=0.02)
    assert (own.degrees <= pooled.degrees + 1e-9).all() and own.degrees.mean() > 30


@pytest.mark.parametrize("left", [{"CA": 0.01, "DA": 0.003}, {"BA": 0.01}, {"AB": 0.002, "AA": 0.002, "AC": 0.5}])
def test_what_another_candidate_leaves_to_the_next_run_changes_no_answer(left: dict[str, float]) -> None:
    for seed in range(6):
        whole, arms, among = places(seed, 8)
        rng = random.Random(seed)
        alone = [rng.gauss(0, 0.0008) - 0.002 * (arm == "B") * (seed % 2) for arm in arms]
        beside = [y + left.get(before + arm, 0.0) for y, before, arm in zip(alone, among.after, arms, strict=True)]
        assert all(whole[place] == arm for place, arm in zip(among.places, arms, strict=True))
        rule = pairs.Rule(8, pairs.BOUNDS[8], method=3)
        (outcome, analysis), (found, other) = (
            pairs.decide([75 * math.exp(y) for y in logs], arms, rule, among) for logs in (alone, beside)
        )
        assert (found, other.pairs, other.outliers) == (outcome, analysis.pairs, analysis.outliers)
        assert analysis.fit is not None and other.fit is not None
        assert other.fit.beta == pytest.approx(analysis.fit.beta, abs=1e-9)


def test_a_file_that_does_not_say_where_its_runs_stand_decides_nothing() -> None:
    _, arms, among = places(1, 4)
    times = [75.0 - (arm == "B") + k / 1000 for k, arm in enumerate(arms)]
    rule = pairs.Rule(8, pairs.BOUNDS[8], method=3)
    assert pairs.decide(times, arms, rule)[0] == "undecided"
    far = dataclasses.replace(among, rounds=(10**9,) * len(arms))
    assert pairs.decide(times, arms, rule, far)[0] in ("undecided", "tie")


# ------------------------------------------------------------------------------------------ the runs


@dataclasses.dataclass
class JointBench:
    project: Project
    small: Small

    def subjects(self) -> list[Subject]:
        root = self.project.root
        return [find_subject(self.project, f"{root}/submissions/2026-11-21_{name}") for name in NAMES]

    def plan(self, terms: Terms = EIGHT, names: str = "bcd", **changes: bool) -> JointPlan:
        a, *others = map(contender, self.subjects())
        chosen = [one for one, name in zip(others, "bcd", strict=True) if name in names]
        return joining.plan(self.project, a, chosen, terms, **changes)

    def go(self, play: Player, terms: Terms = EIGHT, names: str = "bcd") -> dict[str, Comparison]:
        plan = self.plan(terms, names)
        joining.check(self.project, plan)
        ready = joining.prepare(plan, joining.make_environments(self.project, plan))
        played = {letter: dataclasses.replace(one, launcher=play) for letter, one in ready.items()}
        if plan.joint is None:
            return {}
        return joint_runs.run(
            self.project, plan, played, lambda *_: lambda line: None, lambda comparison, letter: None, FREE
        )

    def stored(self) -> Joint:
        [path] = (self.project.runs / "comparisons" / "joint").glob("*.json")
        return joint.read_joint(self.project, path.stem)


ORDERS = ("ABAACAD", "AACABAD", "ADAACAB", "AABADAC", "ACABAAD", "ADABACA", "AACADAB", "ACAADAB")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> JointBench:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(rounds, "draw", lambda candidates, count: ORDERS[:count])
    small = make_project(tmp_path / "project")
    for name in NAMES:
        small.submit(f"step(0, 5, 5.0, 0)  # {name}\n", f"2026-11-21_{name}")
    return JointBench(Project(small.root), small)


def by_script(bench: JointBench, times_s: dict[str, float], ends: int = 10_000) -> Iterator[float | BaseException]:
    """Times with a fixed wobble of 0.04 %, by whose turn it is."""
    wobble = [0.0003, -0.0004, 0.0001, 0.0005, -0.0002, -0.0003, 0.0004, 0.0]
    for _ in range(ends):
        made = bench.stored()
        turn = joint_runs.next_turn(made)
        assert turn is not None
        yield times_s[turn.arm] * (1 + wobble[len(made.runs) % 8])
    yield KeyboardInterrupt()


TIMES = {"A": 75.0, "B": 73.0, "C": 77.0, "D": 75.001}
CLEAR = {"A": 75.0, "B": 70.0, "C": 80.0, "D": 85.0}  # decided after three rounds


def test_candidates_share_the_runs_of_a_and_each_that_is_decided_drops_out(bench: JointBench) -> None:
    judged = bench.go(Player(by_script(bench, TIMES)))
    assert {letter: one.outcome for letter, one in judged.items()} == {"B": "faster", "C": "slower", "D": "tie"}
    made = bench.stored()
    last = made.dropped["D"]  # of 8: then nothing could decide any more
    assert last == 7 and made.dropped["B"] < last and made.dropped["C"] < last
    arms = "".join(run.arm for run in made.runs)
    for letter in "BCD":
        assert arms.count(letter) == made.dropped[letter]
    assert arms.count("A") == last + sum(made.dropped.values())
    stored = {one.id: one for one in comparisons.read_comparisons(bench.project)}
    assert stored == {one.id: one for one in judged.values()}
    for letter, one in judged.items():
        assert (one.pairs, one.method, one.joint) == (made.dropped[letter], 3, made.id)
        assert one.b.script_sha256 == bench.subjects()["ABCD".index(letter)].chain
        assert decision.conclude(one) == one, "its file is enough to judge it"
        assert {run.after for run in one.runs if run.arm == "B"} == {"A"}
        assert set(one.states) == {run.run for run in one.runs}
    gain = judged["B"].gain
    assert gain == pytest.approx(2 / 75, abs=2e-3)
    starts = Ledger(bench.project.ledger).read().starts
    assert list(starts) == [run.run for run in made.runs]
    assert {start.series for start in starts.values()} == {made.id}


def test_a_killed_comparison_of_several_goes_on_where_it_was(bench: JointBench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Player(by_script(bench, CLEAR, ends=9)))
    begun = bench.stored()
    assert len(begun.runs) == 9
    lost = dataclasses.replace(begun, runs=begun.runs[:8], discarded=())  # as a kill -9 before the file was written
    joint.write_joint(bench.project, lost)
    judged = bench.go(Player(by_script(bench, CLEAR)))
    made = bench.stored()
    assert [run.run for run in made.runs[:9]] == [run.run for run in begun.runs]
    assert (made.id, made.orders) == (begun.id, begun.orders)
    assert len(made.discarded) == 1
    assert judged["B"].outcome == "faster"
    known = {run.run for run in made.runs} | {run.run for run in made.discarded}
    assert known == set(Ledger(bench.project.ledger).read().starts)


def test_a_kill_between_the_last_run_of_a_round_and_its_judgement_chooses_nothing(
    bench: JointBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = joint_runs.settle

    def killed(project: Project, made: Joint, *rest: object) -> object:
        if rounds.whole_rounds(joint_runs.order_of(made), len(made.runs)) == 3:
            raise KeyboardInterrupt
        return settle(project, made, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(joint_runs, "settle", killed)
        with pytest.raises(KeyboardInterrupt):
            bench.go(Player(by_script(bench, CLEAR)))
    assert (len(bench.stored().runs), bench.stored().dropped) == (21, {})
    judged = bench.go(Player(by_script(bench, CLEAR)))
    assert bench.stored().dropped == {"B": 3, "C": 3, "D": 3}
    assert (judged["B"].outcome, judged["B"].pairs) == ("faster", 3)


def test_what_is_decided_is_shown_and_what_is_not_must_be_finished_first(
    bench: JointBench, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Player(by_script(bench, CLEAR, ends=9)))
    with pytest.raises(StoreError, match=r"finish that first: speedrun compare .*_a .*_b .*_c .*_d"):
        bench.plan(names="bc")
    a, b = map(contender, bench.subjects()[:2])
    with pytest.raises(StoreError, match="continue that"):
        interleaving.plan(bench.project, a, b, Terms())
    judged = bench.go(Player(by_script(bench, CLEAR)))
    assert interleaving.plan(bench.project, a, b, Terms()).comparison == judged["B"]
    plan = bench.plan(names="bcd")
    assert plan.joint is None and {one.outcome for one in plan.decided.values()} == {"faster", "slower"}
    joint_report.say_plan(bench.project, plan)
    joint_report.say_outcome(bench.project, plan, {})
    said = capsys.readouterr().err
    assert "2026-11-21_b: compared before, faster; nothing of it is run again" in said
    assert "B: submissions/2026-11-21_c against A: submissions/2026-11-21_a" in said


def test_a_kill_before_it_was_noted_who_is_decided_brings_nobody_back(bench: JointBench) -> None:
    bench.go(Player(by_script(bench, TIMES)), Terms(pairs=8))
    made = bench.stored()
    at = made.dropped["B"]
    runs = tuple(run for run, turn in zip(made.runs, joint_runs.order_of(made), strict=True) if turn.round < at)
    joint.write_joint(bench.project, dataclasses.replace(made, runs=runs, dropped={}))
    [d] = [one for one in comparisons.read_comparisons(bench.project) if one.id == made.comparisons["D"]]
    comparisons.write_comparison(bench.project, dataclasses.replace(d, outcome="undecided"))
    plan = bench.plan(names="d")
    assert plan.joint is not None and set(plan.contenders) == {"A", "D"}
    assert plan.joint.dropped == {letter: made.dropped[letter] for letter in "BC"}
    assert bench.go(Player(by_script(bench, TIMES)), names="d")["D"].outcome == "tie"


def test_several_are_compared_by_one_command_and_continued_by_it(
    bench: JointBench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play = Player(by_script(bench, CLEAR))
    monkeypatch.setattr(arms, "TorchrunLauncher", lambda *_: play)
    monkeypatch.setattr(readiness, "Waiting", lambda say: FREE)
    root = str(bench.project.root)
    names = [f"{root}/submissions/2026-11-21_{name}" for name in NAMES]
    assert main(["--root", root, "compare", *names, "--json"]) == 0
    out, err = capsys.readouterr()
    made = json.loads(out)
    assert [one["outcome"] for one in made] == ["faster", "slower", "slower"]
    assert {one["joint"] for one in made} == {bench.stored().id}
    assert "C, called B here: B is " in err and ", 3 rounds): decided" in err
    count = len(play.plans)
    assert main(["--root", root, "compare", *names, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == made and len(play.plans) == count


def test_a_candidate_that_was_compared_alone_is_finished_alone(bench: JointBench) -> None:
    a, b = map(contender, bench.subjects()[:2])
    alone = interleaving.plan(bench.project, a, b, Terms())
    comparisons.write_comparison(bench.project, alone.comparison)
    with pytest.raises(StoreError, match=r"compared with .* alone and is not decided"):
        bench.plan()


def test_a_script_is_named_once(bench: JointBench) -> None:
    a, b, *_ = map(contender, bench.subjects())
    for names in ([b, b], [b, a]):
        with pytest.raises(StoreError, match="is the same script as"):
            joining.plan(bench.project, a, names, EIGHT)
    with pytest.raises(StoreError, match="more than 5"):
        joining.plan(bench.project, a, [b] * 6, EIGHT)


def test_a_time_that_the_clock_contradicts_ends_the_comparison_of_its_script_alone(bench: JointBench) -> None:
    class Lies(Player):
        def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
            file = run_files.read_run_file(plan.folder)
            lies = file.subject.endswith("_c")
            self.wall_s = 85.0 if lies else None
            return super().run(plan, watch)

    judged = bench.go(Lies(by_script(bench, CLEAR | {"C": 90.0})))
    assert {letter: one.outcome for letter, one in judged.items()} == {
        "B": "faster",
        "C": "inconclusive",
        "D": "slower",
    }
    assert bench.stored().dropped["C"] == 1


def test_all_scripts_are_primed_once_and_who_dropped_out_is_not(
    bench: JointBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(priming, "is_primed", lambda track: True)
    play = Compiles(by_script(bench, CLEAR, ends=9))
    with pytest.raises(KeyboardInterrupt):
        bench.go(play)
    assert [purpose for purpose, _ in play.found[:5]] == ["prime"] * 4 + ["judged"]
    again = Compiles(by_script(bench, CLEAR))
    judged = bench.go(again)
    assert "prime" not in {purpose for purpose, _ in again.found}
    made = bench.stored()
    assert {one.caches for one in judged.values()} == {"warm"}
    assert {one.a.cache for one in judged.values()} == {made.sides["A"].cache}
    assert made.primed_s > 0


def test_the_budget_ends_it_and_a_higher_one_goes_on(bench: JointBench, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1_000_000, 80))  # every run takes 80 s: 0.80 USD at 36 USD an hour
    monkeypatch.setattr(joint_runs.time, "monotonic", lambda: next(clock))
    terms = dataclasses.replace(EIGHT, usd_per_hour=36.0, budget_usd=7.5)
    judged = bench.go(Player(by_script(bench, CLEAR)), terms)
    assert len(bench.stored().runs) == 9
    assert {one.outcome for one in judged.values()} == {"undecided"}


def test_the_plan_of_several_writes_nothing_and_names_the_order(
    bench: JointBench, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(bench.project.root)
    names = [f"{root}/submissions/2026-11-21_{name}" for name in NAMES]
    assert main(["--root", root, "compare", *names, "--plan", "--usd-per-hour", "24"]) == 0
    said = capsys.readouterr().out
    assert "at most 8 rounds (56 runs), in rounds by coin, each candidate after a run of A" in said
    assert "D: the submission submissions/2026-11-21_d" in said
    assert not list((bench.project.runs / "comparisons").glob("**/*.json"))


def test_two_tracks_are_not_compared() -> None:
    root = str(Path(__file__).parents[2])
    assert main(["--root", root, "compare", "short/13", "short/12", "smoke/2", "--plan"]) == 2


def test_a_damaged_file_is_named(bench: JointBench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(Player(by_script(bench, CLEAR, ends=1)))
    path = joint.joint_file(bench.project, bench.stored().id)
    path.write_text(json.dumps({"schema": 1}))
    with pytest.raises(HarnessError, match=r"joint-.*\.json"):
        bench.plan()


def test_a_candidate_whose_runs_break_three_times_drops_out_and_the_others_go_on(bench: JointBench) -> None:
    class Breaks(Player):
        def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
            if run_files.read_run_file(plan.folder).subject.endswith("_c"):
                self.times_s = itertools.chain([None], self.times_s)
            return super().run(plan, watch)

    for _ in range(3):
        with pytest.raises(HarnessError):
            bench.go(Breaks(by_script(bench, CLEAR)))
    judged = bench.go(Breaks(by_script(bench, CLEAR)))
    assert {letter: one.outcome for letter, one in judged.items()} == {
        "B": "faster",
        "C": "inconclusive",
        "D": "slower",
    }
    reason = judged["C"].reason
    assert reason is not None and reason.startswith("3 of its runs gave no time, the last one: failed")
    assert bench.stored().dropped["C"] == 0
