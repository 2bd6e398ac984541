"""How a record differs from the baseline that its author ran: the difference of two means, with its interval.

Such runs lie in the folder of the record, so they are most likely of one machine and one evening; nothing proves it, so
what speaks against it is said. Only runs on the same number and model of GPUs are compared, and a baseline is named by
the hash of its script, because what an author calls a baseline is often not the record before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.record import Record, RecordRun


@dataclass(frozen=True, slots=True)
class Difference:
    """A record's own runs less those of one baseline, with 95 % intervals; None is "not known"."""

    script_sha256: str | None  # of the baseline
    record: str | None  # the number of the record that was set with this script, where a hash tells
    step: int | None  # the last step of the baseline's runs
    runs: int  # of the baseline
    own_runs: int
    # Whether the baseline's mean loss is below the target: one cut in steps shows what was gained in loss. None where its
    # loss is of another kind than the record's, as with a source that is drawn anew for each series of runs.
    reaches_target: bool | None
    time_s: float | None  # negative is faster
    time_low_s: float | None
    time_high_s: float | None
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    unlike: tuple[str, ...]  # what the logs of the two name differently: driver, torch, day


def scripts(records: Iterable[Record], numbers: Mapping[str, str]) -> dict[str, str]:
    """Find the record of a track that each script was set with, by hash; the newest one of several.

    numbers: of each slug, as people write them.
    """
    found: dict[str, str] = {}
    for record in sorted(records, key=lambda one: (one.number, str(one.date), one.slug)):
        own = {run.script_sha256 for run in record.runs if run.role == "own"}
        merged = None if record.merged is None else record.merged.script_sha256
        found |= dict.fromkeys((script for script in (*own, merged) if script is not None), numbers[record.slug])
    return found


def differences(record: Record, known: Mapping[str, str], target: float) -> tuple[Difference, ...]:
    """Compute the difference to each baseline in a record's folder.

    First comes a script that a record was set with, then those that reach the target, then that with the most runs.
    known: what `scripts` found.
    """
    own: dict[tuple[int, str], list[RecordRun]] = {}
    baselines: dict[tuple[tuple[int, str], str | None, int | None], list[RecordRun]] = {}
    for run in record.runs:
        if run.complete and run.gpu_name is not None and run.gpu_count is not None:
            gpus = (run.gpu_count, run.gpu_name)
            if run.role == "own":
                own.setdefault(gpus, []).append(run)
            elif run.role == "baseline":  # what else lies there is not one, whatever it is called
                baselines.setdefault((gpus, run.script_sha256, run.step), []).append(run)
    found = [_difference(own[gpus], theirs, known, target) for (gpus, *_), theirs in baselines.items() if gpus in own]
    return by_likelihood(found)


def by_likelihood(found: Iterable[Difference]) -> tuple[Difference, ...]:
    """Order baselines: a script that a record was set with, one that reaches the target, the one with the most runs."""
    return tuple(sorted(found, key=_order))


def _order(one: Difference) -> tuple[bool, bool, int, str, int]:
    return one.record is None, not one.reaches_target, -one.runs, one.script_sha256 or "", one.step or 0


def _difference(
    own: Sequence[RecordRun], theirs: Sequence[RecordRun], known: Mapping[str, str], target: float
) -> Difference:
    (my_times, my_losses), (times, losses) = (
        [[value for run in runs if (value := getattr(run, name)) is not None] for name in ("train_time_s", "value")]
        for runs in (own, theirs)
    )
    time, time_low, time_high = _of_means(my_times, times)
    alike = len({run.metric for run in (*own, *theirs)}) == 1
    loss, loss_low, loss_high = _of_means(my_losses, losses) if alike else (None, None, None)
    return Difference(
        script_sha256=theirs[0].script_sha256,
        record=known.get(theirs[0].script_sha256 or ""),
        step=theirs[0].step,
        runs=len(theirs),
        own_runs=len(own),
        reaches_target=stats.mean(losses) < target if alike else None,
        time_s=time,
        time_low_s=time_low,
        time_high_s=time_high,
        loss=loss,
        loss_low=loss_low,
        loss_high=loss_high,
        unlike=_unlike(own, theirs),
    )


def _of_means(own: Sequence[float], theirs: Sequence[float]) -> tuple[float | None, float | None, float | None]:
    if not own or not theirs:
        return None, None, None
    difference = stats.mean(own) - stats.mean(theirs)
    try:
        return difference, *stats.difference_interval(own, theirs)
    except StatisticsError:
        return difference, None, None  # one run on a side, or no spread at all


def _unlike(own: Sequence[RecordRun], theirs: Sequence[RecordRun]) -> tuple[str, ...]:
    """Name what the logs of both say, and say differently."""
    said = []
    for name in ("driver", "torch"):
        mine, its = ({text for run in runs if (text := getattr(run, name)) is not None} for runs in (own, theirs))
        if mine and its and mine != its:
            said.append(name)
    mine, its = ({run.started_at[:10] for run in runs if run.started_at is not None} for runs in (own, theirs))
    return (*said, "day") if mine and its and not mine & its else tuple(said)
