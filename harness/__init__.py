"""The speedrun harness: launch a training script, hold the clock, read its log, judge it, rank it.

docs/architecture.md lists the packages, each of which imports only packages before it. `score` is for programs that try
scripts; docs/agents.md describes what it answers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.screening.answer import Answer, Stage


def score(
    submission: str | Path,
    *,
    stage: Stage = "full",
    runs: int = 1,
    budget_gpu_hours: float | None = None,
    env: str | None = None,
    allow_network: bool = True,
    root: Path | None = None,
) -> Answer:
    """Try a submission and say what became of it; a screening run, which counts for nothing.

    submission: its folder, or a record like "smoke/4". stage: "check" reads its files, "dry" runs it scaled down, "full"
    makes whole runs. runs: of the stage "full". budget_gpu_hours: wall time × processes in hours, after which the run is
    ended. env: a record, whose environment `speedrun doctor RECORD --make` made. root: of the project (default: the
    nearest folder with tracks/).

    What is wrong with the submission or the machine stands in the answer; Ctrl-C ends it without one.
    Raises HarnessError where there is no project, ValueError for a stage, a number of runs or a budget that is none.
    """
    from harness.screening import calling

    return calling.score(
        str(submission),
        stage=stage,
        runs=runs,
        budget_gpu_hours=budget_gpu_hours,
        env=env,
        allow_network=allow_network,
        root=root,
    )
