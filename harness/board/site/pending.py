"""The submissions that are no records yet, and what `speedrun check` says of each."""

from dataclasses import dataclass

from harness.catalog.lookup import Catalog
from harness.store.layout import is_slug
from harness.submission import inspection
from harness.submission.inspection import Checked


@dataclass(frozen=True, slots=True)
class Pending:
    """One open submission; all of it is text of somebody else, or about it."""

    name: str
    track: str | None  # None where its manifest cannot be read
    title: str
    names: str
    outcome: str
    said: tuple[str, ...]


def read_pending(catalog: Catalog) -> list[Pending]:
    """Check every folder of `submissions/` whose name is not a record's; the newest first."""
    project = catalog.project
    if not project.submissions.is_dir():
        return []
    accepted = {path.name for path in project.records.glob("*/*")}
    folders = [path for path in project.submissions.iterdir() if is_slug(path.name) and path.name not in accepted]
    return [describe(inspection.check(catalog, folder)) for folder in sorted(folders, reverse=True)]


def describe(checked: Checked) -> Pending:
    """Say what `check` found, in its sentences."""
    manifest = None if checked.subject is None else checked.subject.manifest
    said = [str(problem) for problem in checked.problems]
    if checked.problems:
        outcome = "refused"
    elif checked.verdict is None:
        outcome = "in order so far, without a run"
    else:
        outcome = f"{checked.verdict.outcome} under {checked.verdict.ruleset}"
    if checked.verdict is not None:
        said += [str(one) for one in checked.verdict.findings if one.outcome in ("fail", "inconclusive")]
    return Pending(
        name=checked.name,
        track=None if checked.subject is None else checked.subject.track.name,
        title=checked.name if manifest is None else manifest.title,
        names="" if manifest is None else ", ".join(name.removeprefix("@") for name in manifest.contributors),
        outcome=outcome,
        said=tuple(said),
    )
