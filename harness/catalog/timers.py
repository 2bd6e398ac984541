"""Read tracks/timers.yaml: whose sessions of fresh runs are official. Maintainers write it, and no tool."""

import datetime
import subprocess
from collections.abc import Iterable

from harness.catalog.tracks import NO_TRACK
from harness.core.codec import Form
from harness.core.constraints import show
from harness.core.errors import StoreError, TrackError
from harness.core.task import Timer, TimersFile
from harness.store.layout import Project

TIMERS_FORM = Form(TimersFile, "yaml", (1,), TrackError)
FILE = f"{NO_TRACK}.yaml"


def read_timers(project: Project) -> tuple[Timer, ...]:
    """Read who is listed; nobody where there is no such file. Raises TrackError with every problem of it."""
    path = project.tracks / FILE
    if not (path.exists() or path.is_symlink()):
        return ()
    return TIMERS_FORM.read(path, name=f"{project.tracks.name}/{FILE}").timers


def is_official(project: Project, handle: str, track: str, day: datetime.date) -> bool:
    """Tell whether somebody's sessions of this day on a track are official."""
    return any(is_same(t.handle, handle) and t.is_official(track, day) for t in read_timers(project))


def is_same(one: str, other: str) -> bool:
    """Tell whether two handles are one; GitHub does not tell capitals apart."""
    return one.lower().removeprefix("@") == other.lower().removeprefix("@")


def is_one_of(project: Project, handle: str, people: Iterable[str]) -> bool:
    """Tell whether somebody is among people that a manifest names, by their handle or by the name in the list."""
    known = [handle, *(timer.name for timer in read_timers(project) if is_same(timer.handle, handle))]
    return any(is_same(name, person) for name in known for person in people)


def choose(project: Project, track: str, asked: str | None, day: datetime.date) -> str:
    """Return the handle of who makes a session: the one asked for, else the only one listed, else git's github.user.

    Raises StoreError, with what to do, for somebody who is not listed for this track and day.
    """
    listed = [timer.handle for timer in read_timers(project) if timer.is_official(track, day)]
    wanted = asked or (listed[0] if len(listed) == 1 else _of_git(project))
    where = f"{project.tracks.name}/{FILE}"
    known = f"listed for {track}: {', '.join(listed)}" if listed else f"nobody is listed for {track} today"
    if wanted is None:
        raise StoreError.at(where, f"nothing says who you are; {known}", "name yourself: --timer @HANDLE")
    found = next((handle for handle in listed if is_same(handle, wanted)), None)
    if found is None:
        what = f"{show(wanted)} is not listed, so a session of theirs is not official; {known}"
        raise StoreError.at(where, what, "let a maintainer add the handle in a pull request of its own")
    return found


def _of_git(project: Project) -> str | None:
    command = ["git", "config", "github.user"]
    try:
        said = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        return None
    return said or None
