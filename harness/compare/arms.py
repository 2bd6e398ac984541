"""Resolve one arm of a comparison: the script that a name means, its environment and its launcher.

Hard because a name may mean several kinds of script. A submission, and a record whose folder holds a script, run in
the harness's own environment. A record without a script here is run with its published one, the merged program or the
original that its log proves: verified, in an environment of its own and without arguments, as its author ran it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.catalog.lookup import Catalog, Named
from harness.catalog.originals import program
from harness.catalog.subjects import Subject
from harness.core.errors import StoreError, TrackError
from harness.core.measurement import Machine
from harness.core.task import Track
from harness.dataset.progress import Progress
from harness.launch.launcher import Launcher
from harness.launch.torchrun import TorchrunLauncher
from harness.machine import computer
from harness.replay import outlook, plan, session, venv
from harness.run import execution

Kind = Literal["submission", "record", "reimplementation", "original", "merged"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A script that is going to be run, and how."""

    subject: Subject
    kind: Kind
    name: str  # as people type it: "submissions/…" or "short/89"
    replay: plan.Plan | None = None  # of a published script, which runs in an environment of its own

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


@dataclass(frozen=True, slots=True)
class Ready:
    """A contender that can be run at once."""

    prepared: execution.Prepared
    launcher: Launcher


def find(
    catalog: Catalog,
    named: Named,
    *,
    original: bool = False,
    checkout: Path | None = None,
    allow_network: bool = True,
    plan_only: bool = False,
) -> Contender:
    """Return the arm that a name means; a track means its current record, by its published script where there is one.

    original: take the original of a record, whatever was merged. plan_only: nothing will be run, so a script that would
    have to be downloaded is described by its record. Raises HarnessError where a script cannot be had.
    """
    if named.record is None:
        subject = catalog.subject(named)
        return Contender(subject, "submission", subject.name)
    record = catalog.run_with(named.record)
    name = catalog.name(record)
    wanted = (original and program(record, original=True)) or (named.by_track and program(record))
    if catalog.has_script(record) and not wanted:
        subject = catalog.script_here(record)
        return Contender(subject, "reimplementation" if subject.reimplementation else "record", name)
    if program(record, original=original) is None:
        raise StoreError.at(name, "has no script here, and none was published", "name another record")
    which: plan.Which = "original" if original else "published"
    replay = plan.plan(
        catalog, record, which=which, checkout=checkout, allow_network=allow_network, plan_only=plan_only
    )
    return Contender(replay.subject, "merged" if replay.subject.merged else "original", name, replay)


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
