"""Read the facts about the field's history: CSV tables of figures, identities and hashes.

records.csv and evidence.csv are about the short and the medium track, records_track3.csv and evidence_track3.csv about
the optimization track, scripts.csv about the originals of all; curves.csv (here or in ../recipes) is optional.
"""

import csv
import datetime
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from harness.core.errors import Problem, StoreError, raise_if
from harness.store.records import Curve

Row = dict[str, str]
TRACKS = {"1": "short", "2": "medium"}
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
    """Read all fact tables by file name; raises StoreError with every missing file and column."""
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
    raise_if(problems, StoreError)
    return tables


def read_curves(facts: Path) -> dict[str, Curve]:
    """Read the reference curves by the record they stand for; empty where the facts have none."""
    rows = _read_csv(facts / "curves.csv") or _read_csv(facts.parent / "recipes" / "curves.csv") or []
    points: dict[str, list[tuple[int, float, float | None]]] = defaultdict(list)
    for row in rows:
        label = CURVES.get(row["record"])
        if label is not None:
            points[label].append((int(row["step"]), float(row["val_loss"]), seconds(row["train_time_ms"])))
    return {label: tuple(sorted(listed)) for label, listed in points.items()}


def _read_csv(path: Path) -> list[Row] | None:
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def labelled(rows: Iterable[Row]) -> Iterable[tuple[str, int, Row]]:
    """Give each row with its record's name and its place among rows of one number: 0 the record, then its re-timings."""
    seen: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key = (row["track"], row["number"])
        variant = seen[key]
        seen[key] += 1
        name = f"{TRACKS.get(row['track'], 'optimization')}/{row['number']}"
        yield f"{name}.{variant}" if variant else name, variant, row


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple[str, ...], list[Row]]:
    """Group rows by what these columns hold."""
    groups: dict[tuple[str, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return groups


def whole(cell: str) -> int | None:
    """Read a whole number; None for an empty cell."""
    return int(cell) if cell else None


def number(cell: str) -> float | None:
    """Read a number; None for an empty cell."""
    return float(cell) if cell else None


def seconds(cell: str) -> float | None:
    """Read a number of milliseconds as seconds, to the microsecond; None for an empty cell."""
    return round(float(cell) / 1000, 6) if cell else None


def timestamp(cell: str) -> str | None:
    """Read a log's date line (Thu Dec  5 00:51:23 2024) as ISO, without a zone; None for what is no such line."""
    try:
        return datetime.datetime.strptime(" ".join(cell.split()), "%a %b %d %H:%M:%S %Y").isoformat()
    except ValueError:
        return None
