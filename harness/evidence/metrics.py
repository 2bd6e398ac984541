"""RunLog and what the harness saw in, `Metrics` out: the script's story and ours, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.core.measurement import DataReceipt, Machine, Metrics, Observed, RunLog, RunOutcome, TimedLine


def measure(
    run_id: str,
    log: RunLog,
    timed_lines: Sequence[TimedLine] = (),
    *,
    arrivals_s: Mapping[int, float] | None = None,
    wall_time_s: float | None = None,
    log_sha256: str | None = None,
    outcome: RunOutcome | None = None,
    machine: Machine | None = None,
    data: DataReceipt | None = None,
    given_seed: int | None = None,
    given_files: Mapping[str, str] | None = None,
    started_at: str | None = None,
    observed: Observed | None = None,
) -> Metrics:
    """Put one run together.

    timed_lines: the lines of the log that say something about time; arrivals_s: line of the log -> when it arrived,
    seconds after the start of the process.
    """
    seen = arrivals_s or {}
    first_timed = timed_lines[0].line if timed_lines else None
    return Metrics(
        run_id=run_id,
        log=log,
        seed=log.seed,
        step=log.final_step,
        val_loss=log.final_val_loss,
        train_time_s=log.final_train_time_s,
        wall_time_s=wall_time_s,
        timed_lines=tuple(replace(line, arrival_s=seen.get(line.line)) for line in timed_lines),
        log_sha256=log_sha256,
        outcome=outcome,
        machine=machine,
        data=data,
        first_line_s=seen.get(1),
        header_end_s=None if first_timed is None else seen.get(first_timed - 1),
        given_seed=given_seed,
        given_files=None if given_files is None else tuple(sorted(given_files.items())),
        started_at=started_at,
        observed=observed,
    )
