"""Make the record of one upstream row: its claim, and every figure of its runs as their logs print it."""

import datetime
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Literal

from harness.core.record import INCOMPLETE, Claimed, Original, Record, RecordRun
from harness.core.task import Track
from harness.maintain.claims import Row
from harness.maintain.ownership import NO_RUNS, Owned
from harness.maintain.scripts_known import KnownScripts
from harness.maintain.upstream_logs import Log
from harness.store.records import Curve

MOST_NOTES = 1900  # characters
_MOST_SLUG = 60


def make_record(
    row: Row,
    track: Track,
    owned: Owned,
    known: KnownScripts,
    commit: str,
    repository: str,
    chosen: str | None,
    taken: set[str],
) -> Record:
    """Make a row's record. chosen: what --own said of it. taken: "track/slug" of the records that are here."""
    notes = list(owned.remarks)
    if chosen is not None:
        notes.append(f"its own runs were named by `--own {row.name}={chosen}`")
    pull_request = row.pull_request or _pulled(owned, known)
    if pull_request != row.pull_request:
        notes.append("the row names no pull request; its number is that of the commit that added its logs")
    is_timed_again = row.timing > 0
    return Record(
        track=row.track,
        slug=_slug(row, owned, taken),
        ruleset=_ruleset(track, row.date),
        number=row.number,
        kind="retiming" if is_timed_again else "record",
        retimes=row.number if is_timed_again else None,
        date=row.date,
        title=row.title,
        contributors=row.contributors,
        pull_request=pull_request,
        claimed=Claimed(row.train_time_s, row.steps, row.val_loss, row.runs),
        original=_original(row, owned, commit, repository, chosen),
        notes="; ".join(notes)[:MOST_NOTES] or None,
        withdrawn=None,
        runs=tuple(runs(row, owned, known)),
    )


def canonical_curve(row: Row, owned: Owned) -> Curve:
    """Return the curve of the log that the row links, else of the run whose final loss is the median one."""
    if owned.linked is not None and owned.linked.path in row.logs:
        return owned.linked.run.curve
    ranked = sorted((o for o in owned.own if o.run.last_val_loss is not None), key=lambda o: (_loss(o), o.path))
    return ranked[len(ranked) // 2].run.curve if ranked else ()


def _loss(log: Log) -> float:
    return log.run.last_val_loss if log.run.last_val_loss is not None else float("inf")


# ------------------------------------------------------------------------------------------------ runs


def runs(row: Row, owned: Owned, known: KnownScripts) -> Iterator[RecordRun]:
    """Give the rows of runs.csv: its own runs, then baselines and others, with whose script they ran where that is known."""
    listed: list[tuple[Literal["own", "baseline", "other"], Sequence[Log]]] = [
        ("own", owned.own),
        ("baseline", owned.baseline),
        ("other", owned.other),
    ]
    numbered = itertools.count(1)
    mine = {log.run.script_sha256 for log in owned.own if log.run.script_sha256 is not None}
    for role, logs in listed:
        for log in logs:
            its = "this record's script" if log.run.script_sha256 in mine else known.whose(log)
            ran = None if role == "own" else its
            if row.steps is None:
                yield _timed_run(log, role, ran)
            else:
                yield _step_run(log, role, ran, next(numbered), row.steps, owned.metric)


def _timed_run(log: Log, role: Literal["own", "baseline", "other"], ran: str | None) -> RecordRun:
    run = log.run
    # A run that ended before its last step has figures, but they are not those of a complete run.
    complete = run.reached_last_step is not False and run.final_val_loss is not None
    said = None if ran is None else f"ran {ran}"
    return RecordRun(
        id=log.path if run.n_runs in (None, 1) else f"{log.path}#{run.run}",
        role=role,
        step=run.final_step,
        metric="val_loss",
        value=run.final_val_loss,
        train_time_s=run.final_train_time_s,
        gpu_name=_short(run.gpu_name),
        gpu_count=run.gpu_count,
        driver=_short(run.driver),
        torch=_short(run.torch),
        started_at=run.started_at,
        script_sha256=run.script_sha256,
        note=said if complete else INCOMPLETE,
    )


def _step_run(
    log: Log, role: Literal["own", "baseline", "other"], ran: str | None, number: int, step: int, metric: str
) -> RecordRun:
    """Make the row of a run on a track that ranks steps: its loss at the step that is claimed."""
    loss = log.loss_at(step, metric)
    at = step if loss is not None or role == "own" else log.run.final_step
    return RecordRun(
        id=f"{log.path}#{number}",
        role=role,
        step=at,
        metric=metric,
        value=loss if at == step else log.run.final_val_loss,
        train_time_s=None,
        gpu_name=_short(log.run.gpu_name),
        gpu_count=log.run.gpu_count,
        driver=_short(log.run.driver),
        torch=_short(log.run.torch),
        started_at=log.run.started_at,
        script_sha256=log.run.script_sha256,
        note=INCOMPLETE if loss is None and role == "own" else None if ran is None else f"ran {ran}",
    )


def _short(text: str | None) -> str | None:
    """Return a text of a log's header, which anybody may have written, if it is one that a table can hold."""
    return text[:100] if text is not None and text.isprintable() and text.strip() else None


# ------------------------------------------------------------------------------------------------ identity


def _original(row: Row, owned: Owned, commit: str, repository: str, chosen: str | None) -> Original:
    log = owned.linked
    if log is None or log.program is None:
        reason = "the row links no log" if not row.logs else "no log of its own runs holds its script"
        if chosen == NO_RUNS and row.logs:
            reason = "none of the logs that it links is its own"
        return Original(repository, None, "none", None, {}, None, reason)
    return Original(repository, commit, "log", log.path, log.program.hashes, _short(log.run.torch), None)


def _pulled(owned: Owned, known: KnownScripts) -> str | None:
    """Return the pull request whose merge brought its logs, where the subject of the commit names it."""
    if owned.linked is None or owned.folder is None:
        return None
    return known.pull_request(owned.linked.path, owned.folder)


def _ruleset(track: Track, date: datetime.date | None) -> str:
    """Return the newest ruleset of a day that asks for logs alone: those that ask for more came with this harness."""
    of_logs = [ruleset for ruleset in track.rulesets if set(ruleset.evidence) <= {"logs"} and not ruleset.draft]
    dated = [r for r in of_logs if date is None or r.since is None or r.since <= date]
    return (dated or of_logs[:1] or list(track.rulesets))[-1 if dated else 0].id


def _slug(row: Row, owned: Owned, taken: set[str]) -> str:
    """Name the record's folder by the row's date, and upstream's folder or, where that is but a date, the title."""
    folder = _kebab(PurePosixPath(owned.folder).name) if owned.folder else ""
    name = folder or _kebab(row.title) or f"row-{row.number}"
    # A row without a date stands behind its neighbour.
    stem = f"{row.date or row.before or datetime.date(1970, 1, 1)}_{name}"
    names = itertools.chain([stem], (f"{stem}-{n}" for n in itertools.count(2)))
    return next(slug for slug in names if f"{row.track}/{slug}" not in taken)


def _kebab(words: str) -> str:
    words = re.sub(r"^\d{4}[-_]?\d{2}[-_]?\d{2}[-_ ]*", "", words)
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", words)
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:_MOST_SLUG].strip("-")
