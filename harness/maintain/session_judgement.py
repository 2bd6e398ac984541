"""Judge a session that is done: a pure function of the submission's folder, the records, and what the session left.

The workflow of a pull request does it again from the record's folder. So every figure that decides is computed here
from what is stored beside it, and nothing is taken from a verdict that a file holds.
"""

import dataclasses
import datetime
import math
from dataclasses import dataclass

from harness.catalog import timers
from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.compare import decision
from harness.compare.decisive import official_sha256
from harness.core.errors import StoreError
from harness.core.judgement import Verdict
from harness.core.record import Record
from harness.dataset import probe_data
from harness.evidence.contents import Evidence
from harness.maintain import kept_runs
from harness.probe import stored
from harness.probe.probe_plan import QUICK, tokenizer_of
from harness.run import judging
from harness.store import sessions
from harness.store.comparisons import COMPARISON_FORM, Comparison
from harness.store.packs import PACK, read_pack_ledger
from harness.store.records import COMPARISON
from harness.store.sessions import Session
from harness.verdict import timing

PROBE = stored.FOLDER


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a session comes to."""

    gathered: Evidence
    verdict: Verdict  # on the fresh runs alone
    probed: stored.StoredProbe
    probe: Verdict
    comparison: Comparison | None
    reasons: tuple[str, ...]  # why it makes no record; empty where it does


def judge(catalog: Catalog, subject: Subject, session: Session) -> Judgement:
    """Judge the result of a session. Raises StoreError where it cannot be read, or belongs to something else."""
    project = catalog.project
    folder = sessions.result_folder(project, session)
    name = project.show(folder)
    require_official(catalog, session)
    require_own(subject, session, name)
    require_other(catalog, subject, session.timer)
    gathered, verdict = judging.verify_pack(catalog, subject, folder / PACK, f"{name}/{PACK}", session)
    found = stored.read_stored(folder / PROBE / stored.EVIDENCE, name=f"{name}/{PROBE}/{stored.EVIDENCE}")
    probe = judge_probe(found, subject)
    chain = read_pack_ledger(folder / PACK, f"{name}/{PACK}").of_script(subject.chain)
    reasons = [*against(verdict), *against(probe)]
    reasons += kept_runs.wrong_probe(folder, found, session, subject, chain)
    comparison = None
    if session.comparison is not None:
        comparison = COMPARISON_FORM.read(folder / COMPARISON, name=f"{name}/{COMPARISON}")
        reasons += of_comparison(catalog, subject, session, comparison)
        reasons += other_figures(comparison, gathered)
        reasons += kept_runs.wrong_compared(folder, comparison)
        # A submission chooses its parent, which T6 looks at. It does not choose the record that it was compared with.
        longer = timing.longer_gaps(gathered, kept_runs.read_compared(folder, comparison), f"{comparison.a.subject}'s")
        reasons += [] if longer is None else [f"T6 {longer.outcome}: {longer.text}"]
    elif subject.track.metric == "train_time" and (best := catalog.current(subject.track)) is not None:
        reasons.append(f"nothing was compared, and the current record is {catalog.name(best)}")
    return Judgement(gathered, verdict, found, probe, comparison, tuple(reasons))


def require_official(catalog: Catalog, session: Session) -> None:
    """Raise StoreError where whoever made a session was not listed on the day that it began."""
    day = datetime.date.fromisoformat(session.started_at[:10])
    if not timers.is_official(catalog.project, session.timer, session.track, day):
        what = (
            f"{session.timer} was not listed for {session.track} on {day}, so the session {session.id} is not official"
        )
        raise StoreError.at(f"{catalog.project.tracks.name}/{timers.FILE}", what, "let somebody who is listed make one")


def require_own(subject: Subject, session: Session, name: str) -> None:
    """Raise StoreError where a session is of another script, ruleset or folder than the submission."""
    told = (session.script_sha256, session.track, session.ruleset, session.subject)
    if told != (subject.chain, subject.track.name, subject.ruleset.id, subject.slug):
        raise StoreError.at(name, f"is of another script or ruleset than {subject.name}", "restore both as they were")


def require_other(catalog: Catalog, subject: Subject, handle: str) -> None:
    """Raise StoreError where whoever makes a session is one of the contributors: its runs are to be somebody else's."""
    people = subject.manifest.contributors if subject.manifest is not None else ()
    if timers.is_one_of(catalog.project, handle, people):
        what = f"{handle} is one of its contributors"
        raise StoreError.at(subject.name, what, "let somebody else who is listed make the session")


def judge_probe(found: stored.StoredProbe, subject: Subject) -> Verdict:
    """Judge a stored quick probe of a subject; raises StoreError where it is another one."""
    wanted = (subject.chain, subject.ruleset.id, QUICK)
    known = math.isclose(found.untrained_loss, probe_data.untrained_loss(subject.track), rel_tol=1e-9)
    if (found.script_sha256, found.ruleset, found.probes) != wanted or not known:
        raise StoreError.at(subject.name, "the stored probe is no quick probe of this script", "restore the session")
    if found.tokenizer is not None and found.scored and tokenizer_of(subject) is None:
        what = "the stored probe left out a run because of a tokenizer, which the script does not use"
        raise StoreError.at(subject.name, what, "restore the session")
    return stored.judge_stored(found, subject.track)


def against(verdict: Verdict) -> list[str]:
    """List what keeps a verdict from being pass."""
    decided = [finding for finding in verdict.findings if finding.outcome in ("fail", "inconclusive")]
    if verdict.outcome != "pass" and not decided:
        return ["nothing could be judged"]
    return [f"{finding.rule} {finding.outcome}: {finding.text}" for finding in decided]


def of_comparison(catalog: Catalog, subject: Subject, session: Session, comparison: Comparison) -> list[str]:
    """Say why a comparison of a session makes no record: other scripts, another decision than its times give, no gain."""
    best = catalog.current(subject.track)
    if best is None or comparison.a.script_sha256 != official_sha256(catalog, best):
        return [f"was compared with {comparison.a.subject[:100]}, and the current record is {name_of(catalog, best)}"]
    if comparison.series != session.comparison or comparison.b.script_sha256 != subject.chain:
        return [f"the comparison {comparison.id[:64]} is not the one of the session {session.id}"]
    again = decision.conclude(comparison)
    same = (again.outcome, again.pairs) == (comparison.outcome, comparison.pairs)
    same = same and _alike(again.gain, comparison.gain) and _alike(again.p, comparison.p)
    if comparison.outcome == "faster" and not same:
        return ["the comparison says faster, and its own times do not"]
    if comparison.outcome != "faster":
        why = f" ({comparison.reason})" if comparison.reason else ""
        return [f"is not shown to be faster than the current record: {comparison.outcome}{why}"]
    return []


def name_of(catalog: Catalog, record: Record | None) -> str:
    """Name a record as people write it."""
    return "none" if record is None else catalog.name(record)


def other_figures(comparison: Comparison, gathered: Evidence) -> list[str]:
    """Name the candidate's runs whose figures in the comparison are not those of the evidence."""
    known = {run.run_id: (run.train_time_s, run.log.final_val_loss) for run in gathered.runs}  # as printed
    mine = [run for run in comparison.runs if run.arm == "B"]
    wrong = [run.run for run in mine if known.get(run.run) != (run.train_time_s, run.val_loss)]
    return [f"the comparison says of {run_id} what its log does not" for run_id in wrong]


def _alike(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one == other
    return math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9)


def failing(verdict: Verdict) -> list[str]:
    """List what no further run can repair."""
    failed = [finding for finding in verdict.findings if finding.outcome == "fail"]
    return against(dataclasses.replace(verdict, findings=tuple(failed))) if failed else []
