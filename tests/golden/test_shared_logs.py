"""Every shared log of the field's archive gives what `runs.csv` and `segments.csv` say of it."""

from __future__ import annotations

import csv
import datetime
import os
import tarfile
from pathlib import Path

import pytest

from harness.catalog.tracks import load_track, ruleset_of
from harness.core.errors import LogError
from harness.core.measurement import RunLog
from harness.evidence.contents import Evidence
from harness.evidence.metrics import from_log
from harness.runlog import reader
from harness.runlog.log_files import read_file
from harness.verdict import identity, timing

Row = dict[str, str]
ROOT = Path(__file__).parents[2]


def history_folder() -> Path | None:
    """The folder with the facts: in $SPEEDRUN_SHARED, or `shared/` beside a folder above this one."""
    named = os.environ.get("SPEEDRUN_SHARED")
    places = [Path(named)] if named else [folder / "shared" for folder in Path(__file__).resolve().parents]
    for place in places:
        if (place / "history" / "logs.tar.xz").is_file():
            return place / "history"
    return None


@pytest.fixture(scope="module")
def history() -> Path:
    folder = history_folder()
    if folder is None:
        pytest.skip("the shared history (history/logs.tar.xz) is not here; set SPEEDRUN_SHARED")
    return folder


@pytest.fixture(scope="module")
def unpacked(history: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logs")
    with tarfile.open(history / "logs.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def read(history: Path, unpacked: Path) -> dict[str, list[RunLog]]:
    paths = [row["path"] for row in rows(history / "runs.csv")]
    return {path: read_file(unpacked / path, name=path, curve=True) for path in paths}


def rows(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def integer(text: str) -> int | None:
    return int(text) if text else None


def number(text: str) -> float | None:
    return float(text) if text else None


def seconds(milliseconds: str) -> float | None:
    return int(milliseconds) / 1000 if milliseconds else None


def started(text: str) -> str | None:
    """`Wed Oct  9 18:10:50 2024` or `Mon May 18 13:54:45 UTC 2026` as ISO 8601."""
    plain = text.replace(" UTC", "")
    return datetime.datetime.strptime(plain, "%a %b %d %H:%M:%S %Y").isoformat() if text else None


def of_the_file(row: Row) -> dict[str, object]:
    """What runs.csv says of the last run of a file, in the words of the JSON."""
    return {
        "n_runs": integer(row["n_runs"]),
        "dialect": row["format_id"],
        "final_step": integer(row["final_step"]),
        "total_steps": integer(row["total_steps"]),
        "final_val_loss": number(row["final_val_loss"]),
        "final_val_ema_loss": number(row["final_val_ema_loss"]),
        "final_train_time_s": seconds(row["final_train_time_ms"]),
        "step_avg_ms": number(row["step_avg_ms"]),
        "last_val_step": integer(row["last_val_step"]),
        "last_val_loss": number(row["last_val_loss"]),
        "source_sha256": row["source_sha256"] or None,
        "source_bytes": integer(row["source_bytes"]),
        "source_origin": "placeholder" if row["has_embedded_source"] == "True" else None,
        "gpu_name": row["gpu_name"] or None,
        "gpu_count": integer(row["n_gpus_smi"]),
        "world_size": integer(row["world_size"]),
        "driver": row["driver"] or None,
        "cuda": row["cuda_build"] or None,
        "torch": row["torch"] or None,
        "triton": row["triton"] or None,
        "python": row["python"] or None,
        "peak_memory_mib": integer(row["peak_mem_mib"]),
        "started_at": started(row["timestamp"]),
    }


def of_the_run(row: Row) -> dict[str, object]:
    """What segments.csv says of one run."""
    return {
        "run": integer(row["run"]),
        "n_runs": integer(row["n_runs"]),
        "first_step": integer(row["first_step"]),
        "final_step": integer(row["final_step"]),
        "total_steps": integer(row["total_steps"]),
        "final_val_loss": number(row["final_val_loss"]),
        "final_val_ema_loss": number(row["final_val_ema_loss"]),
        "final_train_time_s": seconds(row["final_train_time_ms"]),
        "step_avg_ms": number(row["step_avg_ms"]),
        "n_val_points": integer(row["n_val_points"]),
        "n_train_points": integer(row["n_train_points"]),
    }


def differences(run: RunLog, wanted: dict[str, object]) -> list[str]:
    said = run.to_json()
    return [
        f"{run.path} run {run.run} {key}: {said[key]!r}, not {value!r}"
        for key, value in wanted.items()
        if said[key] != value
    ]


def test_every_shared_log_says_what_runs_csv_says(history: Path, read: dict[str, list[RunLog]]) -> None:
    wrong: list[str] = []
    for row in rows(history / "runs.csv"):
        last = read[row["path"]][-1]
        wrong += differences(last, of_the_file(row))
        complete = last.reached_last_step is not False and last.has_final_val
        if complete != (row["complete"] == "True"):
            wrong.append(f"{row['path']} complete: {complete}")
    assert len(read) == 916
    assert not wrong, "\n".join(wrong[:20])


def test_every_run_of_every_shared_log_says_what_segments_csv_says(
    history: Path, read: dict[str, list[RunLog]]
) -> None:
    wrong: list[str] = []
    segments = rows(history / "segments.csv")
    for row in segments:
        wrong += differences(read[row["path"]][int(row["run"]) - 1], of_the_run(row))
    assert sum(len(runs) for runs in read.values()) == len(segments) == 1077
    assert not wrong, "\n".join(wrong[:20])


def test_the_points_of_all_runs_of_a_file_add_up(history: Path, read: dict[str, list[RunLog]]) -> None:
    for row in rows(history / "runs.csv"):
        runs = read[row["path"]]
        assert sum(run.n_val_points or 0 for run in runs) == int(row["n_val_points"]), row["path"]
        assert sum(run.n_train_points or 0 for run in runs) == int(row["n_train_points"]), row["path"]
        assert sum(len(run.curve) for run in runs) == int(row["n_val_points"]), row["path"]


def test_no_shared_log_has_a_problem(read: dict[str, list[RunLog]]) -> None:
    """formats.md: every metric line of the archive is complete, none interleaved, no loss NaN."""
    assert [(run.path, run.problems) for runs in read.values() for run in runs if run.problems] == []


def test_the_end_of_a_shared_log_alone_gives_the_final_figures_of_all_of_it(
    unpacked: Path, read: dict[str, list[RunLog]]
) -> None:
    names = "final_step total_steps final_val_loss final_val_ema_loss last_val_step last_val_loss final_train_time_s"
    names += " step_avg_ms reached_last_step has_final_val peak_memory_mib extra problems"
    for path, runs in read.items():
        (final,) = read_file(unpacked / path, name=path, final_only=True)
        for name in names.split():
            assert getattr(final, name) == getattr(runs[-1], name), f"{path} {name}"


def test_a_shared_log_of_one_run_gives_the_same_when_it_is_read_as_a_stamped_one(
    unpacked: Path, read: dict[str, list[RunLog]]
) -> None:
    """The judge reads a log that this harness stamped line by line. All 905 agree, in 14 s; every ninth is read here."""
    single = [(path, runs[0]) for path, runs in read.items() if len(runs) == 1]
    assert len(single) == 905
    for path, run in single[::9]:
        raw = (unpacked / path).read_bytes()
        log, timed = reader.read_stamped(raw, path)
        assert log == run
        assert timed == reader.timed_lines(raw)


def test_the_timing_rules_that_need_a_log_alone_raise_no_false_alarm(unpacked: Path) -> None:
    """Every log of one run under the ruleset of its time; prints how many findings were raised."""
    tracks = {name: load_track(ROOT / "tracks", name) for name in ("short", "medium", "optimization")}
    untimed = ("L0", "L1", "L2", "M1", "M2", "M3", "M4", "M5", "M6")  # dialects of the time of short@1
    judged, alarms = 0, []
    for path in sorted(unpacked.rglob("*")):
        raw = path.read_bytes() if path.is_file() else b""
        try:
            logs = reader.read_bytes(raw, path.name) if raw else []
        except LogError:
            logs = []
        if len(logs) != 1:
            continue
        judged += 1
        track = next(track for name, track in tracks.items() if f"_{name}" in str(path.relative_to(unpacked)))
        old = track.name != "optimization" and (logs[0].dialect or "").startswith(untimed)
        ruleset = ruleset_of(track, f"{track.name}@{1 if old or track.name == 'optimization' else 2}")
        run = from_log("a run", logs[0], reader.timed_lines(raw))
        for check in timing.CHECKS:
            finding = check.finding(Evidence("a log", track, ruleset, (run,)))
            if finding.outcome in ("fail", "inconclusive"):
                alarms.append(f"{path.name}: {finding}")
    print(f"{len(alarms)} false alarms of {len(timing.CHECKS)} timing rules over {judged} logs")
    assert judged > 850
    assert alarms == []


def test_runs_of_one_folder_are_told_apart_by_their_curves(read: dict[str, list[RunLog]]) -> None:
    """Two logs of a folder have the same losses only where they are one run, stored twice with the same times."""
    folders: dict[str, list[RunLog]] = {}
    for path, logs in read.items():
        if len(logs) == 1:
            folders.setdefault(path.rpartition("/")[0], []).append(logs[0])
    compared = 0
    for logs in folders.values():
        twins = identity.repeated([identity.curve_of(from_log(log.path, log)) for log in logs])
        compared += len(logs)
        assert len({logs[index].curve for index in twins}) <= len(twins) // 2, [logs[index].path for index in twins]
    assert compared > 500
