"""L: the logs are whole and hold numbers."""

from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, all_of, names, rule

# Kinds of log problems (harness/runlog/problems.py) that make a number doubtful.
_BAD_NUMBERS = ("non-finite-loss", "conflicting-line", "metrics-before-separator", "total-changed", "echo-differs")
# What beside it tells two readers of the same log different things. None of the 1,077 runs of the field's archive has it.
_DISAGREEING = (
    *("carriage-returns", "nul-bytes", "mixed-dialects"),
    *("duplicate-line", "non-finite-time", "unstamped-lines"),
)


@rule("L1", "runs ended", "clock")
def ended(evidence: Evidence) -> Ruling:
    """Every run ends by itself with exit code 0."""
    bad = [run for run in evidence.runs if run.outcome is not None and run.outcome.state != "finished"]
    if bad:
        outcome = bad[0].outcome
        assert outcome is not None
        said = f"{bad[0].run_id} {outcome.state}: {outcome.reason or 'no reason known'}"
        return Ruling("fail", said, len(bad), 0, "runs")
    if not evidence.runs and evidence.aborted:
        return Ruling("fail", "no run of the script finished", 0, 1, "runs")
    unknown = [run.run_id for run in evidence.runs if run.outcome is None]
    if unknown and evidence.requires("clock"):
        return Ruling("inconclusive", f"nobody saw {names(unknown)} end")
    if unknown:
        return Ruling("not applicable", f"{evidence.ruleset.id} did not ask who saw the runs end")
    return Ruling("pass", f"{all_of(len(evidence.runs))} ended with exit code 0", 0, 0, "runs")


@rule("L2", "finite numbers", "logs")
def numbers(evidence: Evidence) -> Ruling:
    """Every printed loss is one finite number, and a log holds one run; a log that this harness stamped has each metric
    line once, with a stamp of its own, and no carriage return or NUL."""
    for run in evidence.runs:
        bad = (*_BAD_NUMBERS, *_DISAGREEING) if run.is_stamped else _BAD_NUMBERS
        for problem in run.log.problems:
            if problem.kind in bad:
                return Ruling("fail", f"{run.run_id} line {problem.line}: {problem.kind} ({problem.text[:120]})")
        if run.log.n_runs is not None and run.log.n_runs > 1:
            return Ruling("fail", f"the log of {run.run_id} holds {run.log.n_runs} runs", run.log.n_runs, 1, "runs")
    return Ruling("pass", "every printed loss is one finite number")


@rule("L3", "all steps", "logs")
def steps(evidence: Evidence) -> Ruling:
    """Every run does all its steps, the same number, and validates at the last."""
    if not evidence.runs:
        return Ruling("inconclusive", "there is no run")
    for run in evidence.runs:
        log = run.log
        if log.final_step is None:
            return Ruling("fail", f"{run.run_id} logged no step")
        if log.total_steps is not None and log.final_step < log.total_steps:
            said = f"{run.run_id} ended at step {log.final_step} of {log.total_steps}"
            return Ruling("fail", said, log.final_step, log.total_steps)
        if not log.has_final_val:
            return Ruling("fail", f"{run.run_id} has no validation at its last step {log.final_step}")
    counts = sorted({run.log.final_step for run in evidence.runs if run.log.final_step is not None})
    if len(counts) > 1:
        said = f"the runs did different numbers of steps ({', '.join(map(str, counts))})"
        return Ruling("fail", said, len(counts), 1)
    said = f"{all_of(len(evidence.runs))} did {counts[0]} steps and validated at the last"
    return Ruling("pass", said, counts[0], counts[0])


CHECKS = (ended, numbers, steps)
