"""The records, runs and curves of a project as pandas DataFrames, for notebooks and analyses.

Each of `records`, `runs` and `curves` takes a `Project`, the path of one, or nothing for the project around the current
folder, and reads it; the functions ending in `_frame` take what was read before. `track` and `number` are written as
people write them ("short", "21.1") and join the three tables. What is not known is missing: NA, NaN for floats, NaT for
dates; never 0. The example needs no more than a checkout:

    >>> from harness import frames
    >>> runs = frames.runs()
    >>> own = runs[runs.complete & (runs.role == "own")]
    >>> means = own.groupby(["track", "number"]).train_time_s.agg(["mean", "std", "count"])
    >>> print(means.loc[("short", "12"), "mean"])
    301.825
    >>> table = frames.records().set_index(["track", "number"])
    >>> print(table.loc[("short", "12"), "claimed_time_s"])
    301.8
    >>> curves = frames.curves()
    >>> curve = curves[(curves.track == "short") & (curves.number == "12")]
    >>> print(curve.val_loss.iloc[-1])
    3.2783

Reading raises StoreError with every problem of the files.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from harness.catalog.differences import differences, scripts
from harness.catalog.ranking import current, numbers
from harness.catalog.standing import evidence_of, flags_of
from harness.catalog.tracks import load_tracks
from harness.core.record import Claimed, Record, RecordRun
from harness.core.task import Track
from harness.store.layout import Project, find_project
from harness.store.records import Curve, read_curve, read_records
from harness.store.retimings import NO_TIMINGS, Timings, read_retimings

Source = Project | str | os.PathLike[str] | None
Curves = Mapping[str, Mapping[str, Curve]]  # track -> slug -> points

_IDENTITY = {"track": "string", "number": "string", "slug": "string"}
_RECORDS = _IDENTITY | {
    "kind": "string",
    "date": "datetime64[s]",
    "title": "string",
    "contributors": "object",
    "pull_request": "string",
    "ruleset": "string",
    "claimed_time_s": "float64",
    "claimed_steps": "Int64",
    "claimed_loss": "float64",
    "claimed_runs": "Int64",
    "runs": "int64",
    "replays": "int64",
    "evidence": "string",
    "flags": "object",
    "official": "bool",
    "current": "bool",
    "faster_than": "string",
    "withdrawn": "string",
    "notes": "string",
    "baseline_s": "float64",
    "baseline_low_s": "float64",
    "baseline_high_s": "float64",
    "baseline_script": "string",
    "baseline_record": "string",
    "elsewhere_faster_s": "float64",
    "elsewhere_against": "Int64",
    "elsewhere_source": "string",
}
RUN_COLUMNS = [column.name for column in dataclasses.fields(RecordRun)]
_FLOATS, _WHOLES = ("value", "train_time_s"), ("step", "gpu_count")
_RUNS = (
    _IDENTITY
    | {name: "float64" if name in _FLOATS else "Int64" if name in _WHOLES else "string" for name in RUN_COLUMNS}
    | {"complete": "bool", "cpu": "string"}
)
_CURVES = _IDENTITY | {"step": "int64", "val_loss": "float64", "train_time_s": "float64"}


def records(project: Source = None) -> pd.DataFrame:
    """Read one row per record, in the order of tracks and numbers.

    column              dtype          unit  meaning; what a missing value means
    ------------------  -------------  ----  -------------------------------------------------------------------------
    track               string               name of the track
    number              string               12, or 21.1 for the first re-timing of 21
    slug                string               folder below records/<track>/
    kind                string               record or retiming
    date                datetime64[s]  day   when it was set; missing where the history has none
    title               string               what it is, in a few words
    contributors        object               a tuple of names
    pull_request        string               its number; missing where there was none
    ruleset             string               the rules that it is judged by, like short@2
    claimed_time_s      float64        s     claimed training time; missing where a track ranks by steps
    claimed_steps       Int64                claimed optimizer steps; missing where a track ranks by time
    claimed_loss        float64        nats  claimed mean validation loss per token; missing where none is claimed
    claimed_runs        Int64                how many runs the claim rests on; missing where it does not say
    runs                int64                complete runs of its own in runs.csv
    replays             int64                replays stored with it
    evidence            string               verified, timed, logged or claimed, as the board says it
    flags               object               a tuple of what must be known beside that word
    official            bool                 whether a maintainer timed it beside the current record
    current             bool                 whether it is the record to beat
    faster_than         string               the record that it beat on the same machine; missing where nobody compared
    withdrawn           string               why it was withdrawn; missing where it stands
    notes               string               remarks; missing where there are none
    baseline_s          float64        s     time of its runs less that of its baseline's, means; missing where it has none
    baseline_low_s      float64        s     lower end of the 95 % interval of that; missing where either has one run
    baseline_high_s     float64        s     its upper end; missing where either has one run
    baseline_script     string               sha256 of that baseline's script; missing where there is none
    baseline_record     string               the number of the record whose script it is; missing where no hash tells
    elsewhere_faster_s  float64        s     less than another record, as others measured; missing where they did not
    elsewhere_against   Int64                the number of that other record; missing where nobody else measured
    elsewhere_source    string               repository@commit:path of that figure; missing where nobody else measured
    """
    project = _project(project)
    return record_frame(load_tracks(project.tracks), read_records(project), read_retimings(project))


def record_frame(tracks: Mapping[str, Track], records: Sequence[Record], timings: Timings = NO_TIMINGS) -> pd.DataFrame:
    """Make the table of `records` from records, and what others measured of them, that were read before."""
    best = {id(current(track, records)) for track in tracks.values()}
    known = {name: scripts(mine, numbers(mine)) for name in tracks if (mine := [r for r in records if r.track == name])}
    rows = []
    for identity, record in _numbered(records):
        claimed: Claimed = record.claimed
        track = tracks.get(record.track)
        found = () if track is None else differences(record, known[track.name], track.target_loss)
        base = found[0] if found else None
        other = timings.get((record.track, record.number)) if record.kind == "record" else None
        rows.append(
            (
                *identity,
                record.kind,
                record.date,
                record.title,
                record.contributors,
                record.pull_request,
                record.ruleset,
                claimed.train_time_s,
                claimed.steps,
                claimed.val_loss,
                claimed.runs,
                sum(run.role == "own" and run.complete for run in record.runs),
                len(record.replays),
                evidence_of(record),
                () if track is None else tuple(flag.name for flag in flags_of(track, record)),
                record.official,
                id(record) in best,
                record.faster_than,
                record.withdrawn,
                record.notes,
                *((base.time_s, base.time_low_s, base.time_high_s) if base else (None, None, None)),
                *((base.script_sha256, base.record) if base else (None, None)),
                *((other.faster_s, other.against, other.origin) if other else (None, None, None)),
            )
        )
    return _frame(_RECORDS, rows)


def runs(project: Source = None) -> pd.DataFrame:
    """Read one row per run that stands for a record: the rows of every runs.csv.

    column         dtype    unit  meaning; what a missing value means
    -------------  -------  ----  --------------------------------------------------------------------------------
    track          string         name of the track
    number         string         the record's number, 12 or 21.1
    slug           string         the record's folder below records/<track>/
    id             string         name of the run; for the history the path of its log
    role           string         own; baseline: named so by its author; other: beside them
    step           Int64          the last step; missing where the log has none
    metric         string         what `value` is: val_loss, val_ema_loss or above_entropy
    value          float64  nats  final validation loss per token; missing where it did not validate at its last step
    train_time_s   float64  s     training time as the script printed it; missing where it printed none
    gpu_name       string         name of its GPUs; missing where the log lists none
    gpu_count      Int64          how many; missing where the log lists none
    driver         string         version of the NVIDIA driver; missing where the log does not say
    torch          string         version of torch; missing where the log does not say
    started_at     string         ISO 8601, in the unknown zone of its machine; missing where the log does not say
    script_sha256  string         hash of the script that ran; missing where the log holds no script
    note           string         remarks; missing where there are none
    complete       bool           whether it validated at its last step
    cpu            string         processor of a run without GPUs; missing where it had GPUs or nothing says it
    """
    return run_frame(read_records(_project(project)))


def run_frame(records: Sequence[Record]) -> pd.DataFrame:
    """Make the table of `runs` from records that were read before."""
    columns = list(_RUNS)[len(_IDENTITY) :]
    return _frame(
        _RUNS,
        [
            (*identity, *(getattr(run, column) for column in columns))
            for identity, record in _numbered(records)
            for run in record.runs
        ],
    )


def curves(project: Source = None) -> pd.DataFrame:
    """Read one row per validation of the run that each record's curve.csv holds; records without one have no row.

    column        dtype    unit  meaning; what a missing value means
    ------------  -------  ----  ---------------------------------------------------------------------------------
    track         string         name of the track
    number        string         the record's number, 12 or 21.1
    slug          string         the record's folder below records/<track>/
    step          int64          optimizer steps before this validation
    val_loss      float64  nats  validation loss per token; on a secret source its distance to the entropy
    train_time_s  float64  s     training time until then; missing where the log prints none
    """
    project = _project(project)
    records = read_records(project)
    return curve_frame(records, read_curves(project, records))


def curve_frame(records: Sequence[Record], curves: Curves) -> pd.DataFrame:
    """Make the table of `curves` from records and curves that were read before."""
    return _frame(
        _CURVES,
        [
            (*identity, *point)
            for identity, record in _numbered(records)
            for point in curves.get(record.track, {}).get(record.slug, ())
        ],
    )


def read_curves(project: Project, records: Iterable[Record]) -> dict[str, dict[str, Curve]]:
    """Read the curve of each record."""
    curves: dict[str, dict[str, Curve]] = {}
    for record in records:
        curves.setdefault(record.track, {})[record.slug] = read_curve(project.records / record.track / record.slug)
    return curves


def _project(source: Source) -> Project:
    if isinstance(source, Project):
        return source
    return find_project(Path.cwd(), None if source is None else os.fspath(source))


def _numbered(records: Iterable[Record]) -> Iterator[tuple[tuple[str, str, str], Record]]:
    """Give each record with its track, number and slug, in the order of tracks and numbers."""
    by_track: dict[str, list[Record]] = {}
    for record in records:
        by_track.setdefault(record.track, []).append(record)
    for track in sorted(by_track):
        shown = numbers(by_track[track])
        for record in sorted(by_track[track], key=lambda record: [int(n) for n in shown[record.slug].split(".")]):
            yield (track, shown[record.slug], record.slug), record


def _frame(dtypes: Mapping[str, str], rows: Sequence[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(dtypes), dtype=object).astype(dtypes)
