"""An evaluator for OpenEvolve: it puts a program into a submission, scores it in stages and returns numbers.

Set SPEEDRUN_SUBMISSION to submissions/<slug> of this project, and `cascade_evaluation: true` in OpenEvolve's config.yaml. One
evaluation at a time (`parallel_evaluations: 1`): runs beside each other on one machine would slow each other down.
"""

import os
import shutil
from pathlib import Path

import harness

SUBMISSION = os.environ.get("SPEEDRUN_SUBMISSION", "submissions/my-idea")
HOURS = float(os.environ.get("SPEEDRUN_BUDGET_GPU_HOURS", "2"))


def evaluate(program_path: str) -> dict[str, float | str]:
    """Score a program with a whole run."""
    return _score(program_path, "full")


def evaluate_stage1(program_path: str) -> dict[str, float | str]:
    """Read a program and run it scaled down, for what breaks at once."""
    return _score(program_path, "dry")


def evaluate_stage2(program_path: str) -> dict[str, float | str]:
    """Score a program that came through the first stage."""
    return evaluate(program_path)


def _score(program_path: str, stage: str) -> dict[str, float | str]:
    shutil.copyfile(program_path, Path(SUBMISSION) / "train_gpt.py")
    answer = harness.score(SUBMISSION, stage=stage, budget_gpu_hours=HOURS)
    passed = answer.status == "passed"
    numbers: dict[str, float | str] = {"status": answer.status, "label": answer.label or "", "message": answer.message}
    numbers["combined_score"] = 1.0 if passed and stage == "dry" else 0.0  # OpenEvolve wants more of this
    if answer.metric is not None:
        numbers[answer.metric.name] = answer.metric.mean
        numbers["combined_score"] = 1e3 / answer.metric.mean
    if answer.loss is not None:
        numbers["loss"] = answer.loss.mean
    return numbers
