"""Run folders: `.runs/<id>/` while and after a run, the same names inside a record's or a submission's evidence."""

import contextlib
import datetime
import fcntl
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.core.codec import Form
from harness.core.errors import StoreError
from harness.core.measurement import Confinement, DataReceipt, Machine, Purpose, RunOutcome
from harness.core.scores import Score, Weights
from harness.store.files import write_atomic
from harness.store.layout import Project

READS, TELEMETRY = "reads.csv", "telemetry.csv"  # by the observer, which imports nothing of the harness either
# What lies in a run folder. The recorder, which imports nothing of the harness, uses the same names.
RUN_FILE, LOG, CLOCK, STDERR, OUTCOME = "run.json", "log.txt", "clock.csv", "stderr.txt", "outcome.json"
WORK, CACHE, LOCK = "work", "cache", "lock"
PROBES = "probes"  # the folder of the probes' runs
# A script that keeps the contract saves its weights into a folder of its own. After the run they lie beside that, out of
# reach of any run, until they are scored.
SAVED, WEIGHTS, SCORE = "saved", "weights", "score.json"
SAVE_ARGUMENT = f"save=../{SAVED}/model"  # seen from the work folder, so that it names no folder of this machine


@dataclass(frozen=True, slots=True)
class RunFile:
    """What run.json holds: the plan of a run, where it ran, what it was given, and how it ended."""

    schema: int
    id: str
    series: str
    subject: str  # records/… or submissions/…
    track: str
    ruleset: str
    script_sha256: str
    files: dict[str, str]  # name -> sha256 of everything that the script's folder offered
    processes: int
    arguments: tuple[str, ...]
    dry: bool
    started_at: str  # UTC
    machine: Machine
    data: DataReceipt
    outcome: RunOutcome | None  # None while it runs
    log_sha256: str | None  # after scrubbing
    purpose: Purpose | None = None  # since schema 2; before, only dry runs were told apart
    confinement: Confinement | None = None  # since schema 2; before, no run was confined
    weights: Weights | None = None  # that the run saved; None where it was not asked to, or saved none
    cache: str | None = None  # digest of the stored compile cache that it started from a copy of; None: an empty one


RUN_FORM = Form(RunFile, "json", (1, 2))
OUTCOME_FORM = Form(RunOutcome, "json")
SCORE_FORM = Form(Score, "json", (1,))


def new_run_id(*sha256: str) -> str:
    """A name that sorts by time, for a run of a script (or a comparison of two): 20261121T013504Z-3f2a9c41-8e0f."""
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    return "-".join([stamp, *(digest[:8] for digest in sha256), secrets.token_hex(2)])


def is_run_name(name: str) -> bool:
    """Tell whether a name is that of a run, its beginning or its folder: no record's begins with such a time."""
    return re.match(r"(\./)?(\.runs/)?2\d{7}(T|$)", name) is not None


def now() -> str:
    """Return the time, UTC, as run files and ledgers write it."""
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def draw_seed() -> int:
    """Return a seed for a run that nobody could choose beforehand."""
    return secrets.randbelow(2**31)


def write_run_file(folder: Path, run: RunFile) -> None:
    """Write run.json whole."""
    write_atomic(folder / RUN_FILE, RUN_FORM.text(run))


def read_run_file(folder: Path) -> RunFile:
    """Read run.json; raises StoreError naming the file."""
    return RUN_FORM.read(folder / RUN_FILE, name=f"{folder.name}/{RUN_FILE}")


def read_score(folder: Path) -> Score | None:
    """Read what the harness found when it scored a run; None where it was not scored. Raises StoreError."""
    if not (folder / SCORE).is_file():
        return None
    return SCORE_FORM.read(folder / SCORE, name=f"{folder.name}/{SCORE}")


def read_outcome_file(folder: Path) -> RunOutcome:
    """Read the outcome that the recorder wrote; raises StoreError where it never came to that."""
    return OUTCOME_FORM.read(folder / OUTCOME, name=f"{folder.name}/{OUTCOME}")


def run_folder(project: Project, run_id: str) -> Path:
    """Return where a run of this machine lies; one of a probe is moved to the probe's folder when it has ended."""
    moved = sorted((project.runs / PROBES).glob(f"*/*-{run_id}"))
    return moved[0] if moved else project.runs / run_id


def latest_run(project: Project) -> Path | None:
    """Find the folder of the run that was started last on this machine; None where there is none."""
    return max((path for path in project.runs.glob("2*") if path.is_dir()), key=lambda path: path.name, default=None)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a run's lock, so that nobody closes its books meanwhile; the recorder holds it too."""
    with (folder / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def is_running(folder: Path) -> bool:
    """Whether a harness or a recorder still holds the run's lock."""
    try:
        with (folder / LOCK).open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StoreError.at(folder, f"cannot be read ({error.strerror})", "check its permissions") from None
