"""Write what rows hold as Markdown: figures, names, links, and what a record gained, in words.

Titles, names and links come from submissions: nothing of them may end a cell, start a link or an image, call anybody,
or become HTML. Characters with a meaning are written as entities, control characters as visible escapes; addresses and
names with an `@` are cut by an empty comment.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote

from harness.board.milestones import in_order
from harness.board.rows import Row
from harness.catalog.differences import Difference
from harness.core.task import Track

_CUT = "<!-- -->"
_ESCAPED = str.maketrans({char: f"&#{ord(char)};" for char in "&<>|`*_[]\\~!#"} | {"\0": _CUT})
# What GitHub makes a link or a mention of in plain text: `@name`, `name@host`, `https://…`, `www.…`, `#1`, `GH-1`. It looks
# for them after entities have become letters, so only something between the letters stops it; a comment shows nothing.
_LIVE = re.compile(r"@(?=\S)|:(?=//)|www(?=\.)|#(?=[0-9])|GH(?=-[0-9])", re.IGNORECASE)


def line(cells: Iterable[str]) -> str:
    """Write one line of a table from escaped cells."""
    return f"| {' | '.join(cells)} |"


NEWEST = 5  # ideas that are told in words


def order(tracks: Mapping[str, Track]) -> list[str]:
    """Order the tracks as the page shows them: those ranked by time first, the one for any computer last."""
    return sorted(
        tracks, key=lambda n: (tracks[n].hardware.kind == "any", tracks[n].metric == "steps", n != "short", n)
    )


def step_changes(rows: Sequence[Row]) -> dict[str, int | None]:
    """Compute by slug how many steps more each row takes than the fewest before it; None where nothing is before."""
    found: dict[str, int | None] = {}
    fewest: int | None = None
    for row in in_order(rows):
        steps = row.claimed_steps
        found[row.slug] = None if steps is None or fewest is None else steps - fewest
        if steps is not None and row.withdrawn is None:
            fewest = steps if fewest is None else min(fewest, steps)
    return found


def is_advance(row: Row, deltas: Mapping[str, int | None]) -> bool:
    """Whether a row that stands took fewer steps than any before it, or is the first."""
    delta = deltas[row.slug]
    return row.withdrawn is None and row.claimed_steps is not None and (delta is None or delta < 0)


def gain_text(row: Row, before: Row | None, deltas: Mapping[str, int | None]) -> str:
    """Say what a record gained: on one host where its baseline's runs tell, and by claims."""
    if row.slug in deltas:
        return _step_gain(row, deltas[row.slug])
    gain = same_host(row)
    told = []
    if gain is not None and gain.time_s is not None:
        whose = "its baseline" if gain.record is None else f"the script of #{gain.record}"
        unlike = f"; another {' and '.join(gain.unlike)}" if gain.unlike else ""
        runs = f"{gain.own_runs} and {gain.runs} runs{unlike}"
        told.append(f"{_less(gain.time_s)} than {whose}, run beside it ({runs})")
    if row.claimed_time_s is not None and before is not None and before.claimed_time_s is not None:
        doubt = "" if told else ", maybe of another host"
        told.append(f"claims {_less(row.claimed_time_s - before.claimed_time_s)} than #{before.number} claims{doubt}")
    return "; ".join(told) or "no gain known"


def _less(change: float) -> str:
    return f"{abs(change):.2f} s {'less' if change <= 0 else 'more'}"


def _step_gain(row: Row, delta: int | None) -> str:
    if row.claimed_steps is None:
        return "no steps claimed"
    told = f"{row.claimed_steps:,} steps"
    if not delta:
        return told if delta is None else f"{told}, as many as the fewest before"
    return f"{told}, {abs(delta):,} {'fewer than any' if delta < 0 else 'more than the fewest'} before"


def same_host(row: Row) -> Difference | None:
    """Return the likeliest baseline that has times and reaches the target; one cut in steps shows no gain in time."""
    return next((one for one in row.baselines if one.time_s is not None and one.reaches_target is not False), None)


def measured_text(gain: Difference, form: str) -> str:
    """Write a gain in time, beside which record's script it was measured, and what was another there: `−1.04 (#84)`."""
    if gain.time_s is None:
        return ""
    beside = [f"#{gain.record}"] if gain.record is not None else []
    told = ", ".join([*beside, *(f"other {what}" for what in gain.unlike)])
    return signed(gain.time_s, form) + (f" ({told})" if told else "")


def names(row: Row) -> str:
    """Write who made a record."""
    return cell(", ".join(name.removeprefix("@") for name in row.contributors))


def signed(value: float, form: str) -> str:
    """Write a number with its sign, a zero without."""
    return f"{value:+{form}}".replace("-", "−") if value else f"{value:{form}}"


def seconds(value: float | None) -> str:
    """Write seconds with at most two decimals."""
    return "" if value is None else f"{value:,.2f}".rstrip("0").rstrip(".")


def time_text(value: float | None) -> str:
    """Write a training time in minutes, as the field does, to at most four digits."""
    return "" if value is None else f"{value / 60:.4g} min"


def loss_text(row: Row, *, runs: bool = False) -> str:
    """Write the mean loss, or by how much it lies above the entropy of a secret source; on request with the runs."""
    above = "" if row.metric == "val_loss" else "entropy + "
    return "" if row.loss_mean is None else f"{above}{row.loss_mean:.4f}" + (f" ({row.runs})" if runs else "")


def evidence_text(row: Row) -> str:
    """Write the word for a row's evidence and its flags."""
    told = [row.evidence, *(flag.name for flag in row.flags if flag.name != "withdrawn")]
    return cell(", ".join(told if row.withdrawn is None else [*told, f"withdrawn: {row.withdrawn}"]))


def link(row: Row) -> str:
    """Write the title as a link of the board to the record's page."""
    return f"[{cell(row.title)}]({page(row)})"


def page(row: Row) -> str:
    """Return where a record's page lies in the project, as a link."""
    return f"leaderboard/{quote(f'{row.track}/{row.slug}')}.md"


def pull_request(row: Row) -> str:
    """Write the pull request as a link, where it is a plain number and its repository is known."""
    if row.pull_request is None:
        return ""
    if re.fullmatch(r"[0-9]{1,9}", row.pull_request) and row.repository:
        address = f"https://github.com/{quote(row.repository)}/pull/{row.pull_request}"
        return f"[{row.pull_request}]({address})"
    return cell(row.pull_request)


def cell(text: str) -> str:
    """Escape text so that it means nothing but itself in a Markdown table."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text.replace("\n", " "))
    # No NUL is left in what is printable, so it can stand for a cut until the text is escaped.
    return _LIVE.sub(r"\g<0>\0", text).translate(_ESCAPED)
