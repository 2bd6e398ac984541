"""Say how much runs vary on a machine, and which difference a comparison can then decide, before it is paid for.

Hard because the spread of a few runs is known badly, and on a new machine not at all: then what is usual is said. It is
advice alone; no figure of a comparison depends on it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.compare.arms import Contender
from harness.core import stats
from harness.core.errors import HarnessError
from harness.core.measurement import Machine
from harness.evidence.metrics import read_run
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Ledger

LAST = 8  # runs of a script that are read
LEAST_DEGREES = 2
USUAL_GAIN = 0.0104  # the median gain of records 28 to 89 of the short track
QUIET = (0.0008, 0.0008)  # spread of a run on a quiet 8-GPU host, by pairs in the field's logs
SHARED = (0.01, 0.06)  # and on CPUs that others share


@dataclass(frozen=True, slots=True)
class Spread:
    """How much the runs of a script vary."""

    share: float  # standard deviation of one run, of its time
    runs: int  # that this was taken from


def measured(project: Project, contenders: Iterable[Contender], here: Machine) -> Spread | None:
    """Take the spread of the last finished runs of these scripts on this machine; None where there are too few."""
    ledger = Ledger(project.ledger)
    chains = {one.subject.chain: one for one in contenders}
    return pooled([_times_s(project, ledger, one, here) for one in chains.values()])


def pooled(times_s: Iterable[Sequence[float]]) -> Spread | None:
    """Pool the spread within each group of times; None where less than three runs of one script are known."""
    squares, degrees, runs = 0.0, 0, 0
    for group in times_s:
        logs = [math.log(time_s) for time_s in group]
        if len(logs) > 1:
            squares += sum((y - stats.mean(logs)) ** 2 for y in logs)
            degrees, runs = degrees + len(logs) - 1, runs + len(logs)
    return Spread(math.sqrt(squares / degrees), runs) if degrees >= LEAST_DEGREES else None


def _times_s(project: Project, ledger: Ledger, contender: Contender, here: Machine) -> list[float]:
    """Return the train times of the last finished runs of a script here; what cannot be read any more is left out."""
    times: list[float] = []
    for run_id in reversed(ledger.chain(contender.subject.chain).finished):
        folder = run_files.run_folder(project, run_id)
        try:
            if run_files.read_run_file(folder).machine.fingerprint != contender.machine(here).fingerprint:
                continue
            time_s = read_run(folder, contender.subject.script, packed=False).train_time_s
        except HarnessError:
            continue
        times += [time_s] if time_s is not None and time_s > 0 else []
        if len(times) == LAST:
            break
    return times
