"""What is left of a command that makes several runs, and what it costs.

The harness writes one `command.json` into the folder of each run, so that `show RUN --follow` in another terminal knows
as much as the terminal that the command was started in.
"""

from dataclasses import dataclass
from typing import Annotated

from harness.core.codec import Form
from harness.core.constraints import Text
from harness.run.run_progress import State

COMMAND_FILE = "command.json"
MOST_BYTES = 1 << 16
_Short = Annotated[str, Text("a short text", r"[^\n]*", max_length=200)]


@dataclass(frozen=True, slots=True)
class Command:
    """The command that a run is made by, as it was when the run began."""

    schema: int
    number: int  # of the run, from 1; 0: it comes before those that are counted
    count: int  # of runs, at most
    at_most: bool  # it may end sooner
    what: _Short | None  # which run this is, where its number does not tell: "A", "the script on other text"
    beside: _Short | None  # the record whose curve stands beside that of the run
    target: float | None  # loss to be reached; above the entropy where that is known
    entropy: float | None  # of the source, where losses are told as distances to it
    usd_per_hour: float | None
    spent_s: float  # by the command before this run
    made: int  # runs of the command before this one
    usual_s: float | None  # of one run of this script on this machine so far


COMMAND_FORM = Form(Command, "json", (1,), max_bytes=MOST_BYTES)


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left, in seconds, and what it costs, in US dollars; None where nothing tells."""

    run_s: float | None
    command_s: float | None
    spent_usd: float | None
    total_usd: float | None


def rest_of(command: Command, state: State, *, over: bool) -> Rest:
    """Estimate the rest of a run and of its command.

    A run that does not train yet takes as long as runs of its command took before, or as usual on this machine. The runs
    that follow take as long as those before, with what lies between them, such as scoring.
    """
    mean_s = command.spent_s / command.made if command.made else command.usual_s
    elapsed_s = state.elapsed_s or 0.0
    run_s = state.left_s
    if run_s is None and mean_s is not None:
        run_s = max(0.0, mean_s - elapsed_s)
    run_s = 0.0 if over else run_s
    each_s = mean_s if mean_s is not None else (None if run_s is None else elapsed_s + run_s)
    following = max(0, command.count - command.number)
    command_s = None if run_s is None or each_s is None else run_s + following * each_s
    if command.usd_per_hour is None:
        return Rest(run_s, command_s, None, None)
    spent_s = command.spent_s + elapsed_s
    total_s = None if command_s is None else spent_s + command_s
    usd = command.usd_per_hour / 3600
    return Rest(run_s, command_s, spent_s * usd, None if total_s is None else total_s * usd)
