"""D: the tokens are the track's, before and after, and the validation covers all of them."""

import bisect
import math
from collections.abc import Iterator

from harness.core.measurement import DataReceipt, Metrics
from harness.core.step_tokens import offered_tokens, tokens_for
from harness.core.task import Track
from harness.evidence.contents import Evidence
from harness.evidence.heartbeat import GAP_S, describe_gap, heartbeat
from harness.evidence.timeline import timed_spans
from harness.verdict.checks import Ruling, missing, names, rule

OPEN_LATENCY_S = 0.1  # between two looks of the observer nothing measures how late its news are
STALE_S = 0.5  # news that are later than this may tell of a section that has ended since
LOOK_S = 4.0  # two looks at the files that a run writes


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
    """The shards equal the track's pins by sha256, or what the seed of their secret source gives, before and after the run."""
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
        drawn = evidence.ruleset.above_entropy is not None
        wrong = differing(evidence.track, receipt) if not drawn else None
        if wrong:
            return Ruling("fail", f"{run_id} was given {wrong}; fetch the data again and repeat the run")
        if receipt.unchanged is False:
            return Ruling("fail", f"the shards of {run_id} changed while it ran")
    if any(receipt.unchanged is None for _, receipt in receipts):
        return missing(evidence, "data", "the shards were not hashed again after every run")
    if evidence.ruleset.above_entropy is not None:
        return _drawn_again(evidence)
    pinned = {shard.name for shard in evidence.track.data.shards if shard.sha256 is not None}
    unpinned = sorted({shard.name for _, receipt in receipts for shard in receipt.shards} - pinned)
    if unpinned:
        text = f"the track pins no hash for {names(unpinned)}; a maintainer pins with `speedrun fetch --pin`"
        return missing(evidence, "data", text)
    return Ruling("pass", f"{len(receipts[0][1].shards)} shards equal the track's pins, before and after every run")


def _drawn_again(evidence: Evidence) -> Ruling:
    """Rule on shards of a secret source: drawn again from the seed of the receipt, they are what the run was given."""
    for run in evidence.runs:
        if run.drawn is None or run.data is None:
            said = f"{run.run_id} names no seed of its source, so that nobody can draw its shards again"
            return Ruling("inconclusive", said)
        drawn = {s.name: s.sha256 for s in run.drawn.shards}
        if drawn != {s.name: s.sha256 for s in run.data.shards} or run.drawn.cut != run.data.cut:
            return Ruling("fail", f"{run.run_id} was given other shards than the seed of its source gives")
    seeds = len({run.data.seed for run in evidence.runs if run.data is not None})
    sources = "the secret source" if seeds == 1 else f"{seeds} secret sources"
    return Ruling("pass", f"the shards of every run are those of {sources}, drawn again from the seed")


@rule("D4", "reads by phase", "data", latency=f"{OPEN_LATENCY_S:g} s")
def reads(evidence: Evidence) -> Ruling:
    """The run does not open the validation shard while the clock runs and writes no copy of it; what is opened before is
    listed. News may be late by {latency} and by the measured delay."""
    validation = evidence.track.data.val_pattern % 0
    watched = [run for run in evidence.runs if run.observed is not None and run.observed.opens is not None]
    marked = [run for run in watched if any(line.kind == "clock_start" for line in run.timed_lines)]
    looks = [ruling for run in marked for ruling in _looked_at(run, validation)]
    for run in watched:
        looks += _written(run, validation)
    for run in evidence.runs:
        looks += _unseen(run)
    for outcome in ("fail", "inconclusive"):
        for ruling in looks:
            if ruling.outcome == outcome:
                return ruling
    if len(marked) < len(evidence.runs) or not marked:
        unseen = names(run.run_id for run in evidence.runs if run not in marked) or "the runs"
        return missing(evidence, "telemetry", f"nobody watched which shards {unseen} opened when")
    assert marked[0].observed is not None and marked[0].observed.opens is not None
    start = next(line.arrival_s for line in marked[0].timed_lines if line.kind == "clock_start")
    before = sorted({name for at, name in marked[0].observed.opens if start is None or at < start})
    listed = f"; before the clock the script opens {names(before)}" if before else ""
    return Ruling("pass", f"no validation shard is opened while the clock runs{listed}")


@rule("D5", "tokens of its steps", "data")
def step_tokens(evidence: Evidence) -> Ruling:
    """Every run trains on the tokens per step that the ruleset declares, and was offered no more training tokens than its
    steps use and a loader reads ahead (one step, and what it drops at the end of a shard)."""
    required = evidence.ruleset.tokens_per_step
    if required is None:
        return Ruling("not applicable", f"{evidence.ruleset.id} declares no tokens per step")
    for run in evidence.runs:
        printed = run.log.tokens_per_step
        if printed not in (None, required):
            said = f"{run.run_id} trains on {printed:,} tokens per step; {evidence.ruleset.id} declares {required:,}"
            return Ruling("fail", said, printed, required, "tokens")
    silent = [run.run_id for run in evidence.runs if None in (run.log.tokens_per_step, run.step, run.data)]
    if silent or not evidence.runs:
        said = f"how many tokens {names(silent) or 'the runs'} used per step, or was offered, is not known"
        return missing(evidence, "data", f"{said}: print tokens_per_step:{required}")
    spare = 0
    for run in evidence.runs:
        assert run.data is not None and run.step is not None
        most, offered = tokens_for(run.step, required, evidence.track.data.shard_tokens), offered_tokens(run.data)
        spare = max(spare, offered - run.step * required)
        if offered > most:
            said = f"{run.run_id} was offered {offered:,} training tokens, {offered - most:,} more than its {run.step} steps"
            said += " and a loader may use; once a run has told its steps, the next ones are offered those"
            return Ruling("inconclusive", said, offered, most, "tokens")
        if run.data.cut is not None and offered < run.step * required:  # whole shards are as many as the track has
            said = f"{run.run_id} took {run.step} steps of {required:,} tokens and was offered {offered:,}"
            said += ": tokens for fewer steps, as another run had told; try it with --screening"
            return Ruling("inconclusive", said, run.step * required, offered, "tokens")
    said = f"every step trains on {required:,} tokens, and no run was offered more than {spare:,} beyond its steps"
    return Ruling("pass", said, spare, None, "tokens")


def _looked_at(run: Metrics, validation: str) -> Iterator[Ruling]:
    """Rule on every opening of the validation shard that is or may be one while the clock ran.

    At the latest it happened when it was seen. At the earliest it happened before that by the time between two looks
    and the delay that was measured around it.
    """
    assert run.observed is not None and run.observed.opens is not None
    spans, beats = timed_spans(run.timed_lines), heartbeat(run)
    begins = [begin for begin, _ in spans]
    for at, name in run.observed.opens:
        if name != validation:
            continue
        begin, end = spans[max(0, bisect.bisect_right(begins, at) - 1)] if spans else (math.inf, math.inf)
        delay = beats.delay_s(at - OPEN_LATENCY_S, at)
        guilty = begin < at - OPEN_LATENCY_S and at < end
        if guilty and begin < at - OPEN_LATENCY_S - delay:
            said = f"{run.run_id} opens {name} {at:.1f} s after its start, while the clock runs"
            yield Ruling("fail", f"{said}; validation text may not be read for training", "timed", "validation")
        elif guilty or (delay > STALE_S and begin <= at and at - OPEN_LATENCY_S - delay < end):
            said = f"{run.run_id} opens {name}, which was seen {at:.1f} s after its start and up to {delay:.2f} s late"
            yield Ruling(
                "inconclusive", f"{said}; whether the clock ran is not known: run on a machine with less to do"
            )


def _written(run: Metrics, validation: str) -> Iterator[Ruling]:
    """Rule on files that hold validation text, or may."""
    assert run.observed is not None and run.observed.opens is not None
    opened = min((at for at, name in run.observed.opens if name == validation), default=math.inf)
    starts = (line.arrival_s for line in run.timed_lines if line.kind == "clock_start")
    start = next((at for at in starts if at is not None), math.inf)
    beats = heartbeat(run)
    for file in run.observed.files:
        said = f"{run.run_id} writes {file.name} ({file.bytes:,} bytes)"
        if file.kind == "copy":
            said += f", which holds text of {validation}; a copy of it may not be made"
            yield Ruling("fail", said, "a copy", "none")
        elif file.kind == "shared":
            said = f"while {run.run_id} ran, {file.name} ({file.bytes:,} bytes) with text of {validation} came into a folder"
            yield Ruling("inconclusive", f"{said} that others write to as well")
        elif opened < file.seen_s and file.seen_s - LOOK_S - beats.delay_s(file.seen_s, file.seen_s) < start:
            said += f" after it opened {validation} and, as far as was seen, before its clock started"
            yield Ruling(
                "inconclusive", f"{said}; whether that is a copy is not known: write large files after the clock"
            )


def _unseen(run: Metrics) -> Iterator[Ruling]:
    """Rule on what the observer of a run did not see."""
    for begin, end in heartbeat(run).gaps:
        said = f"{describe_gap(run, begin, end)}; leave it alone and run again"
        yield Ruling("inconclusive", said, end and end - begin, GAP_S, "s")
    for at, what in run.observed.lost if run.observed is not None else ():
        yield Ruling("inconclusive", f"from {at:.1f} s of {run.run_id} on the observer could not see all {what[:20]}")


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


CHECKS = (validation_tokens, shards, reads, step_tokens)
