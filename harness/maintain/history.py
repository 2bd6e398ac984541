"""The recorded past in, record folders out: `speedrun import FACTS_DIR`.

The facts are CSV files about the field's archive (figures, identities and hashes, no log text and no source):
records.csv and evidence.csv for the short and the medium track, records_track3.csv and evidence_track3.csv for the
optimization track, scripts.csv for the originals, and optionally curves.csv (here or in ../recipes). The import is
code so that a later state of the history is imported the same way; a second import changes nothing, and script/,
evidence/ and replays/ in a record's folder are never touched.

Where a row links a log that is not one of its own runs, the record gets its own runs and a note that says so.
"""

from __future__ import annotations

import csv
import datetime
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.core.errors import Problem, StoreError
from harness.core.record import Claimed, Original, Record, RecordRun
from harness.replay.environments import write_environments
from harness.store.layout import Project
from harness.store.records import Curve, write_record

REPOSITORY = "KellerJordan/modded-nanogpt"
COMMIT = "f411b3d346aa52d3504324ca93c230fd84c6c07f"
TRACKS = {"1": "short", "2": "medium"}
RULES_CHANGED = datetime.date(2025, 2, 1)  # all steps timed from then on
# Which row of the leaderboard the reference curves of curves.csv stand for.
CURVES = {
    "01_llmc": "short/1",
    "02_AdamW": "short/2",
    "03_Muon": "short/4",
    "04_ModernArch": "short/5",
    "05a_DistributedMuon": "short/6",
    "05b_PyTorch25": "short/7",
    "06_UntieEmbed": "short/8",
    "07_ShortcutsTweaks": "short/9",
    "08a_CastBf16": "short/10",
    "08b_UNetDoubleLr": "short/11",
    "09a_FlexAttention": "short/12",
    "09b_WindowWarmup": "short/13",
    "10a_ValueEmbed": "short/14",
    "10b_UNetValueEmbeds": "short/15",
    "10c_MFUTweaks": "short/16",
    "10d_SparsifyEmbeds": "short/17",
    "11a_SoftCap": "short/18",
    "11b_Fp8LmHead": "short/19",
    "11c_Sub3Min": "short/20",
    "11d_BatchSize": "short/21",
    "11e_RuleTweak": "short/21.1",
    "12_r85_MuddGatedDC_v3": "short/85",
    "12_r89_FP8DownProj_prlog": "short/89",
    "13_t2_first": "medium/2",
    "13_t2_last": "medium/18",
    "13_t3_baseline36": "optimization/36",
}
Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did."""

    records: int
    written: int  # files that changed


def import_history(project: Project, facts: Path) -> Imported:
    """Write the record folders of all rows of the facts; a second import writes nothing.

    Raises StoreError naming every fact file that is missing or has other columns than it must.
    """
    tables = read_facts(facts)
    curves = read_curves(facts)
    imported = [*short_and_medium(tables), *optimization(tables)]
    written = 0
    for label, record in imported:
        folder = project.records / record.track / record.slug
        written += len(write_record(folder, record, curves.get(label, ())))
    written += write_environments(project, script_rows(tables["scripts.csv"]))
    return Imported(len(imported), written)


def script_rows(rows: list[Row]) -> Iterable[tuple[str, Row]]:
    """The rows about originals, each with the record that it stands for: short/12, or short/21.1 for a re-timing."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        key = (row["track"], row["number"])
        variant = seen[key]
        seen[key] += 1
        yield f"{TRACKS.get(row['track'], 'optimization')}/{row['number']}{f'.{variant}' if variant else ''}", row


# ------------------------------------------------------------------------------------------------ reading the facts

_TABLES = {
    "records.csv": ("track", "number", "kind", "slug", "minutes", "date", "contributors", "description_short", "pr", "notes"),
    "evidence.csv": ("track", "number", "variant", "role", "path", "final_step", "final_val_loss", "final_train_time_ms"),
    "records_track3.csv": ("number", "slug", "steps_to_target", "claimed_mean_loss", "claimed_n", "date", "description_short"),
    "evidence_track3.csv": ("number", "step", "metric", "val_loss", "log", "gpu_name", "torch", "script_sha256"),
    "scripts.csv": ("track", "number", "kind", "source_kind", "container", "part_main_sha256", "extra_parts", "torch_run",
                    "triton_run", "python_run", "imports_third_party", "kernels_hub", "needs_files", "data_glob",
                    "world_size_required"),
}  # fmt: skip


def read_facts(facts: Path) -> dict[str, list[Row]]:
    """All fact tables by file name; raises StoreError with every missing file and column."""
    tables: dict[str, list[Row]] = {}
    problems = []
    for name, columns in _TABLES.items():
        rows = _read_csv(facts / name)
        if rows is None:
            problems.append(Problem(str(facts / name), "there is no such table", "name the folder of the facts"))
        elif not rows or not set(columns) <= rows[0].keys():
            missing = ", ".join(sorted(set(columns) - (rows[0].keys() if rows else set())))
            problems.append(Problem(str(facts / name), f"has no column {missing}", "use the published facts"))
        else:
            tables[name] = rows
    if problems:
        raise StoreError(*problems)
    return tables


def read_curves(facts: Path) -> dict[str, Curve]:
    """The reference curves by the record they stand for; empty where the facts have none."""
    rows = _read_csv(facts / "curves.csv") or _read_csv(facts.parent / "recipes" / "curves.csv") or []
    points: dict[str, list[tuple[int, float, float | None]]] = defaultdict(list)
    for row in rows:
        label = CURVES.get(row["record"])
        if label is not None:
            time_ms = _number(row["train_time_ms"])
            points[label].append((int(row["step"]), float(row["val_loss"]), _seconds(time_ms)))
    return {label: tuple(sorted(listed)) for label, listed in points.items()}


def _read_csv(path: Path) -> list[Row] | None:
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# ------------------------------------------------------------------------------------------------ short and medium


def short_and_medium(tables: dict[str, list[Row]]) -> Iterable[tuple[str, Record]]:
    """The records of the two timed tracks, each with the name that curves know it by."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    scripts: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in tables["scripts.csv"]:
        scripts[row["track"], row["number"]].append(row)
    for row in tables["records.csv"]:
        key = (row["track"], row["number"])
        variant = seen[key]  # 0 the record, then its re-timings in order
        seen[key] += 1
        track = TRACKS[row["track"]]
        evidence = [
            e
            for e in tables["evidence.csv"]
            if (e["track"], e["number"]) == key and int(e["variant"]) == variant and e["role"] in ("own", "base")
        ]
        date = datetime.date.fromisoformat(row["date"]) if row["date"] else None
        old = date is not None and date < RULES_CHANGED
        number = int(row["number"])
        record = Record(
            track=track,
            slug=row["slug"],
            ruleset=f"{track}@1" if old else f"{track}@2",
            number=number,
            kind="retiming" if row["kind"] == "retiming" else "record",
            retimes=number if row["kind"] == "retiming" else None,
            date=date,
            title=row["description_short"],
            contributors=_people(row["contributors"]),
            pull_request=row["pr"] or None,
            claimed=Claimed(round(float(row["minutes"]) * 60, 3), None, None, None),
            original=_original(scripts[key], variant),
            notes=_notes(row, evidence),
            withdrawn=None,
            runs=tuple(_timed_run(e) for e in evidence),
        )
        yield (f"{track}/{number}.{variant}" if variant else f"{track}/{number}"), record


def _timed_run(row: Row) -> RecordRun:
    # A run that ended before its last step has figures, but they are not those of a complete run.
    complete = row["total_steps"] in ("", row["final_step"]) and row["final_val_loss"] != ""
    return RecordRun(
        id=row["path"],
        role="own" if row["role"] == "own" else "baseline",
        step=_whole(row["final_step"]),
        metric="val_loss",
        value=_number(row["final_val_loss"]),
        train_time_s=_seconds(_number(row["final_train_time_ms"])),
        gpu_name=row["gpu_name"] or None,
        gpu_count=_whole(row["n_gpus_smi"]),
        driver=row["driver"] or None,
        torch=row["torch"] or None,
        started_at=_timestamp(row["timestamp"]),
        script_sha256=row["script_sha256"] or None,
        note=None if complete else "incomplete: no validation at the last step",
    )


def _notes(row: Row, evidence: list[Row]) -> str | None:
    notes = [row["notes"]] if row["notes"] else []
    link = row.get("log_link", "")
    own = [e["path"] for e in evidence if e["role"] == "own"]
    if own and row.get("log_link_exists") == "file" and link not in own:
        notes.append(f"the row links {link}, which is not one of its own runs; the figures here are those of its runs")
    return "; ".join(note.replace(" | ", "; ") for note in notes) or None


# ------------------------------------------------------------------------------------------------ optimization


def optimization(tables: dict[str, list[Row]]) -> Iterable[tuple[str, Record]]:
    """The results of the optimization track."""
    scripts = {row["number"]: row for row in tables["scripts.csv"] if row["track"] == "3"}
    for row in tables["records_track3.csv"]:
        number = int(row["number"])
        evidence = [e for e in tables["evidence_track3.csv"] if e["number"] == row["number"]]
        record = Record(
            track="optimization",
            slug=row["slug"],
            ruleset="optimization@1",
            number=number,
            kind="record",
            retimes=None,
            date=datetime.date.fromisoformat(row["date"]) if row["date"] else None,
            title=row["description_short"],
            contributors=_people(row["contributors"]),
            pull_request=row["pr"] or None,
            claimed=Claimed(
                None, int(row["steps_to_target"]), _number(row["claimed_mean_loss"]), _whole(row["claimed_n"])
            ),
            original=_original([scripts[row["number"]]], 0) if row["number"] in scripts else None,
            notes=row["notes"] or None,
            withdrawn=None,
            runs=tuple(_step_run(e) for e in evidence),
        )
        yield f"optimization/{number}", record


def _step_run(row: Row) -> RecordRun:
    return RecordRun(
        id=f"{row['log']}#{row['run']}",
        role="own",
        step=_whole(row["step"]),
        metric=row["metric"],
        value=_number(row["val_loss"]),
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


def _original(rows: list[Row], variant: int) -> Original | None:
    """Where the frozen original of a row lies; re-timings stand in the order of the table."""
    if variant >= len(rows):
        return None
    row = rows[variant]
    kinds: dict[str, Literal["file", "log", "git", "none"]] = {"embedded in log": "log", "git only": "git"}
    kind = kinds.get(row["source_kind"], "none")
    if kind == "none":
        return Original(REPOSITORY, None, "none", None, {}, None, row["notes"] or "no script is published")
    container, commit = row["container"], COMMIT
    if kind == "git":
        named = re.match(r"git ([0-9a-f]+):(\S+)", container)
        if named is None:
            return Original(REPOSITORY, None, "none", None, {}, None, row["notes"] or "no script is published")
        container = f"{named[1]}:{named[2]}"
    files = [("train_gpt.py", row["part_main_sha256"])]
    files += re.findall(r"([^\s;]+\.py) sha256=([0-9a-f]{64})", row["extra_parts"])
    return Original(REPOSITORY, commit, kind, container, dict(files), row["torch_run"] or None, row["notes"] or None)


# ------------------------------------------------------------------------------------------------ cells


def _people(cell: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in cell.split(";") if name.strip())


def _whole(cell: str) -> int | None:
    return int(cell) if cell else None


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def _seconds(time_ms: float | None) -> float | None:
    return None if time_ms is None else round(time_ms / 1000, 6)


def _timestamp(cell: str) -> str | None:
    """A log's date line (Thu Dec  5 00:51:23 2024) as ISO, without a zone; None for what is no such line."""
    try:
        return datetime.datetime.strptime(" ".join(cell.split()), "%a %b %d %H:%M:%S %Y").isoformat()
    except ValueError:
        return None
