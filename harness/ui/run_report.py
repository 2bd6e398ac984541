"""Print for `run` and `verify`: the plan before, the run while it goes, the verdict and the row after.

It puts what the stages know into sentences and passes them to the console.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.catalog.lookup import Catalog
from harness.catalog.subjects import Subject
from harness.core import stats
from harness.core.errors import Problem
from harness.core.judgement import Verdict
from harness.core.measurement import Machine, Metrics
from harness.core.task import Track
from harness.core.text import plural
from harness.evidence import gather, timeline
from harness.evidence.contents import Evidence
from harness.machine import computer
from harness.run import judging
from harness.store.layout import Project
from harness.ui import console, plan_data, score_report
from harness.verdict.distance import by_distance

PAST = "these are the final figures of its own runs as imported; its logs are not here"

if TYPE_CHECKING:  # numpy comes with it, which `check` does without
    from harness.run.series import SeriesPlan


def say_plan(plan: SeriesPlan, stops: Sequence[Problem] = (), *, torch: str | None = None) -> None:
    """Print what is going to be run, where, and how it will be judged.

    stops: what would end it before its first run. torch: the version in an environment of its own, if it runs in one.
    """
    for run_id, how in plan.settled:
        console.say(f"{run_id}, unfinished since an earlier start, was {how}; its output is kept", style="yellow")
    subject = plan.subject
    track, hardware = subject.track, subject.track.hardware
    console.say(f"{_title(subject)}: {subject.entry} ({subject.script_sha256[:12]}) of {subject.name}")
    if subject.reimplementation:
        console.say(
            "  script   a reimplementation of the record's program: its losses may be compared, its times may not"
        )
    console.say(f"  track    {track.name}: {track.title}; judged by {subject.ruleset.id}")
    console.say(f"  machine  {computer.describe(computer.capture(torch=torch))}")
    for problem in stops:
        console.say(f"  cannot   {problem}", style="red")
    if plan.dry:
        overrides = " ".join(track.dry)
        console.say(f"  dry run  1 run, scaled down ({overrides}), on synthetic data; never judged, never ranked")
        return
    if plan.screening:
        console.say(f"  runs     {plural(plan.runs, 'screening run')}, in the ledger, never judged and never counted")
        console.say(f"  data     {_data(subject)}")
        return
    ranks = plural(hardware.processes, "process")
    of_what = f"{hardware.processes}× {hardware.gpu_name}" if hardware.gpu_name else ranks
    have = f"; in addition to {plural(len(plan.done), 'finished run')} of an earlier start" if plan.done else ""
    most = "at most " if plan.until_decided else ""
    console.say(f"  runs     {most}{plan.runs} on {of_what}, each with a seed drawn by the harness{have}")
    if plan.counting:
        said = "one run more comes first and never counts: it tells how many steps the script takes"
        console.say(f"  steps    {said}, so that the others are offered the tokens of these steps alone")
    if plan.declared is not None and len(plan.done) + plan.runs > plan.declared:
        fixed = f"{plan.declared} runs were declared before the first; {subject.ruleset.id} judges the loss by those"
        console.say(f"  note     {fixed}, further runs are shown and do not change it", style="yellow")
    console.say(f"  data     {_data(subject)}")
    score_report.say_plan(subject, plan.scoring_s)


def say_refusal(here: Machine, track: Track) -> None:
    """Print what a machine lacks for a track; nothing where it lacks nothing."""
    for problem in plan_data.cannot(here, track):
        console.say(f"  cannot   {problem}", style="red")


def _title(subject: Subject) -> str:
    if subject.record is not None:
        return f"{subject.record.track}/{subject.record.number}: {subject.record.title}"
    return subject.manifest.title if subject.manifest else subject.name


def _data(subject: Subject) -> str:
    data = subject.track.data
    if subject.ruleset.above_entropy is not None:
        return f"made here from a secret seed: {data.shard_tokens:,} train tokens"
    if data.source == "synthetic":
        return f"made here from seed {data.seed}: {data.shard_tokens:,} train tokens"
    shards = 1 + -(-subject.train_tokens // data.shard_tokens)
    size = shards * data.shard_tokens * 2 / 1e9
    return f"{shards} shards of {data.repository}, {size:.1f} GB where not in the cache yet"


def after_a_stop(plan: SeriesPlan) -> str:
    """Say what to do after Ctrl-C ended these runs."""
    if plan.dry or plan.screening or plan.subject.manifest is None:
        return "the same command starts again from the first run; what was fetched and printed is kept"
    return "the runs that have finished are kept and count; the same command makes those that are missing"


def say_dry_end(plan: SeriesPlan) -> None:
    """Print that the pipeline works."""
    console.say(f"the dry run of {plan.subject.name} succeeded: launch, log and clock work here; nothing was judged")


def say_screening(subject: Subject, runs: Sequence[Metrics]) -> None:
    """Print what screening runs measured, and how runs that count are made."""
    console.say("")
    say_runs(runs)
    console.say("")
    say_phases(runs)
    many = "this run" if len(runs) == 1 else "these runs"
    console.say(f"{many} of {subject.name} only tried it; runs that count: speedrun run {subject.name}")


def say_outcome(
    catalog: Catalog,
    subject: Subject,
    gathered: Evidence,
    verdict: Verdict,
    *,
    ran: bool = False,
    every: bool = False,
    usd_per_hour: float | None = None,
) -> int:
    """Print runs, findings, verdict and the row it would earn; returns the exit status.

    ran: the runs were made here and now; else they are stored evidence, of this machine or of another. every: say of
    rules that do not apply why that is so.
    """
    console.say("")
    say_runs(gathered.runs)
    console.say("")
    say_phases(gathered.runs)
    console.say_verdict(verdict, every=every)
    if ran:
        say_more_runs(gathered, verdict, usd_per_hour)
        say_newer(catalog.project, subject, ran=ran)
    lost = judging.no_record(catalog, subject, gathered, verdict)
    if verdict.outcome == "pass":
        stored = subject.record is not None and not ran
        say_row(subject, gathered, "the row that its evidence earns:" if stored else "the row it would earn:")
        valid = "valid, but no record: " if lost else ""
        console.say(f"  {valid}{standing(catalog, subject, gathered, ran=ran)}")
    return 0 if verdict.outcome == "pass" and not lost else 1


def say_newer(project: Project, subject: Subject, *, ran: bool = False) -> None:
    """Print how many runs of this machine are newer than the pack."""
    newer = gather.newer_runs(project, subject)
    if newer:
        what = "its pack lacks" if ran else "judged by its pack, which lacks"
        text = f"{what} the {plural(newer, 'run')} made here since: speedrun pack {subject.name}"
        console.say(text, style="yellow")


def say_past(gathered: Evidence, verdict: Verdict) -> None:
    """Print the verdict on a record of the past: its figures, its findings, and what evidence is missing."""
    console.say("")
    say_runs(gathered.runs)
    console.say("")
    console.say_verdict(verdict)
    console.say(PAST)


def say_runs(runs: Sequence[Metrics]) -> None:
    """Print one line per run."""
    rows = []
    for run in runs:
        counts = [console.figure(count, "d", missing="-") for count in (run.seed, run.step)]
        times = [console.figure(time_s, ".2f", " s", missing="-") for time_s in (run.train_time_s, run.wall_time_s)]
        rows.append((run.run_id, *counts, console.figure(run.val_loss, ".4f", missing="-"), *times))
    console.say_table(("run", "seed", "step", "val_loss", "train_time", "wall time"), rows)


def say_phases(runs: Sequence[Metrics]) -> None:
    """Print how the wall time of every run was spent, in seconds; nothing where it was not measured."""
    accounts = [(run, phases_of(run)) for run in runs if run.wall_time_s is not None]
    if not accounts:
        return
    rows: list[tuple[str, ...]] = [
        # z: no −0.00
        (run.run_id, *(console.figure(time_s, "z.2f") for time_s in (*dataclasses.astuple(account), busy_of(run))))
        for run, account in accounts
    ]
    columns: tuple[str, ...] = (
        "seconds of",
        "start",
        "import",
        "warm-up",
        "timed",
        "validation",
        "tail",
        "untimed",
        "GPU busy untimed",
    )
    if all(busy_of(run) is None for run, _ in accounts):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    console.say_table(columns, rows)
    console.say("")


def phases_of(run: Metrics) -> timeline.Phases:
    """Split one run's wall time into phases."""
    return timeline.phases(run.timed_lines, run.wall_time_s, run.first_line_s, run.header_end_s)


def busy_of(run: Metrics) -> float | None:
    """Return the seconds of full use of the GPUs outside the timed sections; None where it was not sampled."""
    if run.observed is None or run.observed.busy is None:
        return None
    return timeline.busy_untimed_s(run.timed_lines, run.observed.busy)


def run_figures(run: Metrics) -> dict[str, Any]:
    """Return what `--json` prints about one run."""
    figures = {"id": run.run_id, "seed": run.seed, "step": run.step, "val_loss": run.val_loss}
    times = {"train_time_s": run.train_time_s, "wall_time_s": run.wall_time_s}
    return {**figures, **times, "phases": dataclasses.asdict(phases_of(run)), "gpu_busy_untimed_s": busy_of(run)}


def say_more_runs(gathered: Evidence, verdict: Verdict, usd_per_hour: float | None) -> None:
    """Print how many more runs are probably needed, how long they take, and what they cost at the user's price."""
    more = next((finding.more_runs for finding in verdict.findings if finding.rule == "S1"), None)
    walls = [run.wall_time_s for run in gathered.runs if run.wall_time_s is not None]
    if more is None or not walls:
        return
    hours = more * stats.mean(walls) / 3600
    price = "" if usd_per_hour is None else f", {hours * usd_per_hour:,.2f} USD at {usd_per_hour:g} USD an hour"
    runs = plural(more, "more run")
    console.say(f"{runs} would likely decide: about {60 * hours:.1f} minutes on this machine{price}")


def say_row(subject: Subject, gathered: Evidence, heading: str) -> None:
    """Print the row of the leaderboard that these runs would earn."""
    losses = [run.val_loss for run in by_distance(gathered).runs if run.val_loss is not None]
    named = "mean val_loss" if subject.ruleset.above_entropy is None else "mean above entropy"
    times = [run.train_time_s for run in gathered.runs if run.train_time_s is not None]
    time = f"{stats.mean(times):.2f} s" + (f" ± {stats.sd(times):.2f}" if len(times) > 1 else "") if times else "-"
    console.say("")
    console.say(heading)
    console.say_table(
        ("track", "steps", "train_time (mean ± sd)", "runs", named, "title"),
        [
            (
                subject.track.name,
                str(gathered.runs[0].step),
                time,
                str(len(losses)),
                f"{stats.mean(losses):.4f}",
                _title(subject),
            )
        ],
    )


def standing(catalog: Catalog, subject: Subject, gathered: Evidence, *, ran: bool) -> str:
    """Compare the row with the current record, in a sentence."""
    best = catalog.current(subject.track)
    is_best = subject.record is not None and best is not None and subject.record.slug == best.slug
    whose = "this machine's" if ran else "those of the machine that ran it"
    about_time = f"seconds are {whose} and are never compared with another's"
    if is_best:
        return f"this is the current record{', run again' if ran else ', judged by its own evidence'}; {about_time}"
    if subject.record is not None and not ran:
        other = "" if best is None else f"; {best.track}/{best.number} is the current one"
        return f"this is the record {subject.record.track}/{subject.record.number}, judged by its own evidence{other}"
    if subject.track.metric == "train_time":
        return "it becomes a record only if it is faster than the current one in a same-machine comparison"
    steps = gathered.runs[0].step
    if best is None or best.claimed.steps is None or steps is None:
        return f"ranked by steps; {about_time}"
    current = f"{best.track}/{best.number} holds the record with {best.claimed.steps} steps"
    if steps < best.claimed.steps:
        return f"{current}; this is {best.claimed.steps - steps} fewer: a new record; {about_time}"
    return f"{current}; this is not a new record; {about_time}"
