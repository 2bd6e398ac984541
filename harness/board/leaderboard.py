"""Read the records, render the board, and write what changed or name what is stale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness import frames
from harness.board import export, markdown, plots, record_page, rows
from harness.catalog.tracks import load_tracks
from harness.core.record import Record
from harness.core.task import Track
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.store.records import read_records
from harness.store.retimings import NO_TIMINGS, Timings, read_retimings

README = "README.md"
MOST_README_BYTES = 100_000
Readmes = Mapping[str, Mapping[str, str]]  # track -> slug -> text
NO_READMES: Readmes = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stale:
    """A file of the board that is not what the records say."""

    path: Path
    why: str


def render(
    tracks: Mapping[str, Track],
    records: Sequence[Record],
    curves: frames.Curves,
    timings: Timings = NO_TIMINGS,
    readmes: Readmes = NO_READMES,
) -> dict[str, str]:
    """Make all files of the board, by their path relative to the project; pure."""
    rows_of = {name: rows.make_rows(track, records, timings) for name, track in tracks.items()}
    record_table, curve_table = frames.record_frame(tracks, records, timings), frames.curve_frame(records, curves)
    files: dict[str, str] = {}
    for name in markdown.order(tracks):
        mine = record_table[record_table.track == name]
        for kind, svg in (
            ("progress", plots.progress(tracks[name], mine)),
            ("curves", plots.curves(tracks[name], mine, curve_table[curve_table.track == name])),
        ):
            if svg is not None:
                files[f"leaderboard/{kind}-{name}.svg"] = svg
    listed = [row for name in markdown.order(tracks) for row in rows_of[name]]
    files["leaderboard.md"] = markdown.leaderboard(tracks, rows_of, [Path(path).name for path in files])
    files["leaderboard/records.json"] = export.to_json(listed)
    files["leaderboard/records.csv"] = export.to_csv(listed)
    for name, track in tracks.items():
        held = [record for record in records if record.track == name]
        files |= record_page.pages(track, held, rows_of[name], curves.get(name, {}), readmes.get(name, {}))
    return files


def read_and_render(project: Project) -> dict[str, str]:
    """Read the project's records and render the board; raises HarnessError with every problem of the records."""
    records = read_records(project)
    curves, timings = frames.read_curves(project, records), read_retimings(project)
    return render(load_tracks(project.tracks), records, curves, timings, read_readmes(project, records))


def read_readmes(project: Project, records: Sequence[Record]) -> dict[str, dict[str, str]]:
    """Read what submitters wrote of their records, each as far as a page quotes it."""
    found: dict[str, dict[str, str]] = {}
    for record in records:
        path = project.records / record.track / record.slug / README
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                found.setdefault(record.track, {})[record.slug] = file.read(MOST_README_BYTES).decode(
                    "utf-8", "replace"
                )
    return found


def write(project: Project) -> list[Path]:
    """Write what has changed of the board, remove what no longer belongs to it, and return the changed files."""
    files = read_and_render(project)
    changed = []
    for stale in find_stale(project, files):
        name = str(stale.path.relative_to(project.root))
        if name in files:
            write_atomic(stale.path, files[name])
        else:
            stale.path.unlink()
        changed.append(stale.path)
    return changed


def find_stale(project: Project, files: Mapping[str, str]) -> list[Stale]:
    """Find every file of the board that is missing, left over, or not what the records say."""
    stale = []
    for name, text in files.items():
        path = project.root / name
        if not path.is_file():
            stale.append(Stale(path, "is missing"))
            continue
        stored = path.read_text("utf-8")
        if name.endswith(".svg"):
            # Pictures differ in bytes from one matplotlib to the next; what they show does not.
            if plots.digest_of(stored) != plots.digest_of(text):
                stale.append(Stale(path, "shows other data than the records hold"))
        elif stored != text:
            stale.append(Stale(path, "is not what the records say"))
    for pattern, whose in (("*.svg", "track"), ("*/*.md", "record")):
        for path in sorted(project.leaderboard_data.glob(pattern)):
            if str(path.relative_to(project.root)) not in files:
                stale.append(Stale(path, f"belongs to no {whose}"))
    return stale
