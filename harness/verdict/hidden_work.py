"""T: no more is computed outside the steps, or in a step, than in the parent's run on the same machine.

On a track that ranks steps nobody times a script, so it may train where no step is printed: in a long warm-up, in
validation gaps, or with several updates in what it calls a step. What it computes there is counted from outside, as
processor time or as use of the GPUs, and compared with the parent's runs on this machine, whose steps and validations are
known. All that lies outside the steps is one sum, so it does not matter among how many places it is divided.

Measured on smoke/2 (2 shared cores, alone and beside 6 busy processes; processor time outside the kernel): 10.8 to 11.9 s
outside the steps and 0.078 to 0.083 s a step, so limits of 30 % and of a factor of 3 leave room for a busy machine.
"""

from harness.core import stats
from harness.evidence.contents import Evidence
from harness.evidence.work import Work, work_of
from harness.verdict.checks import Ruling, missing, names, rule
from harness.verdict.program_text import waived

OUTSIDE_SHARE = 0.30
STEP_FACTOR = 3.0


@rule("T8", "work outside the steps", "work", share=f"{OUTSIDE_SHARE:.0%}")
def outside(evidence: Evidence) -> Ruling:
    """What a run computes outside its steps (before, in validation gaps, after) is in sum at most {share} more than in its
    parent's runs on the same machine; without these its gaps hold no more than training on as many tokens would."""
    works = _works(evidence)
    if isinstance(works, Ruling):
        return works
    parents = _parents(evidence)
    worst = 0.0
    for run_id, work in works:
        if not parents:
            most = _most_of_gaps(evidence, work)
            if most is not None and sum(work.gaps) > most:
                said = (
                    f"the validation gaps of {run_id} take {sum(work.gaps):.2f} s of work, training on as many tokens"
                )
                failed = Ruling(
                    "fail", f"{said} {most:.2f} s; only validation may happen there", sum(work.gaps), most, "s"
                )
                return waived(evidence, "T8", failed)
            continue
        usual = stats.median([_expected(parent, work) for parent in parents])
        worst = max(worst, work.outside / usual - 1)
        if work.outside > usual * (1 + OUTSIDE_SHARE):
            extra = work.outside - usual
            said = f"{run_id} computes for {work.outside:.2f} s outside its steps, its parent here {usual:.2f} s; the"
            said += f" difference is the work of {extra / work.step:.0f} of its steps"
            return waived(evidence, "T8", Ruling("fail", said, work.outside, usual * (1 + OUTSIDE_SHARE), "s"))
    if not parents:
        before = max(work.before / work.step for _, work in works)
        gaps = max(sum(work.gaps) / work.step for _, work in works)
        said = f"the work of {before:.0f} steps before the clock starts and of {gaps:.0f} in validation gaps"
        return Ruling("pass", f"{said}, compared with no parent's: no run of it on this machine")
    said = f"what is computed outside the steps is at most {worst:+.0%} of what the parent computes there"
    return Ruling("pass", said, worst, OUTSIDE_SHARE)


@rule("T9", "work of a step", "work", factor=f"{STEP_FACTOR:g}")
def per_step(evidence: Evidence) -> Ruling:
    """A step takes at most {factor} times the work of a step of its parent on the same machine."""
    works = _works(evidence)
    if isinstance(works, Ruling):
        return works
    parents = _parents(evidence)
    if not parents:
        most = max(work.step for _, work in works)
        return Ruling("pass", f"a step takes {1000 * most:.1f} ms of work, compared with no parent's on this machine")
    usual, worst = stats.median([parent.step for parent in parents]), 0.0
    for run_id, work in works:
        worst = max(worst, work.step / usual)
        if work.step > STEP_FACTOR * usual:
            said = (
                f"a step of {run_id} takes {1000 * work.step:.1f} ms of work, its parent's here {1000 * usual:.1f} ms"
            )
            failed = Ruling("fail", f"{said}; that is no one step", work.step, STEP_FACTOR * usual, "s")
            return waived(evidence, "T9", failed)
    return Ruling("pass", f"a step takes {worst:.2f} times the work of its parent's", worst, STEP_FACTOR)


def _works(evidence: Evidence) -> list[tuple[str, Work]] | Ruling:
    """Divide the work of every run; a ruling where that is not asked for, or cannot be done."""
    if not evidence.requires("work"):
        return Ruling("not applicable", f"{evidence.ruleset.id} did not ask for what a run computes where")
    on_gpus = evidence.track.hardware.kind == "gpu"
    works = [(run.run_id, work_of(run, on_gpus=on_gpus)) for run in evidence.runs]
    unseen = [run_id for run_id, work in works if work is None]
    if unseen or not works:
        said = f"what {names(unseen) or 'the runs'} computed where is not known"
        return missing(evidence, "work", f"{said}: nobody counted it, or the log has no clock:start and clock:stop")
    return [(run_id, work) for run_id, work in works if work is not None]


def _parents(evidence: Evidence) -> list[Work]:
    on_gpus = evidence.track.hardware.kind == "gpu"
    return [work for run in evidence.baseline if (work := work_of(run, on_gpus=on_gpus)) is not None]


def _expected(parent: Work, own: Work) -> float:
    """Return what the parent computes outside its steps; as many validations, each as much larger as a step is."""
    larger = max(1.0, own.step / parent.step)
    return parent.before + sum(parent.gaps) / len(parent.gaps) * len(own.gaps) * larger + parent.after


def _most_of_gaps(evidence: Evidence, work: Work) -> float | None:
    """Return what training on the tokens of all validations would cost; validation itself costs about a third of it."""
    tokens = evidence.ruleset.tokens_per_step
    return None if tokens is None else work.step * len(work.gaps) * evidence.track.validation_tokens / tokens


CHECKS = (outside, per_step)
