"""Make the runs of a session, stage by stage, until everything that a record rests on is there.

    timed:  comparison → scores of its last runs → quick probe → the candidate alone until the ruleset's test decides
    steps:  the parent's runs, where work is compared → the declared number of runs, each scored → quick probe

Hard because it takes hours on a rented machine and may be killed at any moment, and a kill must not give a choice. So
no stage keeps a list of what it did: each looks at the ledger and at what is stored, and makes what is missing. What has
failed for good is said again by the same command, and nothing is run then.
"""

import contextlib
import dataclasses
import secrets
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.compare import arms, interleaving, readiness
from harness.compare.decisive import official_sha256
from harness.core import stats
from harness.core.errors import StoreError
from harness.core.judgement import Verdict
from harness.evidence.baseline import MOST_RUNS
from harness.machine import computer
from harness.maintain import session_judgement
from harness.maintain.session_work import Stop, Work, failed, has_weights, is_warm, own_comparison, prepare, unpaid
from harness.model_score import references
from harness.probe import material, probe_plan, probing, stored
from harness.run import judging, series
from harness.store import run_files, weights
from harness.store.caches import StoredCache
from harness.store.comparisons import Comparison
from harness.store.joint import is_joint
from harness.store.layout import Project
from harness.store.ledger import Ledger
from harness.store.sessions import Session
from harness.verdict.probe_evidence import Role
from harness.verdict.scored import LEAST_SCORED

PARENT_RUNS = 2  # whose work is compared: a single one may be the one that was disturbed


def make(work: Work) -> Stop | None:
    """Go through the stages; None where everything is there. Raises RunError where a run did not finish."""
    if not work.is_timed:
        stages = [parent_runs, fresh_runs, probe]
    elif work.session.comparison is not None:
        # Scores first: what fails there costs no run more. A comparison of fewer than four runs leaves some for the end.
        stages = [compare, score, probe, fresh_runs, score]
    else:  # the first record of a track has nothing to be compared with
        stages = [fresh_runs, score, probe]
    for stage in stages:
        stop = stage(work)
        if stop is not None:
            return stop
    return None


# ------------------------------------------------------------------------------------------------ comparison


def compare(work: Work) -> Stop | None:
    """Compare the candidate with the current record until that is decided; its runs are the session's own."""
    if work.session.comparison is None:
        return None
    comparison = own_comparison(work.project, work.session)
    if comparison is None or comparison.unfinished:
        comparison = _go_on(work, comparison)
    if comparison is None or comparison.unfinished:
        why = (comparison and comparison.reason) or "the next run of the comparison would exceed the budget"
        return Stop(False, (why,))
    reasons = session_judgement.of_comparison(work.catalog, work.subject, work.session, comparison)
    return Stop(True, tuple(reasons)) if reasons else None


def _go_on(work: Work, comparison: Comparison | None) -> Comparison | None:
    a = current_script(work.catalog, work.subject, checkout=work.checkout, allow_network=work.allow_network)
    b = arms.Contender(work.subject, "submission", work.subject.name)
    if comparison is not None and comparison.a.script_sha256 != a.subject.chain:
        return dataclasses.replace(comparison, outcome="inconclusive", obstacles=())  # another record came meanwhile
    if is_joint(work.session.comparison):  # it is made for all candidates, before their sessions go on one by one
        return comparison
    terms = interleaving.Terms(usd_per_hour=work.price.usd_per_hour, budget_usd=work.price.budget_usd, cold=work.cold)
    if comparison is None:
        made = interleaving.new_comparison(a.subject, b.subject, terms, computer.capture())
        assert work.session.comparison is not None
        comparison = dataclasses.replace(made, id=work.session.comparison)
    plan = interleaving.plan(work.project, a, b, terms, own=comparison)
    interleaving.check(work.project, plan)
    environments = interleaving.make_environments(work.project, plan)
    with work.shown.fetching() as progress:
        ready = interleaving.prepare(plan, environments, allow_network=work.allow_network, progress=progress)
    waiting = readiness.Waiting(work.shown.say)
    return interleaving.run(work.project, plan, ready, work.shown.comparing(plan), work.shown.analysis, waiting)


def current_script(
    catalog: Catalog, subject: Subject, *, checkout: Path | None, allow_network: bool, plan_only: bool = False
) -> arms.Contender:
    """Return the script that set the current record, as a comparison runs it; raises StoreError where it is not known."""
    named = catalog.find(subject.track.name)
    found = arms.find(catalog, named, checkout=checkout, allow_network=allow_network, plan_only=plan_only)
    assert named.record is not None  # a track means its current record
    if found.subject.chain != official_sha256(catalog, named.record):
        why = f"the current record {catalog.name(named.record)} was set with a script that nobody published"
        raise StoreError.at(subject.name, why, "nothing can be compared with it; a maintainer decides")
    return found


# ------------------------------------------------------------------------------------------------ scores


def too_few_scored(work: Work) -> int:
    """Count the scores that a session on a timed track still lacks."""
    scored = work.chain.scores
    return max(0, LEAST_SCORED - sum(run_id in scored for run_id in work.finished))


def score(work: Work) -> Stop | None:
    """Score the last runs that the comparison left of the candidate, and keep the weights of no others."""
    scored, missing = work.chain.scores, too_few_scored(work)
    waiting = [run_id for run_id in work.finished if run_id not in scored and has_weights(work.project, run_id)]
    chosen = waiting[-missing:] if missing > 0 else []
    if chosen:
        make_reference(work)
    for run_id in chosen:
        work.shown.scorer(work.subject, work.python)(run_id, work.subject.track)
    for run_id in waiting:
        weights.remove(run_files.run_folder(work.project, run_id))
    return failed(work)


def make_reference(work: Work) -> None:
    """Have a trained model of an honest script here, which S5 holds the candidate's against; a synthetic text needs none."""
    if work.subject.track.data.source == "synthetic" or references.find(work.catalog, work.subject)[0] is not None:
        return
    script = next(iter(references.scripts(work.catalog, work.subject)), None)
    if script is None:
        return
    work.shown.say(f"{script.name} is run once and scored: S5 holds the candidate's model against its model")
    ready = prepare(work, script)
    for run_id in series.make_runs(work.project, ready, 1, work.launcher, work.shown.watch(script)):
        work.shown.scorer(script, work.python)(run_id, script.track)


# ------------------------------------------------------------------------------------------------ runs


def fresh_runs(work: Work) -> Stop | None:
    """Make the candidate's runs that are missing: as many as were declared, or until the ruleset's rule decides."""
    if not work.is_timed:
        score_all(work)
    while (missing := missing_runs(work)) > 0:
        stop = failed(work) or unpaid(work)
        if stop is not None:
            return stop
        _make(work, missing)
    return failed(work)


def missing_runs(work: Work) -> int:
    """Count the runs that are still to be made, at most; 0 where the test has decided."""
    count, session = len(work.finished), work.session
    if session.declared is not None:
        return max(0, session.declared - count)
    most = work.subject.ruleset.significance.bounds[-1][1]
    return 0 if count and is_decided(work.judged()[1], work.subject) else max(0, most - count)


def is_decided(verdict: Verdict, subject: Subject) -> bool:
    """Tell whether the test on the loss has come to an end; that of a systems claim may be S3."""
    found = {finding.rule: finding.outcome for finding in verdict.findings}
    return found["S1"] in ("pass", "fail") or (subject.claim == "systems" and found["S3"] == "pass")


def _make(work: Work, count: int) -> None:
    """Make runs of one start until the budget or the test ends them; a secret source is drawn once for all of them."""
    ready = prepare(work, work.subject)
    watch = work.shown.watch(work.subject)
    for _ in series.make_runs(work.project, ready, count, work.launcher, watch, work.session.id):
        if work.is_timed:
            for older in work.finished[: -LEAST_SCORED if too_few_scored(work) else None]:
                weights.remove(run_files.run_folder(work.project, older))  # 0.5 GB each
        else:
            score_all(work)
        if failed(work) is not None or missing_runs(work) == 0 or unpaid(work) is not None:
            return


def parent_script(work: Work) -> Subject | None:
    """Return the script whose work is compared, if the ruleset asks for that: the parent's, or another that is here."""
    if "work" not in work.subject.ruleset.evidence:
        return None
    return next(iter(judging.work_scripts(work.catalog, work.subject)), None)


def missing_of_parent(work: Work) -> int:
    """Count the runs of the parent that are still to be made: those of another machine tell nothing here."""
    script = parent_script(work)
    if script is None:
        return 0
    here, made = computer.capture().fingerprint, 0
    for run_id in Ledger(work.project.ledger).chain(script.chain).finished[-MOST_RUNS:]:
        with contextlib.suppress(StoreError):  # its folder was thrown away
            file = run_files.read_run_file(run_files.run_folder(work.project, run_id))
            made += file.machine.fingerprint == here
    return max(0, PARENT_RUNS - made)


def parent_runs(work: Work) -> Stop | None:
    """Have runs of the parent on this machine, earlier ones used again: T8 and T9 compare their work."""
    script, count = parent_script(work), missing_of_parent(work)
    if script is None or not count:
        return None
    stop = unpaid(work)
    if stop is None:
        for _ in series.make_runs(work.project, prepare(work, script), count, work.launcher, work.shown.watch(script)):
            pass
    return stop


def score_all(work: Work) -> None:
    """Score every run of the session that waits for it."""
    scored = work.chain.scores
    waiting = [run_id for run_id in work.finished if run_id not in scored and has_weights(work.project, run_id)]
    if waiting:
        make_reference(work)
    for run_id in waiting:
        work.shown.scorer(work.subject, work.python)(run_id, work.subject.track)


# ------------------------------------------------------------------------------------------------ probe


def probe_folder(project: Project, session: Session) -> Path | None:
    """Find the probe of a session that was judged; None where none was, however many were interrupted."""
    folders = sorted((project.runs / run_files.PROBES).glob(f"{session.id}.*/{stored.VERDICT}"))
    return folders[0].parent if folders else None


def probe(work: Work) -> Stop | None:
    """Make the quick probe, beside an honest script, once."""
    folder = probe_folder(work.project, work.session)
    if folder is None:
        stop = unpaid(work)
        if stop is not None:
            return stop
        plan = plan_probe(work)
        with work.shown.fetching() as progress:
            tokens = material.prepare(plan, progress=progress)
        if is_warm(work):
            plan = dataclasses.replace(plan, caches=primed(work, plan))
        name = f"{work.session.id}.{secrets.token_hex(4)}"
        folder, _ = probing.run(work.project, plan, tokens, work.launcher, work.shown.watch(work.subject), name)
    found = stored.read_stored(folder / stored.EVIDENCE, name=work.project.show(folder / stored.EVIDENCE))
    verdict = session_judgement.judge_probe(found, work.subject)
    reasons = session_judgement.against(verdict)
    return Stop(True, tuple(reasons), verdict) if reasons else None


def primed(work: Work, plan: probe_plan.ProbePlan) -> dict[Role, StoredCache]:
    """Have the compile cache of both scripts of a probe, so that nothing tells its runs from those of the session."""
    scripts: dict[Role, Subject | None] = {"own": plan.subject, "parent": plan.parent}
    caches = {role: prepare(work, script).cache for role, script in scripts.items() if script is not None}
    return {role: cache for role, cache in caches.items() if cache is not None}


def plan_probe(work: Work) -> probe_plan.ProbePlan:
    """Plan the quick probe; what the candidate ends at is taken from the session's runs, never from the submitter's.

    A session scores models on another text (S5) before it makes a record: no run of the probe asks for the same alone.
    """
    plan = dataclasses.replace(probe_plan.plan(work.catalog, work.subject, probe_plan.QUICK), scored=True)
    usual: dict[Role, float] = {role: loss for role, loss in plan.usual.items() if role != "own"}
    if work.subject.ruleset.above_entropy is None and work.finished:
        losses = [run.val_loss for run in work.judged()[0].runs if run.val_loss is not None]
        if losses:
            usual["own"] = stats.mean(losses)
    return dataclasses.replace(plan, usual=usual)
