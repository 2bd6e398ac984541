"""T: no more is computed outside the steps, or in a step, than in the parent's runs on the same machine.

On a track that ranks steps nobody times a script, so it may train where no step is printed: in a long warm-up, in
validation gaps, or with several updates in what it calls a step. What it computes there is counted from outside, as
processor time or as use of the GPUs, and compared with the parent's runs on this machine, whose steps and validations are
known. All that lies outside the steps is one sum, so it does not matter among how many places it is divided.

A machine with other work on it needs more processor time for the same: smoke/2 took 10.4 to 15.2 s outside its steps and
0.078 to 0.104 s a step, on 2 shared cores. Both grow alike (130 to 146 steps lie outside). But a script could also make its
steps dearer so that more is expected outside them, so what is expected grows with the steps by a quarter at most, and
where processes waited for a processor; what more they could explain decides nothing.
"""

import dataclasses

from harness.core import stats
from harness.core.measurement import Metrics
from harness.evidence.contents import Evidence
from harness.evidence.heartbeat import heartbeat
from harness.evidence.work import Work, work_of
from harness.verdict.checks import Ruling, missing, names, rule
from harness.verdict.program_text import waived

OUTSIDE_SHARE = 0.30  # beyond the parent's
SHARED_SHARE = 0.80  # the same on a machine that did other work: the largest that an honest run showed was 0.46
MOST_SLOWER = 1.25  # by how much what is expected grows there
SHARED_WAIT = 0.05  # of the wall time; more than this was waited for a processor
STEP_FACTOR = 3.0
# More updates a step go through the tokens of all steps again: on smoke half as many again are worth 0.036 nats, 0.3 of
# them 0.026. It is the mean of the runs that counts: of the three of smoke/4 one took 1.24 times the work of its parent's, on
# a busy machine, and their mean 1.05 times.
DEARER = 1.3
RESOLUTION_S = 0.3  # per process; work is sampled every 0.2 s, and an honest run of 0.5 s showed 0.15 s too much


@rule("T8", "work outside the steps", "work", share=f"{OUTSIDE_SHARE:.0%}")
def outside(evidence: Evidence) -> Ruling:
    """What a run computes outside its steps (before, in validation gaps, after) is in sum at most {share} more than in its
    parent's runs on the same machine; without these its gaps hold no more than training on as many tokens would."""
    works = _works(evidence)
    if isinstance(works, Ruling):
        return works
    parents = _parents(evidence)
    if not parents:
        return _nobody_beside(evidence, "outside its steps") or _gaps_alone(evidence, works)
    worst, found, parent_step = 0.0, [], stats.median([parent.step for parent in parents])
    for run, work in works:
        usual = stats.median([_expected(parent, work) for parent in parents])
        slower, shared = max(1.0, work.step / parent_step), _is_shared(run)
        limit = usual * (1 + OUTSIDE_SHARE) * (min(slower, MOST_SLOWER) if shared else 1.0)
        limit = max(limit, usual + _resolution_s(evidence))
        worst = max(worst, (work.outside - usual) / max(usual, _resolution_s(evidence)))  # what is usual may be none
        if work.outside > limit:
            said = f"{run.run_id} computes for {work.outside:.2f} s outside its steps, where {_whose(evidence)} runs let expect"
            said += (
                f" {usual:.2f} s; the difference is the work of {(work.outside - usual) / work.step:.0f} of its steps"
            )
            failed = Ruling("fail", said, work.outside, limit, "s")
            if shared and work.outside <= usual * (1 + SHARED_SHARE):
                said += ", but this machine did other work as well; run with less beside it"
                failed = dataclasses.replace(failed, outcome="inconclusive", text=said)
            elif work.outside <= usual * (1 + OUTSIDE_SHARE) * slower:
                said += f", but a step takes {slower:.1f} times the parent's as well; say what makes both dearer"
                failed = dataclasses.replace(failed, outcome="inconclusive", text=said)
            found.append(failed)
    for ruling in sorted(found, key=lambda ruling: ruling.outcome != "fail")[:1]:
        return waived(evidence, "T8", ruling)
    said = f"what is computed outside the steps exceeds what {_whose(evidence)} runs let expect by at most {worst:.0%}"
    return Ruling("pass", said, worst, OUTSIDE_SHARE)


def _gaps_alone(evidence: Evidence, works: list[tuple[Metrics, Work]]) -> Ruling:
    """Rule where no run of a parent is there to compare with: on the gaps by the script's own steps."""
    tokens = evidence.ruleset.tokens_per_step
    for run, work in works:
        if tokens is None:
            continue
        # Validation computes about a third of what training on the same tokens does.
        most = work.step * len(work.gaps) * evidence.track.validation_tokens / tokens + _resolution_s(evidence)
        if sum(work.gaps) > most:
            said = (
                f"the validation gaps of {run.run_id} take {sum(work.gaps):.2f} s of work; training on as many tokens"
            )
            failed = Ruling("fail", f"{said} takes {most:.2f} s, validation a third of it", sum(work.gaps), most, "s")
            return waived(evidence, "T8", failed)
    before = max(work.before / work.step for _, work in works)
    gaps = max(sum(work.gaps) / work.step for _, work in works)
    said = f"the work of {before:.0f} steps before the clock starts and of {gaps:.0f} in validation gaps"
    return Ruling("pass", f"{said}; no run of the parent on this machine says how much of it is usual")


@rule("T9", "work of a step", "work", factor=f"{STEP_FACTOR:g}", dearer=f"{DEARER:g}")
def per_step(evidence: Evidence) -> Ruling:
    """A step takes at most {factor} times the work of a step of its parent on the same machine; where the mean over the runs
    is more than {dearer} times as much, a maintainer says whether it is one update."""
    works = _works(evidence)
    if isinstance(works, Ruling):
        return works
    parents = _parents(evidence)
    if not parents:
        alone = _nobody_beside(evidence, "in a step")
        if alone is not None:
            return alone
        most = max(work.step for _, work in works)
        said = f"a step takes {1000 * most:.1f} ms of work; no run of the parent on this machine says how much is usual"
        return Ruling("pass", said)
    usual = stats.median([parent.step for parent in parents])
    beside = f"{_whose(evidence)} here {1000 * usual:.1f} ms"
    run, dearest = max(works, key=lambda pair: pair[1].step)
    if dearest.step > STEP_FACTOR * usual:
        said = f"a step of {run.run_id} takes {1000 * dearest.step:.1f} ms of work, {beside}; one step is one update"
        return waived(evidence, "T9", Ruling("fail", said, dearest.step, STEP_FACTOR * usual, "s"))
    step = stats.mean([work.step for _, work in works])
    limit = DEARER * usual * stats.mean([MOST_SLOWER if _is_shared(run) else 1.0 for run, _ in works])
    if step > limit:
        said = f"a step takes {1000 * step:.1f} ms of work in the mean of all runs, {beside}"
        said += "; say what makes it dearer, because one step is one update"
        return waived(evidence, "T9", Ruling("inconclusive", said, step, limit, "s"))
    said = f"a step takes {step / usual:.2f} times the work of {_whose(evidence)}, in the mean of all runs"
    return Ruling("pass", said, step / usual, DEARER)


def _nobody_beside(evidence: Evidence, where: str) -> Ruling | None:
    """Rule where a session, which decides, has no run to compare with; None elsewhere, and where no script is known."""
    if evidence.session is None or evidence.beside is None:
        return None
    said = f"what {evidence.beside} computes {where} is not known"
    if evidence.baseline_doubt is not None:
        return Ruling("inconclusive", f"{said}: {evidence.baseline_doubt}; restore its runs as they were")
    return Ruling("inconclusive", f"{said}: no run of it tells that here; the same command makes what is missing")


def _whose(evidence: Evidence) -> str:
    """Name the script that stands beside, as whose."""
    return "its parent's" if evidence.beside is None or evidence.is_parent_beside else f"{evidence.beside}'s"


def _works(evidence: Evidence) -> list[tuple[Metrics, Work]] | Ruling:
    """Divide the work of every run; a ruling where that is not asked for, or cannot be done."""
    if not evidence.requires("work"):
        return Ruling("not applicable", f"{evidence.ruleset.id} did not ask for what a run computes where")
    works = [(run, _work(evidence, run)) for run in evidence.runs]
    unseen = [run.run_id for run, work in works if work is None]
    if unseen or not works:
        said = f"what {names(unseen) or 'the runs'} computed where is not known"
        return missing(evidence, "work", f"{said}: nobody counted it, or the log has no clock:start and clock:stop")
    return [(run, work) for run, work in works if work is not None]


def _parents(evidence: Evidence) -> list[Work]:
    return [work for run in evidence.baseline if (work := _work(evidence, run)) is not None]


def _work(evidence: Evidence, run: Metrics) -> Work | None:
    return work_of(run, on_gpus=evidence.track.hardware.kind == "gpu")


def _expected(parent: Work, own: Work) -> float:
    """Return what the parent computes outside its steps, with as many validations."""
    return parent.before + sum(parent.gaps) / len(parent.gaps) * len(own.gaps) + parent.after


def _resolution_s(evidence: Evidence) -> float:
    """Return the work of a run's sections that samples cannot tell from none, in seconds of all its processes."""
    return RESOLUTION_S * evidence.track.hardware.processes


def _is_shared(run: Metrics) -> bool:
    """Tell whether the machine did other work as well: a process of the run waited for a processor, or nobody looked."""
    waited = heartbeat(run).room_sum_s()
    return waited is None or waited > SHARED_WAIT * (run.wall_time_s or 0.0)


CHECKS = (outside, per_step)
