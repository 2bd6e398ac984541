"""The files by which a node and the driver tell each other of a task: begun, held, ended.

They lie on a file system that both see. Its locks must reach across nodes (NFS 4, GPFS; Lustre mounted with `flock`).
"""

import fcntl
import json
import os
from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.constraints import Line
from harness.core.errors import StoreError
from harness.store.files import disk_error, write_atomic
from harness.store.scrub import Names

BEGUN, LOCK, RESULT, JOB, ANSWER, SAID = "begun.json", "lock", "result.json", "job", "answer.json", "stderr.txt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Which node makes a task, and the names there that are not for others to read; empty where nobody shall make it."""

    node: str
    home: str
    user: str
    host: str

    @property
    def names(self) -> Names:
        """What the node hides of its logs."""
        return Names(self.home, self.user, self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a task's command ended."""

    status: int  # exit status; negative: the signal that ended it
    seconds: float
    problem: Line | None = None  # where nobody saw it end


_BEGUN = Form(Begun, "json")
_RESULT = Form(Result, "json", (1,))
NOBODY = Begun(node="", home="", user="", host="")


def claim(folder: Path, by: Begun) -> bool:
    """Make `begun.json`; False where somebody else made it first. Atomic across nodes."""
    aside = folder / f".{BEGUN}.{os.getpid()}.{by.host or 'driver'}"
    try:
        aside.write_text(_BEGUN.text(by))
        try:
            os.link(aside, folder / BEGUN)  # unlike a rename it fails where the name is taken, and shows no half file
        except FileExistsError:
            return False
        finally:
            aside.unlink()
    except OSError as error:
        raise disk_error(folder / BEGUN, error) from error
    return True


def begun(folder: Path) -> Begun | None:
    """Read who began a task; None where nobody did."""
    return _BEGUN.read(folder / BEGUN, name=f"{folder.name}/{BEGUN}") if (folder / BEGUN).exists() else None


def is_held(folder: Path) -> bool:
    """Whether the process that makes a task is alive, on whichever node."""
    try:
        with (folder / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        todo = "put the project on a file system with locks that reach across nodes"
        raise StoreError.at(folder / LOCK, f"cannot be locked ({error.strerror})", todo) from None


def has_answer(folder: Path) -> bool:
    """Whether a task's command printed JSON to its end."""
    try:
        json.loads((folder / ANSWER).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return True


def write_result(folder: Path, result: Result) -> None:
    """Write how a task ended, whole."""
    write_atomic(folder / RESULT, _RESULT.text(result))


def read_result(folder: Path) -> Result | None:
    """Read how a task ended; None where it has not."""
    return _RESULT.read(folder / RESULT, name=f"{folder.name}/{RESULT}") if (folder / RESULT).exists() else None
