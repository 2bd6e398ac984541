"""What the page of one record shows: its facts in words and figures, its curve, its runs and the commands."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from harness.board import markdown
from harness.board.code_changes import Change
from harness.board.milestones import in_order, is_idea
from harness.board.rows import Row, baseline_text, elsewhere_text, replayed_texts
from harness.board.site import track_page
from harness.catalog.originals import where_it_lies
from harness.catalog.standing import MEANINGS
from harness.core.record import Record, RecordRun
from harness.core.task import Track
from harness.store.records import Curve

Fact = tuple[str, str]
MOST_DIFF_LINES = 2_000
_WIDEST_CODE = 400  # characters of a line


def entry(
    track: Track, record: Record, row: Row, gain: str, beside: Mapping[str, Row | None], curves: Mapping[str, Curve]
) -> dict[str, Any]:
    """Return what the page of a record shows; `beside` names the rows before and after it, and that of its comparison."""
    before = beside["against"]
    points = curves.get(row.slug, ())
    alike = before is not None and before.metric == row.metric
    theirs = {step: loss for step, loss, _ in curves.get(before.slug, ())} if before is not None and alike else {}
    return {
        "row": row,
        "figure": _claim(track, row),
        "names": track_page.names(row),
        "meaning": MEANINGS[row.evidence],
        "gain": gain,
        "sources": _sources(record, row),
        "facts": [fact for fact in _facts(record, row) if fact[1]],
        "environment": [fact for fact in _environment(record, row) if fact[1]],
        "points": points,
        "theirs": theirs if any(step in theirs for step, *_ in points) else {},
        "against": before,
        "runs": [_run(run) for run in record.runs],
        "commands": _commands(row, before),
        "neighbours": [
            (word, one, track_page.place(one)) for word in ("before", "after") if (one := beside[word]) is not None
        ],
    }


def neighbours(rows: Sequence[Row]) -> dict[str, dict[str, Row | None]]:
    """Return by slug the rows before and after each, and the record before that its curve is compared with."""
    listed = in_order(rows)
    found: dict[str, dict[str, Row | None]] = {}
    standing: Row | None = None
    for place, row in enumerate(listed):
        after = listed[place + 1] if place + 1 < len(listed) else None
        found[row.slug] = {"before": listed[place - 1] if place else None, "after": after, "against": standing}
        if is_idea(row):
            standing = row
    return found


def _claim(track: Track, row: Row) -> str:
    if track.metric == "train_time":
        minutes = markdown.time_text(row.claimed_time_s)
        return "" if row.claimed_time_s is None else f"{markdown.seconds(row.claimed_time_s)} s ({minutes})"
    return "" if row.claimed_steps is None else f"{row.claimed_steps:,} steps"


def _facts(record: Record, row: Row) -> list[Fact]:
    time = "" if row.time_mean_s is None else f"{row.time_mean_s:.2f}{_spread(row.time_sd_s, '.2f')} s"
    return [
        ("runs of its own", f"{row.runs} complete" if row.runs else ""),
        ("time of its runs", time),
        (
            "loss of its runs",
            markdown.loss_text(row) + _spread(row.loss_sd, ".4f") if row.loss_mean is not None else "",
        ),
        ("p", "" if row.p is None else f"{row.p:.2g}"),
        ("margin·√n", "" if row.rule_value is None else f"{row.rule_value:.4f}"),
        *(("beside a baseline", baseline_text(row.track, one)) for one in row.baselines),
        ("measured elsewhere", "" if row.elsewhere is None else elsewhere_text(row.track, row.elsewhere)),
        *(("replayed", told) for told in replayed_texts(row.replayed)),
        ("rules", row.ruleset),
        ("merged script", _merged(record)),
        ("notes", row.notes or ""),
    ]


def _merged(record: Record) -> str:
    if record.merged is None:
        return ""
    if record.merged.commit is None:
        return f"not known: {record.merged.reason or 'nobody says which'}"
    return f"at commit {record.merged.commit[:8]}"


def _spread(sd: float | None, form: str) -> str:
    return "" if sd is None else f" ± {sd:{form}}"


def _environment(record: Record, row: Row) -> list[Fact]:
    own = [run for run in record.runs if run.role == "own"]
    torch = sorted({run.torch for run in own if run.torch is not None})
    driver = sorted({run.driver for run in own if run.driver is not None})
    return [("machine", row.machine or ""), ("torch", ", ".join(torch)), ("driver", ", ".join(driver))]


def _run(run: RecordRun) -> dict[str, str]:
    return {
        "role": run.role,
        "steps": "" if run.step is None else f"{run.step:,}",
        "loss": "" if run.value is None else f"{'entropy + ' if run.metric == 'above_entropy' else ''}{run.value:.4f}",
        "time": "" if run.train_time_s is None else f"{run.train_time_s:.2f}",
        "machine": f"{run.gpu_count or '?'}× {run.gpu_name}" if run.gpu_name else run.cpu or "",
        "script": (run.script_sha256 or "")[:8],
        "started": run.started_at or "",
        "note": "" if run.complete else "incomplete",
    }


def _commands(row: Row, before: Row | None) -> list[str]:
    name = _name(row)
    commands = [f"speedrun replay {name} --plan", f"speedrun replay {name}", f"speedrun show {name}"]
    return commands if before is None else [*commands, f"speedrun diff {name} --against {_name(before)}"]


def _name(row: Row) -> str:
    """Return what commands call a record: upstream may give the number of one that was accepted here to another."""
    return f"{row.track}/{row.number}" if row.repository is not None else f"records/{row.track}/{row.slug}"


def _sources(record: Record, row: Row) -> list[Fact]:
    """Return what can be looked up, each with its address."""
    found = [(f"pull request {row.pull_request}", track_page.pull_request(row)), ("log", row.log)]
    original, merged = record.original, record.merged
    if original is not None and original.kind in ("file", "git") and original.path:
        found.append(("its script", _address(original.repository, *where_it_lies(original))))
    if merged is not None:
        found.append(("the merged script", _address(merged.repository, merged.commit, next(iter(merged.files), ""))))
    return [(name, address) for name, address in found if address is not None]


def _address(repository: str | None, commit: str | None, path: str) -> str | None:
    """Return where a file of a repository is shown at a commit; None where one of the two is not known."""
    return f"https://github.com/{quote(repository)}/blob/{commit}/{quote(path)}" if repository and commit else None


def code_change(row: Row, change: Change | None, shown: Mapping[str, Row]) -> dict[str, Any] | None:
    """Return how much of the code a record changed, and the change; None where one of the two scripts is not here."""
    if change is None:
        return None
    against = shown[change.against.slug]
    return {
        "size": change.diff.size if change.diff.lines or change.diff.remarks else "Nothing",
        "against": against,
        "page": track_page.place(against),
        "reimplemented": change.reimplemented,
        "remarks": change.diff.remarks,
        "lines": [_cut(one.expandtabs(4)) for one in change.diff.lines[:MOST_DIFF_LINES]],
        "more": max(0, len(change.diff.lines) - MOST_DIFF_LINES),
    }


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST_CODE else f"{text[:_WIDEST_CODE]}…"
