"""Read cluster.yaml: where tasks run, in the few words of Parsl's configuration that a whole node per task needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from harness.core.codec import Form
from harness.core.constraints import Count, Line, Positive, Size, Text
from harness.core.errors import MachineError, Problem, raise_if

Word = Annotated[str, Text("a name as the scheduler knows it, like h100", r"[\w.,:@+-]+", 100)]
Walltime = Annotated[str, Text("a time like '02:00:00', in quotes", r"\d{2,3}:[0-5]\d:[0-5]\d")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster, and how much of it one command may use."""

    provider: Literal["slurm", "local"]  # local: processes of this machine, to try a plan out
    nodes: Count = 1  # that run tasks at once
    walltime: Walltime | None = None  # of one task; what runs longer is ended by the scheduler
    partition: Word | None = None
    account: Word | None = None
    qos: Word | None = None
    constraint: Word | None = None
    gpus: Count | None = None  # of each node
    setup: tuple[Line, ...] = ()  # lines of bash before each task
    cache: Line | None = None  # XDG_CACHE_HOME of all tasks, so that tokens and environments are fetched once
    preemptible: bool = False  # whether the scheduler may end a task for another one; its runs count as aborted then
    retries: Size = 2  # of a task whose run broke, each on a node that the scheduler chooses
    usd_per_hour: Positive | None = None  # of one node
    poll_s: Positive = 15.0  # how often the scheduler is asked

    @property
    def hours(self) -> float | None:
        """The most hours that a task may take."""
        if self.walltime is None:
            return None
        hours, minutes, seconds = map(int, self.walltime.split(":"))
        return hours + minutes / 60 + seconds / 3600


CLUSTER_FORM = Form(Cluster, "yaml", (1,), MachineError)
_OF_SLURM = ("walltime", "partition", "account", "qos", "constraint", "gpus")


def read_cluster(path: Path) -> Cluster:
    """Read a cluster's file; raises MachineError or YamlError with every problem of it."""
    cluster = CLUSTER_FORM.read(path, name=str(path))
    if cluster.provider == "local":
        idle = [word for word in _OF_SLURM if getattr(cluster, word) is not None]
        todo = "leave it out, or set provider: slurm"
        raise_if(
            [Problem(f"{path}: {word}", "means nothing to the provider local", todo) for word in idle], MachineError
        )
    elif cluster.walltime is None:
        raise MachineError.at(f"{path}: walltime", "is missing", "say how long a task may take, like '02:00:00'")
    return cluster
