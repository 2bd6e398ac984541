"""Write what the charts draw as script files: a page that was opened from a file may not fetch data, but load scripts.

Each file is one call with JSON in it, in ASCII; the scripts take it as data and write it as text.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.board.rows import Row
from harness.core.task import Track
from harness.store.records import Curve

Points = list[tuple[int, float, float | None]]  # step, loss, seconds


def script(function: str, *values: Any) -> str:
    """Return a script file that calls `speedrun.<function>` with these values."""
    told = ", ".join(json.dumps(value, separators=(",", ":"), allow_nan=False) for value in values)
    return f"speedrun.{function}({told});\n"


def track_data(track: Track, rows: Sequence[Row], curves: Mapping[str, Points], target: float) -> dict[str, Any]:
    """Return what the charts of a track need of every row; the curves themselves come one by one."""
    by_time = track.metric == "train_time"
    return {
        "track": track.name,
        "unit": "s" if by_time else "steps",
        "target": target,
        "loss": "validation loss" if target == track.target_loss else "loss above the entropy of its source",
        "records": [
            {
                "number": row.number,
                "slug": row.slug,
                "title": row.title,
                "date": row.date,
                "value": row.claimed_time_s if by_time else row.claimed_steps,
                "evidence": row.evidence,
                "current": row.current,
                "withdrawn": row.withdrawn is not None,
                "curve": row.slug in curves,
                "timed": any(time is not None for _, _, time in curves.get(row.slug, ())),
            }
            for row in rows
        ],
    }


def alike(track: Track, rows: Sequence[Row], curves: Mapping[str, Curve]) -> tuple[dict[str, Points], float]:
    """Return the curves of a track's rows with one meaning of loss, and the target in it.

    Where the newest curve is a distance to the entropy of a secret source, the others become distances too: the entropy
    of the track's own source is known.
    """
    having = [row for row in rows if curves.get(row.slug)]
    limits = {rules.id: rules.above_entropy for rules in track.rulesets}
    newest = max(having, key=lambda row: (row.date or "", row.slug), default=None)
    above = limits.get(newest.ruleset) if newest is not None and newest.metric != "val_loss" else None
    found = {}
    for row in having:
        off = (track.data.oracle_loss or 0.0) if above is not None and row.metric == "val_loss" else 0.0
        found[row.slug] = [(step, float(f"{loss - off:.7g}"), time) for step, loss, time in curves[row.slug]]
    return found, track.target_loss if above is None else above
