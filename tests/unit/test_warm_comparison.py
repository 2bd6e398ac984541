"""Comparisons whose runs start from filled compile caches: primed once, all warm or all cold, and what that costs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.compare import cost, interleaving, session_cost, warming
from harness.compare.interleaving import Terms
from harness.core.measurement import RunOutcome
from harness.launch.launcher import LaunchPlan
from harness.run import priming
from harness.store import caches, comparisons, run_files
from harness.store.ledger import Ledger
from harness.ui import compare_plan, compare_report
from tests.unit.test_compare import FREE, Bench, Player, bench, played

__all__ = ["bench"]  # the fixture


class Compiles(Player):
    """Plays times; a run that finds its cache empty is a priming run, which fills it and is ended at its clock."""

    def __init__(self, times_s: Iterator[float | BaseException | None]) -> None:
        super().__init__(times_s)
        self.found: list[tuple[str, str]] = []  # purpose of a run, what its cache held

    def run(self, plan: LaunchPlan, watch: Callable[[bytes], None]) -> RunOutcome:
        purpose = run_files.read_run_file(plan.folder).purpose or ""
        kernel = plan.folder / run_files.CACHE / "inductor" / "kernel.so"
        self.found.append((purpose, kernel.read_text() if kernel.exists() else ""))
        kernel.parent.mkdir(parents=True, exist_ok=True)
        kernel.write_text(f"compiled by {plan.run_id}")
        if purpose == "prime":
            for name in (run_files.LOG, run_files.CLOCK):
                (plan.folder / name).touch()
            with contextlib.suppress(priming.Enough):
                watch(b"clock:start")
            return RunOutcome("stopped", 143, 600.0, priming.PRIMED)
        return super().run(plan, watch)


@pytest.fixture
def primed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a track that needs GPUs."""
    monkeypatch.setattr(priming, "is_primed", lambda track: True)


THREE = Terms(pairs=3, fixed=True)


def stored_caches(bench: Bench) -> list[caches.StoredCache]:
    return [caches.CACHE_FORM.read(path) for path in (bench.project.runs / "caches").glob("*/cache.json")]


@pytest.mark.usefixtures("primed")
def test_every_script_is_primed_once_and_every_timed_run_starts_from_a_copy_of_what_that_left(bench: Bench) -> None:
    play = Compiles(played(bench))
    made = bench.go(THREE, play)
    assert made.caches == "warm" and len(made.runs) == 6
    primes = [found for purpose, found in play.found if purpose == "prime"]
    assert primes == ["", ""]
    by_script = {cache.made_with.script: cache for cache in stored_caches(bench)}
    for run in made.runs:
        side = made.a if run.arm == "A" else made.b
        file = run_files.read_run_file(run_files.run_folder(bench.project, run.run))
        assert file.cache == side.cache == by_script[side.script_sha256].digest
    left = {f"compiled by {cache.run}" for cache in by_script.values()}
    assert {found for purpose, found in play.found if purpose != "prime"} == left, "nothing is written back"
    starts = list(Ledger(bench.project.ledger).read().starts.values())
    assert [start.purpose for start in starts] == ["prime"] * 2 + ["judged"] * 6
    assert made.id not in {start.series for start in starts[:2]}
    assert made.primed_s > 0
    assert made.elapsed_s == pytest.approx(made.primed_s + sum(run.elapsed_s for run in made.runs))
    again = Compiles(iter([75.0, 75.1, 75.2, 74.9, 75.0, 75.1, 75.0, 74.9]))
    assert bench.go(dataclasses.replace(THREE, pairs=4), again).primed_s == 0.0
    assert "prime" not in {purpose for purpose, _ in again.found}


@pytest.mark.usefixtures("primed")
@pytest.mark.parametrize("cold", [True, False])
def test_a_comparison_goes_on_as_it_was_begun(bench: Bench, cold: bool, capsys: pytest.CaptureFixture[str]) -> None:
    begun, asked = (dataclasses.replace(THREE, cold=which) for which in (cold, not cold))
    with pytest.raises(KeyboardInterrupt):
        bench.go(begun, Compiles(iter([75.0, 74.0, KeyboardInterrupt()])))
    compare_report.say_plan(bench.project, bench.plan(asked))
    said = capsys.readouterr().err
    assert f"it was begun with {'empty' if cold else 'filled'} compile caches and goes on so" in said
    play = Compiles(played(bench))
    made = bench.go(asked, play)
    assert made.caches == ("cold" if cold else "warm")
    assert {bool(found) for _, found in play.found} == {not cold}, "cold and warm runs are never mixed"
    assert {run_files.read_run_file(run_files.run_folder(bench.project, run.run)).cache for run in made.runs} == {
        made.a.cache, made.b.cache,
    }  # fmt: skip


@pytest.mark.usefixtures("primed")
def test_a_comparison_of_an_older_harness_was_begun_cold(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(dataclasses.replace(THREE, cold=True), Compiles(iter([75.0, KeyboardInterrupt()])))
    path = comparisons.comparison_file(bench.project, bench.stored().id)
    data = json.loads(path.read_text())
    del data["caches"], data["primed_s"], data["a"]["cache"]
    path.write_text(json.dumps(data))
    assert bench.go(THREE, Compiles(played(bench))).caches == "cold"


@pytest.mark.usefixtures("primed")
def test_a_cache_that_was_changed_in_between_is_made_again_and_named(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.go(THREE, Compiles(iter([75.0, KeyboardInterrupt()])))
    begun = bench.stored()
    [changed] = [one for one in stored_caches(bench) if one.digest == begun.a.cache]
    files = caches.folder_of(bench.project, changed.made_with) / "files"
    (files / "inductor" / "kernel.so").write_text("other")
    play = Compiles(played(bench))
    made = bench.go(THREE, play)
    assert [purpose for purpose, _ in play.found].count("prime") == 1
    assert made.a.cache != begun.a.cache and made.b.cache == begun.b.cache


def test_nothing_is_primed_on_a_track_for_any_machine(bench: Bench) -> None:
    play = Compiles(played(bench))
    made = bench.go(THREE, play)
    assert made.caches == "cold" and {found for _, found in play.found} == {""}
    assert not (bench.project.runs / "caches").exists()


@pytest.mark.usefixtures("primed")
def test_nothing_is_primed_that_the_budget_does_not_pay_for(bench: Bench) -> None:
    terms = dataclasses.replace(THREE, usd_per_hour=36.0, budget_usd=12.0)
    assert cost.usd(cost.priming_s(2), 36.0) > 12.0
    play = Compiles(played(bench))
    made = bench.go(terms, play)
    assert (made.outcome, play.found) == ("undecided", [])
    assert len(bench.go(dataclasses.replace(terms, budget_usd=100.0), Compiles(played(bench))).runs) == 6


@pytest.mark.usefixtures("primed")
def test_the_plan_counts_what_has_still_to_be_primed(bench: Bench) -> None:
    plan = bench.plan(THREE, plan_only=True)
    assert plan.unprimed == 2
    assert compare_plan.caches(plan).endswith("; 2 scripts to prime first, untimed, on noise")
    with pytest.raises(KeyboardInterrupt):
        bench.go(THREE, Compiles(iter([75.0, KeyboardInterrupt()])))
    assert bench.plan(THREE, plan_only=True).unprimed == 0
    assert bench.plan(dataclasses.replace(THREE, cold=True, pairs=4), plan_only=True).unprimed == 0


@pytest.mark.usefixtures("primed")
def test_runs_that_started_otherwise_say_nothing_of_the_time_of_a_run(bench: Bench) -> None:
    cold = dataclasses.replace(THREE, cold=True)
    bench.go(cold, Player(played(bench)))
    assert bench.plan(dataclasses.replace(cold, pairs=4), plan_only=True).usual_s["A"] is not None
    assert bench.plan(dataclasses.replace(THREE, pairs=4), plan_only=True).usual_s == {"A": None, "B": None}


def test_before_any_run_a_plan_rests_on_the_claim_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = str(Path(__file__).parents[2])
    said = {}
    for flags in ((), ("--cold",)):
        arguments = ["--root", root, "compare", "short/89", "short/88", "--plan", "--usd-per-hour", "24", *flags]
        assert main(arguments) == 0
        said[flags] = capsys.readouterr().out
    warm_s, cold_s = (cost.run_s(73.8, state) for state in ("warm", "cold"))
    for flags, run_s, primes in (((), warm_s, 2), (("--cold",), cold_s, 0)):
        assert f"about {compare_plan.span(run_s)} for a run of A" in said[flags]
        least = cost.usd(32 * run_s + cost.priming_s(primes), 24)
        [price] = [line for line in said[flags].splitlines() if line.startswith("  price")]
        assert least < float(price.split("about ")[1].split(" ")[0]) < 1.02 * least
        a_s, b_s = (cost.run_s(train_s, "warm" if primes else "cold") for train_s in (73.8, 74.58))
        usual = session_cost.usual_sentence(0.2, a_s, b_s, primes, 24.0)
        assert f"  usually  {usual}" in said[flags]
        assert "by a record's claim and starts of others on 8×H100, nothing has run here" in said[flags]


def test_the_outcome_names_the_caches(bench: Bench, capsys: pytest.CaptureFixture[str], primed: None) -> None:
    compare_report.say_outcome(bench.project, bench.go(THREE, Compiles(played(bench))))
    assert "every run started from a copy of a filled compile cache (A's " in capsys.readouterr().err


def test_priming_runs_have_a_number_that_no_timed_run_has(bench: Bench, primed: None) -> None:
    numbers: list[tuple[str, int]] = []
    plan = bench.plan(THREE)
    ready = interleaving.prepare(plan, {})
    ready = {arm: dataclasses.replace(one, launcher=Compiles(played(bench))) for arm, one in ready.items()}

    def watcher(run_id: str, arm: str, number: int, count: int) -> Callable[[bytes], None]:
        numbers.append((arm, number))
        return lambda line: None

    interleaving.run(bench.project, plan, ready, watcher, lambda comparison: None, FREE)
    assert numbers[:3] == [("A", warming.PRIMING), ("B", warming.PRIMING), ("A", 1)]


# ------------------------------------------------------------------------------------------ docs/costs.md


def test_the_table_of_costs_is_computed() -> None:
    begin, end = "<!-- costs: generated -->\n", "<!-- costs: end -->"
    page = (Path(__file__).parents[2] / "docs" / "costs.md").read_text()
    assert page.split(begin)[1].split(end)[0] == session_cost.table(), "paste session_cost.table() between the marks"


def test_the_prose_beside_the_table_says_what_is_computed() -> None:
    page = " ".join((Path(__file__).parents[2] / "docs" / "costs.md").read_text().split())
    one, three, cold = (session_cost.estimate(0.2, *how) for how in ((1, "warm"), (3, "warm"), (1, "cold")))
    run_usd, prime_usd = (cost.usd(seconds, 24) for seconds in (cost.run_s(75, "warm"), cost.priming_s(1)))
    for said in (
        f"one costs {one.usd:.0f} USD and three at once {three.usd / 3:.0f} USD each",
        f"The 12.5 runs of a candidate alone are {12.5 * run_usd:.1f} USD, its priming {prime_usd:.1f} USD",
        f"primed on this machine before: {prime_usd:.1f} USD less",
        f"{cost.usd(2 * cost.run_s(75, 'warm'), 24):.1f} USD more",
        f"is used again, {run_usd:.1f} USD less for each",
        f"Filled caches save {100 * (1 - one.usd / cold.usd):.0f} % of the price of one",
        f"{cost.PAIRS[0.2]} and {cost.PAIRS[0.1]} pairs; {cost.ROUNDS[0.2]} and {cost.ROUNDS[0.1]} rounds",
    ):
        assert said in page


def test_a_session_costs_its_runs_its_priming_and_its_scores() -> None:
    one = session_cost.estimate(0.2, 1, "warm")
    runs = one.parent_runs + one.candidate_runs + one.probe_runs
    assert (one.parent_runs, one.candidate_runs, one.probe_runs, one.primed) == (8.8, 12.5, 2, 2)
    assert one.seconds == pytest.approx(runs * (150 + 75) + 2 * 625 + 4 * 60)
    assert one.usd == pytest.approx(one.seconds / 150)
    cold = session_cost.estimate(0.2, 1, "cold")
    assert cold.seconds == pytest.approx(runs * (625 + 75) + 4 * 60)
    three = session_cost.estimate(0.2, 3, "warm")
    assert three.parent_runs == pytest.approx(3 * cost.ROUNDS[0.2] + cost.LAST_OF_THREE[0.2])
    assert (three.candidate_runs, three.probe_runs, three.primed) == (37.5, 6, 4)
    assert three.usd / 3 < one.usd
