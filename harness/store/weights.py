"""Keep the weights that a run saved until they are scored: some 0.5 GB, which no pack holds and no later run can read.

The file was made by the script, so it may be a link, a pipe, or larger than any disk; it is looked at before it is read.
"""

import os
import shutil
import stat
from pathlib import Path

from harness.core.scores import MOST_WEIGHTS_BYTES, Weights
from harness.store.files import sha256_file
from harness.store.run_files import SAVED, WEIGHTS

_MODEL = Path("model")  # what SAVE_ARGUMENT calls it


def take(folder: Path) -> Weights | None:
    """Move what a run saved out of its reach and hash it; None where it saved no plain file.

    What is too large is named by its size and thrown away.
    """
    made, kept = folder / SAVED / _MODEL, kept_file(folder)
    if not (folder / SAVED).is_dir() or (folder / SAVED).is_symlink():
        return None
    try:
        status = made.stat(follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            return None
        if status.st_size > MOST_WEIGHTS_BYTES:
            return Weights(status.st_size, None)
        kept.parent.mkdir(exist_ok=True)
        made.rename(kept)
        if os.geteuid() == 0:
            os.chown(kept, 0, 0, follow_symlinks=False)
        kept.chmod(0o444)
        return Weights(status.st_size, sha256_file(kept))
    except OSError:  # nothing was saved
        return None
    finally:
        shutil.rmtree(folder / SAVED, ignore_errors=True)


def kept_file(folder: Path) -> Path:
    """Return where the weights of a run lie, until they are scored, in a folder of their own."""
    return folder / WEIGHTS / _MODEL


def are_there(folder: Path, weights: Weights) -> bool:
    """Whether the weights are still those that the run saved."""
    kept = kept_file(folder)
    return kept.is_file() and not kept.is_symlink() and sha256_file(kept) == weights.sha256


def remove(folder: Path) -> None:
    """Throw the weights of a run away."""
    shutil.rmtree(folder / WEIGHTS, ignore_errors=True)
