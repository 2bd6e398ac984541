"""Show one record to a person: its figures, its runs, its curve and its replays."""

from pathlib import Path

from harness.board.markdown import time_text
from harness.board.rows import Row, baseline_text, elsewhere_text
from harness.catalog.standing import MEANINGS
from harness.core.record import Record
from harness.store import records
from harness.store.layout import Project
from harness.ui import console

LOSSES = {"val_loss": "val_loss", "above_entropy": "distance to the entropy"}  # by the metric of a row
RUN_WIDTH = 60  # of a run's name in a table; those of the history are paths of up to 120 characters


def say_record(project: Project, record: Record, row: Row) -> None:
    """Print what a record claims, what its runs gave, where its script is, its evidence and flags, its curve and replays."""
    folder = project.records / record.track / record.slug
    console.say(f"{record.track}/{row.number}: {record.title}" + ("  (current record)" if row.current else ""))
    for label, value in (
        ("claims", _claim_text(row)),
        ("evidence", f"{row.evidence}: {MEANINGS[row.evidence]}"),
        *(("" if index else "flags", f"{flag.name}: {flag.said}") for index, flag in enumerate(row.flags)),
        ("date", row.date),
        ("by", ", ".join(record.contributors)),
        ("pull request", record.pull_request),
        ("rules", record.ruleset),
        ("runs", _runs_sentence(row)),
        *(("baseline", baseline_text(record.track, one)) for one in row.baselines),
        ("elsewhere", None if row.elsewhere is None else elsewhere_text(record.track, row.elsewhere)),
        ("source", None if row.elsewhere is None else row.elsewhere.origin),
        ("machine", row.machine),
        ("script", _script_sentence(folder, record)),
        ("pack", "evidence/ in its folder" if record.has_evidence else None),
        ("notes", row.notes),
        ("folder", project.show(folder)),
    ):
        if value:
            console.say(f"  {label:<13}{value}")
    _say_runs(record)
    _say_replays(record)
    _say_curve(records.read_curve(folder), LOSSES[row.metric])


def _say_runs(record: Record) -> None:
    if not record.runs:
        return
    console.say("")
    metrics = {run.metric for run in record.runs if run.value is not None}
    places = max((len(f"{r.value:g}".partition(".")[2]) for r in record.runs if r.value is not None), default=0)
    console.say_table(
        ("run", "role", "step", "loss", "train_time", "torch"),
        [
            (
                _shortened(run.id),
                run.role,
                console.figure(run.step, "d"),
                console.figure(run.value, f".{places}f", "" if len(metrics) == 1 else f" ({run.metric})"),
                console.figure(run.train_time_s, ".3f", " s"),
                run.torch or "",
            )
            for run in record.runs
        ],
    )


def _say_replays(record: Record) -> None:
    if not record.replays:
        return
    console.say("")
    console.say_table(
        ("replayed", "by", "on", "script", "environment", "runs", "time", "loss", "within its spread"),
        [
            (
                replay.date,
                replay.by[:30],
                replay.gpus[:40],
                replay.script,
                replay.environment,
                str(replay.runs),
                "" if replay.time_off is None else f"{100 * replay.time_off:+.1f} %",
                console.figure(replay.loss_off, "+.4f"),
                replay.within_spread,
            )
            for replay in record.replays
        ],
    )


def _say_curve(curve: records.Curve, loss: str) -> None:
    """Print about a dozen points of a curve, the last one among them; `loss`: what its losses are called."""
    if not curve:
        return
    console.say("")
    points = curve[:: max(1, len(curve) // 12)]
    points += curve[-1:] if points[-1] != curve[-1] else ()
    console.say_table(
        ("step", loss, "train_time"),
        [(str(step), f"{loss:.4f}", console.figure(time, ".3f", " s")) for step, loss, time in points],
    )


def _shortened(path: str) -> str:
    """Keep the end of a long path, from the start of one of its parts."""
    if len(path) <= RUN_WIDTH:
        return path
    end = path[-RUN_WIDTH + 2 :]
    return f"…/{end.partition('/')[2]}" if "/" in end else f"…{end}"


def _claim_text(row: Row) -> str | None:
    if row.claimed_time_s is not None:
        return f"{row.claimed_time_s:g} s ({time_text(row.claimed_time_s)})"
    return None if row.claimed_steps is None else f"{row.claimed_steps:,} steps"


def _runs_sentence(row: Row) -> str | None:
    if not row.runs:
        return None
    loss = "" if row.loss_mean is None else f", mean {LOSSES[row.metric]} {row.loss_mean:.4f}"
    loss += "" if row.loss_sd is None else f" ± {row.loss_sd:.4f}"
    time = "" if row.time_mean_s is None else f", mean train_time {row.time_mean_s:.2f} s"
    time += "" if row.time_sd_s is None else f" ± {row.time_sd_s:.2f}"
    test = "" if row.p is None else f", p = {row.p:.2g}"
    test += "" if row.rule_value is None else f", rule value {row.rule_value:.4f}"
    return f"{row.runs} complete{loss}{time}{test}"


def _script_sentence(folder: Path, record: Record) -> str:
    told = _original_sentence(record)
    if (folder / "script").is_dir():
        if record.original is None:
            return "script/ in its folder"
        told = f"script/ in its folder; {told}"
    if record.merged is None:
        return told
    if record.merged.program is None:
        return f"{told}; the merged one is not known: {record.merged.reason}"
    return f"the merged one: {', '.join(record.merged.files)} at {record.merged.commit} of {record.merged.repository}; {told}"


def _original_sentence(record: Record) -> str:
    if record.original is None or record.original.kind == "none":
        return f"none: {record.original.reason if record.original else 'not known'}"
    return f"the original: {record.original.kind} {record.original.path} of {record.original.repository}"
