"""The parent's runs on the machine of a submission's own: what its loss, its work and its gaps are held against.

Where work is compared and the parent cannot be run here, another honest script stands in its place.

Whoever could choose among the parent's runs would choose bad ones, so all of them count, up to the last 40; their
chain of ledger entries is packed with them and says which.
"""

from collections.abc import Sequence
from pathlib import Path

from harness.core.measurement import Metrics
from harness.evidence.consistency import altered, altered_score
from harness.evidence.metrics import read_run
from harness.store.entries import Chain
from harness.store.layout import Project
from harness.store.ledger import Ledger, chain_of
from harness.store.packs import BASELINE, LEDGER, SUMS, Baseline, ParentScript, read_pack_ledger

MOST_RUNS = 40  # what the sequential rule looks at


def on_this_machine(project: Project, beside: Sequence[ParentScript]) -> Baseline | None:
    """Find the parent's runs in the ledger here; None where there is no parent, or it never ran here.

    beside: the scripts that may stand there, of which the first does.
    """
    parent = next(iter(beside), None)
    chain = Chain() if parent is None else Ledger(project.ledger).chain(parent.chain_name)
    if parent is None or not chain.entries:
        return None
    return Baseline(parent, chain, run_folders(project.runs, chain.judged[-MOST_RUNS:]))


def in_pack(pack: Path, name: str, beside: Sequence[ParentScript]) -> Baseline | None:
    """Find the parent's runs in a pack called `name`; None where it holds none.

    beside: the scripts that may stand there: another record may have had the best of them when the pack was made. Raises
    StoreError where their ledger cannot be read.
    """
    file = pack / BASELINE / LEDGER
    if not beside or not file.is_file():
        return None
    chain = read_pack_ledger(pack, name, baseline=True)
    parent = next((script for script in beside if script.chain_name in chain.scripts), beside[0])
    return Baseline(parent, chain, run_folders(pack / BASELINE, chain.judged[-MOST_RUNS:]))


def run_folders(parent: Path, run_ids: Sequence[str]) -> tuple[Path, ...]:
    """Find the folders of these runs; one that is gone is left out."""
    return tuple(folder for run_id in run_ids if (folder := parent / run_id).is_dir())


def altered_baseline(pack: Path, baseline: Baseline, runs: Sequence[Metrics]) -> list[str]:
    """Find the packed files of the parent's runs that are not those that their ledger hashed, and runs too many or few.

    Nothing is known of those of the old form.
    """
    chain, wanted = baseline.chain, baseline.chain.judged[-MOST_RUNS:]
    found = [said for folder in baseline.folders for said in altered(folder, chain.ends.get(folder.name), packed=True)]
    found += [said for folder in baseline.folders for said in altered_score(folder, chain.scores.get(folder.name))]
    if chain.is_old:
        return found
    there = {folder.name for folder in (pack / BASELINE).glob("*/")}
    found += [f"the run {run_id} of the parent is missing or too many" for run_id in sorted(there ^ set(wanted))]
    found += [flaw.sentence(f"{BASELINE}/{LEDGER}") for flaw in chain.breaks()]
    logs = {run.run_id: run.log_sha256 for run in runs}
    found += [
        f"the log of {run_id}, a run of the parent, is not the one that its ledger hashed"
        for run_id in wanted
        if run_id in logs and run_id in chain.ends and logs[run_id] != chain.ends[run_id].log_sha256
    ]
    return found


def believed(baseline: Baseline, runs: Sequence[Metrics]) -> tuple[tuple[Metrics, ...], str | None]:
    """Choose the runs that can be compared with: finished runs of the parent's script; and say why none can.

    runs: those of `baseline.folders`, in that order.
    """
    parent, chain = baseline.parent, baseline.chain
    missing = set(chain.judged[-MOST_RUNS:]) - {run.run_id for run in runs}
    if chain.breaks() or any(entry.script != parent.chain_name for entry in chain.entries):
        return (), f"the chain of {parent.name} is broken or another script's"
    if missing:
        return (), f"the run {min(missing)} of {parent.name} is missing"
    for run in runs:
        source, end = run.log.script_sha256, chain.ends[run.run_id]
        if source not in (None, parent.sha256) or chain_of(dict(run.given_files or ())) != parent.chain_name:
            return (), f"{run.run_id} is no run of {parent.name}"
        if run.outcome is None or (run.outcome.state, run.outcome.exit_code) != (end.state, end.exit_code):
            return (), f"run.json of {run.run_id} and the parent's ledger say different things of its end"
        if run.log_sha256 != end.log_sha256:
            return (), f"the log of {run.run_id} is not the one that the parent's ledger hashed"
    return tuple(run for run in runs if run.outcome is not None and run.outcome.state == "finished"), None


def comparable(
    baseline: Baseline | None, runs: Sequence[Metrics], pack: Path | None
) -> tuple[tuple[Metrics, ...], str | None, list[str]]:
    """Read the parent's runs on the machine of `runs`, what speaks against all of them, and changed files of them.

    pack: where they are packed; None on the machine that they ran on.
    """
    if baseline is None:
        unknown = pack is not None and (pack / BASELINE).exists() and (pack / SUMS).exists()
        return (), None, [f"{BASELINE}/ holds runs of a parent that is not known here"] if unknown else []
    # A packed log holds the source that is not in the record, so that a verdict does not depend on this machine.
    script = baseline.parent.script if baseline.parent.in_record or pack is None else None
    read = [read_run(folder, script or b"", packed=pack is not None) for folder in baseline.folders]
    parent_runs, doubt = believed(baseline, read)
    here = {run.machine.fingerprint for run in runs if run.machine is not None}
    same = tuple(run for run in parent_runs if run.machine and {run.machine.fingerprint} == here)
    return same, doubt, altered_baseline(pack, baseline, read) if pack is not None else []
