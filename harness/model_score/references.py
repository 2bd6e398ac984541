"""Find the honest model that stands beside a scored one: the source of a synthetic text, else a trained model of ours.

On the tracks with FineWeb this is the model of the submission's parent, or of the best record whose script keeps the
contract. The weights of the last scored run of a record are kept for that (0.5 GB a script); those of submissions are
thrown away once they are scored.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.store.files import sha256_file
from harness.store.layout import Project
from harness.store.weights import kept_file

SOURCE = "the source of the text"
MODELS = "models"  # the folder of kept models, below the runs


@dataclass(frozen=True, slots=True)
class Reference:
    """An honest script and its trained model."""

    subject: Subject
    model: Path


def find(catalog: Catalog, subject: Subject) -> tuple[Reference | None, str | None]:
    """Find a script that keeps the contract and has a model here; else say, as a clause, what to do."""
    known = scripts(catalog, subject)
    for script in known:
        model = kept_model(catalog.project, script.chain)
        if model is not None:
            return Reference(script, model), None
    if not known:
        return None, "no other script of the track keeps the contract"
    return (
        None,
        f"no trained model to compare with is on this machine; make one: speedrun run {known[0].name} --runs 1",
    )


def kept_model(project: Project, chain: str) -> Path | None:
    """Return the trained model of a script that is kept here and is still what was scored; None without one."""
    for folder in sorted((project.runs / MODELS / chain).glob("*/")):
        model = kept_file(folder)
        if model.is_file() and sha256_file(model) == folder.name:
            return model
    return None


def scripts(catalog: Catalog, subject: Subject) -> list[Subject]:
    """List the honest scripts whose trained model could stand beside a subject's, the best suited first."""
    return [script for script in _honest(catalog, subject) if script.chain != subject.chain and script.saves]


def _honest(catalog: Catalog, subject: Subject) -> list[Subject]:
    parent = catalog.parent(subject)
    mine = subject.record
    before = catalog.best_with_script(subject.track, lambda record: mine is None or record.slug != mine.slug)
    named = [catalog.script_here(parent)] if parent is not None and catalog.has_script(parent) else []
    return [script for script in (*named, *before) if script.track.name == subject.track.name]


def keep(project: Project, subject: Subject, run_folder: Path, sha256: str) -> None:
    """Keep the model of a record's run, in the place of the one before it."""
    folder = _folder(project, subject)
    shutil.rmtree(folder, ignore_errors=True)
    kept = kept_file(folder / sha256)
    kept.parent.mkdir(parents=True)
    kept_file(run_folder).rename(kept)


def _folder(project: Project, subject: Subject) -> Path:
    return project.runs / MODELS / subject.chain
