"""D: the tokens are the track's, before and after, and the validation covers all of them."""

from harness.core.measurement import DataReceipt, Metrics
from harness.core.task import Track
from harness.evidence.contents import Evidence
from harness.evidence.timeline import phase_at
from harness.verdict.checks import Ruling, missing, names, rule

OPEN_LATENCY_S = 0.1  # the observer may hear of an opening so late; 10 times what it takes on a busy machine


@rule("D1", "validation tokens", "data")
def validation_tokens(evidence: Evidence) -> Ruling:
    """Every run validates on all of the track's validation tokens."""
    required = evidence.track.validation_tokens
    wrong = [run for run in evidence.runs if run.log.val_tokens not in (None, required)]
    if wrong:
        measured = wrong[0].log.val_tokens
        said = f"{wrong[0].run_id} validated on {measured:,} tokens, not on {required:,}"
        return Ruling("fail", said, measured, required, "tokens")
    silent = [run.run_id for run in evidence.runs if run.log.val_tokens is None]
    if silent:
        return missing(evidence, "data", f"{names(silent)} did not log the number of validation tokens")
    return Ruling("pass", f"every run validated on {required:,} tokens", required, required, "tokens")


@rule("D2", "pinned shards", "data")
def shards(evidence: Evidence) -> Ruling:
    """The shards equal the track's pins by sha256, before and after the run."""
    unseen = [run.run_id for run in evidence.runs if run.data is None]
    if unseen or not evidence.runs:
        return missing(evidence, "data", f"no data receipt for {names(unseen) or 'any run'}")
    receipts = [(run.run_id, run.data) for run in evidence.runs if run.data is not None]
    for run_id, receipt in receipts:
        given = {shard.name for shard in receipt.shards}
        validation = evidence.track.data.val_pattern % 0
        if validation not in given or given == {validation}:
            lacking = "training" if validation in given else "validation"
            return Ruling("fail", f"the receipt of {run_id} names no {lacking} shard; pack what the run was given")
        wrong = differing(evidence.track, receipt)
        if wrong:
            return Ruling("fail", f"{run_id} was given {wrong}; fetch the data again and repeat the run")
        if receipt.unchanged is False:
            return Ruling("fail", f"the shards of {run_id} changed while it ran")
    if any(receipt.unchanged is None for _, receipt in receipts):
        return missing(evidence, "data", "the shards were not hashed again after every run")
    pinned = {shard.name for shard in evidence.track.data.shards if shard.sha256 is not None}
    unpinned = sorted({shard.name for _, receipt in receipts for shard in receipt.shards} - pinned)
    if unpinned:
        text = f"the track pins no hash for {names(unpinned)}; a maintainer pins with `speedrun fetch --pin`"
        return missing(evidence, "data", text)
    return Ruling("pass", f"{len(receipts[0][1].shards)} shards equal the track's pins, before and after every run")


@rule("D4", "reads by phase", "data")
def reads(evidence: Evidence) -> Ruling:
    """The run does not open the validation shard while the clock runs; what is opened before is listed."""
    watched = [run for run in evidence.runs if run.observed is not None and run.observed.opens is not None]
    marked = [run for run in watched if any(line.kind == "clock_start" for line in run.timed_lines)]
    validation = evidence.track.data.val_pattern % 0
    for run in marked:
        assert run.observed is not None and run.observed.opens is not None
        for at, name in run.observed.opens:
            if name == validation and _while_timed(run, at):
                said = f"{run.run_id} opens {name} {at:.1f} s after its start, while the clock runs"
                return Ruling("fail", f"{said}; validation text may not be read for training", "timed", "validation")
    if len(marked) < len(evidence.runs) or not marked:
        unseen = names(run.run_id for run in evidence.runs if run not in marked) or "the runs"
        return missing(evidence, "telemetry", f"nobody watched which shards {unseen} opened when")
    assert marked[0].observed is not None and marked[0].observed.opens is not None
    before = sorted({name for at, name in marked[0].observed.opens if phase_at(marked[0].timed_lines, at) == "before"})
    listed = f"; before the clock the script opens {names(before)}" if before else ""
    return Ruling("pass", f"no validation shard is opened while the clock runs{listed}")


def _while_timed(run: Metrics, at: float) -> bool:
    """Whether the clock ran at a moment and all the time before it that the news of an opening may have taken."""
    lines = run.timed_lines
    boundary = any(
        line.arrival_s is not None and at - OPEN_LATENCY_S <= line.arrival_s <= at
        for line in lines
        if line.kind in ("clock_start", "clock_stop")
    )
    return phase_at(lines, at) == "timed" and not boundary


def differing(track: Track, receipt: DataReceipt) -> str | None:
    """Find what in a receipt contradicts the track's pins; None if nothing does."""
    pins = {shard.name: shard for shard in track.data.shards}
    for shard in receipt.shards:
        pin = pins.get(shard.name)
        if pin and pin.sha256 and pin.sha256 != shard.sha256:
            return f"{shard.name} with sha256 {shard.sha256[:12]}, pinned is {pin.sha256[:12]}"
        if pin and pin.tokens and pin.tokens != shard.tokens:
            return f"{shard.name} with {shard.tokens:,} tokens, pinned are {pin.tokens:,}"
    if track.data.revision and receipt.revision and track.data.revision != receipt.revision:
        return f"revision {receipt.revision[:12]} of the data, pinned is {track.data.revision[:12]}"
    return None


CHECKS = (validation_tokens, shards, reads)
