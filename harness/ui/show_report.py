"""What `show` tells a person: one record with its figures, its runs, its curve and what others made of it."""

from __future__ import annotations

from pathlib import Path

from harness.board.rows import Row
from harness.core.record import Record
from harness.store import records
from harness.store.layout import Project
from harness.ui import console

RUN_WIDTH = 60  # of a run's name in a table; those of the past are paths of up to 120 characters


def say_record(project: Project, record: Record, row: Row) -> None:
    """One record for a person: what it claims, what its runs say, where its script is, and its status and why."""
    folder = project.records / record.track / record.slug
    by_time = record.claimed.train_time_s is not None
    claim = (
        f"{record.claimed.train_time_s:g} s ({row.claimed_time_s / 60:.4g} min)"
        if by_time and row.claimed_time_s
        else ""
    )
    claim = claim or f"{record.claimed.steps:,} steps"
    console.say(f"{record.track}/{row.number}: {record.title}" + ("  (current record)" if row.current else ""))
    for label, value in (
        ("claims", claim),
        ("status", row.status if row.reason is None else f"{row.status}: {row.reason}"),
        ("date", row.date),
        ("by", ", ".join(record.contributors)),
        ("pull request", record.pull_request),
        ("rules", record.ruleset),
        ("runs", _runs_sentence(row)),
        ("machine", row.machine),
        ("script", _script_sentence(folder, record)),
        ("evidence", "evidence/ in its folder" if record.has_evidence else None),
        ("withdrawn", record.withdrawn),
        ("notes", record.notes),
        ("folder", project.show(folder)),
    ):
        if value:
            console.say(f"  {label:<13}{value}")
    if record.runs:
        console.say("")
        places = max((len(f"{r.value:g}".partition(".")[2]) for r in record.runs if r.value is not None), default=0)
        console.say_table(
            ("run", "role", "step", "loss", "train_time", "torch"),
            [
                (
                    _shortened(r.id),
                    r.role,
                    str(r.step or ""),
                    "" if r.value is None else f"{r.value:.{places}f}",
                    _or_blank(r.train_time_s, " s"),
                    r.torch or "",
                )
                for r in record.runs
            ],
        )
    _say_replays(record)
    curve = records.read_curve(folder)
    if curve:
        console.say("")
        every = max(1, len(curve) // 12)
        points = [*curve[::every], curve[-1]] if curve[-1] not in curve[::every] else curve[::every]
        console.say_table(
            ("step", "val_loss", "train_time"), [(str(s), f"{v:.4f}", _or_blank(t, " s")) for s, v, t in points]
        )


def _shortened(path: str) -> str:
    """The end of a long path, from the start of one of its parts."""
    if len(path) <= RUN_WIDTH:
        return path
    end = path[-RUN_WIDTH + 2 :]
    return f"…/{end.partition('/')[2]}" if "/" in end else f"…{end}"


def _say_replays(record: Record) -> None:
    if record.replays:
        console.say("")
        console.say_table(
            ("replayed", "by", "on", "script", "environment", "runs", "time", "loss", "within its spread"),
            [
                (
                    r.date,
                    r.by[:30],
                    r.gpus[:40],
                    r.script,
                    r.environment,
                    str(r.runs),
                    "" if r.time_off is None else f"{100 * r.time_off:+.1f} %",
                    "" if r.loss_off is None else f"{r.loss_off:+.4f}",
                    r.within_spread,
                )
                for r in record.replays
            ],
        )


def _runs_sentence(row: Row) -> str | None:
    if not row.runs:
        return None
    loss = "" if row.loss_mean is None else f", mean val_loss {row.loss_mean:.4f}"
    loss += "" if row.loss_sd is None else f" ± {row.loss_sd:.4f}"
    time = "" if row.time_mean_s is None else f", mean train_time {row.time_mean_s:.2f} s"
    time += "" if row.time_sd_s is None else f" ± {row.time_sd_s:.2f}"
    test = "" if row.p is None else f", p = {row.p:.2g}"
    test += "" if row.rule_value is None else f", rule value {row.rule_value:.4f}"
    return f"{row.runs} complete{loss}{time}{test}"


def _script_sentence(folder: Path, record: Record) -> str:
    if (folder / "script").is_dir():
        return "script/ in its folder"
    if record.original is None or record.original.kind == "none":
        return f"none: {record.original.reason if record.original else 'not known'}"
    return f"the original: {record.original.kind} {record.original.path} of {record.original.repository}"


def _or_blank(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3f}{unit}"
