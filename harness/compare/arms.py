"""One arm of a comparison: a name in, the script with the environment and the launcher that it is run with out.

A submission, and a record whose folder holds a script, run in the harness's own environment. A record that has none
here is run as its frozen original: verified, in an environment of its own, without arguments, as its author did.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.catalog.lookup import Catalog, Named
from harness.catalog.originals import published
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError, TrackError
from harness.core.measurement import Machine
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import outlook, own_environment, plan, session, venv
from harness.run import execution
from harness.store.layout import Project

Kind = Literal["submission", "record", "reimplementation", "original"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A script that is going to be run, and how."""

    subject: Subject
    kind: Kind
    called: str  # "submissions/…" or "short/89"
    replay: plan.Plan | None = None  # of an original whose files are here
    wishes: tuple[tuple[str, ...], ...] = ()  # sets of requirements for an environment of its own; empty: the harness's
    away: str | None = None  # why the files of an original are not here, where only the plan is asked for

    @property
    def made(self) -> venv.Venv | None:
        """Its own environment, where that was made before."""
        return next((found for wish in self.wishes if (found := venv.find(wish)) is not None), None)

    @property
    def torch(self) -> str | None:
        """The build of torch that it runs with; None where its environment is not made yet."""
        if not self.wishes:
            return computer.version("torch")
        made = self.made
        return None if made is None else made.torch

    def sees(self, here: Machine) -> Machine:
        """This computer as its runs see it."""
        return computer.with_torch(here, self.torch or "in an environment of its own") if self.wishes else here


@dataclass(frozen=True, slots=True)
class Ready:
    """A contender that can be run at once."""

    prepared: execution.Prepared
    launcher: Launcher

    @property
    def torch(self) -> str | None:
        """The build of torch that its runs will have."""
        return self.prepared.machine.torch


def find(
    catalog: Catalog, named: Named, *, checkout: Path | None = None, allow_network: bool = True, looking: bool = False
) -> Contender:
    """Return the arm that a name means; a track means its current record, by its original where that was published.

    looking: only a plan is asked for, so that an original which would have to be fetched is described by what its
    record says of it. Raises HarnessError where an original cannot be had.
    """
    if named.record is None:
        subject = catalog.subject(named)
        return Contender(subject, "submission", subject.name)
    record = catalog.run_with(named.record)
    called = catalog.name(record)
    if catalog.has_script(record) and not (named.by_track and published(record)):
        subject = catalog.script_here(record)
        return Contender(subject, "reimplementation" if subject.reimplementation else "record", called)
    if not published(record):
        raise StoreError.at(called, "has no script here, and none was published", "name another record")
    chosen = plan.plan(catalog, record, original=True, checkout=checkout, allow_network=allow_network, look=looking)
    away = None if chosen.here else "never cloned here"
    return Contender(chosen.subject, "original", called, chosen if chosen.here else None, chosen.wishes, away)


def need_one_track(catalog: Catalog, a: Named, b: Named) -> None:
    """Raise TrackError, before anything is fetched, where two names belong to two tracks."""
    first, second = catalog.track_of(a).name, catalog.track_of(b).name
    if first != second:
        said = f"belong to {first} and {second}"
        raise TrackError.at(f"{a.name} and {b.name}", said, "compare two scripts of one track")


def check(contender: Contender, here: Machine) -> None:
    """Raise MachineError where the machine is not the track's own, or something is certain to stop the script here."""
    computer.check(contender.sees(here), contender.subject.track)
    if contender.replay is not None:
        outlook.check_machine(contender.replay)


def make_environment(project: Project, contender: Contender) -> venv.Venv | None:
    """Have its own environment, a minute or more where it is not made yet; None where it needs none."""
    return None if contender.replay is None else own_environment.make_environment(project, contender.replay)[0]


def prepare(
    contender: Contender,
    made: venv.Venv | None,
    here: Machine,
    *,
    allow_network: bool = True,
    progress: Progress | None = None,
) -> Ready:
    """Have its tokens."""
    if contender.replay is None or made is None:
        ready = execution.prepare(contender.subject, here, allow_network=allow_network, progress=progress)
        return Ready(ready, TorchrunLauncher())
    ready = session.prepare(contender.replay, made, allow_network=allow_network, progress=progress)
    return Ready(ready, TorchrunLauncher(str(made.python)))
