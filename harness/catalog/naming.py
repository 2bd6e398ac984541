"""Say what a name on the command line cannot mean, and what was probably meant."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from harness.catalog import manifests, tracks
from harness.core.errors import HarnessError, ManifestError, StoreError
from harness.core.text import did_you_mean
from harness.store import records
from harness.store.layout import Project, is_slug


def place(project: Project, name: str) -> Path | None:
    """Return the folder that a name means, seen from here or from the project; None where it is no folder."""
    if not name.strip() or name in tracks.track_names(project.tracks):
        return None
    return next((folder for folder in (Path(name), project.root / name) if folder.is_dir()), None)


def unknown(project: Project, name: str) -> HarnessError:
    """Return the error for a name that means no record, track or submission."""
    shown = name.encode("unicode_escape").decode()[:100]
    asked = name.strip("/").removeprefix("./")
    known = tracks.track_names(project.tracks)
    among = _among_records(project, name)
    if among is not None:
        return StoreError.at(shown, "is no record", among)
    first, _, rest = asked.removeprefix(f"{project.records.name}/").partition("/")
    meant = _meant(project, asked)
    submissions = project.submissions.name
    if name.startswith(("/", "./", "../", f"{submissions}/")) or did_you_mean(asked.partition("/")[0], [submissions]):
        if place(project, name) is not None:
            return ManifestError.at(
                shown, f"holds no {manifests.MANIFEST}", "make a submission with `speedrun new NAME`"
            )
        way = f"did you mean {meant}?" if meant else "make a submission with `speedrun new NAME`"
        return ManifestError.at(shown, "there is no such folder", way)
    if rest and first not in known:
        track = did_you_mean(first, known)
        meant = f"{track}/{rest}" if track else meant
        way = f"did you mean {meant}?" if meant else f"tracks: {', '.join(known)}"
        return StoreError.at(shown, f"there is no track {ascii(first)[:60]}", way)
    what = "there is no such record" if rest else "there is no such record or track"
    if not rest and asked.isdecimal():
        return StoreError.at(shown, what, f"name its track too, like short/{asked[:20]}")
    way = f"did you mean {meant}?" if meant and not rest.isdecimal() else "name it like short/12 or by its folder;"
    return StoreError.at(shown, what, f"{way} `speedrun show` lists all")


def _among_records(project: Project, name: str) -> str | None:
    """Return what to name instead of a folder that lies among the records and is none; None for other names."""
    folder = place(project, name)
    inside = None if folder is None else inside_records(project, folder)
    if inside is None:
        return None
    if len(inside) > 1:
        return f"name the record that it belongs to: {ascii('/'.join(inside[:2]))[1:-1][:100]}"
    if inside and inside[0] in tracks.track_names(project.tracks):
        return f"{inside[0]} alone means its current record; `speedrun show --track {inside[0]}` lists all of them"
    return "name one like short/12; `speedrun show` lists tracks and records"


def inside_records(project: Project, folder: Path) -> tuple[str, ...] | None:
    """Return the path of a folder below `records/`, no link followed; None where it lies elsewhere."""
    with contextlib.suppress(ValueError):
        return Path(os.path.abspath(folder)).relative_to(os.path.abspath(project.records)).parts
    return None


def _meant(project: Project, asked: str) -> str | None:
    """Return the name that is most like what was asked for; a slug may lack its track and its date."""
    forms: dict[str, str] = {}
    for name in names_of(project):
        slug = name.rpartition("/")[2]
        for form in (name, slug, slug[len("2026-07-17_") :] if is_slug(slug) else slug):
            forms.setdefault(form, name)
    found = did_you_mean(asked, forms)
    return None if found is None else forms[found]


def names_of(project: Project) -> Iterator[str]:
    """Name all tracks, records and submissions: records by track and slug, and by what follows the date."""
    yield from tracks.track_names(project.tracks)
    for folder in records.record_folders(project):
        yield f"{folder.parent.name}/{folder.name}"
    yield from submission_names(project)


def submission_names(project: Project) -> Iterator[str]:
    """Name the folders of all submissions, the templates apart."""
    for folder in sorted(project.submissions.glob("[!_.]*/")):
        yield f"{project.submissions.name}/{folder.name}"
