"""H: the machine is the one that the track's times are for; anything else is evidence for loss only."""

from harness.evidence.contents import Evidence
from harness.verdict.checks import Ruling, missing, names, rule


@rule("H1", "GPUs", "machine")
def gpus(evidence: Evidence) -> Ruling:
    """Times count only on the track's number and model of GPUs."""
    hardware = evidence.track.hardware
    if evidence.track.metric == "steps":
        return Ruling("not applicable", "the track ranks steps, on any machine")
    required = f"{hardware.processes}× {hardware.gpu_name or hardware.kind}"
    unknown = []
    for run in evidence.runs:
        log_gpus = (run.log.gpu_count, run.log.gpu_name)
        seen = log_gpus
        if run.machine is not None and run.machine.gpus:
            seen = (len(run.machine.gpus), run.machine.gpus[0].name)
        for count, name in {log_gpus, seen}:
            wrong_name = hardware.gpu_name is not None and name is not None and name != hardware.gpu_name
            if wrong_name or (count is not None and count != hardware.processes):
                had = f"{count}× {name}"
                return Ruling("fail", f"{run.run_id} ran on {had}, the track is for {required}", had, required)
        if None in seen:
            unknown.append(run.run_id)
    if unknown or not evidence.runs:
        return missing(evidence, "machine", f"the GPUs of {names(unknown) or 'the runs'} are not known")
    return Ruling("pass", f"every run had {required}", required, required)


@rule("H2", "ranks", "machine")
def processes(evidence: Evidence) -> Ruling:
    """Times count only with the track's number of ranks."""
    if evidence.track.hardware.kind == "any":
        return Ruling("not applicable", "the track does not fix the number of ranks")
    required = evidence.track.hardware.processes
    wrong = [run for run in evidence.runs if run.log.world_size not in (None, required)]
    if wrong and evidence.track.metric == "train_time":
        measured = wrong[0].log.world_size
        said = f"{wrong[0].run_id} ran with {measured} ranks, not {required}"
        return Ruling("fail", said, measured, required, "ranks")
    if all(run.log.world_size is None for run in evidence.runs):
        return missing(evidence, "machine", "no log says how many ranks there were")
    return Ruling("pass", f"no run says that it had other than {required} ranks", required, required, "ranks")


@rule("H3", "no slow-down", "telemetry")
def throttling(evidence: Evidence) -> Ruling:
    """No GPU is slowed down by heat or hardware during a run."""
    if evidence.track.metric == "steps":
        return Ruling("not applicable", "the track ranks steps, on any machine")
    unseen = [r.run_id for r in evidence.runs if r.observed is None or r.observed.throttling is None]
    if unseen or not evidence.runs:
        return missing(evidence, "telemetry", f"no telemetry of the GPUs of {names(unseen) or 'the runs'}")
    for run in evidence.runs:
        slowed = run.observed.throttling if run.observed is not None else None
        if slowed:
            said = f"a GPU of {run.run_id} was slowed down ({', '.join(slowed)})"
            return Ruling("inconclusive", f"{said}; cool the machine and run again", ", ".join(slowed), "none")
    return Ruling("pass", "no GPU was slowed down by heat or hardware")


CHECKS = (gpus, processes, throttling)
