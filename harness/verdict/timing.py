"""T: the reported time is the time that the harness saw."""

from __future__ import annotations

from harness.verdict.base import Check, Evidence, Ruling, missing
from harness.verdict.identity import names


def monotone(evidence: Evidence) -> Ruling:
    """The reported train time never falls after the untimed steps."""
    untimed = evidence.ruleset.untimed_steps
    for run in evidence.runs:
        before = None
        for line in run.timed_lines:
            if line.train_time_s is None or (line.step is not None and line.step <= untimed):
                continue
            if before is not None and line.train_time_s < before:
                return Ruling(
                    "fail",
                    f"{run.run_id} line {line.line}: train_time falls from {before:.3f} to {line.train_time_s:.3f} s",
                )
            before = line.train_time_s
    if not any(line.train_time_s is not None for run in evidence.runs for line in run.timed_lines):
        return missing(evidence, "clock", "the logs print no times")
    return Ruling("pass", "train_time never falls")


def within_wall(evidence: Evidence) -> Ruling:
    """No run reports more train time than passed between its start and its end."""
    unseen = [run.run_id for run in evidence.runs if run.wall_time_s is None or run.train_time_s is None]
    if unseen or not evidence.runs:
        return missing(evidence, "clock", f"no outside clock for {names(unseen) or 'the runs'}")
    for run in evidence.runs:
        assert run.wall_time_s is not None and run.train_time_s is not None
        if run.train_time_s > run.wall_time_s + 0.02:
            return Ruling(
                "fail",
                f"{run.run_id} reports {run.train_time_s:.3f} s of training within {run.wall_time_s:.3f} s",
                run.train_time_s,
                run.wall_time_s,
                "s",
            )
    return Ruling("pass", "no run reports more training time than passed")


CHECKS = (
    Check("T1", "time never falls", "clock", "The reported train time never falls once timing has begun.", monotone),
    Check(
        "T2", "within the wall time", "clock", "Reported train time fits into the time from start to exit.", within_wall
    ),
)
