"""Start tasks on the nodes of a cluster, and tell which have ended: the only module that uses Parsl.

Of Parsl its providers are used: they know how a job is submitted, asked for and cancelled. Its workers are not: they
take several tasks per job, so that the end of the walltime would cut one in two, and they die with whoever started
them. A job here is one task on one exclusive node, and goes on when this process is killed.
"""

import logging
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.core.errors import MachineError
from harness.store.clusters import Cluster

try:
    from parsl.errors import ParslError
    from parsl.jobs.states import JobState, JobStatus
    from parsl.launchers import SimpleLauncher
    from parsl.providers import LocalProvider, SlurmProvider
    from parsl.utils import execute_wait
except ImportError:
    IS_HERE = False
else:
    IS_HERE = True

FAILURES = (OSError, subprocess.SubprocessError)  # of a command that cannot be started, or gives no answer in time
SCRIPTS = "scripts"  # what was submitted, and what the scheduler's own shell said


class Engine:
    """The jobs of one series."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        """Prepare to submit; folder: of the series. Raises MachineError where Parsl or the scheduler is not here."""
        if not IS_HERE:
            raise MachineError.at("--on", "needs Parsl, which is not installed", "pip install '.[cluster]'")
        logging.getLogger("parsl").addHandler(logging.NullHandler())  # it prints each error that it raises
        self.cluster = cluster
        self.provider: Any = self._provider()
        self.provider.script_dir = str(folder / SCRIPTS)
        (folder / SCRIPTS).mkdir(parents=True, exist_ok=True)

    def _provider(self) -> Any:
        cluster = self.cluster
        lines = [f"export XDG_CACHE_HOME={shlex.quote(cluster.cache)}"] if cluster.cache is not None else []
        setup = "\n".join([*cluster.setup, *lines])
        if cluster.provider == "local":
            local: Any = LocalProvider  # its arguments have no types
            return local(launcher=SimpleLauncher(), worker_init=setup)
        known, _, said = _execute("sinfo --version")
        if known != 0:
            raise MachineError.at("provider: slurm", f"sinfo does not run here: {said}", "start this on a login node")
        return SlurmProvider(
            partition=cluster.partition,
            account=cluster.account,
            qos=cluster.qos,
            constraint=cluster.constraint,
            gpus_per_node=cluster.gpus,
            walltime=cluster.walltime or "00:00:00",  # `read_cluster` asks for one
            # A job that Slurm started again by itself would be begun before, on a node that did something else.
            scheduler_options="#SBATCH --no-requeue\n#SBATCH --mem=0",
            worker_init=setup,
            exclusive=True,
            launcher=SimpleLauncher(),
            cmd_timeout=60,
        )

    def submit(self, name: str, command: Sequence[str]) -> str:
        """Submit one job and return its number; raises MachineError with what the scheduler said."""
        try:
            return str(self.provider.submit(shlex.join(command), 1, name))
        except (ParslError, *FAILURES) as error:
            said = " ".join(str(getattr(error, "stderr", None) or error).split())[:300]
            todo = "correct cluster.yaml, and start the same command again"
            raise MachineError.at(name, f"was not accepted by the scheduler: {said}", todo) from None

    def adopt(self, job: str) -> bool:
        """Take over a job of a driver that was killed; False where the scheduler does not know it any more.

        Raises MachineError where the scheduler gives no answer.
        """
        if self.cluster.provider == "local":
            return False  # nothing waits in a queue there; who runs holds its lock
        known, _, said = _execute(f"squeue --noheader --job {shlex.quote(job)}")
        if known != 0 and "invalid job id" not in said.lower():
            raise MachineError.at("squeue", f"gives no answer: {said}", "start the same command again when it does")
        if known == 0:  # the form that `submit` gives it
            paths = dict.fromkeys(("job_stdout_path", "job_stderr_path"))
            self.provider.resources[job] = {"job_id": job, "status": JobStatus(JobState.PENDING), **paths}
        return known == 0

    def ended(self, jobs: Sequence[str]) -> set[str]:
        """Tell which of these jobs are over, as far as the scheduler knows, however they ended."""
        known = [job for job in jobs if job in self.provider.resources]
        try:
            states = self.provider.status(known) if known else []
        except (ParslError, KeyError, ValueError, *FAILURES):  # Slurm gave no answer, or one that is none
            return set()
        return {job for job, status in zip(known, states, strict=True) if status.terminal} | (set(jobs) - set(known))


def _execute(command: str) -> tuple[int, str, str]:
    try:
        status, said, errors = execute_wait(command, 60)
    except FAILURES as error:
        return 1, "", str(error)[:300]
    return status, said, " ".join(errors.split())[:300]
