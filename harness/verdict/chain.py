"""G: every run of the script that was started is in the ledger, and every one of them is counted."""

from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, all_of, missing, names, rule


@rule("G1", "ledger chain", "ledger")
def chain(evidence: Evidence) -> Ruling:
    """The ledger's chain has no gap, edit or reordering."""
    if evidence.ledger is None:
        return missing(evidence, "ledger", "there is no ledger of the runs")
    if evidence.ledger.problems:
        return Ruling("fail", evidence.ledger.problems[0], len(evidence.ledger.problems), 0, "broken entries")
    if evidence.ledger.open:
        said = f"{names(evidence.ledger.open)} is still running, or its harness was killed"
        return Ruling("inconclusive", f"{said}; wait, or start `speedrun run` again, which records its end")
    if evidence.ledger.absent:
        said = f"of the tasks that were declared, {names(evidence.ledger.absent)} did not come back complete"
        return Ruling("inconclusive", f"{said}; the command that declared them goes on with them")
    said = f"the ledger's chain is whole, with {plural(len(evidence.ledger.runs_started), 'run')}"
    return Ruling("pass", said, 0, 0, "broken entries")


@rule("G2", "all runs counted", "ledger")
def counted(evidence: Evidence) -> Ruling:
    """Every judged run of the script that was started is counted, and every file of it is the one that was hashed."""
    if evidence.ledger is None:
        return missing(evidence, "ledger", "there is no ledger of the runs")
    here = {run.run_id: run for run in evidence.runs}
    started = evidence.ledger.runs_started
    kept = {*here, *evidence.aborted}
    dropped = [run_id for run_id in started if run_id not in kept]
    if dropped:
        said = f"{names(dropped)} was started and is not among the runs"
        return Ruling("fail", said, len(dropped), 0, "dropped runs")
    unknown = here.keys() - set(started)
    if unknown:
        return Ruling(
            "fail", f"{names(sorted(unknown))} is not in the ledger", len(unknown), 0, "runs not in the ledger"
        )
    for run_id, digest in evidence.ledger.log_hashes.items():
        if run_id in here and here[run_id].log_sha256 is None:
            return Ruling("inconclusive", f"the log of {run_id} is not here to be compared with the ledger's hash")
        if run_id in here and here[run_id].log_sha256 != digest:
            return Ruling("fail", f"the log of {run_id} is not the one that the ledger hashed at the end of the run")
    if evidence.altered:
        said = f"{evidence.altered[0]}; restore what the run wrote"
        return Ruling("fail", said, len(evidence.altered), 0, "changed files")
    verb = "counts" if len(started) == 1 else "count"
    said = f"{all_of(len(started))} of the ledger {verb}"
    if evidence.aborted:
        said += f", {len(evidence.aborted)} of them as aborted (see S1)"
    if evidence.scripts_before:
        said += f"; {plural(evidence.scripts_before, 'other script')} of this folder had judged runs too (see S1)"
    if evidence.ledger.others_tried:
        said += f"; it is one of {evidence.ledger.others_tried + 1} scripts that had been tried on this track by then"
    return Ruling("pass", said, len(started), len(started), "runs")


CHECKS = (chain, counted)
