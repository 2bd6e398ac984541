"""What sending tasks to a cluster costs the command that sends them, in processor time per 100 jobs.

    python benchmarks/cluster_driver.py [--jobs N] [--slurm CLUSTER.yaml] [--small]

The jobs do nothing but write down that they ended, so that what is counted is the driver: its checkouts, the ledger,
the scheduler's commands, the looks at files, and taking in what came back. Without --slurm the jobs are processes of this
machine. The time of the scheduler's own commands (`sbatch`, `squeue`; a shell for local jobs) is shown apart.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from harness.catalog.lookup import Catalog  # noqa: E402
from harness.cluster import commands, driver, exchange  # noqa: E402
from harness.cluster.commands import Asked  # noqa: E402
from harness.cluster.driver import Driver  # noqa: E402
from harness.cluster.engine import Engine  # noqa: E402
from harness.cluster.tasks import Attempt, series_folder  # noqa: E402
from harness.store.clusters import Cluster, read_cluster  # noqa: E402
from harness.store.layout import Project  # noqa: E402
from tests.cluster.small_series import unbound  # noqa: E402
from tests.faults.projects import HONEST, make_project  # noqa: E402


class Empty(Driver):
    """A driver whose jobs do nothing."""

    def worker(self, attempt: Attempt) -> list[str]:
        files = {exchange.BEGUN: '{"node": "n", "home": "", "user": "", "host": ""}'}
        files[exchange.RESULT] = '{"schema": 1, "status": 0, "seconds": 0.0, "problem": null}'
        write = "; ".join(
            f"echo {shlex.quote(text)} > {attempt.folder}/.{name} && mv {attempt.folder}/.{name} {attempt.folder}/{name}"
            for name, text in files.items()
        )
        return ["sh", "-c", write]


def cpu_s(who: int) -> float:
    """Processor time so far of this process, or of the commands that it waited for."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Send jobs, wait for them, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--slurm", type=Path, metavar="CLUSTER", help="a cluster.yaml with a running Slurm")
    parser.add_argument("--small", action="store_true", help="five jobs")
    args = parser.parse_args()
    jobs = 5 if args.small else args.jobs
    cluster = read_cluster(args.slurm) if args.slurm else Cluster(provider="local", nodes=8, poll_s=1.0)
    with tempfile.TemporaryDirectory(prefix="cluster-", dir=args.slurm and args.slurm.resolve().parent) as folder:
        small = make_project(Path(folder, "project"))
        small.submit(HONEST)
        project = Project(small.root)
        asked = Asked("run", (f"{small.root}/submissions/2026-11-21_test",), (), jobs)
        made = unbound(commands.make(Catalog(project), asked, jobs))
        began, own, others = time.monotonic(), cpu_s(resource.RUSAGE_SELF), cpu_s(resource.RUSAGE_CHILDREN)
        engine = Engine(cluster, series_folder(project, made.series))
        driver.declare(project, made.series, made.scripts)
        outcomes = Empty(project, cluster, made.series, made.scripts, engine, lambda said: None).run()
        own, others = cpu_s(resource.RUSAGE_SELF) - own, cpu_s(resource.RUSAGE_CHILDREN) - others
        assert [outcome.state for outcome in outcomes] == ["complete"] * jobs
        per = 100 / jobs
        print(f"{jobs} jobs of the provider {cluster.provider}, {time.monotonic() - began:.1f} s in all")
        print(f"driver: {own * per:.2f} s per 100 jobs; aim: 1 s")
        print(f"the scheduler's commands: {others * per:.2f} s per 100 jobs")


if __name__ == "__main__":
    main()
