"""Print what goes to a cluster, what it may cost, and what came back."""

from collections.abc import Sequence

from harness.cluster.driver import Outcome
from harness.cluster.exchange import SAID
from harness.cluster.tasks import Series, Task
from harness.core.task import Ruleset
from harness.core.text import plural
from harness.store.clusters import Cluster
from harness.store.layout import Project
from harness.ui import console
from harness.verdict import statistics


def say_plan(
    cluster: Cluster,
    series: Series,
    rulesets: Sequence[Ruleset],
    *,
    is_new: bool,
    done: Sequence[str],
    price: float | None,
) -> None:
    """Say which tasks there are, where they run, what a preemption costs and what all of it may cost at most."""
    say = console.say
    where = [cluster.provider, *([f"partition {cluster.partition}"] if cluster.partition else [])]
    where += [f"{cluster.gpus} GPUs each"] if cluster.gpus else []
    where += [f"{cluster.walltime} each"] if cluster.walltime else []
    say(f"series   {series.id}{'' if is_new else ': begun before, this goes on with it'}")
    say(f"  nodes    {cluster.nodes} at once, each for one task at a time: {', '.join(where)}")
    for task in series.tasks:
        say(f"  task {task.number:<3} {described(task)}")
    for said in done:
        say(f"  done     {said}")
    judged = [task for task in series.tasks if task.judged]
    if judged:
        say("  ledger   all tasks are declared before the first starts; one that does not come back is inconclusive")
    counting = [task for task in judged if task.verb in ("run", "compare")]
    for ruleset in {ruleset.id: ruleset for ruleset in rulesets}.values() if counting else ():
        runs = sum(task.runs for task in counting) // max(1, len(rulesets))
        say(f"  preempt  {preempted(ruleset, runs, cluster)}", style="yellow" if cluster.preemptible else None)
    if any(task.verb == "compare" for task in series.tasks):
        say("  compare  both scripts on one node; after a preemption a new comparison begins and names this one")
    if cluster.hours is not None:
        hours = cluster.hours * len(series.tasks)
        usd = "" if price is None else f", {hours * price:,.2f} USD"
        say(f"  at most  {hours:.1f} node-hours{usd}; up to {1 + cluster.retries} times that where runs break")


def described(task: Task) -> str:
    """Say what a task does, in one line."""
    runs = f", {plural(task.runs, 'run')}" if task.runs else ""
    words = [word for word in task.arguments if word != "--json"]
    flags = f" {' '.join(words)}" if words else ""
    return f"{task.title}{flags}{runs}"


def preempted(ruleset: Ruleset, runs: int, cluster: Cluster) -> str:
    """Say what one preempted run costs a submission under a ruleset."""
    test = ruleset.significance
    runs = runs or test.min_runs
    if test.test == "t":
        level, ways = test.alpha or 0.01, statistics.ways(runs, 1)
        cost = f"one among {runs} lowers the level of {ruleset.id} from {level:g} to {level / ways:.2g}"
    else:
        above = statistics.HOPELESS * (test.sigma_floor or 0.0) if test.test == "sequential" else test.margin or 0.0
        cost = f"under {ruleset.id} one is a loss {above:.4g} above the target"
    where = "the partition" if cluster.partition is None else f"the partition {cluster.partition}"
    may = "tasks may be preempted" if cluster.preemptible else f"{where} must not preempt"
    return f"{f'{may}; ' if cluster.provider == 'slurm' else ''}a run that is ended counts as aborted: {cost}"


def say_outcomes(outcomes: Sequence[Outcome], project: Project, price: float | None) -> None:
    """Say how each task ended, and what all of them took."""
    if not outcomes:
        return
    console.say("")
    for outcome in outcomes:
        style = None if outcome.state == "complete" else "yellow"
        said = outcome.result.problem or f"exit status {outcome.result.status}"
        why = "" if outcome.state == "complete" else f" ({said})"
        console.say(f"task {outcome.attempt.folder.name:<5} {outcome.state:<11} {outcome.task.title}{why}", style=style)
        if outcome.state in ("broken", "refused"):
            console.say(f"            {last_line(outcome)}", style=style)
            console.say(f"            see {project.show(outcome.attempt.folder / SAID)}", style=style)
        for problem in outcome.problems:
            console.say(f"            {problem}", style=style)
    seconds = sum(outcome.result.seconds for outcome in outcomes)
    usd = "" if price is None else f", {seconds / 3600 * price:,.2f} USD"
    console.say(f"the last attempts took {seconds / 3600:.2f} node-hours{usd}")


def last_line(outcome: Outcome) -> str:
    """Return the last line that the command of a task said, which names what is wrong; its text may be anybody's."""
    try:
        with (outcome.attempt.folder / SAID).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4096))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return "it said nothing"
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")
