"""The parent's runs on the machine of a submission's own: what its loss and its validation gaps are held against.

Whoever could choose among the parent's runs would choose bad ones, so all of them count, up to the last 40; their
chain of ledger entries is packed with them and says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.catalog.lookup import Catalog
from harness.catalog.originals import entry_of, is_whole
from harness.catalog.subjects import Subject
from harness.core.errors import HarnessError
from harness.core.measurement import Metrics
from harness.store import run_files
from harness.store.layout import Project
from harness.store.ledger import Entry, Ledger, chain_of, find_breaks, read_chain, standing
from harness.store.packs import BASELINE, LEDGER, Baseline

MOST_RUNS = 40  # what the sequential rule looks at


def on_this_machine(project: Project, found: Subject) -> Baseline | None:
    """The parent's runs in the ledger here; None where no parent is named, or it never ran here."""
    parent = _parent_of(project, found)
    chain = [] if parent is None else Ledger(project.ledger).chain(parent.ledger_name)
    if parent is None or not chain:
        return None
    folders = [folder for run_id in _counted(chain) if (folder := run_files.run_folder(project, run_id)).is_dir()]
    script = parent.script or _cached(project, parent)
    return replace(parent, script=script, chain=tuple(chain), folders=tuple(folders))


def in_pack(project: Project, found: Subject, pack: Path) -> Baseline | None:
    """The parent's runs in a pack; None where it holds none. Raises StoreError for a chain that is none."""
    parent = _parent_of(project, found)
    file = pack / BASELINE / LEDGER
    if parent is None or not file.is_file():
        return None
    chain = read_chain(file.read_bytes(), f"{found.name}/{pack.name}/{BASELINE}/{LEDGER}")
    folders = [folder for run_id in _counted(chain) if (folder := pack / BASELINE / run_id).is_dir()]
    return replace(parent, chain=tuple(chain), folders=tuple(folders))


def believed(held: Baseline, read: Sequence[Metrics]) -> tuple[tuple[Metrics, ...], str | None]:
    """The runs that can be compared with: finished runs of the parent's script; and what speaks against all of them.

    read: the runs of `held.folders`, in that order.
    """
    ends = {e.data["run"]: e.data for e in held.chain if e.data["kind"] == "end"}
    strangers = [e for e in held.chain if e.data["script"] != held.ledger_name]
    missing = set(_counted(held.chain)) - {run.run_id for run in read}
    if find_breaks(list(held.chain), f"{BASELINE}/{LEDGER}") or strangers:
        return (), f"the chain of {held.name} is broken or another script's"
    if missing:
        return (), f"the run {min(missing)} of {held.name} is missing"
    for run in read:
        source, end = run.log.script_sha256, ends[run.run_id]
        if source not in (None, held.script_sha256) or chain_of(dict(run.given_files or ())) != held.ledger_name:
            return (), f"{run.run_id} is no run of {held.name}"
        if run.outcome is None or (run.outcome.state, run.outcome.exit_code) != (end["state"], end["exit_code"]):
            return (), f"run.json of {run.run_id} and the parent's ledger say different things of its end"
        if run.log_sha256 != end["log_sha256"]:
            return (), f"the log of {run.run_id} is not the one that the parent's ledger hashed"
    return tuple(run for run in read if run.outcome is not None and run.outcome.state == "finished"), None


def _counted(chain: Sequence[Entry]) -> tuple[str, ...]:
    return standing(list(chain)).judged[-MOST_RUNS:]


def _parent_of(project: Project, found: Subject) -> Baseline | None:
    """The parent's script, still without runs."""
    if found.parent is None:
        return None
    catalog = Catalog(project)
    held = catalog.parent(found)
    if held is None:
        return None
    folder = catalog.folder(held)
    if catalog.has_script(held):
        try:
            parent = catalog.script_here(held)
        except HarnessError:  # `check` says what is wrong with the parent's folder
            return None
        return Baseline(parent.name, parent.script_sha256, parent.chain, parent.script, True)
    if held.original is None or not held.original.files:
        return None
    files = dict(held.original.files)
    return Baseline(project.show(folder), files[entry_of(held.original)], chain_of(files), b"", False)


def _cached(project: Project, parent: Baseline) -> bytes:
    """An original that ran here, out of the cache; empty where it was thrown away since."""
    catalog = Catalog(project)
    original = catalog.described_original(catalog.record(parent.name))
    return original.script if is_whole(original.files_folder, original.files) else b""
