"""Say what an import does: the new records, the rows that are left out and why, and what upstream says otherwise."""

from collections.abc import Callable

from harness.core.text import plural
from harness.maintain.importing import ImportPlan, LeftOut, New
from harness.ui import console

MOST_GROUPS = 12  # of one row that are listed; --json has all


def say_plan(plan: ImportPlan) -> None:
    """Print what is new, what is left out with its line, and what differs; all of it is the product."""
    console.say(f"upstream at {plan.commit[:12]}: {_rows(plan.known)} here already")
    for new in plan.new:
        _say_new(new)
    for left in plan.left_out:
        _say_left_out(left)
    for other in plan.differences:
        text = (
            f"differs   {other.name}: {other.what}: {other.here} here, {other.upstream} upstream; the file here stays"
        )
        console.say(text, style="yellow")
    if plan.without_row:
        text = f"no row    links {plural(len(plan.without_row), 'folder')} with logs; `--json` lists them"
        console.say(text, style="dim")


def say_end(plan: ImportPlan, show: Callable[[New], str], *, planned: bool) -> None:
    """Say what was written, or would be, and what to do next."""
    done = "would be imported" if planned else "imported"
    parts = [f"{_rows(len(plan.new))} {done}", f"{_rows(len(plan.left_out))} left out"]
    console.say("; ".join([*parts, plural(len(plan.differences), "difference")]))
    if plan.new and not planned:
        for new in plan.new:
            console.say(f"wrote {show(new)}")
        console.say("now write the board with `speedrun board`, and commit all of it together")


def _rows(count: int) -> str:
    return plural(count, "row")


def _say_new(new: New) -> None:
    record, claimed = new.record, new.record.claimed
    claim = f"{claimed.steps} steps" if claimed.train_time_s is None else f"{claimed.train_time_s:g} s"
    counts = [(sum(r.role == role for r in record.runs), role) for role in ("own", "baseline", "other")]
    runs = ", ".join(f"{count} {role}" for count, role in counts if count) or "none"
    console.say(f"new       {new.name}: {claim}, runs: {runs}; {record.title}", style="green")
    for remark in new.remarks:
        console.say(f"          {remark}")
    if new.clash is not None:
        text = f"          {new.clash} was accepted here under the same number; both rows of the board say so"
        console.say(text, style="yellow")


def _say_left_out(left: LeftOut) -> None:
    name = f" {left.name}" if left.name else ""
    console.say(f"left out  {left.where}{name}: {left.what}; {left.todo}", style="red")
    for group in left.groups[:MOST_GROUPS]:
        gpus = "GPUs unknown" if group.gpus is None else f"{group.gpus}× {group.gpu_name or 'GPU'}"
        script = (group.script_sha256 or "no source")[:12]
        text = f"{plural(group.runs, 'run')} of {group.steps or '?'} steps, {gpus}, {script}: {group.folder}"
        console.say(f"          {text}")
    if len(left.groups) > MOST_GROUPS:
        console.say(f"          … and {len(left.groups) - MOST_GROUPS} more")
