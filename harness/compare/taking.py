"""Take the time of a run that has ended, or say why it has none."""

from dataclasses import dataclass

from harness.compare.decision import Readings
from harness.store import run_files
from harness.store.comparisons import Arm


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run gives to a comparison."""

    train_time_s: float  # 0 where it has none
    wall_time_s: float
    elapsed_s: float
    val_loss: float | None
    steps: int | None = None
    why_not: str | None = None  # it does not count


def take(readings: Readings, run_id: str, arm: Arm, elapsed_s: float | None) -> Taken:
    """Read a run; elapsed_s: all that it took, None where nobody measured that."""
    why = "its folder is gone"
    if (run_files.run_folder(readings.project, run_id) / run_files.RUN_FILE).is_file():
        metrics = readings.of(run_id, arm)
        outcome = metrics.outcome
        elapsed_s = elapsed_s if elapsed_s is not None else outcome.wall_time_s if outcome else 0.0
        if outcome is None or outcome.state != "finished":
            why = f"{outcome.state}: {outcome.reason}" if outcome else "its end was not observed"
        elif metrics.train_time_s is None or metrics.train_time_s <= 0:
            why = "it printed no train_time at its last step"
        else:
            return Taken(metrics.train_time_s, outcome.wall_time_s, elapsed_s, metrics.val_loss, metrics.step)
    return Taken(0.0, 0.0, elapsed_s or 0.0, None, why_not=why)
