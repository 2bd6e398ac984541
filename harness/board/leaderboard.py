"""The story of the board: read the records, render, and write or compare what lies in the project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.board import export, markdown, plots, rows
from harness.catalog.tracks import load_track, load_tracks
from harness.core.record import Record
from harness.core.task import Track
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.store.records import find_record, read_curve, read_record, read_records


@dataclass(frozen=True, slots=True)
class Stale:
    """A file of the board that is not what the records say."""

    path: Path
    why: str


def render(
    tracks: Mapping[str, Track], records: Sequence[Record], curves: Mapping[str, Mapping[str, plots.Curve]]
) -> dict[str, str]:
    """All files of the board by their path relative to the project; pure."""
    made = {name: rows.make_rows(track, records) for name, track in tracks.items()}
    files: dict[str, str] = {}
    for name in markdown.order(tracks):
        held = curves.get(name, {})
        for kind, text in (
            ("progress", plots.progress(tracks[name], made[name])),
            ("curves", plots.curves(tracks[name], made[name], held)),
        ):
            if text is not None:
                files[f"leaderboard/{kind}-{name}.svg"] = text
    listed = [row for name in markdown.order(tracks) for row in made[name]]
    files["leaderboard.md"] = markdown.leaderboard(tracks, made, [Path(path).name for path in files])
    files["leaderboard/records.json"] = export.to_json(listed)
    files["leaderboard/records.csv"] = export.to_csv(listed)
    return files


def read_and_render(project: Project) -> dict[str, str]:
    """Read the project's records and render the board; raises HarnessError with every problem of the records."""
    tracks = load_tracks(project.tracks)
    records = read_records(project)
    curves: dict[str, dict[str, plots.Curve]] = {}
    for record in records:
        curves.setdefault(record.track, {})[record.slug] = read_curve(project.records / record.track / record.slug)
    return render(tracks, records, curves)


def write(project: Project) -> list[Path]:
    """Write what has changed of the board and take away pictures that no longer belong to it; the changed files."""
    files = read_and_render(project)
    changed = []
    for stale in compare(project, files):
        name = str(stale.path.relative_to(project.root))
        if name in files:
            write_atomic(stale.path, files[name])
        else:
            stale.path.unlink()
        changed.append(stale.path)
    return changed


def compare(project: Project, files: Mapping[str, str]) -> list[Stale]:
    """Every file of the board that is missing, left over, or not what the records say."""
    stale = []
    for name, text in files.items():
        path = project.root / name
        if not path.is_file():
            stale.append(Stale(path, "is missing"))
            continue
        held = path.read_text("utf-8")
        if name.endswith(".svg"):
            # Pictures differ in bytes from one matplotlib to the next; what they show does not.
            if plots.digest_of(held) != plots.digest_of(text):
                stale.append(Stale(path, "shows other data than the records hold"))
        elif held != text:
            stale.append(Stale(path, "is not what the records say"))
    for path in sorted(project.leaderboard_data.glob("*.svg")):
        if f"{project.leaderboard_data.name}/{path.name}" not in files:
            stale.append(Stale(path, "belongs to no track"))
    return stale


def check(project: Project) -> list[Stale]:
    """What of the board is stale; empty where it is current."""
    return compare(project, read_and_render(project))


def row_of(project: Project, name: str) -> tuple[Record, rows.Row]:
    """One record and its row, by any name that people use."""
    folder = find_record(project, name)
    record = read_record(folder, name=project.show(folder))
    track = load_track(project.tracks, record.track)
    made = rows.make_rows(track, [r for r in read_records(project) if r.track == record.track])
    return record, next(row for row in made if row.slug == record.slug)
