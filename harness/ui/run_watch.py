"""Watch the runs of one command: what a series, a comparison or a probe shows while it goes, and what it tells others.

For every run this opens a display and writes `command.json` into the run's folder, which says what the folder does not:
which run of how many it is, what stands beside it, and what the command has cost so far.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.core.measurement import DataReceipt
from harness.core.record import Record
from harness.core.task import Track
from harness.machine import computer
from harness.run import ending
from harness.run.command_progress import COMMAND_FILE, COMMAND_FORM, Command
from harness.run.record_curve import Reference, reference_of
from harness.run.run_reading import RunReader
from harness.store import run_files
from harness.store.files import write_atomic
from harness.ui import console
from harness.ui.live import Display
from harness.ui.run_status import Status, status_of

if TYPE_CHECKING:  # numpy comes with it
    from harness.run.series import Watcher

UNSHOWN = ("prime", "probe", "dry")  # purposes of runs whose losses say nothing beside a record's


@dataclass(frozen=True, slots=True)
class Shown:
    """One script whose runs are shown."""

    subject: Subject
    name: str  # as people type it


class RunWatch:
    """The runs of one command, one after another."""

    def __init__(
        self,
        catalog: Catalog,
        *,
        beside: Record | None = None,
        at_most: bool = False,
        usd_per_hour: float | None = None,
        usual_s: float | None = None,
    ) -> None:
        self.catalog, self.beside, self.at_most = catalog, beside, at_most
        self.usd_per_hour, self.usual_s = usd_per_hour, usual_s
        self.began_s = time.monotonic()
        self.made = -1

    def begin(self, shown: Shown, run_id: str, number: int, count: int, what: str | None) -> Callable[[bytes], None]:
        """Show a run from now on; the log is read from its file, so what is returned takes lines and does nothing."""
        self.made += 1
        if not self.made:
            self.began_s = time.monotonic()
        subject = shown.subject
        above = subject.ruleset.above_entropy
        command = Command(
            schema=1,
            number=number,
            count=count,
            at_most=self.at_most,
            what=what,
            beside=None,
            target=subject.track.target_loss if above is None else None,  # of a secret source when that is known
            entropy=None,
            usd_per_hour=self.usd_per_hour,
            spent_s=round(time.monotonic() - self.began_s, 3),
            made=self.made,
            usual_s=self.usual_s,
        )
        run = WatchedRun(self, shown, RunReader(run_files.run_folder(self.catalog.project, run_id)), command)
        Display(run.status, sys.stderr).open()
        return lambda line: None

    def reference(self, subject: Subject, gpus: int) -> Reference | None:
        """Read the curve that stands beside those of a script; None where there is none, or it cannot be read."""
        with contextlib.suppress(HarnessError):
            return reference_of(self.catalog, subject.track, subject.ruleset, self.beside, gpus=gpus)
        return None


class WatchedRun:
    """One run of a command: what is known of it, read when it is asked for."""

    def __init__(self, watch: RunWatch, shown: Shown, reader: RunReader, command: Command) -> None:
        self.watch, self.shown, self.reader, self.command = watch, shown, reader, command
        self.run_id = reader.folder.name
        self.reference: Reference | None = None
        self.told = False

    def status(self) -> Status:
        """Read on, and say where the run stands."""
        self.reader.follow_to(run_files.run_folder(self.watch.catalog.project, self.run_id))
        self.reader.poll()
        if not self.told and self.reader.file is not None and self.reader.start_ns is not None:
            self.told = True
            self._tell(self.reader.file)
        return status_of(self.reader, self.command, self.reference, self.shown.name)

    def _tell(self, file: run_files.RunFile) -> None:
        """Add what is known since the run was launched, and write it into its folder for others."""
        subject = self.shown.subject
        if file.purpose not in UNSHOWN:
            entropy = entropy_of(subject.track, file.data) if subject.ruleset.above_entropy is not None else None
            if subject.ruleset.above_entropy is None or entropy is not None:
                self.reference = self.watch.reference(subject, len(file.machine.gpus))
            target = subject.ruleset.above_entropy if entropy is not None else self.command.target
            self.command = replace(self.command, entropy=entropy, target=target)
        else:
            self.command = replace(self.command, target=None)
        self.command = replace(self.command, beside=None if self.reference is None else self.reference.name)
        with contextlib.suppress(HarnessError, OSError, ValueError):  # nobody needs it but who looks on
            write_atomic(self.reader.folder / COMMAND_FILE, COMMAND_FORM.text(self.command))


def entropy_of(track: Track, receipt: DataReceipt) -> float | None:
    """Return the entropy of the secret source of a run; None where its receipt names none."""
    from harness.core import secret_source  # numpy comes with it

    drawn = secret_source.draw_again(track, receipt)
    return None if drawn is None else drawn.oracle_loss


def usual_s(catalog: Catalog, subject: Subject) -> float | None:
    """Return how long a run of a script takes on this machine; None where it has not run here."""
    with contextlib.suppress(HarnessError):
        return ending.usual_wall_time_s(catalog.project, subject.chain, computer.capture())
    return None


def watch(
    catalog: Catalog,
    subject: Subject,
    *,
    beside: Record | None = None,
    at_most: bool = False,
    usd_per_hour: float | None = None,
) -> Watcher:
    """Return a watcher that shows how each of several runs of a script goes.

    beside: the record whose curve stands beside theirs; None: the current one.
    """
    runs = RunWatch(
        catalog, beside=beside, at_most=at_most, usd_per_hour=usd_per_hour, usual_s=usual_s(catalog, subject)
    )
    shown = Shown(subject, short_name(subject))

    def begin(run_id: str, number: int, count: int, what: str | None = None) -> Callable[[bytes], None]:
        title = f"run {number}/{count}" if number else "first run"
        of = "" if what is None else f" of {what}"
        console.note(f"{title}{of}  {run_id}")
        return runs.begin(shown, run_id, number, count, what)

    return begin


def short_name(subject: Subject) -> str:
    """Name a script as people type it."""
    return subject.name if subject.record is None else f"{subject.record.track}/{subject.record.number}"
