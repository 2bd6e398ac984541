"""Compute a leaderboard's rows: every figure that a record's runs can give comes from them, none is typed.

The word for its evidence and the flags beside it are computed too, by `harness.catalog.standing`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from harness.catalog.differences import Difference, differences, scripts
from harness.catalog.lookup import Catalog
from harness.catalog.ranking import current, given_twice, numbers
from harness.catalog.standing import (
    Evidence,
    Flag,
    evidence_of,
    flags_of,
    machine_text,
    own_runs,
    rules_of,
    significance,
)
from harness.core import stats
from harness.core.record import Elsewhere, Record, Replayed
from harness.core.task import Track
from harness.core.text import plural
from harness.store.retimings import NO_TIMINGS, Timings, read_retimings


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the leaderboard. Times in seconds, losses in nats per token; None is "not known"."""

    track: str
    number: str  # "12", or "21.1" for a re-timing
    kind: str
    slug: str
    title: str
    date: str | None
    contributors: tuple[str, ...]
    pull_request: str | None
    repository: str | None
    ruleset: str
    claimed_time_s: float | None
    claimed_steps: int | None
    runs: int  # its own complete runs
    baseline_runs: int
    time_mean_s: float | None
    time_sd_s: float | None
    metric: str  # what the losses are: val_loss, or above_entropy, a distance to the entropy of a secret source
    loss_mean: float | None
    loss_sd: float | None
    p: float | None  # one-sided, where the ruleset's test gives one
    rule_value: float | None  # (target − mean)·√n, where the ruleset names the closed form
    evidence: Evidence
    flags: tuple[Flag, ...]  # what must be known beside that word
    replays: int
    replayed: tuple[Replayed, ...]
    withdrawn: str | None
    machine: str | None  # what its runs ran on
    current: bool = False  # the track's current record
    notes: str | None = None
    official: bool = False  # timed by a maintainer
    baselines: tuple[Difference, ...] = ()  # its runs less those of other scripts on the same machine
    elsewhere: Elsewhere | None = None  # what somebody else measured
    log: str | None = None  # address of the log that its original is
    merged: str | None = None  # the commit whose program holds the record, where that is not its original


def make_rows(track: Track, records: Sequence[Record], timings: Timings = NO_TIMINGS) -> list[Row]:
    """Compute one track's rows, the current record first, then the greatest number; the order of the records does not matter."""
    mine = sorted((r for r in records if r.track == track.name), key=lambda r: (r.number, str(r.date), r.slug))
    best = current(track, mine)
    shown = numbers(mine)
    known = scripts(mine, shown)
    rows = [
        replace(
            make_row(track, record, shown, record is best),
            baselines=differences(record, known, track.target_loss),
            elsewhere=timings.get((track.name, record.number)) if record.kind == "record" else None,
        )
        for record in mine
    ]
    twice = given_twice(mine)
    rows = [replace(row, notes=_clash(row, twice[row.slug])) if row.slug in twice else row for row in rows]
    rows.sort(key=lambda row: ([int(part) for part in row.number.split(".")], row.date or "", row.slug), reverse=True)
    return [row for row in rows if row.current] + [row for row in rows if not row.current]


def _clash(row: Row, other: Record) -> str:
    """Add to a row's notes that another record has its number."""
    where = "upstream" if other.original is not None else "here"
    said = f"the number {row.number} was also given {where}, to {other.slug}"
    return f"{row.notes}; {said}" if row.notes else said


def row_of(catalog: Catalog, name: str) -> tuple[Record, Row]:
    """Read the record that `name` means, by any name that people use, and compute its row."""
    record = catalog.find_record(name)
    timings = read_retimings(catalog.project)
    rows = make_rows(catalog.track(record.track), catalog.records(record.track), timings)
    return record, next(row for row in rows if row.slug == record.slug)


def make_row(track: Track, record: Record, shown: dict[str, str], is_current: bool) -> Row:
    """Compute one row; `shown` is how people write the number of each slug."""
    ruleset, target = rules_of(track, record)
    own = own_runs(record)
    losses = [run.value for run in own if run.value is not None]
    times = [run.train_time_s for run in own if run.train_time_s is not None]
    p, rule_value = significance(ruleset, losses, target)
    return Row(
        track=track.name,
        number=shown[record.slug],
        kind=record.kind,
        slug=record.slug,
        title=record.title,
        date=record.date.isoformat() if record.date else None,
        contributors=record.contributors,
        pull_request=record.pull_request,
        repository=record.original.repository if record.original else None,
        ruleset=record.ruleset,
        claimed_time_s=record.claimed.train_time_s,
        claimed_steps=record.claimed.steps,
        runs=len(own),
        baseline_runs=sum(run.role == "baseline" for run in record.runs),
        time_mean_s=stats.mean(times) if times else None,
        time_sd_s=stats.sd(times) if len(times) > 1 else None,
        metric=ruleset.loss_metric,
        loss_mean=stats.mean(losses) if losses else None,
        loss_sd=stats.sd(losses) if len(losses) > 1 else None,
        p=p,
        rule_value=rule_value,
        evidence=evidence_of(record),
        flags=flags_of(track, record),
        replays=len(record.replays),
        replayed=record.replays,
        withdrawn=record.withdrawn,
        machine=machine_text(own),
        current=is_current,
        official=record.official,
        notes=record.notes,
        log=log_address(record),
        merged=record.merged.commit if record.merged is not None else None,
    )


def log_address(record: Record) -> str | None:
    """Return the address of the log that a record's original is, at its commit; None where it is something else."""
    original = record.original
    if original is None or original.kind != "log" or not (original.repository and original.commit and original.path):
        return None
    return f"https://github.com/{quote(original.repository)}/blob/{original.commit}/{quote(original.path)}"


def replayed_texts(marks: Sequence[Replayed]) -> list[str]:
    """Sum up a record's replays, those of the original first; each says which script it ran."""
    texts = []
    for script in ("original", "merged", "reimplementation"):
        mine = [mark for mark in marks if mark.script == script]
        if mine:
            texts.append(f"{script} ×{len(mine)}: {', '.join(_figures(mine))}")
    return texts


def _figures(marks: Sequence[Replayed]) -> list[str]:
    times = [100 * mark.time_off for mark in marks if mark.time_off is not None]
    losses = [mark.loss_off for mark in marks if mark.loss_off is not None]
    parts = [f"{_range(times, '+.1f')} % time"] if times else []
    parts.append(f"{_range(losses, '+.4f')} loss" if losses else "no loss")
    known = [mark for mark in marks if mark.within_spread != "unknown"]
    if known:
        inside = sum(mark.within_spread == "yes" for mark in known)
        parts.append(f"{inside} of {len(known)} within its spread")
    return parts


def baseline_text(track: str, one: Difference) -> str:
    """Say how far a record's runs are from those of one baseline, which one that is, and what speaks against it."""
    parts = [_with_interval(one.time_s, one.time_low_s, one.time_high_s, ".3f", " s") or "no times"]
    parts.append(_with_interval(one.loss, one.loss_low, one.loss_high, ".5f", " loss") or "no losses")
    whose = "a script without a hash" if one.script_sha256 is None else f"script {one.script_sha256[:8]}"
    whose += "" if one.record is None else f" of {track}/{one.record}"
    steps = "" if one.step is None else f", {one.step:,} steps"
    missed = ", not below the target" if one.reaches_target is False else ""
    unlike = f"; another {' and '.join(one.unlike)}" if one.unlike else ""
    return f"{', '.join(parts)} against {plural(one.runs, 'run')} of {whose}{steps}{missed}{unlike}"


def _with_interval(value: float | None, low: float | None, high: float | None, form: str, unit: str) -> str | None:
    if value is None:
        return None
    shown = [f"{number:+{form}}".replace("-", "−") for number in (value, low, high) if number is not None]
    return f"{shown[0]}{unit}" + (f" ({shown[1]} to {shown[2]})" if len(shown) == 3 else "")


def elsewhere_text(track: str, one: Elsewhere) -> str:
    """Say what somebody else measured of a record, and where that stands."""
    figure = "no figure"
    if one.faster_s is not None:
        figure = f"{abs(one.faster_s):.2f} s {'less' if one.faster_s >= 0 else 'more'} than {track}/{one.against}"
    return f"{figure}, by {one.source} of {one.date}"


def _range(values: Sequence[float], form: str) -> str:
    low, high = (f"{value:{form}}".replace("-", "−") for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
