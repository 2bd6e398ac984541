"""What the runs of a comparison come to: whether their times can be believed, who is faster, and by how much."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from harness.catalog.subjects import Subject
from harness.compare import pairs
from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.measurement import Metrics
from harness.evidence import metrics
from harness.evidence.contents import Evidence
from harness.store import comparisons, run_files
from harness.store.comparisons import Arm, Comparison
from harness.store.layout import Project
from harness.verdict import checks, completeness, timing

# Mean losses are called alike where the 95 % interval of their difference lies within this: two runs of one script
# differ by 0.0013 as a standard deviation, so fewer than some 15 runs a side seldom say so.
LOSS_MARGIN = 0.002


@dataclass(frozen=True, slots=True)
class Readings:
    """The runs of both scripts, each read once: a look wants all of them, and a log may have megabytes."""

    project: Project
    subjects: dict[Arm, Subject]
    read: dict[str, Metrics] = field(default_factory=dict)

    def of(self, run_id: str, arm: Arm) -> Metrics:
        """One run that ended."""
        if run_id not in self.read:
            folder = run_files.run_folder(self.project, run_id)
            self.read[run_id] = metrics.read_run(folder, self.subjects[arm].script, packed=False)
        return self.read[run_id]


def find_wrong(comparison: Comparison, readings: Readings) -> str | None:
    """Why no time of these runs can be believed: the clock or the logs contradict them, or a GPU was slowed down."""
    for arm, found in readings.subjects.items():
        mine = tuple(readings.of(run.run, arm) for run in comparison.runs if run.arm == arm)
        if not mine:
            continue
        held = Evidence(found.name, found.track, found.ruleset, mine, found.script_sha256)
        for finding in checks.judge(held, (*completeness.CHECKS, *timing.CHECKS)).findings:
            if finding.outcome == "fail":
                return f"{arm} breaks {finding.rule}: {finding.text}"
        slowed = next(
            ((run, run.observed.throttling) for run in mine if run.observed and run.observed.throttling), None
        )
        if slowed is not None:
            return f"{slowed[0].run_id} ran on a GPU that was slowed down ({', '.join(slowed[1])})"
    return None


def conclude(comparison: Comparison, wrong: str | None = None) -> Comparison:
    """Compute everything that follows from the runs; `wrong` makes the comparison inconclusive."""
    rule = pairs.Rule(comparison.max_pairs, comparison.bound, comparison.hiccup_limit)
    outcome, seen = pairs.decide([run.train_time_s for run in comparison.runs], comparison.arms, rule)
    reason = wrong
    if outcome == "inconclusive":
        slow, of = sum(seen.hiccups), len(seen.hiccups)
        reason = wrong or f"{slow} of {of} runs are hiccups, and with more than 10 % of them a machine decides nothing"
    marked = tuple(
        dataclasses.replace(run, hiccup=hiccup, residual=residual if seen.pairs >= pairs.FIRST_LOOK else None)
        for run, hiccup, residual in zip(comparison.runs, seen.hiccups, seen.residuals, strict=False)
    )
    fit = seen.fit
    comparison = dataclasses.replace(
        comparison,
        runs=(*marked, *comparison.runs[len(marked) :]),
        pairs=seen.pairs,
        outcome="inconclusive" if wrong else outcome,
        reason=reason,
        gain=fit.gain if fit else None,
        interval=fit.gain_interval() if fit else None,
        p=min(fit.p_faster, fit.p_slower) if fit else None,
        pairs_needed=pairs.pairs_needed(fit, seen.pairs, rule) if fit and outcome in ("undecided", "tie") else None,
    )
    return compare_losses(comparison)


def compare_losses(comparison: Comparison) -> Comparison:
    """Say whether the losses are alike, by Welch's two-sided 95 % interval of the difference of the means.

    alike: it lies within ±0.002; different: it leaves out 0; else unclear. Hiccups count: they are about time only.
    """
    b, a = ([r.val_loss for r in comparison.runs if r.arm == arm and r.val_loss is not None] for arm in "BA")
    if len(a) < 2 or len(b) < 2:
        return comparison
    difference = stats.mean(b) - stats.mean(a)
    try:
        low, high = stats.difference_interval(b, a)
    except StatisticsError:  # no spread at all
        low = high = difference
    within = max(-low, high) <= LOSS_MARGIN
    alike: comparisons.Alike = "alike" if within else "different" if low > 0 or high < 0 else "unclear"
    return dataclasses.replace(comparison, losses_alike=alike, loss_difference=difference, loss_interval=(low, high))
