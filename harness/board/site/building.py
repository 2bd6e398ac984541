"""Make every file of the site from a project: pages, chart data, the feed, the board as data, pictures and libraries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import frames
from harness.board import eval_section, leaderboard, markdown, rows
from harness.board.code_changes import Changes, read_changes
from harness.board.rows import Row
from harness.board.site import announcing, chart_data, entry_page, templating, track_page
from harness.board.site.pending import Pending, read_pending
from harness.board.site.vendoring import FOLDER as VENDOR
from harness.catalog.lookup import Catalog
from harness.catalog.standing import MEANINGS
from harness.core.record import Record
from harness.core.task import Track
from harness.store.retimings import Timings, read_retimings

ASSETS = Path(__file__).parent / "assets"
# Styles of elements are allowed because the charts write them; scripts only as files of the site.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'"
)
MOST_README_LINES = 2_000


@dataclass(frozen=True, slots=True)
class Material:
    """What a site is made of, read before."""

    tracks: Mapping[str, Track]
    records: Sequence[Record]
    curves: frames.Curves
    timings: Timings = field(default_factory=dict)
    readmes: leaderboard.Readmes = field(default_factory=dict)
    changes: Changes = field(default_factory=dict)
    evals: leaderboard.Evals = field(default_factory=dict)
    board: Mapping[str, str] = field(default_factory=dict)  # what `speedrun board` writes: pictures and data are used
    pending: Sequence[Pending] = ()


def read_material(catalog: Catalog) -> Material:
    """Read the project, draw the board's pictures and check the open submissions; raises HarnessError as `board` does."""
    project = catalog.project
    records, timings = catalog.records(), read_retimings(project)
    tracks = {name: catalog.track(name) for name in catalog.track_names()}
    curves, readmes = frames.read_curves(project, records), leaderboard.read_readmes(project, records)
    told = readmes, read_changes(project, records), leaderboard.read_evaluations(project, records)
    board = leaderboard.render(tracks, records, curves, timings, *told)
    return Material(tracks, records, curves, timings, *told, board, read_pending(catalog))


def render(material: Material) -> dict[str, bytes | str]:
    """Make all files of the site, by their path in it; pure."""
    order = markdown.order(material.tracks)
    files: dict[str, bytes | str] = dict(static_files())
    for name, text in material.board.items():
        if name.endswith(".svg") and name.count("/") == 1:  # of a track; a record's curve is drawn by its page
            files[f"assets/{Path(name).name}"] = text
        elif name.endswith((".json", ".csv")):
            files[Path(name).name] = text
    told: list[dict[str, Any]] = []
    listed: list[Row] = []
    gains: dict[tuple[str, str], str] = {}
    for name in order:
        track = material.tracks[name]
        mine = rows.make_rows(track, material.records, material.timings)
        made = _Track(material, track, mine, order)
        files |= made.files()
        told.append(made.shown)
        listed += mine
        gains |= {(name, slug): gain for slug, gain in made.gains.items()}
    files["index.html"] = _page(
        "index.html", "", order, {"told": told, "pending": material.pending, "meanings": MEANINGS}
    )
    files["feed.xml"] = announcing.feed(listed, gains)
    return files


def static_files() -> dict[str, bytes]:
    """Return the style, the scripts and the libraries that every site holds."""
    paths = sorted([*ASSETS.iterdir(), *VENDOR.iterdir()])
    return {f"assets/{path.name}": path.read_bytes() for path in paths if path.is_file()}


class _Track:
    """The pages of one track."""

    def __init__(self, material: Material, track: Track, mine: Sequence[Row], order: Sequence[str]) -> None:
        self.material, self.track, self.rows, self.order = material, track, mine, order
        self.curves, self.target = chart_data.alike(track, mine, material.curves.get(track.name, {}))
        self.gains = track_page.gains(track, mine)
        end = f"-{track.name}.svg"
        pictures = [Path(name).name for name in material.board if name.count("/") == 1 and name.endswith(end)]
        self.shown = {
            "track": track,
            "rows": mine,
            "head": track_page.head(track, mine),
            "ideas": track_page.ideas(track, mine, self.gains),
            "pictures": {name.removesuffix(end): name for name in pictures},
            "page": f"tracks/{track.name}.html",
        }

    def files(self) -> dict[str, str]:
        """Make the track's page, its records' pages, and what their charts draw."""
        name, mine = self.track.name, self.rows
        values = self.shown | {
            "columns": track_page.columns(self.track, mine),
            "tables": track_page.tables(self.track, mine, self.curves),
            "machines": sorted({row.machine for row in mine if row.machine}),
            "people": sorted({one.removeprefix("@") for row in mine for one in row.contributors}, key=str.casefold),
            "pending": [one for one in self.material.pending if one.track == name],
            "meanings": MEANINGS,
        }
        data = chart_data.track_data(self.track, mine, self.curves, self.target)
        files = {
            f"tracks/{name}.html": _page("track.html", "../", self.order, values),
            f"data/{name}.js": chart_data.script("track", data),
        }
        for slug, points in self.curves.items():
            files[f"data/{name}/{slug}.js"] = chart_data.script("curve", slug, points)
        return files | self._entries()

    def _entries(self) -> dict[str, str]:
        records = {record.slug: record for record in self.material.records if record.track == self.track.name}
        beside = entry_page.neighbours(self.rows)
        curves = self.material.curves.get(self.track.name, {})  # as stored, where the chart has one meaning of loss
        readmes = self.material.readmes.get(self.track.name, {})
        changes = self.material.changes.get(self.track.name, {})
        evals = self.material.evals.get(self.track.name, {})
        shown = {row.slug: row for row in self.rows}
        files = {}
        for row in self.rows:
            near = beside[row.slug]
            values = entry_page.entry(self.track, records[row.slug], row, self.gains[row.slug], near, curves)
            values["evals"] = [
                (eval_section.origin(one), eval_section.headings(one), eval_section.figures(one))
                for one in evals.get(row.slug, ())
            ]
            values["change"] = entry_page.code_change(row, changes.get(row.slug), shown)
            values |= {"track": self.track, "page": f"tracks/{self.track.name}.html"}
            values["readme"] = readmes.get(row.slug, "").expandtabs(4).splitlines()[:MOST_README_LINES]
            files[f"records/{row.track}/{row.slug}.html"] = _page("record.html", "../../", self.order, values)
        return files


def _page(template: str, top: str, order: Sequence[str], values: Mapping[str, Any]) -> str:
    """Fill in a page; `top` leads from its folder to the top of the site."""
    return templating.fill(template, {"top": top, "policy": POLICY, "order": order, **values})
