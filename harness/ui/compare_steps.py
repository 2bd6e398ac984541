"""Say what a comparison tells where steps are ranked: the time per step, on which the rank does not depend."""

from harness.catalog.tracks import load_track
from harness.core import stats
from harness.core.task import Track
from harness.core.text import plural
from harness.store.comparisons import Comparison
from harness.store.layout import Project


def caution(track: Track) -> str | None:
    """Say before the runs what they are good for; None where time is ranked."""
    if track.metric != "steps":
        return None
    return (
        f"{track.name} ranks by steps: this tells which takes less time, and per step; the rank does not depend on it"
    )


def sentence(project: Project, comparison: Comparison) -> str | None:
    """State the time per step where steps are ranked, because the rank does not depend on time; None where time is."""
    track = load_track(project.tracks, comparison.track)
    if track.metric != "steps":
        return None
    rank = f"{track.name} ranks by steps, and the rank does not depend on it"
    steps = {arm: {run.steps for run in comparison.runs if run.arm == arm} for arm in "AB"}
    counts = [count for arm in "AB" if len(steps[arm]) == 1 for count in steps[arm] if count]
    if len(counts) != 2 or comparison.gain is None or comparison.interval is None:
        return rank
    a, b = counts
    kept = [[run.train_time_s for run in comparison.runs if run.arm == arm and not run.outlier] for arm in "AB"]
    each = [1000 * stats.mean(times) / count for times, count in zip(kept, counts, strict=True)]
    gain, *bounds = (1 - (1 - share) * a / b for share in (comparison.gain, *comparison.interval))
    word = "less" if gain >= 0 else "more"
    low, high = sorted(bound if gain >= 0 else -bound for bound in bounds)
    between = f"95 % interval {percent(low)} to {percent(high)}"
    times = f"A {each[0]:.2f} ms ({plural(a, 'step')}), B {each[1]:.2f} ms ({plural(b, 'step')})"
    return f"time per step: {times}; B takes {percent(abs(gain))} {word}, any trend taken out ({between}); {rank}"


def percent(share: float) -> str:
    """Write a share: 0.42 %."""
    return f"{100 * share:.2f} %"
