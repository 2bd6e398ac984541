"""Read the records, render the board, and write what changed or name what is stale."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from harness import frames
from harness.board import board_page, export, learning, markdown, plots, record_page, rows, waterfall
from harness.board.code_changes import NO_CHANGES, Changes, read_changes
from harness.board.rows import Row
from harness.catalog.tracks import load_tracks
from harness.core.errors import StoreError, read_all
from harness.core.record import Record
from harness.core.task import Track
from harness.store.evals import EvalResult, read_evals
from harness.store.files import write_atomic
from harness.store.layout import Project
from harness.store.records import Curve, read_records
from harness.store.retimings import NO_TIMINGS, Timings, read_retimings

README = "README.md"
MOST_README_BYTES = 100_000
SUFFIXES = (".md", ".svg", ".json", ".csv")  # of what is written; other files below leaderboard/ are somebody else's
Readmes = Mapping[str, Mapping[str, str]]  # track -> slug -> text
NO_READMES: Readmes = MappingProxyType({})
Evals = Mapping[str, Mapping[str, Sequence[EvalResult]]]  # track -> slug -> results, by date
NO_EVALS: Evals = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Stale:
    """A file of the board that is not what the records say, or what was done with it."""

    path: Path
    why: str


def render(
    tracks: Mapping[str, Track],
    records: Sequence[Record],
    curves: frames.Curves,
    timings: Timings = NO_TIMINGS,
    readmes: Readmes = NO_READMES,
    changes: Changes = NO_CHANGES,
    evals: Evals = NO_EVALS,
) -> dict[str, str]:
    """Make all files of the board, by their path relative to the project; pure."""
    rows_of = {name: rows.make_rows(track, records, timings) for name, track in tracks.items()}
    files: dict[str, str] = {}
    for name, track in tracks.items():
        held = [record for record in records if record.track == name]
        mine = curves.get(name, {})
        files |= dict(pictures(track, rows_of[name], mine))
        about = readmes.get(name, {}), changes.get(name, {}), evals.get(name, {})
        files |= record_page.pages(track, held, rows_of[name], mine, *about)
    listed = [row for name in markdown.order(tracks) for row in rows_of[name]]
    shown = [Path(path).name for path in files if path.endswith(".svg") and path.count("/") == 1]
    files["leaderboard.md"] = board_page.leaderboard(tracks, rows_of, shown)
    files["leaderboard/records.json"] = export.to_json(listed)
    files["leaderboard/records.csv"] = export.to_csv(listed)
    return files


def pictures(track: Track, listed: Sequence[Row], curves: Mapping[str, Curve]) -> Iterator[tuple[str, str]]:
    """Draw the pictures of one track, each with its path in the project; one without data is left out."""
    for kind, svg in (
        ("progress", plots.progress(track, listed)),
        ("gains", waterfall.waterfall(track, listed)),
        ("curves", learning.curves(track, listed, curves)),
    ):
        if svg is not None:
            yield f"leaderboard/{kind}-{track.name}.svg", svg


def read_and_render(project: Project) -> dict[str, str]:
    """Read the project's records and render the board; raises HarnessError with every problem of the records."""
    records = read_records(project)
    curves, timings = frames.read_curves(project, records), read_retimings(project)
    readmes, changes = read_readmes(project, records), read_changes(project, records)
    evals = read_evaluations(project, records)
    return render(load_tracks(project.tracks), records, curves, timings, readmes, changes, evals)


def read_evaluations(project: Project, records: Sequence[Record]) -> dict[str, dict[str, list[EvalResult]]]:
    """Read what evaluations of the records' trained models found; raises StoreError with every problem."""

    def read(record: Record) -> list[EvalResult]:
        return [result for _, result in read_evals(project.records / record.track / record.slug)]

    found: dict[str, dict[str, list[EvalResult]]] = {}
    for record, results in zip(records, read_all(read, records, StoreError), strict=True):
        if results:
            found.setdefault(record.track, {})[record.slug] = results
    return found


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


def write(project: Project) -> list[Stale]:
    """Write what has changed of the board, remove what no record makes any more, and say what was done with what."""
    files = read_and_render(project)
    done = []
    for stale in find_stale(project, files):
        text = files.get(str(stale.path.relative_to(project.root)))
        if text is not None:
            write_atomic(stale.path, text)
            done.append(Stale(stale.path, "was written"))
        elif stale.path.suffix in SUFFIXES or stale.path.is_symlink():
            stale.path.unlink()
            done.append(Stale(stale.path, "was removed: no record makes it any more"))
        else:
            done.append(stale)
    return done


def find_stale(project: Project, files: Mapping[str, str]) -> list[Stale]:
    """Find every file of the board that is missing, left over, or not what the records say, byte for byte."""
    stale = []
    for name, text in files.items():
        path = project.root / name
        if path.is_symlink() or not path.is_file():
            stale.append(Stale(path, "is no plain file" if path.is_symlink() or path.exists() else "is missing"))
        elif path.read_bytes() != text.encode():
            stale.append(Stale(path, "is not what the records say"))
    for path in sorted(project.leaderboard_data.rglob("*")):
        name = str(path.relative_to(project.root))
        hidden = path.name.startswith(".")  # of an editor, or of the system
        if name not in files and not hidden and (path.is_symlink() or not path.is_dir()):
            todo = (
                "" if path.suffix in SUFFIXES or path.is_symlink() else ", and no file of the board: remove it yourself"
            )
            stale.append(Stale(path, f"is nothing that a record makes{todo}"))
    return stale
