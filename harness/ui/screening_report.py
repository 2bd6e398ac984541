"""Print the answer to one try of a script."""

from harness.core.text import plural
from harness.screening.answer import Answer, Figure
from harness.ui import console

_STYLE = {"passed": "green", "failed": "yellow"}


def say(answer: Answer) -> None:
    """Print what became of a try, what it measured and what it took."""
    for line in answer.lines:
        console.say(f"  | {line}")
    label = f" ({answer.label})" if answer.label else ""
    console.say(f"{answer.stage}: {answer.status}{label}: {answer.message}", style=_STYLE.get(answer.status, "red"))
    for found in answer.findings:
        console.say(f"  a verdict will say: {found}", style="yellow")
    for shown in (answer.metric, answer.loss):
        if shown is not None:
            console.say(f"  {_figure(shown)}")
    if answer.runs:
        spent = f"{plural(len(answer.runs), 'run')}, {answer.wall_time_s:.1f} s, {answer.gpu_hours:.3g} GPU hours"
        of = "" if answer.budget_gpu_hours is None else f" of {answer.budget_gpu_hours:g}"
        console.say(f"  spent {spent}{of}")
    if answer.scripts_tried and answer.track:
        console.say(f"  {plural(answer.scripts_tried, 'script')} tried on {answer.track} here")


def _figure(shown: Figure) -> str:
    interval = (
        "" if shown.interval is None else f", 95 % of the mean {shown.interval[0]:.4f} to {shown.interval[1]:.4f}"
    )
    return f"{shown.name} {shown.mean:.4f} {shown.unit} (n = {shown.n}{interval})"
