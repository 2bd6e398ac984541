"""Say on what evidence a record stands: one word, and flags with a sentence each. Both are computed, never stored.

The seconds of two hosts differ for one script, so a difference between claim and runs is told and accuses nobody, until
it is the same script on the same hardware and more than hosts differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.record import Record, RecordRun
from harness.core.task import Ruleset, Track
from harness.core.text import plural

Evidence = Literal["verified", "timed", "logged", "claimed"]
MEANINGS: dict[Evidence, str] = {
    "verified": "run under this harness, and its evidence is here",
    "timed": "timed by a maintainer, with logs",
    "logged": "its author's logs of this script are known",
    "claimed": "no logs of this script are known",
}
AGREES_WITHIN = 0.01  # of the claimed time
HOSTS_DIFFER = (-0.07, 0.17)  # of the published time: independent replays of 21 records by others, docs/replaying.md
LEVEL = 0.01  # of the test, where a ruleset names none


@dataclass(frozen=True, slots=True)
class Flag:
    """What a reader must know beside the word, and the sentence that says it."""

    name: str  # "other host (+8.0 %)"
    said: str


def own_runs(record: Record) -> list[RecordRun]:
    """Return the complete runs of a record's own, which its figures come from."""
    return [run for run in record.runs if run.role == "own" and run.complete]


def machine_text(runs: Iterable[RecordRun]) -> str | None:
    """Say what the runs ran on: their GPUs, or the processor of a computer without any; None where no run says it."""
    names = {f"{run.gpu_count or '?'}× {run.gpu_name}" if run.gpu_name else run.cpu for run in runs}
    return " and ".join(sorted(name for name in names if name)) or None


def evidence_of(record: Record) -> Evidence:
    """Return the word for the evidence of a record."""
    if record.has_evidence:
        return "verified"
    own = own_runs(record)
    if record.official or (record.kind == "retiming" and own):
        return "timed"
    return "logged" if own and not ran_other_script(record) else "claimed"


def rules_of(track: Track, record: Record) -> tuple[Ruleset, float]:
    """Return the ruleset that a record is judged by, and the target of the losses of its runs."""
    ruleset = next((one for one in track.rulesets if one.id == record.ruleset), track.rulesets[-1])
    return ruleset, ruleset.above_entropy or track.target_loss


def flags_of(track: Track, record: Record) -> tuple[Flag, ...]:
    """Return what a reader must know beside the word."""
    own = own_runs(record)
    found = [
        *_about_runs(track, record, own),
        *_about_loss(record, own, *rules_of(track, record)),
        *_about_record(record),
    ]
    return tuple(Flag(name, said) for name, said in found)


def significance(ruleset: Ruleset, losses: Sequence[float], target: float) -> tuple[float | None, float | None]:
    """Compute the p-value and the rule value by the ruleset's test; None where it gives none."""
    if losses and ruleset.significance.test == "closed-form":
        return None, stats.closed_form(losses, target)
    try:
        return stats.t_below(losses, target), None
    except StatisticsError:
        return None, None  # the test is not defined: fewer than two losses, or equal ones


def ran_other_script(record: Record) -> bool:
    """Whether its own runs, and so its curve, are of another script than the one that was merged, as far as is known."""
    merged, own = record.merged, own_runs(record)
    return merged is not None and merged.program is not None and not any(merged.ran_as(r.script_sha256) for r in own)


def _about_runs(track: Track, record: Record, own: Sequence[RecordRun]) -> Iterator[tuple[str, str]]:
    if not own:
        if not record.has_evidence:
            yield "no logs", "No complete run of its own is known."
        return
    fitting = [run for run in own if _fits(track, run)]
    by_time = track.metric == "train_time"
    off = _time_off(record, fitting) if by_time and not record.has_evidence else None
    if ran_other_script(record):
        figure = "" if off is None else f" They take {_amount(off)}, which says nothing about the merged one."
        said = f"The known runs are of the author's script, and another one was merged as the record.{figure}"
        yield "other script", said  # without the figure: beside the word it would read as one of the record
    elif off is not None:
        yield _about_time(off, same_script=_is_same_script(record, fitting))
    if by_time and not fitting:
        machine = machine_text(own)
        where = f"The known runs were on {machine}" if machine else "No log names the GPUs of the known runs"
        yield "other GPU" if machine else "GPU not known", f"{where}; the track is timed on {_hardware(track)}."
    if len(own) == 1:
        yield "one run", "One run is known, and one shows no spread: the t-test asks for two."


def _time_off(record: Record, fitting: Sequence[RecordRun]) -> float | None:
    """Compute runs / claim − 1 in time; None where they agree, or where nothing can be compared."""
    times = [run.train_time_s for run in fitting if run.train_time_s is not None]
    claimed = record.claimed.train_time_s
    off = stats.mean(times) / claimed - 1 if times and claimed else 0.0
    return off if abs(off) > AGREES_WITHIN else None


def _about_time(off: float, *, same_script: bool) -> tuple[str, str]:
    low, high = HOSTS_DIFFER
    said = f"The known runs take {_amount(off)}"
    if same_script and not low <= off <= high:
        why = "of the same script on the same hardware, more than hosts were seen to differ"
        return f"contradicted ({_percent(off)})", f"{said}, {why}."
    why = "the claim was most likely timed on another machine, and hosts differ by −7 % to +17 %"
    return f"other host ({_percent(off)})", f"{said}: {why}."


def _percent(off: float) -> str:
    return f"{100 * off:+.1f} %".replace("-", "−")


def _amount(off: float) -> str:
    return f"{abs(100 * off):.1f} % {'more' if off > 0 else 'less'} time than the claim"


def _is_same_script(record: Record, runs: Iterable[RecordRun]) -> bool:
    """Whether the logs prove that the runs are of the record's script."""
    if record.merged is not None:
        return record.merged.program is not None  # else nobody can tell; another one was ruled out before
    original = record.original
    if original is None:
        return True
    return any(run.script_sha256 in original.files.values() for run in runs if run.script_sha256 is not None)


def _about_loss(record: Record, own: Sequence[RecordRun], ruleset: Ruleset, target: float) -> Iterator[tuple[str, str]]:
    """Say where the runs do not decide; a verified record was judged by its ruleset before it became one."""
    losses = [run.value for run in own if run.value is not None]
    if not losses or record.has_evidence:
        return
    p, value = significance(ruleset, losses, target)
    margin = ruleset.significance.margin
    of = plural(len(losses), "run")
    if value is not None:
        if margin is not None and value < margin - 1e-12:
            yield "loss open", f"(target − mean)·√n is {value:.4f} over {of}, and the rule asks for {margin:g}."
    elif p is None and len(losses) > 1:
        yield "loss open", f"The losses of {of} are equal, which allows no test against the target."
    elif p is not None and p > (level := ruleset.significance.alpha or LEVEL):
        yield "loss open", f"p is {p:.2g} over {of}: the test does not decide at {level:g}."


def _about_record(record: Record) -> Iterator[tuple[str, str]]:
    if record.kind == "retiming":
        yield "retimed", f"It is record {record.retimes} timed again."
    if record.replays:
        yield f"replayed ×{len(record.replays)}", "Later runs of it are stored here; its page and `show` list them."
    if record.scored:
        yield "scored", "The harness scored the weights of its runs itself."
    if record.official:
        yield "official", "A maintainer made the runs that it rests on."
    if record.withdrawn is not None:
        yield "withdrawn", f"It was withdrawn: {record.withdrawn}"


def _hardware(track: Track) -> str:
    return f"{track.hardware.processes}× {track.hardware.gpu_name}"


def _fits(track: Track, run: RecordRun) -> bool:
    """Whether a run was on the track's number and model of GPUs; a log without a GPU table says neither."""
    hardware = track.hardware
    return hardware.kind == "any" or (run.gpu_name == hardware.gpu_name and run.gpu_count == hardware.processes)
