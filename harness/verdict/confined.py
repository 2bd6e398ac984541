"""C: every run was confined as its ruleset asks, and left nothing for the next one."""

from harness.core.judgement import Outcome
from harness.core.text import plural
from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, all_of, missing, names, rule

WORTH = {
    "none": "not confined: the script had the rights of whoever ran it, so this verdict is worth what its author is",
    "landlock": "confined by Landlock: files and signals, not the network, /dev/shm or the list of processes",
}


@rule("C1", "confinement", "confinement")
def tiers(evidence: Evidence) -> Ruling:
    """Every run was confined by a tier that the ruleset accepts: bubblewrap, Landlock, or none at all."""
    accepted = evidence.ruleset.tiers
    unknown = [run.run_id for run in evidence.runs if run.confinement is None]
    if unknown or not evidence.runs:
        return missing(evidence, "confinement", f"how {names(unknown) or 'the runs'} were confined is not known")
    had = sorted({run.confinement.tier for run in evidence.runs if run.confinement is not None})
    wrong = [run for run in evidence.runs if accepted and run.confinement and run.confinement.tier not in accepted]
    needs = " or ".join(accepted) or "nothing"
    if wrong and wrong[0].confinement is not None:
        tier = wrong[0].confinement.tier
        said = f"{wrong[0].run_id} ran with the tier {tier}; {evidence.ruleset.id} asks for {needs}"
        return Ruling("fail", f"{said}; see `speedrun doctor`", tier, needs)
    network = [r for r in evidence.runs if r.confinement is not None and r.confinement.network]
    if "bubblewrap" in accepted and network and "downloads while running" not in evidence.ruleset.allowed:
        open_to = [run.run_id for run in network if run.confinement and run.confinement.tier == "bubblewrap"]
        if open_to:
            said = f"{names(open_to)} could reach the network, which {evidence.ruleset.id} does not allow"
            return Ruling("fail", said, "network", "no network")
    worth = next((WORTH[tier] for tier in ("none", "landlock") if tier in had), "confined by bubblewrap")
    outcome: Outcome = "pass" if evidence.requires("confinement") else "not applicable"
    return Ruling(outcome, f"{all_of(len(evidence.runs))} {worth}", ", ".join(had), needs)


@rule("C2", "nothing left behind", "confinement")
def left_behind(evidence: Evidence) -> Ruling:
    """No run left a process or shared memory that the next one could find."""
    known = [run for run in evidence.runs if run.outcome is not None and run.confinement is not None]
    if len(known) < len(evidence.runs) or not known:
        return missing(evidence, "confinement", "what the runs left behind is not known")
    for run in known:
        assert run.outcome is not None
        if run.outcome.survivors:
            said = f"{plural(len(run.outcome.survivors), 'process')} of {run.run_id} could not be ended"
            return Ruling("fail", said, len(run.outcome.survivors), 0, "processes")
        if run.outcome.left_bytes:
            said = f"{run.run_id} left {run.outcome.left_bytes:,} bytes in /dev/shm, unless another program did"
            return Ruling("inconclusive", said, run.outcome.left_bytes, 0, "bytes")
    return Ruling("pass", f"nothing was left by {all_of(len(known))}")


CHECKS = (tiers, left_behind)
