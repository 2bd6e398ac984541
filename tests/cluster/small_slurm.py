"""A real Slurm in a temporary folder: its controller, three nodes with eight GPUs each, and munge, all of this machine.

Every daemon is a child of the test and ends with it; nothing of the system is configured or read. Debian's slurmd knows
several nodes on one machine by `-N`. A GPU is a plain file here: that is enough for Slurm to count and assign it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "sinfo")
NODES = ("n1", "n2", "n3")
LIMIT_S = 600  # nothing but a hang takes so long
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
GresTypes=gpu
ReturnToService=2
{nodes}
PartitionName=low Nodes=n[1-3] Default=YES PriorityTier=1 PreemptMode=CANCEL MaxTime=INFINITE State=UP
PartitionName=high Nodes=n[1-3] PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


def missing() -> str | None:
    """Name the first program of Slurm and munge that is not installed; None where all are."""
    return next((program for program in PROGRAMS if shutil.which(program, path=_PATH) is None), None)


@dataclass
class Slurm:
    """A running Slurm."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        return {"SLURM_CONF": str(self.root / "slurm.conf"), "PATH": _PATH}

    def call(self, *command: str) -> str:
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def states(self) -> dict[str, str]:
        """The state of each node."""
        lines = self.call("sinfo", "--Node", "--noheader", "--partition=low", "--format=%N %T").splitlines()
        return dict(line.split() for line in lines)

    def jobs(self) -> list[str]:
        """The jobs that wait or run."""
        return self.call("squeue", "--noheader", "--format=%i").split()

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-3000:] for path in sorted(self.root.glob("*.log")))


@contextlib.contextmanager
def started(root: Path) -> Iterator[Slurm]:
    """Start munge, the controller and three nodes, and end them."""
    (root / "state").mkdir(parents=True)
    (root / "gpu").mkdir()
    for number in range(8):
        (root / "gpu" / str(number)).touch()
    (root / "munge.key").write_bytes(os.urandom(1024))
    (root / "munge.key").chmod(0o600)
    root.chmod(0o755)
    host, ports = socket.gethostname().partition(".")[0], free_ports(1 + len(NODES))
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=1000 Gres=gpu:8"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    conf = CONF.format(host=host, user=getpass.getuser(), root=root, ports=ports, nodes=nodes)
    (root / "slurm.conf").write_text(conf)
    (root / "gres.conf").write_text(f"NodeName=n[1-3] Name=gpu File={root}/gpu/[0-7]\n")
    munge = ["munged", "--foreground", "--force", "--num-threads=1", f"--socket={root}/munge.socket"]
    munge += [f"--{name}-file={root}/munge.{name}" for name in ("key", "pid", "seed")] + [
        f"--log-file={root}/munge.log"
    ]
    with contextlib.ExitStack() as stack:
        slurm = Slurm(root)
        stack.enter_context(daemon(slurm, munge))
        wait_for(slurm, (root / "munge.socket").exists)
        stack.enter_context(daemon(slurm, ["slurmctld", "-c", "-D"]))
        for name in NODES:
            (root / f"spool.{name}").mkdir()
            stack.enter_context(daemon(slurm, ["slurmd", "-N", name, "-D"]))
        wait_for(slurm, lambda: set(_quiet(slurm).values()) == {"idle"})
        yield slurm
        subprocess.run(["scancel", "--partition=low"], env=os.environ | slurm.environment, capture_output=True)


def _quiet(slurm: Slurm) -> dict[str, str]:
    with contextlib.suppress(AssertionError):  # the controller does not answer yet
        return slurm.states()
    return {}


@contextlib.contextmanager
def daemon(slurm: Slurm, command: list[str]) -> Iterator[None]:
    """Run one daemon in the foreground, and end it."""
    program = shutil.which(command[0], path=_PATH)
    assert program is not None
    output = (slurm.root / f"{command[0]}.{len(list(slurm.root.glob('*.out')))}.out").open("w")
    with output:
        process = subprocess.Popen(
            [program, *command[1:]], env=os.environ | slurm.environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for(slurm: Slurm, condition: object) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, slurm.logs()
        time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in found]
