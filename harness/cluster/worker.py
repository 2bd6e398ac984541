"""What runs on a node: one command of ours, its output and its end kept in the task's folder.

    python -m harness.cluster.worker .runs/cluster/<series>/<task>.<attempt>

Nobody here talks to whoever sent the task: the folder is on a file system that both see, and `result.json` appears
last. The lock is held as long as this process lives, so that a node that vanished can be told from one that works, and
whoever makes the file `begun` first, this or the driver that gives up on it, decides whether the task is made at all.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from harness.cluster.exchange import ANSWER, BEGUN, LOCK, SAID, Begun, Result, claim, write_result
from harness.cluster.tasks import TASK
from harness.store.scrub import own_names


def main(folder: Path) -> int:
    """Make the task in a folder and write down how it ended; 75 where it is not ours to make."""
    with (folder / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        names = own_names()
        node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
        if not claim(folder, Begun(node=node, home=names.home, user=names.user, host=names.host)):
            print(f"{folder / BEGUN} is there: this task was begun before, or is no longer wanted", file=sys.stderr)
            return 75
        return make(folder)


def make(folder: Path) -> int:
    """Run the command; a signal that ends this job is the command's to answer, and this process waits for it."""
    command = json.loads((folder / TASK).read_text())["command"]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)  # the scheduler signals all processes of a job
    began = time.time()
    with (folder / ANSWER).open("wb") as answer, (folder / SAID).open("wb") as said:
        status = subprocess.run(
            command, cwd=folder / "project", stdin=subprocess.DEVNULL, stdout=answer, stderr=said
        ).returncode
    write_result(folder, Result(status=status, seconds=time.time() - began))
    return 0


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main(Path(sys.argv[1])))
