"""Say what is evaluated: trained weights and the script that loads them, and whether that script is known.

A script is code of whoever wrote it. It runs confined, and all the same it runs only where it is the script of a record,
which an accepted submission is too, or where the user says that it is to be trusted.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.contract import keeps_contract
from harness.catalog.lookup import Catalog
from harness.core.errors import HarnessError, StoreError
from harness.core.record import Record
from harness.core.scores import Weights
from harness.core.task import Track
from harness.model_score import references
from harness.store import records
from harness.store.files import sha256_file
from harness.store.ledger import chain_of
from harness.store.run_files import RUN_FILE

ENTRY = "train_gpt.py"  # what a script is called that lies beside its weights
SAVE = "train with save=PATH, then name that file"


@dataclass(frozen=True, slots=True)
class ModelScript:
    """A script that loads weights."""

    name: str  # as people write it
    folder: Path
    files: Mapping[str, str]  # name -> sha256
    entry: str
    track: Track | None  # None: of a file that belongs to nothing
    record: Record | None  # whose script it is

    @property
    def chain(self) -> str:
        """Return its identity: the hash of its one file, or of all files together."""
        return chain_of(self.files)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights with the script that loads them."""

    path: Path
    weights: Weights
    script: ModelScript
    run: str | None  # that saved the weights, where that is known


def find(catalog: Catalog, name: str, script: str | None, *, trust: bool) -> Checkpoint:
    """Find the weights that a name means and their script.

    name: a file that a script saved, or a record or submission whose model is kept on this machine. script: a record, a
    submission or a file; None: the one that the model is kept of, or the one beside the file. Raises HarnessError where
    something is missing, or where the script is neither known nor trusted.
    """
    path = Path(name)
    if path.is_file():
        found = _script(catalog, script if script is not None else _beside(path))
    elif path.is_dir() and not (path / "manifest.yaml").is_file() and not (path / records.RECORD).is_file():
        raise HarnessError.at(name, "is a folder", "name the file that a script saved with save=PATH")
    else:
        try:
            found = _script(catalog, script or name)
        except HarnessError:
            if script is not None or name in catalog.track_names() or "/" in name.strip("/"):
                raise
            raise HarnessError.at(name, "is no file, and the name of no record or submission", SAVE) from None
        kept = references.kept_model(catalog.project, found.chain)
        if kept is None:
            raise HarnessError.at(name, "is no file, and no trained model of it is kept on this machine", SAVE)
        path = kept
    _check(catalog, found, trust)
    try:
        weights = Weights(path.stat().st_size, sha256_file(path))
    except OSError as error:
        raise HarnessError.at(name, f"cannot be read ({error.strerror})", "check its permissions") from None
    return Checkpoint(path.resolve(), weights, found, _run(catalog, found, weights))


def _beside(path: Path) -> str:
    script = path.parent / ENTRY
    if not script.is_file():
        ways = "name it with --script, as a record like short/8, a submission or a file"
        raise HarnessError.at(path, f"no {ENTRY} lies beside it, so the script that loads it is not known", ways)
    return str(script)


def _script(catalog: Catalog, name: str) -> ModelScript:
    path = Path(name)
    if path.is_file():
        try:
            files = {path.name: sha256_file(path)}
        except OSError as error:
            raise HarnessError.at(name, f"cannot be read ({error.strerror})", "check its permissions") from None
        record = _record_of(catalog, chain_of(files))
        track = catalog.track(record.track) if record is not None else None
        return ModelScript(catalog.project.show(path), path.parent, files, path.name, track, record)
    subject = catalog.subject(catalog.find(name))
    record = subject.record or _record_of(catalog, subject.chain)
    return ModelScript(subject.name, subject.files_folder, subject.files, subject.entry, subject.track, record)


def _record_of(catalog: Catalog, chain: str) -> Record | None:
    """Return the record whose script has this identity."""
    for folder in records.record_folders(catalog.project):
        place = folder / records.SCRIPT
        with contextlib.suppress(OSError):
            if place.is_dir() and chain_of({f.name: sha256_file(f) for f in records.script_files(place)}) == chain:
                return catalog.read(folder)
    return None


def _check(catalog: Catalog, script: ModelScript, trust: bool) -> None:
    """Raise HarnessError where the script has no `load`, or is neither known nor trusted."""
    try:
        source = (script.folder / script.entry).read_bytes()
    except OSError as error:
        raise HarnessError.at(script.name, f"cannot be read ({error.strerror})", "check its permissions") from None
    if not keeps_contract(source):
        what = "has no `save` and `load(path)`, so what it trained cannot be loaded"
        raise HarnessError.at(script.name, what, "docs/scoring.md says what a script does for it")
    if script.record is None and not trust:
        what = f"is the script of no record and of no accepted submission (sha256 {script.chain[:12]}…)"
        raise HarnessError.at(script.name, what, "read it; if you trust it, add --trust: it is run confined as well")


def _run(catalog: Catalog, script: ModelScript, weights: Weights) -> str | None:
    """Return the run that saved the weights: one of this machine, or of the record's evidence."""
    places = [*catalog.project.runs.glob(f"*/{RUN_FILE}")]
    if script.record is not None:
        places += catalog.folder(script.record).glob(f"evidence/runs/*/{RUN_FILE}")
    for path in sorted(places):
        with contextlib.suppress(OSError, StoreError):
            text = path.read_text("utf-8", "replace")
            if str(weights.sha256) in text and next(iter(script.files.values())) in text:
                return path.parent.name
    return None
