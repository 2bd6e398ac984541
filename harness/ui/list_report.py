"""Print the lists of `show`: tracks, records, and the runs of this machine."""

from collections.abc import Sequence

from harness.board.markdown import time_text
from harness.catalog.listing import ListedRecord, ListedTrack
from harness.core.text import plural
from harness.run.past_runs import ListedRun
from harness.ui import console, streams

WIDE = 100  # columns that a list needs for titles beside their figures


def say_tracks(tracks: Sequence[ListedTrack]) -> None:
    """Print what each track is and who holds its record."""
    width = max((len(one.name) for one in tracks), default=0)
    for one in tracks:
        current = f"{one.current} is the current one" if one.current else "none is current"
        records = f"{plural(one.records, 'record')}, {current}"
        console.say(f"  {one.name:<{width}}  {one.title}; {one.ruleset}; {records}")


def say_records(records: Sequence[ListedRecord], left: int, found: int) -> None:
    """Print one line per record, or two where columns are few; left: how many of the `found` ones are not shown."""
    if not records:
        console.say("  no record is like that")
        return
    head = ("record", "claim", "loss", "date", "evidence", "title")
    rows = [
        (
            one.name,
            f"{one.steps:,} steps" if one.steps is not None else time_text(one.train_time_s),
            console.figure(one.loss_mean, ".4f"),
            one.date or "",
            one.evidence + (", withdrawn" if one.withdrawn else ""),
            one.title + (" (current)" if one.current else ""),
        )
        for one in records
    ]
    width = streams.width_of(streams.asked())
    if width is None or width >= WIDE:
        console.say_table(head, rows)
    else:
        for name, claim, loss, date, evidence, title in rows:
            console.say(f"  {name}  {title}")
            console.say(f"      {claim:<11}  {loss:<6}  {date:<10}  {evidence}", wrap=False)
    console.note(_rest(found, left, "record"))


def say_runs(runs: Sequence[ListedRun], left: int) -> None:
    """Print one line per run of this machine."""
    if not runs:
        console.say("  no run of this machine is like that")
        return
    rows = [
        (
            one.id,
            one.purpose or "",
            one.state,
            console.figure(one.step, "d", missing="-"),
            console.figure(one.val_loss, ".4f", missing="-"),
            console.figure(one.train_time_s, ".2f", " s", missing="-"),
            f"{one.track or '?'}: {one.subject or '?'}",
        )
        for one in runs
    ]
    console.say_table(("run", "purpose", "state", "step", "val_loss", "train_time", "of"), rows)
    console.note(_rest(len(runs) + left, left, "run"))


def _rest(found: int, left: int, noun: str) -> str:
    return plural(found, noun) + (f"; {left} older ones are not shown: add --all, or a filter" if left else "")
