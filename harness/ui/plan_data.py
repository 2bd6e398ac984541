"""Turn plans into data for `--plan --json`: what would be run, how long it takes, and what would stop it here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from harness.core.errors import MachineError, Problem
from harness.core.measurement import Machine
from harness.core.task import Track
from harness.machine import computer

if TYPE_CHECKING:  # numpy comes with some of it
    from harness.catalog.subjects import Subject
    from harness.compare.arms import Contender
    from harness.compare.interleaving import Plan as Comparing
    from harness.compare.joining import JointPlan
    from harness.maintain.session_plan import Outlook as SessionOutlook
    from harness.maintain.session_work import Work
    from harness.probe.probe_plan import ProbePlan
    from harness.replay.outlook import Outlook
    from harness.replay.plan import Plan as Replaying
    from harness.run.series import SeriesPlan


def cannot(here: Machine, track: Track, *, dry: bool = False) -> tuple[Problem, ...]:
    """Return what a machine lacks for a track."""
    try:
        computer.check(here, track, dry=dry)
    except MachineError as error:
        return error.problems
    return ()


def of_run(plan: SeriesPlan, stops: Iterable[Problem], *, torch: str | None = None) -> dict[str, Any]:
    """Return the plan of a series of runs; stops: what would end it before its first run.

    torch: the version in an environment of its own, if it runs in one.
    """
    subject, here = plan.subject, computer.capture(torch=torch)
    purpose = "dry" if plan.dry else "screening" if plan.screening else "judged"
    return {
        **_script(subject),
        "purpose": purpose,
        "runs": plan.runs,
        "at_most": plan.until_decided,
        "finished": plan.done,
        "declared": plan.declared,
        "counts_steps_first": plan.counting,
        "processes": subject.track.hardware.processes,
        "train_tokens": subject.train_tokens,
        "scoring_s": plan.scoring_s,
        "machine": here,
        "cannot": tuple(stops),
    }


def of_comparison(plan: Comparing) -> dict[str, Any]:
    """Return the plan of a comparison of two scripts."""
    here = computer.capture()
    return {
        "comparison": plan.comparison,
        "resumed": plan.resumed,
        "usual_run_s": plan.usual_s,
        "by_claims": plan.by_claims,
        "still_to_prime": plan.unprimed,
        "cannot": _obstacles(plan.contenders.values()) + cannot(here, plan.subjects["A"].track),
    }


def of_several(plan: JointPlan) -> dict[str, Any]:
    """Return the plan of a comparison of several candidates with one script."""
    track = next(iter(plan.contenders.values())).subject.track
    return {
        "joint": plan.joint,
        "contenders": {letter: contender.name for letter, contender in plan.contenders.items()},
        "decided": {name: comparison.outcome for name, comparison in plan.decided.items()},
        "resumed": plan.resumed,
        "usual_run_s": plan.usual_s,
        "by_claims": plan.by_claims,
        "still_to_prime": plan.unprimed,
        "cannot": _obstacles(plan.contenders.values()) + cannot(computer.capture(), track),
    }


def of_probe(plan: ProbePlan) -> dict[str, Any]:
    """Return the plan of a probe."""
    return {
        **_script(plan.subject),
        "parent": None if plan.parent is None else plan.parent.name,
        "probes": plan.probes,
        "runs": [{"script": role, "tokens": variant} for role, variant in plan.runs],
        "usual_val_loss": plan.usual,
        "cannot": cannot(computer.capture(), plan.subject.track),
    }


def of_replay(plan: Replaying, outlook: Outlook) -> dict[str, Any]:
    """Return the plan of a replay."""
    return {
        "record": plan.name,
        **_script(plan.subject),
        "script": plan.script,
        "script_is_here": plan.here,
        "runs": plan.runs,
        "processes": plan.processes,
        "environments": [{"requirements": wanted, "state": state} for wanted, state in outlook.environments],
        "loss_only": plan.loss_only,
        "claimed_loss": plan.claimed_loss,
        "train_tokens": plan.subject.train_tokens,
        "missing_shards": outlook.missing,
        "missing_bytes": outlook.missing_bytes,
        "free_bytes": outlook.free_bytes,
        "machine": outlook.machine,
        "cannot": outlook.problems,
    }


def of_session(work: Work, outlook: SessionOutlook) -> dict[str, Any]:
    """Return the plan of a session of fresh runs; its steps may be shared with sessions beside it."""
    usual_s, most_s = outlook.total_s(most=False), outlook.total_s(most=True)
    return {
        "session": work.session.id,
        **_script(work.subject),
        "timer": work.session.timer,
        "declared": work.session.declared,
        "steps": outlook.steps,
        "usual_s": usual_s,
        "most_s": most_s,
        "usual_usd": None if usual_s is None else work.price.cost_usd(usual_s),
        "spent_s": outlook.spent_s,
        "beside": [session.id for session in work.beside],
        "cannot": cannot(computer.capture(), work.subject.track),
    }


def _script(subject: Subject) -> dict[str, Any]:
    rules = {"track": subject.track.name, "ruleset": subject.ruleset.id}
    return {"subject": subject.name, "entry": subject.entry, "script_sha256": subject.script_sha256, **rules}


def _obstacles(contenders: Iterable[Contender]) -> tuple[Problem, ...]:
    replays = [contender.replay for contender in contenders if contender.replay is not None]
    return tuple(problem for replay in replays for problem in replay.obstacles)
