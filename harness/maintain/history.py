"""Write the record folders of the field's history from facts about it: `speedrun import FACTS_DIR`.

The import is code so that a later state of the history is imported the same way; a second import changes nothing, and
script/, evidence/ and replays/ in a record's folder are never touched. Where a row links a log that is not one of its
own runs, the record gets its own runs and a note that says so.
"""

import datetime
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from harness.core.record import INCOMPLETE, Claimed, Original, Record, RecordRun
from harness.maintain import facts
from harness.replay.environments import write_environments
from harness.store.layout import Project
from harness.store.records import write_record

REPOSITORY = "KellerJordan/modded-nanogpt"
COMMIT = "f411b3d346aa52d3504324ca93c230fd84c6c07f"
RULES_CHANGED = datetime.date(2025, 2, 1)  # all steps timed from then on


def import_history(project: Project, folder: Path) -> tuple[int, int]:
    """Write the record folders of all rows of the facts in `folder`; a second import writes nothing.

    Returns the number of records, and that of the files that changed. Raises StoreError naming every fact file that is
    missing or has other columns than it must.
    """
    tables = facts.read_facts(folder)
    curves = facts.read_curves(folder)
    imported = [*short_and_medium(tables), *optimization(tables)]
    written = 0
    for label, record in imported:
        target = project.records / record.track / record.slug
        written += len(write_record(target, record, curves.get(label, ())))
    scripts = facts.labelled(tables["scripts.csv"])
    written += write_environments(project, ((label, row) for label, _, row in scripts))
    return len(imported), written


# ------------------------------------------------------------------------------------------------ records


def _record(
    track: str,
    row: facts.Row,
    *,
    version: int,
    claimed: Claimed,
    original: Original | None,
    notes: str | None,
    runs: tuple[RecordRun, ...],
) -> Record:
    """Make a record of what all tables of records have in common, and of what the caller read from the others."""
    is_retiming = row.get("kind") == "retiming"
    return Record(
        track=track,
        slug=row["slug"],
        ruleset=f"{track}@{version}",
        number=int(row["number"]),
        kind="retiming" if is_retiming else "record",
        retimes=int(row["number"]) if is_retiming else None,
        date=datetime.date.fromisoformat(row["date"]) if row["date"] else None,
        title=row["description_short"],
        contributors=tuple(name.strip() for name in row["contributors"].split(";") if name.strip()),
        pull_request=row["pr"] or None,
        claimed=claimed,
        original=original,
        notes=notes,
        withdrawn=None,
        runs=runs,
    )


# ------------------------------------------------------------------------------------------------ short and medium


def short_and_medium(tables: dict[str, list[facts.Row]]) -> Iterable[tuple[str, Record]]:
    """Make the records of the two timed tracks, each with the name that curves know it by."""
    scripts = facts.grouped(tables["scripts.csv"], "track", "number")
    evidence = facts.grouped(tables["evidence.csv"], "track", "number", "variant")
    for label, variant, row in facts.labelled(tables["records.csv"]):
        key = (row["track"], row["number"])
        logs = [log for log in evidence[*key, str(variant)] if log["role"] in ("own", "base")]
        old = row["date"] != "" and datetime.date.fromisoformat(row["date"]) < RULES_CHANGED
        record = _record(
            facts.TRACKS[row["track"]],
            row,
            version=1 if old else 2,
            claimed=Claimed(round(float(row["minutes"]) * 60, 3), None, None, None),
            original=_original(scripts[key], variant),
            notes=_notes(row, logs),
            runs=tuple(_timed_run(log) for log in logs),
        )
        yield label, record


def _timed_run(row: facts.Row) -> RecordRun:
    # A run that ended before its last step has figures, but they are not those of a complete run.
    complete = row["total_steps"] in ("", row["final_step"]) and row["final_val_loss"] != ""
    return RecordRun(
        id=row["path"],
        role="own" if row["role"] == "own" else "baseline",
        step=facts.whole(row["final_step"]),
        metric="val_loss",
        value=facts.number(row["final_val_loss"]),
        train_time_s=facts.seconds(row["final_train_time_ms"]),
        gpu_name=row["gpu_name"] or None,
        gpu_count=facts.whole(row["n_gpus_smi"]),
        driver=row["driver"] or None,
        torch=row["torch"] or None,
        started_at=facts.timestamp(row["timestamp"]),
        script_sha256=row["script_sha256"] or None,
        note=None if complete else INCOMPLETE,
    )


def _notes(row: facts.Row, evidence: list[facts.Row]) -> str | None:
    notes = [row["notes"]] if row["notes"] else []
    link = row.get("log_link", "")
    own = [e["path"] for e in evidence if e["role"] == "own"]
    if own and row.get("log_link_exists") == "file" and link not in own:
        notes.append(f"the row links {link}, which is not one of its own runs; the figures here are those of its runs")
    return "; ".join(note.replace(" | ", "; ") for note in notes) or None


# ------------------------------------------------------------------------------------------------ optimization


def optimization(tables: dict[str, list[facts.Row]]) -> Iterable[tuple[str, Record]]:
    """Make the results of the optimization track, each with the name that curves know it by."""
    scripts = facts.grouped(tables["scripts.csv"], "track", "number")
    evidence = facts.grouped(tables["evidence_track3.csv"], "number")
    for row in tables["records_track3.csv"]:
        loss, count = facts.number(row["claimed_mean_loss"]), facts.whole(row["claimed_n"])
        record = _record(
            "optimization",
            row,
            version=1,
            claimed=Claimed(None, int(row["steps_to_target"]), loss, count),
            original=_original(scripts["3", row["number"]], 0),
            notes=row["notes"] or None,
            runs=tuple(_step_run(log) for log in evidence[row["number"],]),
        )
        yield f"optimization/{record.number}", record


def _step_run(row: facts.Row) -> RecordRun:
    return RecordRun(
        id=f"{row['log']}#{row['run']}",
        role="own",
        step=facts.whole(row["step"]),
        metric=row["metric"],
        value=facts.number(row["val_loss"]),
        train_time_s=None,
        gpu_name=row["gpu_name"] or None,
        gpu_count=None,
        driver=None,
        torch=row["torch"] or None,
        started_at=None,
        script_sha256=row["script_sha256"] or None,
        note=None,
    )


# ------------------------------------------------------------------------------------------------ originals


def _original(rows: list[facts.Row], variant: int) -> Original | None:
    """Say where the frozen original of a row lies; re-timings stand in the order of the table."""
    if variant >= len(rows):
        return None
    row = rows[variant]
    container = row["container"]
    named = re.match(r"git ([0-9a-f]+):(\S+)", container)
    kind: Literal["log", "git"]
    if row["source_kind"] == "embedded in log":
        kind = "log"
    elif row["source_kind"] == "git only" and named is not None:
        kind, container = "git", f"{named[1]}:{named[2]}"
    else:
        return Original(REPOSITORY, None, "none", None, {}, None, row["notes"] or "no script is published")
    files = [("train_gpt.py", row["part_main_sha256"])]
    files += re.findall(r"([^\s;]+\.py) sha256=([0-9a-f]{64})", row["extra_parts"])
    return Original(REPOSITORY, COMMIT, kind, container, dict(files), row["torch_run"] or None, row["notes"] or None)
