"""Compare what this machine has with what a record needs: one line each, green, yellow or red, with the fix.

It answers in less than 5 seconds and before anything is fetched, so nothing here waits: nvidia-smi has a time limit,
versions come from the metadata of installed packages (importing torch alone takes seconds), and of shards only the
file status is read. Red means that `run` or `replay` would refuse or fail; yellow, that the result would mean less.
"""

from dataclasses import dataclass

from harness.catalog.lookup import Catalog
from harness.doctor import confining, gpus, host
from harness.doctor.wanted import ReportLine, State, find_wanted
from harness.machine import nvidia


@dataclass(frozen=True, slots=True)
class Report:
    """All lines, for one record, submission or track, or for none."""

    target: str | None
    lines: tuple[ReportLine, ...]

    @property
    def state(self) -> State:
        """Return the worst state of the lines."""
        states = {line.state for line in self.lines}
        return "red" if "red" in states else "yellow" if "yellow" in states else "green"


def examine(catalog: Catalog, target: str | None = None) -> Report:
    """Examine this machine. Raises HarnessError where the target means nothing or more than one thing."""
    wanted = None if target is None else find_wanted(catalog, target)
    report = nvidia.query(gpus.NVIDIA_SMI_S)
    lines = (
        *gpus.gpu_lines(report, wanted),
        host.disk(catalog.project, wanted),
        host.memory(wanted),
        host.processors(wanted),
        host.python(wanted),
        host.torch(wanted),
        *host.nccl(report, wanted),
        *host.data(catalog.project, wanted),
        *host.environment(wanted),
        confining.tier(catalog, wanted),
    )
    return Report(None if wanted is None else wanted.name, lines)
