"""What `run` and `verify` tell a person: the plan before, the run while it goes, the verdict and the row after.

A story module: it puts what the stages know into sentences and hands them to the console.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness import console, machine, stats
from harness.pipeline import Sitting
from harness.runlog import grammar
from harness.schema import Metrics, Verdict
from harness.subject import Subject
from harness.verdict.base import Evidence


def say_plan(sitting: Sitting) -> None:
    """Say what is going to be run, where, and how it will be judged."""
    found = sitting.subject
    track, hardware = found.track, found.track.hardware
    console.say(f"{_title(found)}: {found.entry} ({found.script_sha256[:12]}) of {found.name}")
    console.say(f"  track    {track.name}: {track.title}; judged by {found.ruleset.id}")
    console.say(f"  machine  {machine.describe(machine.capture())}")
    if sitting.dry:
        overrides = " ".join(track.dry)
        console.say(f"  dry run  1 run, scaled down ({overrides}), on synthetic data; never judged, never ranked")
        return
    of_what = f"{hardware.processes}× {hardware.gpu_name}" if hardware.gpu_name else f"{hardware.processes} processes"
    have = f"; {len(sitting.done)} finished runs of an earlier start count" if sitting.done else ""
    console.say(f"  runs     {sitting.runs} on {of_what}, each with a seed drawn by the harness{have}")
    console.say(f"  data     {_data(found)}")


def _title(found: Subject) -> str:
    if found.record is not None:
        return f"{found.record.track}/{found.record.number}: {found.record.title}"
    return found.manifest.title if found.manifest else found.name


def _data(found: Subject) -> str:
    data = found.track.data
    if data.source == "synthetic":
        return f"made here from seed {data.seed}: {data.shard_tokens:,} train tokens"
    shards = 1 + -(-found.train_tokens // data.shard_tokens)
    size = shards * data.shard_tokens * 2 / 1e9
    return f"{shards} shards of {data.repository}, {size:.1f} GB where not in the cache yet"


def watch(sitting: Sitting) -> Callable[[str, int, int], Callable[[bytes], None]]:
    """A watcher for the pipeline: shows every run while it goes."""

    def begin(run_id: str, number: int, count: int) -> Callable[[bytes], None]:
        live = console.LiveRun(f"run {number}/{count}", sitting.subject.track.target_loss)

        def take(line: bytes) -> None:
            metric = grammar.parse_metric(line.decode("utf-8", "replace"))
            if metric is not None:
                live.show(metric.step, metric.total_steps, metric.val_loss, metric.train_time_s, metric.step_avg_ms)
                if metric.step == metric.total_steps and metric.val_loss is not None:
                    live.end()

        console.say(f"run {number}/{count}  {run_id}: torchrun starts (about 4 s until the first line)")
        return take

    return begin


def say_dry_end(sitting: Sitting) -> None:
    """Say that the pipeline works."""
    console.say(
        f"the dry run of {sitting.subject.name} went through: launch, log and clock work here; nothing was judged"
    )


def say_outcome(found: Subject, gathered: Evidence, verdict: Verdict) -> int:
    """Print runs, findings, verdict and the row it would earn; the exit status that follows."""
    console.say("")
    say_runs(gathered.runs)
    console.say("")
    console.say_verdict(verdict)
    if verdict.outcome == "pass":
        say_row(found, gathered)
    return 0 if verdict.outcome == "pass" else 1


def say_runs(runs: Sequence[Metrics]) -> None:
    """One line per run."""
    rows = []
    for run in runs:
        loss = "none" if run.val_loss is None else f"{run.val_loss:.4f}"
        time = "none" if run.train_time_s is None else f"{run.train_time_s:.2f} s"
        wall = "none" if run.wall_time_s is None else f"{run.wall_time_s:.2f} s"
        rows.append((run.run_id, str(run.seed), str(run.step), loss, time, wall))
    console.say_table(("run", "seed", "step", "val_loss", "train_time", "wall_time"), rows)


def say_row(found: Subject, gathered: Evidence) -> None:
    """The row of the leaderboard that these runs would earn."""
    losses = [run.val_loss for run in gathered.runs if run.val_loss is not None]
    times = [run.train_time_s for run in gathered.runs if run.train_time_s is not None]
    steps = gathered.runs[0].step
    time = f"{stats.mean(times):.2f} s" + (f" ± {stats.sd(times):.2f}" if len(times) > 1 else "") if times else "none"
    console.say("")
    console.say("the row it would earn:")
    console.say_table(
        ("track", "steps", "train_time (mean ± sd)", "runs", "mean val_loss", "title"),
        [(found.track.name, str(steps), time, str(len(losses)), f"{stats.mean(losses):.4f}", _title(found))],
    )
    if found.track.metric == "steps":
        console.say("  ranked by steps; seconds are this machine's and are never compared with another's")
    else:
        console.say("  it becomes a record only if it is faster than the current one in a same-machine comparison")
