"""Show a run of this machine from its folder, for `show RUN` and `show RUN --follow`: as it was shown where it was made.

It only reads. A probe's run is moved when it has ended, and is followed to its new place.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import asdict, replace
from typing import Any

from harness.catalog.lookup import Catalog
from harness.core.errors import HarnessError, StoreError
from harness.core.task import Ruleset, Track
from harness.run.command_progress import Command
from harness.run.record_curve import Reference, reference_of
from harness.run.run_reading import RunReader
from harness.store import run_files
from harness.ui import console
from harness.ui.live import EVERY_S, sink
from harness.ui.run_status import Status, status_of
from harness.ui.run_watch import UNSHOWN, entropy_of

ALONE = Command(1, 0, 0, False, "this run", None, None, None, None, 0.0, 0, None)  # nobody says which command made it


class Followed:
    """One run, looked at from outside of the command that makes it."""

    def __init__(self, catalog: Catalog, run_id: str) -> None:
        self.catalog, self.run_id = catalog, run_id
        self.reader = RunReader(run_files.run_folder(catalog.project, run_id))
        self.reader.poll()
        if self.reader.file is None:
            self._raise()
        self.command = ALONE
        self.reference: Reference | None = None
        self.told = False
        self.name = self._name()

    def status(self) -> Status:
        """Read on, and say where the run stands."""
        self.reader.follow_to(run_files.run_folder(self.catalog.project, self.run_id))
        self.reader.poll()
        if not self.told and (self.reader.command is not None or self.reader.over):
            self.told = True
            self._tell()
        return status_of(self.reader, self.command, self.reference, self.name)

    @property
    def over(self) -> bool:
        """Whether nothing of the run will change any more."""
        return self.reader.lost or self.reader.final

    def _tell(self) -> None:
        """Take what its command said of it, or find out what can be known without that."""
        if self.reader.command is not None:
            self.command = self.reader.command
        file = self.reader.file
        if file is None or file.purpose in UNSHOWN:
            return
        with contextlib.suppress(HarnessError, StopIteration):
            track = self.catalog.track(file.track)
            ruleset = next(rules for rules in track.rulesets if rules.id == file.ruleset)
            if self.reader.command is None:
                self.command = self._alone(track, ruleset)
            if ruleset.above_entropy is None or self.command.entropy is not None:
                named = None if self.command.beside is None else self.catalog.record(self.command.beside)
                gpus = len(file.machine.gpus)
                self.reference = reference_of(self.catalog, track, ruleset, named, gpus=gpus)

    def _alone(self, track: Track, ruleset: Ruleset) -> Command:
        if ruleset.above_entropy is None:
            return replace(ALONE, target=track.target_loss)
        file = self.reader.file
        entropy = None if file is None else entropy_of(track, file.data)
        return ALONE if entropy is None else replace(ALONE, entropy=entropy, target=ruleset.above_entropy)

    def _name(self) -> str:
        """Name its script as people type it."""
        subject = self.run_id if self.reader.file is None else self.reader.file.subject
        if subject.startswith(f"{self.catalog.project.records.name}/"):
            with contextlib.suppress(HarnessError):
                return self.catalog.name(self.catalog.record(subject))
        return subject

    def _raise(self) -> None:
        """Raise StoreError: its folder holds no run that can be read."""
        run_files.read_run_file(self.reader.folder)
        raise StoreError.at(self.run_id, "cannot be read", "name another run")


def say_run(catalog: Catalog, run_id: str, *, follow: bool) -> None:
    """Print where a run stands; follow: go on until it has ended. Ctrl-C leaves the last state and is raised."""
    followed = Followed(catalog, run_id)
    status = followed.status()
    console.say(f"run {run_id} of {status.subject}")
    shown = sink(sys.stdout)
    try:
        while follow and not followed.over:
            shown.show(status)
            time.sleep(EVERY_S)
            status = followed.status()
    finally:
        try:
            shown.close(_as_left(status), whole=True)
        finally:
            shown.leave()


def _as_left(status: Status) -> Status:
    """Leave out of a run that has ended what its command had left then: it may have ended days ago."""
    return status if status.ended is None else replace(status, rest=replace(status.rest, command_s=None))


def figures(catalog: Catalog, run_id: str) -> dict[str, Any]:
    """Return what `show RUN --json` prints: where the run stands, in numbers."""
    status = Followed(catalog, run_id).status()
    state, outcome = asdict(status.state), status.ended
    return {"run": run_id, "subject": status.subject, "ended": outcome, **state, "rest": asdict(status.rest)}


def find_run(catalog: Catalog, name: str | None) -> str:
    """Return the id of the run that a name or its beginning means, None: of the run that was started last.

    Raises StoreError where that is none, or more than one.
    """
    project = catalog.project
    if name is None:
        latest = run_files.latest_run(project)
        if latest is None:
            raise StoreError.at(project.runs.name, "holds no run", "make one: speedrun run smoke")
        return latest.name
    asked = name.rstrip("/").rpartition("/")[2]
    probes = (folder.name[folder.name.index("2", 3) :] for folder in (project.runs / run_files.PROBES).glob("*/*-2*"))
    known = sorted({folder.name for folder in project.runs.glob("2*") if folder.is_dir()} | {*probes})
    found = [run_id for run_id in known if run_id.startswith(asked)]
    if asked in found:
        return asked
    if len(found) == 1:
        return found[0]
    if not found:
        latest = run_files.latest_run(project)
        newest = "make one: speedrun run smoke" if latest is None else f"the newest one is {latest.name}"
        raise StoreError.at(name, f"is no run in {project.runs.name}", newest)
    raise StoreError.at(name, f"is the beginning of {len(found)} runs", f"give more of it, like {found[-1]}")
