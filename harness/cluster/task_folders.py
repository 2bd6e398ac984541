"""Give each task a checkout of its own: the project as it was when its series was declared, and a `.runs/` of its own.

The project is copied once per series, so that an edit in between reaches no task; checkouts link to that copy. The
ledger of a checkout begins with the entries of the task's scripts here, up to the one that declares the task, and goes
on as a branch. The runs that those entries tell of are linked, because what is still to be done depends on them.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from harness.cluster.tasks import SOURCE, TASK, Attempt
from harness.core.errors import StoreError
from harness.store.entries import Branched, Chain, Tasked
from harness.store.files import disk_error, temporary_folder
from harness.store.layout import Project
from harness.store.ledger import Ledger

_NAMES = ("tracks", "records", "submissions", "retimings.yaml", "environments.yaml")


def copy_project(project: Project, folder: Path) -> None:
    """Copy what commands read of a project into a series' folder, once."""
    target = folder / SOURCE
    if target.exists():
        return
    try:
        with temporary_folder(target) as aside:
            for name in _NAMES:
                if (project.root / name).is_dir():
                    shutil.copytree(project.root / name, aside / name, symlinks=True)
                elif (project.root / name).is_file():
                    shutil.copyfile(project.root / name, aside / name)
            aside.rename(target)
    except (OSError, shutil.Error) as error:
        if isinstance(error, shutil.Error):
            raise StoreError.at(target, f"cannot be copied ({error.args[0][0][2]})", "look at that file") from None
        raise disk_error(target, error) from error


def make_checkout(project: Project, attempt: Attempt, command: Sequence[str]) -> None:
    """Make the folder of an attempt whose task is declared in the ledger; it appears whole or not at all."""
    whole = Ledger(project.ledger).read()
    try:
        with temporary_folder(attempt.folder) as aside:
            checkout = Project(aside / "project")
            checkout.runs.mkdir(parents=True)
            for name in _NAMES:
                if (attempt.folder.parent / SOURCE / name).exists():
                    (checkout.root / name).symlink_to(Path("../..", SOURCE, name))
            lines = []
            for script in attempt.task.scripts:
                chain = until(whole.of_script(script), attempt.id)
                lines.append(chain.raw)
                for run in chain.counted:
                    if (project.runs / run).is_dir():
                        (checkout.runs / run).symlink_to((project.runs / run).resolve())
            checkout.ledger.write_bytes(b"".join(lines))
            for script in attempt.task.scripts:
                Ledger(checkout.ledger).append(Branched(script=script, task=attempt.id))
            (aside / TASK).write_text(json.dumps({"command": list(command)}))
            aside.rename(attempt.folder)
    except OSError as error:
        raise disk_error(attempt.folder, error) from error


def until(chain: Chain, task: str) -> Chain:
    """Choose the entries of a script up to the one that declares a task."""
    place = next(i for i, entry in enumerate(chain.entries, 1) if isinstance(entry, Tasked) and entry.task == task)
    return Chain(chain.entries[:place])
