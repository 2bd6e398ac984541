"""Sessions on a track that ranks time: its comparison, what is scored, and when the candidate runs on alone.

The candidate's runs are real. The times of the other script, and so the comparison, are written down: how fast a machine
of the tests is decides nothing here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import harness.verdict
from harness.catalog.lookup import Catalog
from harness.compare import decision, interleaving
from harness.core.errors import StoreError
from harness.evidence.metrics import read_run
from harness.machine import computer
from harness.maintain import acceptance, kept_runs, session_plan, session_price, stages
from harness.maintain.session_judgement import judge, judge_probe, of_comparison
from harness.maintain.session_price import Price
from harness.maintain.session_work import Work, is_warm, own_comparison, prepare
from harness.run import execution, judging, priming, series
from harness.store import caches, comparisons, run_files
from harness.store import sessions as stored
from harness.store.comparisons import ComparedRun, Comparison
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.verdict import timing
from harness.verdict.checks import Ruling
from harness.verdict.scored import LEAST_SCORED
from tests.cheats.gallery import Direct, changed
from tests.flow import sessions
from tests.flow.sessions import SLUG, Counted
from tests.scoring import tiny
from tests.shared_runs import made_once

FIRST = "2026-11-20_first"
TIMED = "            timed += time.perf_counter() - t0\n"
PAIRS = 6
TRACK = sessions.TRACK.replace("metric: steps", "metric: train_time").replace(
    "significance: {test: t, alpha: 0.01, min_runs: 3}",
    "significance: {test: sequential, sigma_floor: 0.001, bounds: [[8, 16, 9.6]]}",
)
TRACK = TRACK.replace("logs, script, seeds, clock, data, machine, ledger, confinement, scored", "logs, ledger").replace(
    "    above_entropy: 1.5\n", ""
)


@pytest.fixture(autouse=True)
def without_clocks() -> Iterator[None]:
    """Machines of the tests are shared and late; what rules on time and hardware say of that is no matter here."""
    others = tuple(check for check in harness.verdict.CHECKS if check.rule[0] not in "TH")
    alike = mock.patch.object(timing, "longer_gaps", return_value=None)
    with mock.patch.object(harness.verdict, "CHECKS", others), alike:
        yield


def slow(script: str, time_s: float) -> str:
    """The script with a train time that it prints and nobody measures."""
    return changed("slow", script, [{"from": TIMED, "to": f"            timed += {time_s} + int(seed) % 5003 / 1e3\n"}])


def add_record(project: Project) -> None:
    folder = project.records / "tiny" / FIRST / "script"
    folder.mkdir(parents=True)
    script = slow(tiny.HONEST, 100.0).encode()
    (folder / "train_gpt.py").write_bytes(script)
    digest = hashlib.sha256(script).hexdigest()
    (folder / "script.yaml").write_text(
        f"schema: 1\norigin: original\nof: tiny/1\nentry: train_gpt.py\nfiles:\n  train_gpt.py: {digest}\n"
    )
    (folder.parent / "record.yaml").write_text(
        "schema: 1\ntrack: tiny\nruleset: tiny@1\nnumber: 1\nkind: record\nretimes: null\ndate: 2026-11-20\n"
        "title: the first\ncontributors: ['@somebody']\npull_request: null\nnotes: null\nwithdrawn: null\n"
        "claimed: {train_time_s: 1000.0, steps: null, val_loss: 3.0, runs: 1}\noriginal: null\n"
    )


def make_compared(folder: Path) -> None:
    """A session whose comparison has decided; of the candidate it made six runs."""
    with mock.patch("tests.flow.sessions.TRACK", TRACK):
        project = sessions.make_project(folder / "project", slow(tiny.HONEST, 50.0))
    add_record(project)
    with tiny.cache(project):
        work = sessions.work_on(project)
        stored.write_session(project, work.session)
        current = stages.current_script(work.catalog, work.subject, checkout=None, allow_network=False).subject
        made = {}
        for arm, script in (("A", current), ("B", work.subject)):
            ready = execution.prepare(script, computer.capture())
            runs = series.make_runs(project, ready, PAIRS, Direct(), sessions.watch, work.session.comparison)
            made[arm] = list(runs)
    comparisons.write_comparison(project, compared(work, made))


def compared(work: Work, made: dict[str, list[str]], *, slower: bool = False) -> Comparison:
    """The comparison of a session, as if its runs had been made in turns; slower: with the two scripts exchanged."""
    a = stages.current_script(work.catalog, work.subject, checkout=None, allow_network=False).subject
    begun = interleaving.new_comparison(a, work.subject, interleaving.Terms(), computer.capture())
    begun = dataclasses.replace(begun, id=work.session.comparison)
    left = {arm: iter(made[arm]) for arm in "AB"}
    runs = []
    for order, arm in enumerate(begun.arms[: 2 * PAIRS]):
        assert arm in ("A", "B")
        folder = run_files.run_folder(work.project, next(left[arm]))
        run = read_run(folder, kept_runs.script_of(folder), packed=False)
        assert run.train_time_s is not None
        time_s = run.train_time_s * (3 if slower and arm == "B" else 1)
        runs.append(ComparedRun(run.run_id, arm, order, time_s, 1.0, 1.0, run.val_loss))
    return decision.conclude(dataclasses.replace(begun, runs=tuple(runs)))


@pytest.fixture
def project(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = made_once(tmp_path_factory, "timed-session", make_compared)
    shutil.copytree(made / "project", tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def test_a_timed_session_scores_its_last_runs_and_runs_on_alone_until_the_rule_decides(project: Project) -> None:
    launcher = Counted()
    work, stop = sessions.go_on(project, launcher)
    assert stop is None, stop
    ledger = Ledger(project.ledger)
    chain = ledger.chain(work.subject.chain)
    series_of = [chain.starts[run_id].series for run_id in work.finished]
    assert series_of == [work.session.comparison] * PAIRS + [work.session.id] * 2, "the eighth run decides"
    scored = [run_id in chain.scores for run_id in work.finished]
    assert scored == [False] * (PAIRS - LEAST_SCORED) + [True] * LEAST_SCORED + [False] * 2
    assert not [run_id for run_id in work.finished if stages.has_weights(project, run_id)]
    assert launcher.started == 2 + 4  # the probe, with the record's script beside the candidate
    judgement, record = acceptance.accept_session(work.catalog, work.subject, work.session)
    assert record is not None, judgement.reasons
    assert judgement.probed.scored, "S5 of this session stands for another text, where tokens are not relabelled"
    assert (record.claimed.runs, record.faster_than) == (8, f"tiny/{FIRST}")
    findings = {finding.rule: finding for finding in judgement.verdict.findings}
    assert [findings[rule].outcome for rule in ("S1", "S4", "S5", "S6")] == ["pass"] * 4
    assert "decided after run 8" in findings["S1"].text
    assert "the saved models of all 4 runs" in findings["S4"].text
    shutil.rmtree(project.runs)
    catalog = Catalog(project)
    new = catalog.script_here(catalog.record("tiny/2"))
    assert judging.verify(catalog, new)[1].outcome == "pass"
    with pytest.raises(StoreError, match="left out a run because of a tokenizer, which the script does not use"):
        judge_probe(dataclasses.replace(judgement.probed, tokenizer="a.py:1 imports tiktoken"), new)
    current = catalog.current(catalog.track("tiny"))
    assert current is not None and current.slug == SLUG


def halved(run: ComparedRun) -> ComparedRun:
    return dataclasses.replace(run, train_time_s=run.train_time_s / 2)


def test_a_comparison_is_not_believed_beyond_its_runs(project: Project) -> None:
    work, stop = sessions.go_on(project)
    assert stop is None
    path = stored.result_folder(project, work.session) / "comparison.json"
    held = comparisons.COMPARISON_FORM.read(path)

    def reasons(changed: Comparison) -> str:
        path.write_text(comparisons.COMPARISON_FORM.text(changed))
        return "\n".join(judge(work.catalog, work.subject, work.session).reasons)

    assert reasons(held) == ""
    longer = Ruling("inconclusive", "the validation gaps take 9.000 s")
    with mock.patch.object(timing, "longer_gaps", return_value=longer) as asked:
        assert reasons(held) == "T6 inconclusive: the validation gaps take 9.000 s", "whatever parent was named"
    ((_, beside, whose), _) = asked.call_args
    assert {run.run_id for run in beside} == {run.run for run in held.runs if run.arm == "A"}
    assert all(run.timed_lines for run in beside) and whose == f"records/tiny/{FIRST}'s"
    for arm, forge in (("A", lambda r: dataclasses.replace(r, train_time_s=9.0)), ("B", halved)):
        mine = next(run for run in held.runs if run.arm == arm)
        better = dataclasses.replace(held, runs=tuple(forge(run) if run == mine else run for run in held.runs))
        assert f"the comparison says of {mine.run} what its log does not" in reasons(decision.conclude(better))
    assert "says faster, and its own times do not" in reasons(dataclasses.replace(held, gain=0.5))
    assert "is not the one of the session" in reasons(dataclasses.replace(held, id="c1"))
    other = dataclasses.replace(held.a, script_sha256="e" * 64)
    assert "and the current record is tiny/1" in reasons(dataclasses.replace(held, a=other))
    shutil.rmtree(path.parent / "compared" / "runs")
    assert "is not kept, or no run of this comparison" in reasons(held)


def test_a_comparison_that_is_not_faster_ends_the_session_for_good(project: Project) -> None:
    with tiny.cache(project):
        work = sessions.work_on(project, Counted())
    began = own_comparison(project, work.session)
    assert began is not None
    made = {arm: [run.run for run in began.runs if run.arm == arm] for arm in "AB"}
    comparisons.write_comparison(project, compared(work, made, slower=True))
    launcher = Counted()
    for _ in range(2):
        _, stop = sessions.go_on(project, launcher)
        assert stop is not None and stop.final
        assert stop.reasons == ("is not shown to be faster than the current record: slower",)
    assert launcher.started == 0
    add = project.records / "tiny" / "2026-11-21_better"
    shutil.copytree(project.records / "tiny" / FIRST, add)
    (add / "script" / "train_gpt.py").write_text("1\n")
    digest = hashlib.sha256(b"1\n").hexdigest()
    for name in ("script/script.yaml", "record.yaml"):
        text = (
            (add / name)
            .read_text()
            .replace("1000.0", "900.0")
            .replace("number: 1", "number: 2")
            .replace("tiny/1", "tiny/2")
        )
        old = hashlib.sha256(slow(tiny.HONEST, 100.0).encode()).hexdigest()
        (add / name).write_text(text.replace(old, digest))
    catalog = Catalog(project)
    comparison = own_comparison(project, work.session)
    assert comparison is not None
    said = of_comparison(catalog, work.subject, work.session, comparison)
    assert said == [f"was compared with records/tiny/{FIRST}, and the current record is tiny/2"]


def test_a_session_stops_at_its_budget_and_goes_on_with_another(project: Project) -> None:
    with tiny.cache(project):
        work = sessions.work_on(project)
        submitted = judging.verify(work.catalog, work.subject)[0]
        rich = session_plan.outlook(work, submitted)
    assert {step.doing: step.most for step in rich.steps if step.most} == {
        "scores": LEAST_SCORED,
        "probe": 4,
        "runs": 10,
    }
    spent = session_price.spent_s(project, work.session)
    comparison = own_comparison(project, work.session)
    assert comparison is not None and spent == pytest.approx(comparison.elapsed_s)
    poor = dataclasses.replace(work, price=Price(3600.0, spent / 2))
    with tiny.cache(project):
        stop = stages.probe(poor)
    assert stop is not None and not stop.final and "would exceed the budget" in stop.reasons[0]


def test_the_first_record_of_a_track_is_compared_with_nothing_and_scored_all_the_same(tmp_path: Path) -> None:
    with mock.patch("tests.flow.sessions.TRACK", TRACK):
        project = sessions.make_project(tmp_path / "project", slow(tiny.HONEST, 50.0))
    work, stop = sessions.go_on(project)
    assert stop is None, stop
    assert work.session.comparison is None
    scored = [run_id in work.chain.scores for run_id in work.finished]
    assert scored == [False] * (8 - LEAST_SCORED) + [True] * LEAST_SCORED
    judgement, record = acceptance.accept_session(work.catalog, work.subject, work.session)
    assert record is not None, judgement.reasons
    assert (record.number, record.faster_than) == (1, None)


def test_all_runs_of_a_session_start_from_the_same_kind_of_cache_as_its_comparison(project: Project) -> None:
    primed: list[tuple[str, str | None]] = []

    def prime(project: Project, ready: execution.Prepared, *rest: Any) -> caches.StoredCache:
        primed.append((ready.subject.chain, rest[-1]))
        made = caches.MadeWith(ready.subject.chain, "3.12", "2.10", None, (), None, "cpu", "here")
        return caches.StoredCache(caches.SCHEMA, made, "d" * 64, 1, 1, "r", run_files.now(), 1.0)

    with (
        tiny.cache(project),
        mock.patch.object(priming, "is_primed", return_value=True),
        mock.patch.object(priming, "prime", prime),
    ):
        work = sessions.work_on(project)
        comparison = own_comparison(project, work.session)
        assert comparison is not None and comparison.caches == "cold"
        assert not is_warm(work) and prepare(work, work.subject).cache is None, "it goes on as it was begun"
        comparisons.write_comparison(project, dataclasses.replace(comparison, caches="warm"))
        assert is_warm(dataclasses.replace(work, cold=True)), "whatever is asked for later"
        ready = prepare(work, work.subject)
        assert ready.cache is not None and ready.cache.made_with.script == work.subject.chain
        plan = stages.plan_probe(work)
        assert plan.parent is not None
        found = stages.primed(work, plan)
        scripts = {role: cache.made_with.script for role, cache in found.items()}
        assert scripts == {"own": work.subject.chain, "parent": plan.parent.chain}
        assert {series for _, series in primed} == {f"{work.session.id}.prime"}, "what it costs is the session's"
        outlook = session_plan.outlook(work, judging.verify(work.catalog, work.subject)[0])
        assert next((step.doing, step.most) for step in outlook.steps) == ("priming", 2)
    alone = dataclasses.replace(work, session=dataclasses.replace(work.session, comparison=None))
    with mock.patch.object(priming, "is_primed", return_value=True):
        assert is_warm(alone) and not is_warm(dataclasses.replace(alone, cold=True)), "before its first run"
    assert not is_warm(alone), "on a track where nothing is primed"
