"""Write records.json and records.csv from rows: the whole board as data, with every column documented."""

import csv
import dataclasses
import io
import json
import operator
from collections.abc import Iterable
from typing import Any

from harness.board.rows import Row, baseline_text, elsewhere_text, replayed_texts
from harness.catalog.standing import MEANINGS

SCHEMA = 1
COLUMNS = {
    "track": "the race",
    "number": "12, or 21.1 for the first re-timing of 21",
    "kind": "record or retiming",
    "slug": "folder under records/<track>/",
    "title": "what it is, in a few words",
    "date": "ISO date; empty where the history has none",
    "contributors": "who; in the CSV joined by ;",
    "pull_request": "number of the pull request",
    "repository": "where the original lies",
    "ruleset": "the rules that it is judged by",
    "claimed_time_s": "claimed training time, seconds",
    "claimed_steps": "claimed optimizer steps",
    "runs": "how many own complete runs the figures come from",
    "baseline_runs": "how many runs of its parent came with it",
    "time_mean_s": "mean training time of the runs, seconds",
    "time_sd_s": "its sample standard deviation (n - 1)",
    "metric": "what the losses of the row are: val_loss, or above_entropy, the distance to the entropy of a secret source",
    "loss_mean": "mean of the final losses of the runs, nats per token",
    "loss_sd": "its sample standard deviation (n - 1)",
    "p": "one-sided one-sample t-test of the mean loss below the target",
    "rule_value": "(target - mean) * sqrt(n), where the rules name it",
    "evidence": "; ".join(f"{word}: {meaning}" for word, meaning in MEANINGS.items()),
    "flags": "what must be known beside that word: name, said (one sentence); in the CSV the names",
    "replays": "how many replays are stored with it",
    "replayed": "each replay: date, by, gpus, script, environment, runs, time_off (replayed / claimed - 1), loss_off"
    " (replayed - claimed), within_spread of its own runs; in the CSV in short",
    "withdrawn": "why it was withdrawn",
    "machine": "what the runs ran on",
    "current": "whether it is the track's current record",
    "official": "whether a maintainer timed it beside the current record",
    "log": "address of the log that its original is",
    "merged": "commit whose program holds the record, where that is not its original; the runs may be of the original",
    "notes": "remarks",
    "baselines": "its own runs less those of each other script in its folder on the same GPUs, the likeliest baseline first:"
    " script_sha256, record (whose script it is, where a hash tells), step, runs, own_runs, reaches_target (whether its mean"
    " loss does; null where that is of another kind), time_s and loss with their 95 % intervals, unlike (what the logs name"
    " differently); in the CSV in short",
    "elsewhere": "what somebody else measured, never ranked: source, origin, date, against (a number of the track), faster_s"
    " (mean seconds that it takes less than that one); in the CSV in short",
}
_values = operator.attrgetter(*COLUMNS)


def to_json(rows: Iterable[Row]) -> str:
    """Write all rows as one JSON object with schema version and the meaning of each column."""
    data = {"schema": SCHEMA, "columns": COLUMNS, "records": [_plain(row) for row in rows]}
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(rows: Iterable[Row]) -> str:
    """Write all rows as CSV; what is not known is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        plain = _plain(row)
        plain["contributors"] = ";".join(row.contributors)
        plain["flags"] = "; ".join(flag.name for flag in row.flags) or None
        plain["replayed"] = "; ".join(replayed_texts(row.replayed)) or None
        plain["baselines"] = "; ".join(baseline_text(row.track, one) for one in row.baselines) or None
        plain["elsewhere"] = None if row.elsewhere is None else elsewhere_text(row.track, row.elsewhere)
        writer.writerow(map(_guarded, plain.values()))
    return text.getvalue()


def _plain(row: Row) -> dict[str, Any]:
    """Give a row's values by column as JSON holds them."""
    plain = dict(zip(COLUMNS, map(_digits, _values(row)), strict=True))
    plain["contributors"] = list(row.contributors)
    plain["flags"] = [_inside(flag) for flag in row.flags]
    plain["replayed"] = [_inside(mark) for mark in row.replayed]
    plain["baselines"] = [_inside(one) for one in row.baselines]
    plain["elsewhere"] = None if row.elsewhere is None else _inside(row.elsewhere)
    return plain


def _inside(value: Any) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else _digits(v) for key, v in dataclasses.asdict(value).items()}


def _digits(value: Any) -> Any:
    """Keep twelve digits: enough for every figure, and the last bits of a mean do not differ between machines."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


def _guarded(value: object) -> object:
    """Put an apostrophe before a text that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "\t", "\r") else value
