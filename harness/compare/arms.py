"""Resolve one arm of a comparison: the script that a name means, its environment and its launcher.

Hard because a name may mean three kinds of script. A submission, and a record whose folder holds a script, run in the
harness's own environment. A record without a script here is run as its frozen original: verified, in an environment of
its own and without arguments, as its author ran it.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.catalog.lookup import Catalog, Named
from harness.catalog.originals import published
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError, TrackError
from harness.core.measurement import Machine
from harness.core.task import Track
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import outlook, plan, session, venv
from harness.run import execution, priming
from harness.store import caches
from harness.store.layout import Project

Kind = Literal["submission", "record", "reimplementation", "original"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A script that is going to be run, and how."""

    subject: Subject
    kind: Kind
    name: str  # as people type it: "submissions/…" or "short/89"
    replay: plan.Plan | None = None  # of an original, which runs in an environment of its own

    @property
    def requirement_sets(self) -> tuple[tuple[str, ...], ...]:
        """Return what its own environment may hold, the best first; empty where it runs in the harness's."""
        return () if self.replay is None else self.replay.requirement_sets

    @property
    def environment(self) -> venv.Venv | None:
        """Find its own environment; None where that is not made yet, or where it needs none."""
        return next((made for each in self.requirement_sets if (made := venv.find(each)) is not None), None)

    @property
    def torch(self) -> str | None:
        """Name the build of torch that it runs with; None where its environment is not made yet."""
        if not self.requirement_sets:
            return computer.version("torch")
        return None if self.environment is None else self.environment.torch

    def machine(self, here: Machine) -> Machine:
        """Describe this computer as the runs of this script see it."""
        if not self.requirement_sets:
            return here
        return computer.with_torch(here, self.torch or venv.NOT_MADE)

    def made_with(self, project: Project, here: Machine) -> caches.MadeWith:
        """Say what its compile cache depends on here, as far as its environment is known."""
        python = sys.executable if self.environment is None else str(self.environment.python)
        return caches.made_with(project, self.subject.chain, self.machine(here), priming.triton_of(python))


@dataclass(frozen=True, slots=True)
class Ready:
    """A contender that can be run at once."""

    prepared: execution.Prepared
    launcher: Launcher

    @property
    def cache(self) -> str | None:
        """Return the digest of the stored compile cache that its runs start from; None: they start from empty ones."""
        return None if self.prepared.cache is None else self.prepared.cache.digest


def find(
    catalog: Catalog, named: Named, *, checkout: Path | None = None, allow_network: bool = True, plan_only: bool = False
) -> Contender:
    """Return the arm that a name means; a track means its current record, by its original where that was published.

    plan_only: nothing will be run, so an original that would have to be downloaded is described by its record. Raises
    HarnessError where an original cannot be had.
    """
    if named.record is None:
        subject = catalog.subject(named)
        return Contender(subject, "submission", subject.name)
    record = catalog.run_with(named.record)
    name = catalog.name(record)
    if catalog.has_script(record) and not (named.by_track and published(record)):
        subject = catalog.script_here(record)
        return Contender(subject, "reimplementation" if subject.reimplementation else "record", name)
    if not published(record):
        raise StoreError.at(name, "has no script here, and none was published", "name another record")
    replay = plan.plan(
        catalog, record, original=True, checkout=checkout, allow_network=allow_network, plan_only=plan_only
    )
    return Contender(replay.subject, "original", name, replay)


def require_one_track(a: tuple[str, Track], b: tuple[str, Track]) -> None:
    """Raise TrackError, before anything is fetched, where two names belong to two tracks."""
    tracks = a[1].name, b[1].name
    if tracks[0] != tracks[1]:
        what = f"belong to {tracks[0]} and {tracks[1]}"
        raise TrackError.at(f"{a[0]} and {b[0]}", what, "compare two scripts of one track")


def check(contender: Contender, here: Machine) -> None:
    """Raise MachineError where the machine is not the track's own, or something is certain to stop the script here."""
    computer.check(contender.machine(here), contender.subject.track)
    if contender.replay is not None:
        outlook.check_machine(contender.replay)


def prepare(
    contender: Contender,
    environment: venv.Venv | None,
    here: Machine,
    *,
    allow_network: bool = True,
    progress: Progress | None = None,
) -> Ready:
    """Fetch its tokens, and return what its runs need."""
    if contender.replay is None or environment is None:
        prepared = execution.prepare(contender.subject, here, allow_network=allow_network, progress=progress)
        return Ready(prepared, TorchrunLauncher())
    prepared = session.prepare(contender.replay, environment, allow_network=allow_network, progress=progress)
    return Ready(prepared, TorchrunLauncher(str(environment.python)))
