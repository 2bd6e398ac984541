"""Names of folders: the project root, records, submissions, run data, and the user's cache."""

import os
import re
from pathlib import Path

from harness.core.errors import StoreError

SLUG = r"\d{4}-\d{2}-\d{2}_[a-z0-9]+(-[a-z0-9]+)*"  # 2026-07-17_fp8-down-projection


class Project:
    """A folder that holds `tracks/`, and where everything in it lies."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tracks = root / "tracks"
        self.records = root / "records"
        self.submissions = root / "submissions"
        self.leaderboard = root / "leaderboard.md"
        self.leaderboard_data = root / "leaderboard"
        self.retimings = root / "retimings.yaml"
        self.runs = root / ".runs"
        self.ledger = self.runs / "ledger.jsonl"

    @property
    def outermost(self) -> Path:
        """The project that this one lies in: checkouts for other machines lie in the `.runs/` of theirs."""
        above = [parent.parent for parent in self.root.absolute().parents if parent.name == self.runs.name]
        return above[-1] if above else self.root

    def show(self, path: Path) -> str:
        """A path as a person would type it: relative to the root where it lies inside, by its name or by its links.

        By its name first: in a project whose records are a link to another folder they are still `records/…`.
        """
        by_name = Path(os.path.abspath(path)), Path(os.path.abspath(self.root))
        for inner, root in (by_name, (path.resolve(), self.root.resolve())):
            if inner.is_relative_to(root):
                return str(inner.relative_to(root))
        return str(path)


def find_project(start: Path, root: str | None = None) -> Project:
    """Return the project that `--root`, SPEEDRUN_ROOT or the nearest parent folder with `tracks/` names.

    Raises StoreError where there is none.
    """
    named = root or os.environ.get("SPEEDRUN_ROOT")
    if named:
        if not (Path(named) / "tracks").is_dir():
            raise StoreError.at(named, "this folder holds no tracks/", "name the root of a speedrun project")
        return Project(Path(named).resolve())
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / "tracks").is_dir():
            return Project(folder)
    raise StoreError.at(
        start, "no folder here or above holds tracks/", "change into a speedrun project, or use --root or SPEEDRUN_ROOT"
    )


def cache_folder() -> Path:
    """Return the user's cache folder for tokens and environments (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "speedrun"


def is_slug(name: str) -> bool:
    """Whether a folder name has the form YYYY-MM-DD_kebab-name."""
    return re.fullmatch(SLUG, name) is not None
