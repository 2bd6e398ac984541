"""Divide the work of a run among its sections: before the clock starts, in the steps, in validation gaps, after the end. Pure.

Work is what an observer outside the run can count: on a track for GPUs the seconds of their full use, on any other the
processor time of all processes of the run. Both are sums over the run, so that what a script computes in one section and
not in another shows, whatever it prints. Between two samples (0.2 s) the work is taken as even.
"""

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness.core.measurement import Metrics
from harness.evidence.timeline import read_timeline


@dataclass(frozen=True, slots=True)
class Work:
    """The work of one run, in seconds of one processor, or of all GPUs together."""

    steps: int
    before: float  # until the clock first starts: imports, compilation, warm-up
    timed: float
    gaps: tuple[float, ...]  # validation gaps, in order
    after: float  # from the last validation to the exit

    @property
    def step(self) -> float:
        """The work of one step."""
        return self.timed / self.steps

    @property
    def outside(self) -> float:
        """The work outside the steps."""
        return self.before + sum(self.gaps) + self.after


def work_of(run: Metrics, *, on_gpus: bool) -> Work | None:
    """Divide the work of a run; None where nobody counted it, or its log does not mark every section."""
    if run.observed is None or not run.step:
        return None
    samples = summed(run.observed.busy or ()) if on_gpus else list(run.observed.user_s or ())
    timeline = read_timeline(run.timed_lines)
    edges = [
        (section.begin_s, section.end_s, section.next_s)
        for section in timeline.sections
        if section.begin_s is not None and section.end_s is not None and section.next_s is not None
    ]
    if len(samples) < 2 or not edges or len(edges) < len(timeline.sections) or not timeline.marked:
        return None
    done = [(_at(samples, begin), _at(samples, end), _at(samples, following)) for begin, end, following in edges]
    timed = sum(end - begin for begin, end, _ in done)
    if timed <= 0:
        return None
    gaps = tuple(following - end for _, end, following in done)
    return Work(run.step, done[0][0], timed, gaps, samples[-1][1] - done[-1][2])


def summed(busy: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Sum samples of (seconds, share) up to (seconds, seconds of full use by then)."""
    total, found = 0.0, [(at, 0.0) for at, _ in busy[:1]]
    for (since, share), (until, _) in itertools.pairwise(busy):
        total += share * (until - since)
        found.append((until, total))
    return found


def _at(samples: Sequence[tuple[float, float]], moment: float) -> float:
    """Return how much was done by a moment, between two samples in proportion."""
    after = bisect.bisect_left(samples, (moment,))
    if after == 0:
        return 0.0
    if after == len(samples):
        return samples[-1][1]
    (begin, low), (end, high) = samples[after - 1], samples[after]
    return low + (high - low) * (moment - begin) / (end - begin)
