"""Judge the runs of a comparison: whether their times are valid, which script is faster and by how much.

Hard because the result is computed again after every run, and must be the same whether a comparison was made in one go
or continued after a crash: everything follows from the list of runs, and nothing of an earlier result is used.
"""

import dataclasses
from dataclasses import dataclass, field

from harness.catalog.subjects import Subject
from harness.compare import pairs
from harness.compare.analysis import FIRST_ANALYSIS, MAX_OUTLIER_SHARE, Analysis
from harness.compare.joint_analysis import Among
from harness.core import stats
from harness.core.errors import StatisticsError
from harness.core.measurement import Metrics
from harness.evidence import metrics
from harness.evidence.contents import Evidence
from harness.store import comparisons, run_files
from harness.store.comparisons import Arm, Comparison
from harness.store.layout import Project
from harness.verdict import checks, completeness, timing

# Mean losses are called alike where the 95 % interval of their difference lies within this. Losses of one script have a
# standard deviation of 0.0013, so it takes some 15 runs of each script.
LOSS_MARGIN = 0.002


@dataclass(frozen=True, slots=True)
class Readings:
    """The runs of both scripts, each read once: every analysis uses all of them, and a log may have megabytes."""

    project: Project
    subjects: dict[Arm, Subject]
    read: dict[str, Metrics] = field(default_factory=dict)

    def of(self, run_id: str, arm: Arm) -> Metrics:
        """Read a run that has ended."""
        if run_id not in self.read:
            folder = run_files.run_folder(self.project, run_id)
            self.read[run_id] = metrics.read_run(folder, self.subjects[arm].script, packed=False)
        return self.read[run_id]


def find_wrong(comparison: Comparison, readings: Readings) -> str | None:
    """Say why the times of these runs are not valid: clock or log contradicts them, or a GPU was slowed down; else None."""
    for arm, subject in readings.subjects.items():
        runs = tuple(readings.of(run.run, arm) for run in comparison.runs if run.arm == arm)
        if not runs:
            continue
        evidence = Evidence(subject.name, subject.track, subject.ruleset, runs, subject.script_sha256)
        for finding in checks.judge(evidence, (*completeness.CHECKS, *timing.CHECKS)).findings:
            # What is over a limit and may be the machine's fault is no valid time either.
            doubtful = finding.outcome == "inconclusive" and finding.measured is not None
            if finding.outcome == "fail" or doubtful:
                return f"{arm} {'does not meet' if doubtful else 'breaks'} {finding.rule}: {finding.text}"
        for run in runs:
            if run.observed is not None and run.observed.throttling:
                return f"{run.run_id} ran on a GPU that was slowed down ({', '.join(run.observed.throttling)})"
    return None


def conclude(comparison: Comparison, wrong: str | None = None) -> Comparison:
    """Compute everything that follows from the runs; `wrong` makes the comparison inconclusive."""
    rule = rule_of(comparison)
    times_s = [run.train_time_s for run in comparison.runs]
    outcome, analysis = pairs.decide(times_s, comparison.arms, rule, among(comparison))
    reason = wrong
    if outcome == "inconclusive" and wrong is None:
        reason = why_inconclusive(analysis, rule)
    fitted = analysis.pairs >= FIRST_ANALYSIS
    analysed = tuple(
        dataclasses.replace(run, outlier=outlier, residual=residual if fitted else None)
        for run, outlier, residual in zip(comparison.runs, analysis.outliers, analysis.residuals, strict=False)
    )
    fit = analysis.fit
    comparison = dataclasses.replace(
        comparison,
        runs=(*analysed, *comparison.runs[len(analysed) :]),
        pairs=analysis.pairs,
        outcome="inconclusive" if wrong else outcome,
        reason=reason,
        gain=fit.gain if fit else None,
        interval=fit.gain_interval() if fit else None,
        p=min(fit.p_faster, fit.p_slower) if fit else None,
        spread=fit.spread if fit else None,
        pairs_needed=pairs.pairs_needed(fit, analysis.pairs, rule) if fit and outcome in ("undecided", "tie") else None,
    )
    return compare_losses(comparison)


def rule_of(comparison: Comparison) -> pairs.Rule:
    """Return the rule that a comparison was begun with."""
    ends_early = comparison.ends_early
    return pairs.Rule(
        comparison.max_pairs, comparison.bound, comparison.outlier_limit, comparison.method, ends_early=ends_early
    )


def among(comparison: Comparison) -> Among | None:
    """Say where the runs of one candidate stand among those of others; None of two scripts alone."""
    if comparison.joint is None:
        return None
    runs = comparison.runs
    after = "".join(run.after or "A" for run in runs)
    return Among(tuple(run.place or 0 for run in runs), after, tuple(run.round or 0 for run in runs))


def why_inconclusive(analysis: Analysis, rule: pairs.Rule) -> str:
    """Say what about the outliers leaves nothing to decide by."""
    outliers, count = sum(analysis.outliers), len(analysis.outliers)
    if analysis.pairs < rule.max_pairs and rule.ends_early and outliers > rule.most_outliers:
        many = f"more than {100 * MAX_OUTLIER_SHARE:.0f} % of all {rule.runs} that were planned"
        are = "is an outlier" if outliers == 1 else "are outliers"
        return f"{outliers} of {count} runs {are}, {many}, so that no further run could decide"
    if analysis.too_many_outliers:
        most = 100 * MAX_OUTLIER_SHARE
        return f"{outliers} of {count} runs are outliers; with more than {most:.0f} % the comparison is inconclusive"
    more, other = ("B", "A") if analysis.outliers_of("B") > analysis.outliers_of("A") else ("A", "B")
    own, others = analysis.outliers_of(more), analysis.outliers_of(other)
    counts = f"{own} of its runs {'is an outlier' if own == 1 else 'are outliers'}, and {others} of {other}'s are"
    return f"{more} would be faster but for its outliers: {counts}"


def compare_losses(comparison: Comparison) -> Comparison:
    """Compare the losses by Welch's two-sided 95 % interval of the difference of the means.

    alike: it lies within ±0.002; different: it leaves out 0; else unclear. Outliers count here: only their time is off.
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
